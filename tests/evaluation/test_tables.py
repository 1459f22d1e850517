"""League tables as text and JSON: units, the best method, and files that are kept."""

import json

import pytest
from rich.console import Console

from geogan.evaluation.errors import Score
from geogan.evaluation.rows import Row
from geogan.evaluation.tables import LeagueTable
from geogan.operators.errors import InputError

ROWS = [
    Row("climatology", Score(0.5, 0.1, 0.4, 100, 1.0)),
    Row("biharmonic", Score(0.2, 0.0, 0.1, 50, 0.5)),
    Row("model", Score(0.3, -0.1, 0.2, 100, 1.0)),
]
TABLE = LeagueTable(ROWS, "sst", "withheld clouds on 9 dates", {"": "K"}, "K")


def printed(table):
    console = Console(record=True, width=80)
    table.print(console)
    return console.export_text(styles=True)


def test_the_heading_names_cells_and_units():
    assert TABLE.heading() == "sst: error on withheld clouds on 9 dates (100 values), in K"
    without_units = LeagueTable(ROWS, "ice", "all cells of the truth", {"": ""}, "")
    assert without_units.heading() == "ice: error on all cells of the truth (100 values)"


def test_the_best_method_that_fills_every_cell_is_bold():
    lines = printed(TABLE).splitlines()
    assert [line.strip().startswith("\x1b[1m") for line in lines if "0." in line and "sst" not in line] == [
        False,
        False,
        True,
    ]


def test_json_replaces_a_table_and_nothing_else(tmp_path):
    file = tmp_path / "scores.json"
    LeagueTable.check_file(file)
    TABLE.write(file)
    LeagueTable.check_file(file)
    content = json.loads(file.read_text())
    assert content["units"] == "K" and content["rows"][2]["rmse"] == 0.3
    file.write_text('{"precious": 1}')
    with pytest.raises(InputError, match="exists and is not a table of geogan, so it is kept"):
        LeagueTable.check_file(file)
    with pytest.raises(InputError, match="is a folder, but --json needs a file"):
        LeagueTable.check_file(tmp_path)
    with pytest.raises(InputError, match="its folder does not exist"):
        LeagueTable.check_file(tmp_path / "missing" / "scores.json")


def test_a_method_is_called_by_its_title():
    assert [LeagueTable.title(name) for name in ("dineof", "gaussian", "without-prior", "other")] == [
        "DINEOF",
        "Gaussian MAP",
        "model, prior term off",
        "other",
    ]
