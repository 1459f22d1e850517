"""Check that the file for `make test-oldest` holds the lower bounds that pyproject.toml declares."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_oldest_versions_are_the_declared_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = dict(
        re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", text).groups() for text in project["dependencies"] if ">=" in text
    )
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = dict(line.split("==") for line in lines if "==" in line)
    assert len(bounds) > 10
    for name, bound in bounds.items():
        assert name in oldest, f"constraints-oldest.txt lacks {name}=={bound}"
        numbers = [(*map(int, version.split(".")), 0, 0)[:3] for version in (bound, oldest[name])]
        assert numbers[0] == numbers[1], (
            f"{name} is {oldest[name]} in constraints-oldest.txt and >={bound} in pyproject.toml"
        )


def test_the_citation_names_the_version_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
