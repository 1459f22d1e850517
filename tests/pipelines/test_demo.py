"""Tests of ``geogan demo``: it writes all results, and replaces only the folder of an earlier demo."""

import json

import pytest

from geogan.io import open_field
from geogan.operators.errors import InputError
from geogan.pipelines.demo import MARK, _new_folder, demo


def test_a_demo(tmp_path):
    out = tmp_path / "demo"
    rows = {row.method: row.score for row in demo(out, days=8, size=16, minutes=0.01, seed=3, threads=1)}
    assert {"truth.zarr", "gappy.zarr", "model", "filled.zarr", "table.json", "map.png"} <= {
        file.name for file in out.iterdir()
    }
    assert list(rows) == ["climatology", "linear_time", "biharmonic", "gaussian", "model"]
    assert rows["model"].rmse < rows["climatology"].rmse and rows["model"].share == 1
    table = json.loads((out / "table.json").read_text())
    assert [row["rmse"] for row in table["rows"]] == [score.rmse for score in rows.values()]
    truth, gappy, filled = (open_field(out / f"{name}.zarr", variable="sst") for name in ("truth", "gappy", "filled"))
    assert gappy.count() < truth.count() == filled.count()
    assert (out / "map.png").stat().st_size > 5000
    # The folder of an earlier demo is emptied.
    assert _new_folder(out) == out and [file.name for file in out.iterdir()] == [MARK]


def test_another_folder_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(InputError, match="exists and is no demo of geogan"):
            demo(tmp_path / name)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x" and (tmp_path / "file").read_text() == "x"
