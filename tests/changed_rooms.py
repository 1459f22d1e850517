"""Print the test folders of the rooms that differ from main, for `make check`."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def changed_files() -> list[Path]:
    """Return files that differ from the last commit shared with main, and files that git does not know yet."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True).stdout

    base = git("merge-base", "HEAD", "main").strip() or "HEAD"
    names = git("diff", "--name-only", base) + git("ls-files", "--others", "--exclude-standard")
    return [Path(name) for name in names.split("\n") if name]


def paths_to_test(files: list[Path]) -> list[str]:
    """Return the paths to give to pytest: folders of tests, and packages for their doctests.

    Examples
    --------
    >>> paths_to_test([Path("geogan/prior/gaussian.py"), Path("operators/cloud.py"), Path("README.md")])
    ['geogan/prior', 'tests/operators', 'tests/prior', 'tests/repo']
    """
    paths = {"tests/repo"}
    for file in files:
        top, *below = file.parts
        if top in ("operators", "pipelines"):
            paths.add(f"tests/{top}")
        elif top == "geogan" and len(below) > 1:
            paths |= {f"geogan/{below[0]}", f"tests/{below[0]}"}
        elif top == "geogan" and below:
            paths |= {f"geogan/{below[0]}", f"tests/test_{below[0]}"}
        elif top == "tests" and len(below) > 1 and below[0] != "integration":
            paths.add(f"tests/{below[0]}")
        elif top == "tests" and file.name.startswith("test_"):
            paths.add(str(file))
    return sorted(path for path in paths if (ROOT / path).exists())


if __name__ == "__main__":
    print(*paths_to_test(changed_files()))  # noqa: T201
