"""Directions: as sine and cosine inside, once outside; errors and scores by the shortest way round."""

import numpy as np
import pytest
import xarray as xr
from fill_files import fill as fill_to
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import QUICK, make_reconstructor, train

from geogan import Reconstructor
from geogan.archive import Standardiser
from geogan.evaluation import Scoring, score_methods
from geogan.fields.directions import directed
from geogan.fields.field import Field
from geogan.fields.transforms import Transform
from geogan.fields.variables import is_repeated, own_bands, repeat_bands
from geogan.filling import FillOptions, fill_field
from geogan.io import as_field
from geogan.model import prepare_archive
from geogan.operators.errors import InputError
from geogan.pipelines.evaluate import evaluate
from geogan.pipelines.info import info
from geogan.pipelines.train import resume

SMALL = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 2, "precision": "float32", "threads": 1, **QUICK}
WIND = {"units": "degree", "standard_name": "wind_from_direction"}


def arc(a, b):
    return np.abs((a - b + 180) % 360 - 180)


@pytest.fixture(scope="module")
def angles(gappy, truth):
    """Return directions that cross north, in degrees, with gaps and without."""

    def turned(field):
        return ((field - 14) * 40 % 360).rename("wdir").assign_attrs(WIND)

    return turned(gappy), turned(truth)


def small(transform="none", operator="cloud_mask:scale=5", **options):
    return make_reconstructor(operator, transform=transform, **SMALL | options)


