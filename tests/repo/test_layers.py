"""Who may import whom: each room knows those below it, and nothing above or beside it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Left may import right, never back, and no two of one level import each other; ARCHITECTURE.md shows the same.
# A room is a folder: its modules may import each other. `geogan` itself is its list of public names.
ORDER = """
cli
-> pipelines, paper
-> geogan, accessor
-> plotting
-> evaluation, corruption, coverage
-> reconstructor
-> filling
-> training
-> model
-> archive
-> prior, product
-> io
-> fields
-> compute
-> files
-> presets, registration
-> settings
-> operators
"""
LEVELS = [[room.strip() for room in level.split(",")] for level in ORDER.split("->")]
LEVEL = {room: number for number, level in enumerate(LEVELS) for room in level}


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    # Links in geogan/ lead to these folders, which are walked themselves.
    linked = {"operators": "operators", "pipelines": "pipelines", "examples/paper": "paper"}
    found = {}
    for folder, name in {"geogan": "", **linked}.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = ["geogan", *([name] if name else []), *file.relative_to(ROOT / folder).with_suffix("").parts]
            if not name and parts[1] in linked.values():
                continue
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def room(module: str) -> str:
    """The room a module is in: the first name below geogan, or geogan itself."""
    parts = module.split(".")
    if module == "geogan.__main__":
        return "cli"
    return parts[1] if len(parts) > 1 else "geogan"


def imported(file: Path) -> set[str]:
    """Modules of geogan that a file imports, wherever in it, for types alone or not."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively; write the whole name, from geogan..."
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else str(node.module) for name in whole}
    return {name for name in names if name.split(".")[0] == "geogan"}


def test_the_project_is_found():
    assert {"geogan", "geogan.cli", "geogan.operators.cloud", "geogan.pipelines.info"} <= MODULES.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module):
    own = room(module)
    assert own in LEVEL, f"{module} has no room; add {own!r} to ORDER here and to ARCHITECTURE.md"
    for other in sorted(imported(MODULES[module])):
        target = room(other)
        assert target in LEVEL, f"{module} imports {other}, which has no room; add {target!r} to ORDER"
        assert target == own or LEVEL[target] > LEVEL[own], (
            f"{module} imports {other}, which is not below it; move what it needs, or its room in ORDER"
        )


def test_every_room_is_there():
    empty = LEVEL.keys() - {room(module) for module in MODULES}
    assert not empty, f"ORDER lists rooms that are gone: {', '.join(sorted(empty))}; take them out"
