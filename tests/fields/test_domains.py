"""Sea and land by coastlines, masks of the data, and the default domain."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from runs import QUICK, make_reconstructor
from typer.testing import CliRunner

from geogan.archive import check_field
from geogan.cli import app
from geogan.fields.coastlines import land_cells
from geogan.fields.domains import known_domain, named_domain, surface
from geogan.fields.field import Field
from geogan.io import find_domain, open_field, open_masks
from geogan.model import load_model
from geogan.operators.errors import InputError
from geogan.pipelines.info import info

DATA = Path("../shared/data")
ALBORAN, CHLOROPHYLL = DATA / "alboran-dineof/alboranSST_small.nc", DATA / "chl-california/chl_california.nc"
SMALL = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 2, "precision": "float32", "threads": 1, **QUICK}


def grid(lat, lon, **attrs):
    shape = (len(lat), len(lon))
    return xr.DataArray(np.ones(shape), dims=("lat", "lon"), coords={"lat": lat, "lon": lon}, name="sst", attrs=attrs)


STRAIT = (np.linspace(38, 33, 26), np.linspace(-8, 0, 33))  # Gibraltar and the Alboran Sea


def test_land_of_known_places():
    places = {(48.86, 2.35): True, (36.0, -4.0): False, (-89.9, 10.0): True, (-90.0, 0.0): True, (90.0, 0.0): False,
              (60.0, 180.0): False, (67.0, 180.0): True, (42.0, 51.0): False, (-87.0, 180.0): True}  # fmt: skip
    latitude, longitude = np.array(list(places)).T
    for turn in (0, 360, -360):
        assert land_cells(latitude, longitude + turn).tolist() == list(places.values())


def test_sea_and_land_are_the_same_on_any_grid():
    lat, lon = STRAIT
    field = grid(lat, lon)
    sea = surface(Field.of(field), "sea")
    assert 0.3 < sea.mean() < 0.8 and (surface(Field.of(field), "land") == ~sea).all()
    np.testing.assert_array_equal(surface(Field.of(grid(lat[::-1], lon)), "sea"), sea[::-1])
    np.testing.assert_array_equal(surface(Field.of(grid(lat, lon + 360)), "sea"), sea)
    np.testing.assert_array_equal(
        surface(Field.of(field.expand_dims(time=3).transpose("lon", "time", "lat")), "sea"), sea
    )
    y, x = np.meshgrid(lat, lon, indexing="ij")
    degrees = {"nav_lat": {"units": "degrees_north"}, "nav_lon": {"units": "degrees_east"}}
    coords = {name: (("j", "i"), values, degrees[name]) for name, values in (("nav_lat", y), ("nav_lon", x))}
    curved = xr.DataArray(field.values, dims=("j", "i"), coords=coords)
    np.testing.assert_array_equal(surface(Field.of(curved), "sea"), sea)
    hole = y.copy()
    hole[3, 4] = np.nan
    coords["nav_lat"] = (("j", "i"), hole, degrees["nav_lat"])
    assert not surface(Field.of(curved.assign_coords(coords)), "sea")[3, 4]


def test_a_global_grid():
    field = grid(np.linspace(89.75, -89.75, 360), np.linspace(0.25, 359.75, 720))
    sea = surface(Field.of(field), "sea")
    weight = np.cos(np.deg2rad(field.lat.values))[:, None] * np.ones(720)
    assert (sea * weight).sum() / weight.sum() == pytest.approx(0.71, abs=0.01)
    assert not sea[-1].any() and sea[0].all()


@pytest.mark.parametrize(
    ("field", "domain", "words"),
    [
        (grid(*STRAIT).drop_vars("lat"), "sea", "domain sea needs latitudes and longitudes in degrees, which sst"),
        (grid(np.arange(20, 25), np.arange(-40, -30)), "land", "no cell of sst lies on land .* no variable 'land'"),
        (grid(np.arange(45, 50), np.arange(80, 90)), "sea", "no cell of sst lies at sea"),
        (grid(*STRAIT), "lakes", "domain must be one of observed, all, sea, land, or a mask, got 'lakes'"),
        (grid(*STRAIT), np.ones(5, bool), "the domain has shape"),
        (grid(*STRAIT), grid(*STRAIT).assign_coords(lat=STRAIT[0] + 30), "the domain .sst. is on another grid"),
    ],
)  # fmt: skip
def test_domains_that_cannot_be(field, domain, words):
    with pytest.raises(InputError, match=words):
        named_domain(Field.of(field), domain)


def test_a_mask_is_aligned_by_its_names():
    field, sea = grid(*STRAIT), surface(Field.of(grid(*STRAIT)), "sea")
    mask = xr.DataArray(np.where(sea, 1.0, np.nan), dims=("lat", "lon"), coords=field.coords, name="wet")
    found = named_domain(Field.of(field), mask.transpose("lon", "lat"))
    np.testing.assert_array_equal(found.cells, sea)
    assert found.sentence(sea) == f"domain: wet of the data, {sea.sum()} cells"
    observed = sea.copy()
    observed[0] = True
    outside = int((observed & ~sea).sum())
    assert f"training and filling ignore {outside} observed cells outside it" in found.sentence(observed)


def known(field, observed, masks="auto", **options):
    return known_domain(Field.of(field), masks, observed, **options)


def test_the_standard_name_tells():
    sea = surface(Field.of(grid(*STRAIT)), "sea")
    observed = sea & (np.arange(33) > 5)
    some = known(grid(*STRAIT, standard_name="sea_surface_temperature"), observed)
    assert some.name == "sea" and some.origin == "sea from the coastlines"
    np.testing.assert_array_equal(some.cells, sea)
    beside = observed.copy()
    beside[~sea] = np.arange((~sea).sum()) < 3
    more = known(grid(*STRAIT, standard_name="sea_surface_temperature"), beside)
    assert (
        more.name == "sea+observed"
        and more.cells.sum() == sea.sum() + 3
        and "3 observed cells beyond them" in more.origin
    )
    np.testing.assert_array_equal(known(grid(*STRAIT), beside, "sea+observed").cells, more.cells)
    land = known(grid(*STRAIT, standard_name="land_surface_temperature"), ~sea)
    np.testing.assert_array_equal(land.cells, ~sea)
    # Lakes: coastlines hold little of what was observed.
    assert known(grid(*STRAIT, standard_name="sea_surface_temperature"), ~sea).name == "observed"


def test_without_a_hint_all_is_as_it_was():
    observed = np.zeros((26, 33), bool)
    observed[4:9] = True
    for masks in (None, "auto", "observed"):
        plain = known(grid(*STRAIT), observed, masks)
        assert plain.name == "observed" and plain.cells is observed
    nowhere = grid(*STRAIT, standard_name="sea_surface_temperature").drop_vars(["lat", "lon"])
    assert known(nowhere, observed).name == "observed"
    scene = known(grid(*STRAIT), observed, is_scene=True)
    assert scene.name == "all" and scene.cells.all() and "every cell counts as domain" in scene.sentence(observed)
    assert known(grid(*STRAIT), observed, xr.Dataset(), is_scene=True).name == "all"
    assert known(grid(*STRAIT), observed, "auto", is_scene=True).name == "all"
    assert known(grid(*STRAIT), observed, "observed", is_scene=True).name == "observed"
    images = xr.DataArray(np.zeros((4, 26, 33)), dims=("sample", "y", "x"))
    assert known(images, observed).name == "all"


@pytest.mark.parametrize(
    ("name", "attrs", "change", "chosen"),
    [
        ("sea_mask", {}, lambda sea: sea, "sea_mask"),
        ("mask", {}, lambda sea: sea.astype("f4"), "mask"),
        ("mask", {}, lambda sea: np.where(sea, 1.0, np.nan), "mask"),
        ("land_mask", {}, lambda sea: ~sea, "not:land_mask"),
        ("lsm", {"standard_name": "land_binary_mask"}, lambda sea: ~sea, "not:lsm"),
        ("tmp", {"standard_name": "sea_binary_mask"}, lambda sea: sea, "tmp"),
        ("cloud_mask", {}, lambda sea: sea, "observed"),
        ("quality_flag", {}, lambda sea: sea, "observed"),
        ("mask", {}, lambda sea: np.where(sea, 2, 1), "observed"),
        ("mask", {}, lambda sea: np.roll(sea, 9, 1), "observed"),
    ],
)
def test_masks_of_the_data(name, attrs, change, chosen):
    sea = surface(Field.of(grid(*STRAIT)), "sea")
    observed = sea & (np.arange(33) > 5)
    values = change(sea)
    masks = xr.Dataset({name: (("lat", "lon"), values.astype("i1") if values.dtype == bool else values, attrs)})
    found = known(grid(*STRAIT), observed, masks)
    assert found.name == chosen
    np.testing.assert_array_equal(found.cells, observed if chosen == "observed" else sea)


def film(sea, standard_name="sea_surface_temperature", **more):
    """Return some dates of a sea with a corner that is never observed."""
    random = np.random.default_rng(0)
    values = 15 + random.standard_normal((12, 1, 1)) + random.standard_normal((12, *sea.shape)).cumsum(-1) / 5
    values = np.where(sea & (random.random(values.shape) < 0.7) & (np.arange(33) > 4), values, np.nan).astype("f4")
    time = np.datetime64("2001-01-01", "ns") + np.arange(12) * np.timedelta64(1, "D")
    coords = {"time": time, "lat": STRAIT[0], "lon": STRAIT[1]}
    attrs = {"units": "degree_Celsius"} | ({"standard_name": standard_name} if standard_name else {})
    return xr.Dataset({"sst": (("time", "lat", "lon"), values, attrs)} | more, coords)


LINE = (
    "--operator cloud_mask:scale=4,coverage=0.3 --steps 2 --width 4 --window 1 --crop 16 --batch 2 --threads 1 "
    "--precision float32 --no-first-guess"
)


def command(*line):
    result = CliRunner().invoke(app, [str(word) for word in line], prog_name="geogan")
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize(
    ("given", "kept", "said"),
    [
        ([], "sea", "domain: sea from the coastlines, "),
        (["--domain", "observed"], "observed", "domain: where anything was observed, "),
        (["--domain", "all"], "all", "domain: all, 858 cells"),
        (["--domain", "sea"], "sea", "domain: sea from the coastlines, "),
        (["--domain", "wet"], "wet", "domain: wet of the data, "),
        (["--domain", "not:dry"], "not:dry", "domain: dry of the data, where it is 0, "),
    ],
)  # fmt: skip
def test_a_training_says_and_keeps_its_domain(tmp_path, given, kept, said):
    sea = surface(Field.of(grid(*STRAIT)), "sea")
    dims = ("lat", "lon")
    data = film(sea)
    if kept in ("wet", "not:dry"):
        data = data.assign(wet=(dims, sea.astype("i1")), dry=(dims, (~sea).astype("i1")))
    data.to_zarr(tmp_path / "sst.zarr")
    run = tmp_path / "run"
    result = command("train", "--data", tmp_path / "sst.zarr", "--out", run, *LINE.split(), *given)
    assert said in result.stderr
    domain = load_model(run).domain
    assert json.loads((run / "run.json").read_text())["domain"] == kept
    expected = {"observed": data.sst.notnull().any("time").values, "all": np.ones_like(sea)}.get(kept, sea)
    np.testing.assert_array_equal(domain, expected)
    assert f"{int(domain.sum()):,} cells" in result.stderr
    # A longer training, and a fill, take the domain of the run.
    command("train", "--resume", run, "--steps", "3")
    assert json.loads((run / "run.json").read_text())["domain"] == kept
    command("fill", "--data", tmp_path / "sst.zarr", "--model", run, "--out", tmp_path / "filled.nc", "--threads", 1)
    with xr.open_dataset(tmp_path / "filled.nc") as product:
        np.testing.assert_array_equal(np.isfinite(product.sst.values).all(0), domain)


def test_a_variable_comes_before_a_word(tmp_path):
    sea = surface(Field.of(grid(*STRAIT)), "sea")
    wet = (("lat", "lon"), (sea & (np.arange(33) > 2)).astype("i1"))
    film(sea, None).assign(sea=wet).to_netcdf(tmp_path / "a.nc")
    like = Field.of(open_field(tmp_path / "a.nc", variable="sst"))
    mask = find_domain(tmp_path / "a.nc", "sea", like)
    assert mask.name == "sea" and int(mask.sum()) < sea.sum()
    assert find_domain(tmp_path / "a.nc", "land", like) == "land"
    np.testing.assert_array_equal(find_domain(tmp_path / "a.nc", "not:sea", like), ~mask.values)


def test_runs_of_earlier_versions_go_on(tmp_path):
    """A run without a stored domain uses the observed cells."""
    film(surface(Field.of(grid(*STRAIT)), "sea")).to_zarr(tmp_path / "sst.zarr")
    run = tmp_path / "run"
    command("train", "--data", tmp_path / "sst.zarr", "--out", run, *LINE.split(), "--domain", "observed")
    described = json.loads((run / "run.json").read_text()) | {"domain": None}
    (run / "run.json").write_text(json.dumps(described))
    domain = load_model(run).domain
    command("train", "--resume", run, "--steps", "3")
    np.testing.assert_array_equal(load_model(run).domain, domain)
    command("evaluate", "--data", tmp_path / "sst.zarr", "--model", run, "--threads", 1)
    np.testing.assert_array_equal(load_model(run / "without-prior").domain, domain)


def test_python_takes_words_and_masks():
    sea = surface(Field.of(grid(*STRAIT)), "sea")
    field = film(sea).sst
    mask = xr.DataArray(sea, dims=("lat", "lon"), coords={"lat": field.lat, "lon": field.lon})
    said = []
    for domain in ("sea", sea, mask.T, "auto"):
        fitted = make_reconstructor("cloud_mask:scale=4", **SMALL).fit(field, domain=domain, message=said.append)
        np.testing.assert_array_equal(fitted.model_.domain, sea)
    assert sum(sentence.startswith("domain: sea from the coastlines") for sentence in said) == 2
    assert fitted.domain_ == "sea"
    plain = make_reconstructor("cloud_mask:scale=4", **SMALL).fit(field)
    np.testing.assert_array_equal(plain.model_.domain, field.notnull().any("time").values)


def test_info_tells_the_domain(tmp_path):
    sea = surface(Field.of(grid(*STRAIT)), "sea")
    film(sea).to_netcdf(tmp_path / "a.nc")
    found = info(tmp_path / "a.nc")
    assert found["coverage"]["domain"] == f"sea from the coastlines, {sea.sum()} cells"
    whole = info(tmp_path / "a.nc", domain="all")
    assert whole["coverage"]["domain_cells"] == 858 and whole["coverage"]["domain"].startswith("all, 858 cells")
    assert " --domain all " in whole["next"]
    assert whole["coverage"]["observed_share"] < found["coverage"]["observed_share"]
    assert "domain_cells" in command("info", tmp_path / "a.nc", "--domain", "sea", "--json").stdout


@pytest.mark.skipif(not ALBORAN.exists(), reason=f"{ALBORAN} is not there")
def test_ten_days_of_the_alboran_sea():
    """Coastlines and mask include sea cells that were not observed on any of ten days."""
    field = open_field(ALBORAN)
    observed = check_field(Field.of(field)).domain
    sea = surface(Field.of(field), "sea")
    assert (sea & ~observed).sum() == 1012
    mask = known_domain(Field.of(field), open_masks(ALBORAN, Field.of(field)), observed)
    assert mask.sentence(observed).startswith(
        "domain: mask of the data, 22,186 cells; training and filling ignore 18 observed cells outside it"
    )
    assert (mask.cells == sea).mean() > 0.98
    named = known_domain(Field.of(field.assign_attrs(standard_name="sea_surface_temperature")), "auto", observed)
    assert named.name == "sea+observed" and not (sea & ~named.cells).any()


@pytest.mark.skipif(not CHLOROPHYLL.exists(), reason=f"{CHLOROPHYLL} is not there")
def test_one_scene_of_chlorophyll_does_not_paint_california():
    field = open_field(CHLOROPHYLL, variable="chl_8day")
    observed = check_field(Field.of(field)).domain
    assert known_domain(Field.of(field), "auto", observed, is_scene=True).cells.all()
    sea = named_domain(Field.of(field), "sea").cells
    assert (~sea).sum() == 53503 and (observed & ~sea).sum() < 0.003 * observed.sum()
    stated = field.assign_attrs(standard_name="mass_concentration_of_chlorophyll_a_in_sea_water")
    chosen = known_domain(Field.of(stated), "auto", observed, is_scene=True)
    assert chosen.name == "sea+observed" and (~chosen.cells).sum() > 53000
