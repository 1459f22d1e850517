"""``geogan identifiability``: tables, JSON and maps of what gaps leave unknown."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from geogan import corrupt, synthetic_sst
from geogan.cli import app
from geogan.operators.errors import InputError
from geogan.pipelines.identifiability import identifiability
from geogan.pipelines.info import info


@pytest.fixture(scope="module")
def gappy():
    sea = synthetic_sst(days=16, size=24, seed=0)
    field = corrupt(sea.sst, "cloud_mask:coverage=0.5,scale=5", seed=1)
    # A sensor that never sees two columns.
    return field.where(~np.isin(np.arange(24), [10, 11])).to_dataset().assign(sea_mask=sea.sea_mask)


@pytest.mark.parametrize("container", ["zarr", "nc", "several"])
def test_containers_say_the_same(tmp_path, gappy, container):
    if container == "several":
        gappy.isel(time=slice(0, 7)).to_netcdf(tmp_path / "a.nc")
        gappy.isel(time=slice(7, 16)).to_netcdf(tmp_path / "b.nc")
        data = str(tmp_path / "*.nc")
    else:
        data = tmp_path / f"a.{container}"
        (gappy.to_zarr if container == "zarr" else gappy.to_netcdf)(data)
    found = identifiability(data, tmp_path / "map.png")
    hidden = int((gappy.sea_mask.values[:, 10:12] == 1).sum())
    assert found["never_observed_cells"] >= hidden > 0 and found["dates_read"] == 16
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert found["warnings"][0] in info(data)["identifiability"]["warnings"]


def test_the_command_prints_a_table_or_json(tmp_path, gappy):
    gappy.to_netcdf(tmp_path / "a.nc")
    printed = CliRunner().invoke(app, ["identifiability", str(tmp_path / "a.nc")], env={"COLUMNS": "80"})
    assert printed.exit_code == 0 and "same date" in printed.output and "never observed" in printed.output
    assert max(len(line.rstrip()) for line in printed.output.splitlines() if "%" in line and "cell " in line[:12]) <= 80
    printed = CliRunner().invoke(app, ["identifiability", str(tmp_path / "a.nc"), "--json"])
    assert json.loads(printed.output)["dates_read"] == 16


def test_bad_outputs_are_refused_before_anything_is_read(tmp_path, gappy):
    gappy.to_netcdf(tmp_path / "a.nc")
    (tmp_path / "map.png").write_bytes(b"mine")
    for out in ("map.png", "map.txt", "nowhere/map.png", "a.nc"):
        with pytest.raises(InputError):
            identifiability(tmp_path / "a.nc", tmp_path / out)
    assert (tmp_path / "map.png").read_bytes() == b"mine"
