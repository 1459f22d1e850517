"""Who may import whom: each room imports rooms below it alone, and those with a door through the door alone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

# Left may import right, never back, and no two of one level import each other; ARCHITECTURE.md shows the same.
# A room is a folder: its modules may import each other. `geogan` itself is its list of public names. A room inside
# another, such as `model.networks`, is a room of its own below its parent: it imports nothing of the parent.
ORDER = """
cli
-> pipelines, paper
-> geogan, accessor, testing
-> plotting
-> evaluation, corruption, coverage
-> evaluation.baselines
-> reconstructor
-> filling
-> training
-> model
-> model.networks
-> gaps
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
# Other rooms import these through the `__all__` of their `__init__.py`; the modules of the others by name.
DOORS = (
    "plotting",
    "evaluation",
    "filling",
    "training",
    "model",
    "model.networks",
    "gaps",
    "archive",
    "prior",
    "product",
    "io",
)
# Names that a reader can remember.
MOST_NAMES = 12


class Import(NamedTuple):
    """One import of a module of geogan, and the name that is taken from it; None for the module itself."""

    module: str
    name: str | None


def modules() -> dict[str, Path]:
    """Return the file of every module of the project by its dotted name."""
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
    """Return the room that a module is in: the innermost folder of ORDER, or geogan itself."""
    parts = module.split(".")
    if module == "geogan.__main__":
        return "cli"
    inner = ".".join(parts[1:3])
    return inner if inner in LEVEL else parts[1] if len(parts) > 1 else "geogan"


def imports(source: str) -> Iterator[Import]:
    """Yield the modules of geogan that a source imports, wherever in it, for types alone or not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [Import(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno} imports relatively; write the whole name, from geogan..."
            whole = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found = [
                Import(full, None) if full in MODULES and name not in door_of(str(node.module)) else
                Import(str(node.module), name)
                for name, full in whole.items()
            ]  # fmt: skip
        else:
            continue
        yield from (entry for entry in found if entry.module.split(".")[0] == "geogan")


def door_of(module: str) -> list[str]:
    """Return the `__all__` of a package of the project; empty for a module, or a package without one."""
    file = MODULES.get(module)
    if file is None or file.name != "__init__.py":
        return []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["__all__"]:
            return list(ast.literal_eval(node.value))
    return []


def mistakes(own: str, source: str) -> list[str]:
    """Return what is wrong with the imports of a source in the room ``own``, in sentences."""
    found = []
    for module, name in imports(source):
        target = room(module)
        text = module if name is None else f"{name} from {module}"
        if target == own:
            continue
        if target not in LEVEL:
            found.append(f"it imports {text}, which has no room; add {target!r} to ORDER and to ARCHITECTURE.md")
        elif LEVEL[target] <= LEVEL[own]:
            found.append(f"it imports {text}, which is not below it; move what it needs, or its room in ORDER")
        elif target in DOORS and name not in door_of(f"geogan.{target}"):
            found.append(f"it imports {text} past the door of {target}; add a function to the door that does the work")
        elif target in DOORS and module != f"geogan.{target}":
            found.append(f"it imports {text}; write from geogan.{target} import {name}")
    return found


def test_the_project_is_found():
    assert {"geogan", "geogan.cli", "geogan.operators.cloud", "geogan.pipelines.info"} <= MODULES.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_and_through_doors(module):
    own = room(module)
    assert own in LEVEL, f"{module} has no room; add {own!r} to ORDER here and to ARCHITECTURE.md"
    assert not mistakes(own, MODULES[module].read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("own", "source", "word"),
    [
        ("training", "from geogan.model import load_model", None),
        ("training", "from geogan.model.networks import ErrorNet", None),
        ("training", "from geogan.fields.circle import taken", None),
        ("model", "from geogan.model.model_file import load_model", None),
        ("training", "from geogan.model.model_file import load_model", "write from geogan.model import load_model"),
        ("training", "from geogan.model.member_noise import draws_at", "past the door"),
        ("training", "from geogan.model import member_noise", "past the door"),
        ("training", "import geogan.model.member_noise", "past the door"),
        ("training", "def f():\n    from geogan.model.networks.unet import UNet", "past the door"),
        ("model", "from geogan.model.networks.unet import UNet", "past the door"),
        ("model.networks", "from geogan.model import Model", "not below"),
        ("model", "from geogan.training import train_model", "not below"),
        ("prior", "from geogan.product import Product", "not below"),
    ],
)
def test_what_is_refused(own, source, word):
    found = mistakes(own, source)
    assert not found if word is None else len(found) == 1 and word in found[0]


def test_every_room_is_there():
    empty = LEVEL.keys() - {room(module) for module in MODULES}
    assert not empty, f"ORDER lists rooms that are gone: {', '.join(sorted(empty))}; take them out"


@pytest.mark.parametrize("name", DOORS)
def test_a_door_is_small_and_used(name):
    """Each name is used by another room, or is one of the public names."""
    door = door_of(f"geogan.{name}")
    assert 0 < len(door) <= MOST_NAMES, f"{name} has {len(door)} names in __all__; merge those that go together"
    public = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE))
    used = {
        entry.name
        for module, file in MODULES.items()
        if room(module) != name
        for entry in imports(file.read_text(encoding="utf-8"))
        if entry.module == f"geogan.{name}"
    }
    unused = sorted(set(door) - used - public)
    assert not unused, f"nothing outside {name} uses {', '.join(unused)}; take them out of __all__"


def test_architecture_has_the_same_rooms_in_the_same_order():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = [[cell.rstrip("/").removeprefix("examples/").replace("/", ".") for cell in re.findall("`(.*?)`", row)]
             for row in rows]  # fmt: skip
    assert sorted(name for row in names for name in row) == sorted(LEVEL)
    assert {name for row, text in zip(names, rows, strict=True) for name in row if "(door)" in text} == set(DOORS)
    levels = [LEVEL[row[0]] for row in names if len(row) == 1]
    assert levels == sorted(levels)
