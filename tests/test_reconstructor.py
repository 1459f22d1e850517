"""fit, fill, save, load: from any field that can be learned from."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import cftime
import numpy as np
import pytest
import torch
import xarray as xr
from runs import BRIEF, QUICK, make_reconstructor

import geogan
from geogan import Reconstructor
from geogan.compute.device import find_device
from geogan.compute.processes import ALONE
from geogan.files.lock import locked
from geogan.model import load_model
from geogan.operators.errors import InputError
from geogan.presets import PRESETS
from geogan.settings import NetworkConfig, TrainConfig
from geogan.training import Checkpoint, run
from geogan.training import step as step_module
from geogan.training.judge import Selection
from geogan.training.loop import CollapseWatch
from geogan.training.start import start_state
from geogan.training.state_file import load_state

SMALL = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 2, "precision": "float32", "threads": 1, **QUICK}


def small(operator="cloud_mask", **options):
    return make_reconstructor(operator, **SMALL | options)


def weights(fitted):
    return fitted.model_.network.state_dict()


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def check(fitted, field, domain):
    product = fitted.fill(field)
    values = product[field.name].transpose(*field.dims).values
    raw, seen = field.values, field.notnull().values
    np.testing.assert_array_equal(values[seen], raw[seen])
    inside = xr.DataArray(domain, dims=("lat", "lon")).broadcast_like(field).transpose(*field.dims).values
    np.testing.assert_array_equal(np.isnan(values), ~inside & ~seen)
    return product


def test_fit_returns_itself_with_a_model_and_its_scores(gappy, domain):
    reports, said = [], []
    fitted = small()
    assert (
        fitted.fit(gappy, domain=domain, progress=lambda *report: reports.append(report), message=said.append) is fitted
    )
    scores = fitted.model_.scores
    assert scores["units"] == "degree_Celsius" and scores["steps"] == 2 and scores["step"] in (0, 2)
    assert 0 < scores["withheld"] <= scores["first_guess"] * 1.0001
    assert reports[0][0].step == 0 and reports[-1][0].step == 2 and reports[0][1] == fitted.model_.standardiser.scale
    assert [sentence.split()[0] for sentence in said[:4]] == ["withheld:", "climatology:", "operator:", "first"]
    assert "the first guess's" in said[4] and "longer training" in said[5] and len(said) == 6
    check(fitted, gappy, domain)


def test_the_seed_decides_and_nothing_else(gappy, domain):
    gappy = gappy[:12]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = small(steps=3).fit(gappy, domain=domain)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers were used"
    torch.manual_seed(2)
    assert equal(weights(first), weights(small(steps=3).fit(gappy, domain=domain)))
    assert equal(weights(first), weights(small(steps=3).fit(gappy.chunk(time=7, lat=9), domain=domain)))
    assert equal(weights(first), weights(small(steps=3).fit(gappy.transpose("lon", "lat", "time"), domain=domain)))
    assert not equal(weights(first), weights(small(steps=3, seed=1).fit(gappy, domain=domain)))


def test_values_on_land_change_nothing(gappy, domain):
    gappy = gappy[:12]
    wild = gappy.where(domain, 1e6)
    first, second = (small(steps=3).fit(field, domain=domain) for field in (gappy, wild))
    assert (
        equal(weights(first), weights(second)) and first.model_.scores["withheld"] == second.model_.scores["withheld"]
    )


def test_precision_and_threads_are_recorded_and_kept(gappy, domain, tmp_path):
    gappy = gappy[:12]
    small(precision="bfloat16", threads=1).fit(gappy, domain=domain, checkpoint=Checkpoint(tmp_path))
    small(precision="auto", threads=None, steps=3).fit(
        gappy, domain=domain, checkpoint=Checkpoint(tmp_path, resume=True)
    )
    model = load_model(tmp_path)
    assert (model.precision, model.settings["threads_used"], model.scores["steps"]) == ("bfloat16", 1, 3)


def test_a_resumed_run_has_the_same_weights(gappy, domain, tmp_path):
    states, gappy = {}, gappy[:12]
    for name, lengths in (("whole", [5]), ("parts", [2, 5])):
        for number, steps in enumerate(lengths):
            small(steps=steps).fit(gappy, domain=domain, checkpoint=Checkpoint(tmp_path / name, resume=number > 0))
        states[name] = start_state(
            load_model(tmp_path / name), small().settings, scale=1.0, is_bounded=False, device=torch.device("cpu"),
            ranks=ALONE,
        )  # fmt: skip
        load_state(tmp_path / name, states[name])
    for part in ("generator", "discriminator", "average"):
        assert equal(*(getattr(state, part).state_dict() for state in states.values())), part
    for part in ("generator_optimiser", "discriminator_optimiser"):
        mine, other = (getattr(state, part).state_dict()["state"] for state in states.values())
        assert all(torch.equal(mine[i][key], other[i][key]) for i in mine for key in mine[i]), part
    assert states["whole"].step == states["parts"].step == 5


def test_without_a_network_it_is_fitted_saved_and_loaded(gappy, domain, tmp_path):
    fitted = make_reconstructor(network=None, **QUICK).fit(gappy, domain=domain)
    assert fitted.model_.network is None and "network=None" in repr(fitted) and "no network" in repr(fitted)
    assert fitted.model_.scores["withheld"] == fitted.model_.scores["first_guess"] > 0
    loaded = Reconstructor.load(fitted.save(tmp_path / "run"))
    assert loaded.network is None
    filled = fitted.fill(gappy, members=4)
    xr.testing.assert_identical(loaded.fill(gappy, members=4), filled)
    inside = gappy.isnull().values & domain
    assert (filled.sst_std.values[inside] > 0).all()
    # The members scatter as much as the predicted error says.
    scatter = filled.sst_member.std("member").values[inside]
    assert 0.8 < np.sqrt(np.mean(scatter**2) / np.mean(filled.sst_std.values[inside] ** 2)) < 1.2


def test_without_a_network_two_dates_are_enough(gappy, domain):
    two = gappy[:2]
    filled = make_reconstructor(network=None, **QUICK).fit(two, domain=domain).fill(two)
    assert np.isfinite(filled.sst.values[:, domain]).all()
    assert (filled.sst_std.values[two.isnull().values & domain] > 0).all()


def test_something_must_fill(gappy):
    with pytest.raises(InputError, match="without a network and without a first guess nothing fills"):
        Reconstructor(network=None, first_guess=False)


def test_saved_and_loaded_it_fills_the_same(reconstructor, gappy, tmp_path):
    loaded = Reconstructor.load(reconstructor.save(tmp_path / "run"))
    xr.testing.assert_allclose(loaded.fill(gappy), reconstructor.fill(gappy), rtol=1e-5)
    assert loaded.settings.plain() == reconstructor.settings.plain()
    assert loaded.model_.operator == reconstructor.model_.operator
    assert geogan.Reconstructor is Reconstructor


@pytest.mark.parametrize("changes", [{"first_guess": False}, {"weight_withheld": 0.0}, {"weight_prior": 0.0},
                                     {"weight_likelihood": 0.0}, {"weight_prior": 0.0, "weight_withheld": 0.0},
                                     {"operator": "observed_gaps"}, {"precision": "bfloat16"}])  # fmt: skip
def test_every_way_to_train(gappy, domain, changes):
    gappy = gappy[:12]
    fitted = small(**changes, likelihood_every=2).fit(gappy, domain=domain)
    check(fitted, gappy, domain)
    assert (fitted.model_.prior is None) == (changes.get("first_guess") is False)


def test_a_field_of_stations(truth, domain):
    field = geogan.corrupt(truth[:12], "sparse_sampling:fraction=0.08", seed=1)
    check(small("sparse_sampling:fraction=0.08").fit(field, domain=domain), field, domain)


def test_an_image(gappy, domain):
    """Windows are crops of the image, hidden under its own gaps; the first guess is fitted to it."""
    image = gappy[9].drop_vars("time")
    fitted = small(window=2, **BRIEF).fit(image, domain=domain)
    assert fitted.model_.frames == 1
    product = check(fitted, image, domain)
    assert product["sst"].dims == ("lat", "lon")
    check(fitted, gappy[9:10], domain)


def test_a_record_shorter_than_the_window(gappy, domain):
    field = gappy[8:12]
    fitted = small(window=3).fit(field, domain=domain)
    assert fitted.model_.frames == 4
    check(fitted, field, domain)
    check(fitted, field[:1], domain)


def test_decreasing_latitude(gappy, domain, tmp_path):
    turned = gappy[:12, ::-1]
    check(small().fit(turned, domain=domain[::-1], checkpoint=Checkpoint(tmp_path / "run")), turned, domain[::-1])


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_other_calendars(gappy, domain, calendar):
    gappy = gappy[:12]
    start = cftime.datetime(2000, 2, 1, calendar=calendar)
    days = (gappy.time.values - gappy.time.values[0]) / np.timedelta64(1, "D")
    times = [start + cftime_delta(day) for day in days]
    field = gappy.assign_coords(time=times)
    fitted = small().fit(field, domain=domain)
    product = check(fitted, field, domain)
    assert product.time.values[0] == start


def cftime_delta(day):
    from datetime import timedelta

    return timedelta(days=float(day))


def test_a_log_of_positive_values(gappy, domain):
    field = np.exp(gappy - 18).assign_attrs(units="mg m-3").rename("chl")
    fitted = small(transform="log").fit(field, domain=domain)
    product = check(fitted, field, domain)
    assert float(product["chl"].min()) > 0 and fitted.model_.scores["units"] == "ln mg m-3"


def test_by_default_the_domain_is_where_anything_was_seen(gappy):
    fitted = small().fit(gappy)
    np.testing.assert_array_equal(fitted.model_.domain, gappy.notnull().any("time").values)


def test_no_network_s_weights_are_worse_than_the_first_guess(gappy, domain):
    """With a learning rate that is too large, the weights before the first step are kept."""
    fitted = small(rate_generator=1.0, averaging=0.0, steps=4).fit(gappy, domain=domain)
    scores = fitted.model_.scores
    assert scores["step"] == 0 and scores["withheld"] == pytest.approx(scores["first_guess"], rel=1e-4)


def test_unrelated_clean_fields_may_be_fewer_than_a_block_has(gappy, domain, sea):
    chosen = small(**PRESETS["unpaired"] | {"window": 1})
    chosen.fit(gappy, domain=domain, clean=sea["sst"][:5])
    with pytest.raises(InputError, match="a window has 3 dates, and there are 2 clean fields"):
        chosen.fit(gappy, domain=domain, clean=sea["sst"][:2])


def test_a_stop_in_the_middle_of_a_step_saves_no_half_of_it(gappy, domain, tmp_path, monkeypatch):
    """After Ctrl-C or a loss that is not finite, training resumes from the last complete step."""
    stops = [
        (step_module, "follow", KeyboardInterrupt(), 4),
        (CollapseWatch, "check", InputError("a loss is not finite"), 10),
    ]
    for place, name, error, last in stops:
        real = getattr(place, name)

        def stopped(*args, real=real, error=error, last=last):
            if last in args:
                raise error
            return real(*args)

        monkeypatch.setattr(place, name, stopped)
        with pytest.raises(type(error)):
            small(steps=12).fit(gappy, domain=domain, checkpoint=Checkpoint(tmp_path / "run"))
        monkeypatch.setattr(place, name, real)
        small(steps=12).fit(gappy, domain=domain, checkpoint=Checkpoint(tmp_path / "run", resume=True))
        whole = small(steps=12).fit(gappy, domain=domain)
        assert equal(weights(whole), weights(Reconstructor.load(tmp_path / "run")))


def test_an_interrupted_training_leaves_its_best_weights(gappy, domain, monkeypatch):
    """In Python without a folder the model is kept, and KeyboardInterrupt is raised."""
    real, said = step_module.follow, []

    def stopped(*args):
        if 4 in args:
            raise KeyboardInterrupt
        return real(*args)

    fitted = small(steps=12)
    monkeypatch.setattr(step_module, "follow", stopped)
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(gappy, domain=domain, message=said.append)
    monkeypatch.setattr(step_module, "follow", real)
    assert fitted.model_.scores["step"] <= 4 and fitted.model_.scores["withheld"] > 0
    assert any("interrupted at step" in sentence and "not calibrated" in sentence for sentence in said)
    check(fitted, gappy, domain)
    with pytest.raises(InputError, match="nothing was learned yet"):
        small().fill(gappy)


def test_the_error_is_reported_on_clouds_that_chose_nothing(gappy, domain, monkeypatch):
    judges = []
    monkeypatch.setattr(run, "_judges", partial(run._judges, selection=Selection(enough=2)))
    made = run.with_calibration
    monkeypatch.setattr(run, "with_calibration", lambda model, judge: judges.append(judge) or made(model, judge))
    fitted = small(steps=3).fit(gappy, domain=domain)
    apart, model, unit = judges[0], fitted.model_, float(fitted.model_.standardiser.scale[0])
    precision = getattr(torch, model.precision)
    assert model.scores["withheld"] == pytest.approx(apart.error(model.network, precision=precision) * unit, rel=1e-6)
    assert model.scores["first_guess"] == pytest.approx(apart.error(None) * unit, rel=1e-6)
    assert model.scores["cells"] == apart.cells == model.calibration.cells


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": -1}, "window must be at least 0, got -1"),
        ({"width": 1}, "width must be at least 2"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"crop": 4}, "crop must be at least 8, got 4"),
        ({"likelihood_every": 0}, "likelihood_every must be at least 1"),
        ({"weight_prior": -1.0}, "weight_prior must not be negative, got -1"),
        ({"minutes": -1}, "minutes must not be negative"),
        ({"weight_prior": 0, "weight_likelihood": 0, "weight_withheld": 0}, "all weights are 0"),
        ({"precision": "float16"}, "no precision is named 'float16'"),
        ({"transform": "sqrt"}, "transform must be one of none, log"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"device": "cuda:77"}, "device 'cuda:77' is not available on this machine; use --device cpu"),
        ({"device": "toaster"}, "device 'toaster' is not available"),
        ({"operator": "fog"}, "no operator is named 'fog'"),
    ],
)
def test_what_cannot_be_trained_with(gappy, changes, words, tmp_path):
    with pytest.raises(InputError, match=words):
        make_reconstructor(**SMALL | changes).fit(gappy, checkpoint=Checkpoint(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_on(truth, gappy, domain, tmp_path):
    for field, words in (
        (truth, "has no gaps, but the operator cloud_mask makes gaps.* geogan corrupt"),
        (gappy * 0 + 3, "is 3 wherever it is observed"),
        (gappy.where(False), "holds no value at all"),
        (gappy[::-1], "do not increase"),
        (gappy[:, 8:13], "where a network needs 8 x 8 or more"),
    ):
        with pytest.raises(InputError, match=words):
            small(first_guess=False).fit(field, checkpoint=Checkpoint(tmp_path / "run"))
        assert not (tmp_path / "run").exists()


def test_nothing_learned_yet(gappy, tmp_path):
    for call in (lambda: small().fill(gappy), lambda: small().save(tmp_path)):
        with pytest.raises(InputError, match="nothing was learned yet; call fit"):
            call()


def test_a_parameter_of_a_settings_object_names_it():
    with pytest.raises(TypeError, match=r"steps is a parameter of TrainConfig; give training=TrainConfig\(steps=...\)"):
        Reconstructor(steps=60)
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        Reconstructor(stepz=60)
    with pytest.raises(InputError, match="TrainConfig has no parameter 'stepz'.*did you mean 'steps'"):
        Reconstructor(training={"stepz": 60})
    with pytest.raises(InputError, match="training must be a TrainConfig or a dictionary, got 60"):
        Reconstructor(training=60)
    with pytest.raises(InputError, match="first_guess must be true or false, or a GaussianPrior, got 'yes'"):
        Reconstructor(first_guess="yes")


def test_parameters_are_returned_by_name():
    made = Reconstructor("observed_gaps", window=np.int64(1), network={"width": 8}, training=TrainConfig(steps=60))
    parameters = made.get_params()
    assert parameters["window"] == 1 and parameters["steps"] == 60 and parameters["width"] == 8
    assert parameters["network"] == NetworkConfig(width=8) and parameters["device"] == "auto"
    shallow = made.get_params(deep=False)
    assert "steps" not in shallow and Reconstructor(**shallow).get_params() == parameters
    assert len(inspect.signature(Reconstructor).parameters) <= 14


def test_a_look_tells_what_it_is(reconstructor):
    made = make_reconstructor("observed_gaps", window=1, steps=60)
    assert repr(made) == "Reconstructor('observed_gaps', window=1, training=TrainConfig(steps=60)): not fitted"
    assert "2 steps, withheld error" in repr(reconstructor) and "degree_Celsius (first guess" in repr(reconstructor)
    page = make_reconstructor(covariates="<script>")._repr_html_()
    assert page.startswith("<table>") and "<script>" not in page and "<th style='text-align:left'>steps</th>" in page


def test_devices():
    assert find_device("cpu") == torch.device("cpu") and find_device("auto").type in ("cpu", "cuda")


def test_a_blurred_noisy_field_without_gaps_is_learned_from(truth, domain):
    """Only noise can be withheld, and chooses the weights; every value is reconstructed."""
    measured = geogan.corrupt(truth, "convolve_noise:l=3,sigma=0.2", seed=1)
    said = []
    fitted = small("convolve_noise:l=3,sigma=0.2", steps=3).fit(measured, domain=domain, message=said.append)
    scores = fitted.model_.scores
    assert scores["withheld"] is None and scores["cells"] is None and scores["judged_by"] == "withheld noise"
    assert 0 < scores["judged"] < 0.3 * fitted.model_.standardiser.scale[0]
    assert any("with other noise best" in sentence for sentence in said)
    filled = fitted.fill(measured)
    assert (filled.sst_source.values[:, domain] == 1).all() and np.isfinite(filled.sst.values[:, domain]).all()


def test_without_gaps_or_noise_the_last_weights_are_kept(truth, domain):
    said = []
    blurred = geogan.corrupt(truth, "convolve_noise:l=3,sigma=0", seed=1)
    fitted = small("convolve_noise:l=3,sigma=0", steps=3).fit(blurred, domain=domain, message=said.append)
    assert fitted.model_.scores["step"] == 3 and fitted.model_.scores["judged"] is None
    assert any("the last weights are kept" in sentence for sentence in said)


def two_bands(field):
    """Return the sea and the logarithm of a quantity that depends on it, each with gaps."""
    other = np.exp(0.3 * (field[:, ::-1].assign_coords(lat=field.lat) - 14))
    both = xr.concat([field, other], xr.Variable("band", ["sst", "chl"])).rename("sea")
    return both.transpose("time", "band", "lat", "lon").assign_attrs(units="mixed")


@pytest.mark.parametrize("operator", ["cloud_mask:scale=5", "observed_gaps", "remove_pixel_channel:p=0.4"])
def test_bands_with_gaps_of_their_own_are_learned_together(gappy, tmp_path, operator):
    both = two_bands(gappy)
    fitted = small(operator, transform="none,log").fit(both)
    assert fitted.model_.network.channels == 2 and fitted.model_.scores["units"] == "anomalies"
    fitted.save(tmp_path)
    again = Reconstructor.load(tmp_path)
    assert again.model_.bands == ("sst", "chl") and again.model_.standardiser.transforms == ("none", "log")
    product = check(again, both, fitted.model_.domain)
    xr.testing.assert_identical(product, fitted.fill(both))
    assert (product.sea.sel(band="chl").values[np.isfinite(product.sea.sel(band="chl").values)] > 0).all()
    with pytest.raises(InputError, match="transform names 3 bands, the field has 2"):
        small(transform="none,log,log").fit(both)


def test_a_scene_of_several_bands(gappy):
    scene = two_bands(gappy).isel(time=8, drop=True)
    check(small(transform="none,log").fit(scene), scene, np.ones((20, 24), bool))


def test_images_are_learned_as_they_are():
    random = np.random.default_rng(0)
    values = np.tanh(random.standard_normal((20, 16, 17)).cumsum(1).cumsum(2) / 12)
    images = xr.DataArray(values, dims=("image", "y", "x"), name="image", attrs={"valid_min": -1, "valid_max": 1})
    gappy, said = geogan.corrupt(images, "remove_pixel:p=0.5"), []
    fitted = small("remove_pixel:p=0.5").fit(gappy, message=said.append)
    assert fitted.model_.frames == 1 and fitted.model_.standardiser.note == "values as they are: images"
    assert any("samples are independent" in sentence for sentence in said)
    filled = fitted.fill(gappy)["image"]
    seen = gappy.notnull()
    assert filled.notnull().all() and (filled == gappy).where(seen, True).all() and abs(filled).max() <= 1
    assert float(((filled - images).where(~seen) ** 2).mean()) < 0.5 * float((images.where(~seen) ** 2).mean())
    with pytest.raises(InputError, match="has 6 x 17 cells, where a network needs 8 x 8 or more"):
        small("remove_pixel:p=0.5").fit(gappy[:, :6])


SHORT = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 2, "precision": "float32", "threads": 1, **QUICK}


def test_fit_does_not_replace_a_run_unasked(gappy, domain, tmp_path):
    path = tmp_path / "deep" / "run"
    first = make_reconstructor("cloud_mask:scale=5", **SHORT).fit(gappy, domain=domain, checkpoint=Checkpoint(path))
    before = (path / "model.safetensors").read_bytes()
    again = make_reconstructor("cloud_mask:scale=5", **SHORT | {"seed": 1})
    with pytest.raises(
        InputError, match="holds a run already; resume it with resume=True, replace it with overwrite=True"
    ):
        again.fit(gappy, domain=domain, checkpoint=Checkpoint(path))
    assert (path / "model.safetensors").read_bytes() == before and not hasattr(again, "model_")
    again.fit(gappy, domain=domain, checkpoint=Checkpoint(path, overwrite=True))
    assert load_model(path).settings["seed"] == 1 and first.seed == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is a folder with other things in it; give another folder"):
            again.fit(gappy, domain=domain, checkpoint=Checkpoint(tmp_path / "mine", overwrite=overwrite))


def test_fit_trains_in_a_folder_alone(gappy, domain, tmp_path):
    path, fitted = tmp_path / "run", make_reconstructor("cloud_mask:scale=5", **SHORT)
    with locked(path, path):
        # Another thread, as another process, waits for nobody and writes nothing.
        with ThreadPoolExecutor(1) as pool, pytest.raises(InputError, match="is being written by another process"):
            pool.submit(fitted.fit, gappy, domain=domain, checkpoint=Checkpoint(path)).result()
        assert [file.name for file in path.iterdir()] == ["lock"]
    assert not path.exists()
    fitted.fit(gappy, domain=domain, checkpoint=Checkpoint(path))
    assert not (path / "lock").exists()


def test_fit_refuses_a_place_in_its_own_data(gappy, domain, tmp_path):
    gappy.to_dataset().to_zarr(tmp_path / "sea.zarr", consolidated=False)
    field, inside = geogan.open_field(tmp_path / "sea.zarr"), tmp_path / "sea.zarr" / "run"
    with pytest.raises(InputError, match="lies inside"):
        make_reconstructor("cloud_mask:scale=5", **SHORT).fit(field, domain=domain, checkpoint=Checkpoint(inside))
    assert not inside.exists()


def test_what_a_run_was_trained_with_is_what_it_is_gone_on_with(gappy, domain, tmp_path):
    path = tmp_path / "run"
    make_reconstructor("cloud_mask:scale=5", **SHORT).fit(gappy, domain=domain, checkpoint=Checkpoint(path))
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    for changes, words in [
        ({"window": 2}, r"other settings \(window 2 instead of 1\); give the run's own"),
        ({"width": 8, "seed": 3}, r"\(width 8 instead of 4, seed 3 instead of 0\)"),
        ({"operator": "cloud_mask:scale=7"}, r"\(operator 'cloud_mask:scale=7.*' instead of 'cloud_mask:scale=5"),
        ({"operator": "remove_pixel"}, r"\(operator 'remove_pixel.*' instead of"),
        ({"precision": "bfloat16"}, r"\(precision 'bfloat16' instead of 'float32'\)"),
        ({"first_guess": False, "weight_prior": 0.5}, "weight_prior 0.5 instead of"),
    ]:
        other = make_reconstructor(**{"operator": "cloud_mask:scale=5"} | SHORT | {"steps": 4} | changes)
        with pytest.raises(InputError, match=words):
            other.fit(gappy, domain=domain, checkpoint=Checkpoint(path, resume=True))
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    for operator, steps in (("cloud_mask:scale=5", 3), ("cloud_mask:scale=5", 4)):
        make_reconstructor(operator, **SHORT | {"steps": steps, "precision": "auto"}).fit(
            gappy, domain=domain, checkpoint=Checkpoint(path, resume=True)
        )
    loaded = geogan.Reconstructor.load(path)
    loaded.training = replace(loaded.training, steps=5)
    loaded.fit(gappy, domain=domain, checkpoint=Checkpoint(path, resume=True))
    settings = load_model(path).settings
    assert (
        settings["training"]["steps"] == 5
        and settings["operator"].startswith("cloud_mask:scale=5")
        and settings["window"] == 1
    )


def test_a_model_is_not_saved_over_data_or_another_training(gappy, tmp_path):
    first, second = tmp_path / "first", small()
    small().fit(gappy, checkpoint=Checkpoint(first))
    gappy.to_dataset(name="sst").to_zarr(tmp_path / "sst.zarr", consolidated=False)
    second.fit(gappy)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for place, words in [
        (first, "holds another training; give another path, or replace its model with overwrite=True"),
        (tmp_path / "sst.zarr", "which is a Zarr store"),
        (tmp_path / "sst.zarr" / "run", "which is a Zarr store"),
        (first / "inner", "which is a run"),
    ]:
        with pytest.raises(InputError, match=words):
            second.save(place)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    Reconstructor.load(first).save(first)
    second.save(first, overwrite=True)
    second.save(first)
    second.save(tmp_path / "own")
    second.save(tmp_path / "own")