@settings(deadline=None)
@given(
    low=st.sampled_from([0.0, -180.0, 1.0]),
    turn=st.sampled_from([360.0, 2 * np.pi, 12.0]),
    share=st.floats(0, 1, exclude_max=True),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_components_and_back(low, turn, share, dtype):
    low = -turn / 2 if low < 0 else low
    sine, cosine = (Transform(kind, low, low + turn) for kind in ("sine", "cosine"))
    angle = np.array([low + share * turn])
    found = sine.direction(sine.forward(angle).astype(dtype), cosine.forward(angle).astype(dtype))
    assert found.dtype == dtype and low - 1e-6 <= float(found[0]) < low + turn
    way = abs((float(found[0]) - angle[0] + turn / 2) % turn - turn / 2)
    assert way < (1e-6 if dtype == "f4" else 1e-13) * turn
    assert Transform.parse(str(sine)).turn == pytest.approx(turn, rel=1e-14)


@settings(deadline=None, max_examples=25)
@given(angle=st.floats(-180, 180), length=st.floats(0.05, 1.2), spread=st.floats(0.01, 1.5))
def test_the_spread_is_that_of_draws(angle, length, spread):
    """The circular standard deviation of draws; it never exceeds that of uniform directions."""
    turned = Transform("sine", 0, 360)
    mean = length * np.sin(np.deg2rad(angle)), length * np.cos(np.deg2rad(angle))
    random = np.random.default_rng(0)
    sine, cosine = (part + spread * random.standard_normal(200_000) for part in mean)
    size = np.hypot(sine, cosine)
    resultant = np.hypot((sine / size).mean(), (cosine / size).mean())
    expected = min(np.rad2deg(np.sqrt(-2 * np.log(resultant))), 360 / np.sqrt(12))
    found = turned.circular_spread(*(np.array([part]) for part in (*mean, spread, spread)))
    assert float(found[0]) == pytest.approx(expected, rel=0.02, abs=0.05)


def test_bands_stand_twice(angles):
    field = angles[0]
    twice = repeat_bands(Field.of(field), [0]).array
    assert twice.sizes["band"] == 2 and is_repeated(twice) and own_bands(twice) == [0] and not is_repeated(field)
    lazy = repeat_bands(Field.of(field.chunk(time=7, lat=9)), [0]).array
    np.testing.assert_array_equal(lazy.values, twice.values)
    np.testing.assert_array_equal(lazy[3:11, 1, 4:12].values, field.values[3:11, 4:12])
    three = xr.concat([field, 2 * field, 3 * field], "band").assign_coords(band=["a", "b", "c"])
    for stack in (three, three.chunk(band=1, time=5)):
        some = repeat_bands(Field.of(stack), [0, 2]).array
        assert some.band.values.tolist() == ["a", "a cosine", "b", "c", "c cosine"] and own_bands(some) == [0, 2, 3]
        expected = three.values.transpose(1, 0, 2, 3)[:, [0, 0, 1, 2, 2]]
        np.testing.assert_array_equal(some.transpose("time", "band", "lat", "lon").values, expected)


@pytest.mark.parametrize(
    ("field", "transform", "channels"),
    [
        (WIND, "none", "sine:360,cosine:360"),
        (WIND, "circular", "sine:360,cosine:360"),
        (WIND, "circular:-180,180", "sine:-180,180,cosine:-180,180"),
        (WIND, "identity", "identity"),
        ({"units": "rad"}, "circular", "sine:6.28"),
        ({"units": "degree"}, "none", "none"),
        ({"units": "months"}, "circular:0,12", "sine:0,12,cosine:0,12"),
    ],
)
def test_what_is_taken_for_a_direction(field, transform, channels):
    found = directed(Field.of(xr.DataArray(np.zeros((3, 2)), dims=("y", "x"), name="d", attrs=field)), transform)
    assert found.transform.startswith(channels)
    assert bool(found.remarks) == (transform == "none" and channels != "none")


@pytest.mark.parametrize(
    ("attrs", "transform", "words"),
    [
        ({"units": "m s-1"}, "circular", "needs directions in degrees or radians, but d is in m s-1; write"),
        ({}, "circular", "d is in no units"),
        (WIND, "sine:0,360", "one half of a direction"),
        (WIND, "circular:360,0", "needs the ends of a full turn"),
        (WIND, "circular:a", "needs the ends of a full turn"),
        (WIND, "circular,circular", "transform names 2 bands, the field has 1"),
    ],
)
def test_what_is_no_direction(attrs, transform, words):
    with pytest.raises(InputError, match=words):
        directed(Field.of(xr.DataArray(np.zeros((3, 2)), dims=("y", "x"), name="d", attrs=attrs)), transform)


def test_directions_out_of_all_turns_are_refused(angles):
    with pytest.raises(InputError, match=r"needs directions from -720 to 720, but .* goes from -9999"):
        small().fit(angles[0].where(~(angles[0] < 60), -9999.0))


def test_a_standardiser_of_one_half_is_refused():
    with pytest.raises(InputError, match="directions need a sine and a cosine"):
        Standardiser(np.zeros((1, 2, 3, 4), "f4"), np.ones(2), "sine:0,360,none")


@pytest.mark.parametrize(
    ("convention", "dtype"), [("0..360", "f4"), ("-180..180", "f8"), ("radians", "f4"), ("lazy", "f4")]
)
def test_directions_are_filled_the_shortest_way(angles, domain, tmp_path, convention, dtype):
    field, truth = angles
    factor, low, turn = 1.0, 0.0, 360.0
    if convention == "-180..180":
        field, low = ((field + 180) % 360 - 180).assign_attrs(WIND), -180.0
    if convention == "radians":
        factor, turn = np.pi / 180, 2 * np.pi
        field = (field * factor).assign_attrs(WIND | {"units": "radian"})
    field = field.astype(dtype)
    said = []
    fitted = small().fit(field, domain=domain, message=said.append)
    assert any("holds directions (wind_from_direction, in" in sentence for sentence in said)
    assert fitted.model_.scores["units"] == field.units and fitted.model_.scores["first_guess"] < turn / 4
    fitted.save(tmp_path)
    again = Reconstructor.load(tmp_path)
    product = again.fill(field.chunk(time=9) if convention == "lazy" else field, members=4).compute()
    assert product.wdir.dims == field.dims and product.wdir.attrs["units"] == field.units
    seen, inside = field.notnull().values, np.broadcast_to(domain, field.shape)
    np.testing.assert_array_equal(product.wdir.values[seen], field.values[seen])
    assert product.wdir.dtype == field.dtype and (np.isfinite(product.wdir.values) == (inside | seen)).all()
    for values in (product.wdir.values, product.wdir_member.values):
        values = values[np.isfinite(values)]
        assert low <= values.min() and values.max() < low + turn
    gaps = inside & ~seen
    error = arc(product.wdir.values[gaps] / factor, truth.values[gaps])
    assert np.sqrt(np.mean(error**2)) < 60 and (error > 90).mean() < 0.1
    spread = product.wdir_std.values[gaps] / factor
    assert (spread > 0).all() and spread.max() <= 360 / np.sqrt(12) + 1e-3
    limit = float(np.median(product.wdir_std.values[gaps]))
    refused = again.fill(field, max_error=limit).wdir_source.values == 3
    np.testing.assert_array_equal(refused, gaps & (product.wdir_std.values > limit))


def test_scores_go_the_shortest_way(angles, domain):
    """Scores do not change if all directions are rotated by an angle, for any method."""
    field, truth = angles
    rows = []
    for turn in (0.0, 140.0):
        turned = ((field + turn) % 360).assign_attrs(WIND)
        model = small().fit(turned, domain=domain).model_
        archive = prepare_archive(model, Field.of(turned), withheld=True)
        methods = ["climatology", "linear_time", "biharmonic", "dineof", "gaussian", "model"]
        rows.append(score_methods({"model": model}, archive, Scoring(methods, members=2), threads=1))
        fuller = ((truth + turn) % 360).assign_attrs(WIND)
        hidden = prepare_archive(model, Field.of(turned))
        against = score_methods({"model": model}, hidden, Scoring("model"), truth=fuller, threads=1)
        assert 0 < against[0].score.rmse < 60
    for one, other in zip(*rows, strict=True):
        assert one.method == other.method and one.score.cells == other.score.cells > 0
        assert 0 < one.score.rmse < 104
        assert one.score.rmse == pytest.approx(other.score.rmse, rel=0.3)
        assert one.spectrum is None
    assert rows[0][-1].law.spread > 0


def test_directions_beside_other_variables(angles, gappy, domain, tmp_path):
    both = xr.Dataset({"speed": gappy.assign_attrs(units="m s-1", standard_name="wind_speed"), "wdir": angles[0]})
    fitted = small("none").fit(both)
    assert fitted.model_.standardiser.field_transform == "none,circular:0,360"
    fitted.save(tmp_path)
    product = Reconstructor.load(tmp_path).fill(both, members=2, max_error=[5.0, 200.0])
    assert set(product) == {f"{name}{end}" for name in ("speed", "wdir") for end in ("", "_source", "_std", "_member")}
    for name in both:
        seen = both[name].notnull().values
        np.testing.assert_array_equal(product[name].values[seen], both[name].values[seen])
    assert float(product.wdir.min()) >= 0 and float(product.wdir.max()) < 360
    field = as_field(both).array
    archive = prepare_archive(fitted.model_, Field.of(field), withheld=True)
    rows = score_methods({"model": fitted.model_}, archive, Scoring("climatology,model"), threads=1)
    assert [row.variable for row in rows] == ["speed", "speed", "wdir", "wdir"]
    with pytest.raises(InputError, match="one number for each of speed, wdir"):
        fill_field(fitted.model_, Field.of(field), FillOptions(max_error=[1.0, 2.0, 3.0]))


def test_errors_of_directions(angles, domain):
    field = angles[0]
    error = xr.full_like(field, 20.0).rename("wdir_error").assign_attrs(units="degree")
    fitted = small().fit(field, domain=domain, error=error)
    product = fitted.fill(field, error=error)
    seen = field.notnull().values
    way = arc(product.wdir.values[seen & domain], field.values[seen & domain])
    assert 0 < way.mean() < 60 and np.isfinite(product.wdir.values[:, domain]).all()
    assert float(product.wdir_std.where(field.notnull() & domain).median()) < 30


def test_a_scene_of_directions(angles):
    scene = angles[0].isel(time=8, drop=True)
    product = small().fit(scene).fill(scene)
    assert np.isfinite(product.wdir.values).all() and 0 <= float(product.wdir.min()) <= float(product.wdir.max()) < 360


def test_a_model_knows_its_bands_again(angles, domain):
    model = small().fit(angles[0], domain=domain).model_
    twice = model.standardiser.as_inside(Field.of(angles[0]))
    assert twice.bands == 2 and model.standardiser.as_inside(twice) is twice


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_from_file_to_file(angles, tmp_path, suffix):
    data = angles[0].astype("f4").to_dataset()
    path = tmp_path / f"wind{suffix}"
    data.to_zarr(path, consolidated=False) if suffix == ".zarr" else data.to_netcdf(path)
    found = info(path)
    assert found["variable"]["transform"] == "try --transform circular (directions)"
    run = train(path, operator=["cloud_mask:scale=5"], out=tmp_path / "run", **SMALL | {"window": 1})
    assert info(run)["trained_on"]["transform"] == "circular:0,360" and info(run)["trained_on"]["bands"] == [
        "direction"
    ]
    resume(run, {"steps": 3, "threads": 1})
    out = fill_to(path, run, tmp_path / f"filled{suffix}", members=2, max_error=100.0, threads=1)
    with xr.open_dataset(out, **({"consolidated": False, "engine": "zarr"} if suffix == ".zarr" else {})) as product:
        seen = data.wdir.notnull().values
        np.testing.assert_array_equal(product.wdir.values[seen], data.wdir.values[seen])
        assert float(product.wdir.min()) >= 0 and float(product.wdir.max()) < 360
        assert product.wdir_std.attrs["units"] == "degree"
        assert product.wdir_std.attrs["comment"].startswith("circular standard deviation, of filled cells")
    rows = evaluate(path, run, Scoring("climatology,model", members=2), ablation=False, threads=1)
    assert [row.score.rmse < 104 for row in rows] == [True, True]


def test_differences_are_drawn_the_shortest_way(angles):
    import matplotlib.pyplot as plt

    from geogan.plotting import plot_reconstruction

    truth = angles[1].isel(time=3)
    turned = ((truth + 2) % 360).assign_attrs(truth.attrs)
    figure = plot_reconstruction(truth.where(truth.lon < truth.lon[9]), turned, truth=truth)
    assert any("RMSE 2 ° in the gaps" in " ".join(ax.get_title(loc="left").split()) for ax in figure.axes)
    plt.close(figure)
