"""Check that a command with bad input ends in one sentence and exit code 2, and writes nothing.

A file ``tests/test_bad_input_NAME.py`` holds its own cases and uses the helpers of this module and the fixture
``folder`` of ``conftest.py``, which makes the test's working folder (``sst.nc`` with gaps, ``truth.nc``, ``model``,
``product.nc``, ``product.zarr``, ``map.png``, ``notes``)::

    import pytest
    from bad_input import FILL, case, changed, every_reader, refused

    CASES = [
        case("upside-down", f"{FILL} bad.nc", "lat of sst", "turn it", make=changed(lambda sea: sea.isel(lat=[1, 0]))),
        *every_reader("empty", "nowhere.nc", "'nowhere.nc' does not exist"),
    ]

    @pytest.mark.parametrize("case", CASES)
    def test_one_sentence_and_nothing_written(folder, case):
        refused(case)

A function given as ``make`` writes the input into the working folder; ``changed``, ``with_values`` and ``with_attrs``
return functions that write ``bad.nc``. The module is found because ``pyproject.toml`` names the folder ``tests`` as
pytest's ``pythonpath``.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

from geogan.cli import app

SMALL = "--steps 4 --width 4 --threads 1 --precision float32"


def run(line):
    return CliRunner().invoke(app, shlex.split(line), prog_name="geogan")


def everything():
    """Return the state of all files in the working folder, which changes with every write.

    Folders are compared by name only, because taking and releasing a lock changes their modification time.
    """

    def written(path):
        return None if path.is_dir() else (path.lstat().st_size, path.lstat().st_mtime_ns)

    return {str(path): written(path) for path in sorted(Path().rglob("*"))}


def one_sentence(result, *words):
    """Return the sentence of an error after a check of its form."""
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    # Older versions of rich end a display of progress with an empty line, there as here.
    assert result.stdout.strip() == "" and isinstance(result.exception, SystemExit), result.exception
    # What a training has found out may come before it; what is wrong with the values shows only then.
    said = ("withheld: ", "climatology: ")
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith(said)]
    assert len(lines) == 1 and len(lines[0]) < 600, result.stderr
    for word in words:
        assert word in lines[0], result.stderr
    return lines[0]


def sea():
    return xr.load_dataset("sst.nc")


def changed(change):
    """Return a function that writes the gappy sea, changed, to ``bad.nc``."""

    def make():
        change(sea()).to_netcdf("bad.nc")

    return make


def with_values(change):
    return changed(lambda sea: sea.assign(sst=sea.sst.copy(data=change(sea.sst.values))))


def with_attrs(name, **attrs):
    def change(sea):
        sea[name].attrs.update(attrs)
        return sea

    return changed(change)


@dataclass(frozen=True)
class Case:
    """A command that must fail, the words of its error, and a function that makes its input."""

    line: str
    words: tuple[str, ...]
    make: Callable[[], None] = lambda: None


def case(name, line, *words, make=lambda: None):
    return pytest.param(Case(line, words, make), id=name)


def refused(case):
    """Check that a case ends in one sentence with its words and exit code 2, and writes nothing."""
    if case.make is not None:
        case.make()
    before = everything()
    result = run(case.line)
    assert everything() == before
    return one_sentence(result, *case.words)


TRAIN, FILL = f"train {SMALL} --out new --data", "fill --threads 1 --out filled.nc --model model --data"
EVALUATE, CORRUPT = "evaluate --threads 1 --no-ablation --model model --data", "corrupt --out gappy.nc --data"
PLOT, INFO = "plot --out new.png", "info"


def every_reader(name, data, *words, make=lambda: None, but=()):
    """Return one case for each verb that reads a field."""
    verbs = {"train": TRAIN, "fill": FILL, "evaluate": EVALUATE, "corrupt": CORRUPT, "plot": PLOT, "info": INFO}
    return [
        case(f"{name}-{verb}", f"{line} {data}", *words, make=make) for verb, line in verbs.items() if verb not in but
    ]
