"""Known errors of observations, from the options to the filled values."""

import dataclasses

import dask.array
import numpy as np
import pytest
import torch
import xarray as xr
from fill_files import fill
from runs import QUICK, make_reconstructor, train
from small_training import step, weights

import geogan
from geogan.archive import Archive, Standardiser
from geogan.evaluation import Scoring
from geogan.fields.field import Field
from geogan.fields.observation_error import observation_error
from geogan.filling.plan import TaskSizes
from geogan.model import Networks
from geogan.model.networks import ErrorNet, UNet
from geogan.model.reconstruct import fill_film
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.pipelines.evaluate import evaluate
from geogan.pipelines.train import resume
from geogan.prior import Film, GaussianPrior, fit_amplitude, hidden_error
from geogan.settings import TrainConfig
from geogan.training.blocks import BlockMaker
from geogan.training.state import TrainState
from geogan.training.step import WHOLE_BATCH, Problem, Step, what_is_shown, withheld_targets
from geogan.training.windows import WindowSampler


@pytest.fixture(scope="module")
def noisy(gappy, domain):
    """Return the sea with errors that differ from cell to cell, and their standard deviations."""
    random = np.random.default_rng(4)
    std = np.where(random.random(gappy.shape) < 0.5, 0.1, 1.2).astype("f4")
    error = xr.DataArray(std, dims=gappy.dims, coords=gappy.coords, name="sst_error", attrs={"units": "degree_Celsius"})
    field = gappy.copy(data=(gappy + std * random.normal(size=gappy.shape)).values.astype(gappy.dtype))
    error.attrs["units"] = field.attrs["units"]
    return field, error.where(field.notnull())


# What is given.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda error: error - 0.5, "goes down to -0.4, but no standard deviation is negative"),
        (lambda error: error.assign_attrs(units="K"), "sst_error is in K, sst in"),
        (lambda error: error.isel(time=slice(3, None)), "has the shape time 27, lat 20, lon 24"),
        (lambda error: error.isel(time=0), "give one error for each observation"),
        (lambda error: error.where(error.lat < error.lat[10]), "has no value at .* observations of sst"),
    ],
)
def test_errors_that_fit_no_observation_are_refused(noisy, change, words):
    field, error = noisy
    changed = change(error).rename("sst_error")
    changed.attrs.setdefault("units", field.attrs["units"])
    with pytest.raises(InputError, match=words):
        observation_error(Field.of(field), error=changed)


def test_noise_is_no_more_than_one_positive_number(noisy):
    field, error = noisy
    assert observation_error(Field.of(field), noise=0.0) is None and observation_error(Field.of(field)) is None
    with pytest.raises(InputError, match="noise is a standard deviation in the units of the field, got -0.1"):
        observation_error(Field.of(field), noise=-0.1)
    with pytest.raises(InputError, match="given twice"):
        observation_error(Field.of(field), noise=0.1, error=error)
    joined = xr.DataArray(np.ones((2, 3, 4)), dims=("variable", "y", "x"), name="sst,chl")
    joined = joined.assign_coords(variable=["sst", "chl"], units=("variable", ["K", "mg m-3"]))
    with pytest.raises(InputError, match="several units"):
        observation_error(Field.of(joined), noise=0.1)


@pytest.mark.parametrize("transform", ["none", "log"])
def test_pieces_carry_errors_in_anomalies(noisy, domain, transform):
    """The known errors of a film are in anomalies, like its values."""
    field, error = noisy
    field = field + 10
    standardiser = Standardiser.fit(Field.of(field, domain=domain), transform=transform)
    small = 1e-3 * error
    known = observation_error(Field.of(field), error=small)
    archive = Archive.of(Field.of(field, domain=domain, error=known), standardiser)
    moved = Archive.of(Field.of(field + small.astype("f8"), domain=domain), standardiser)
    first, second = archive.read(slice(2, 9)), moved.read(slice(2, 9))
    seen = first.mask > 0
    np.testing.assert_allclose(first.uncertainty[seen], (second.values - first.values)[seen], rtol=0.02, atol=2e-5)
    assert first.uncertainty[~seen].max() == 0 and second.uncertainty is None


# The first guess.


def dense(prior: GaussianPrior, days: torch.Tensor, domain: torch.Tensor) -> np.ndarray:
    """Return the covariance of all cells of all frames, float64."""
    space = prior.covariance(domain.double()).double().numpy()
    lag = np.abs(days.numpy()[:, None] - days.numpy())
    return np.kron(np.exp(-lag / prior.persistence), space)


def test_the_map_is_kriging_with_each_observations_own_noise():
    random = np.random.default_rng(0)
    prior = GaussianPrior(length=5.0, persistence=3.0, noise=0.2, amplitude=0.7)
    days, domain = torch.tensor([0.0, 1.0, 3.5], dtype=torch.float64), torch.ones(9, 11)
    domain[:3, :4] = 0
    covariance = dense(prior, days, domain)
    inside = np.tile(domain.numpy().ravel() > 0, 3)
    seen = inside & (random.random(inside.size) < 0.5)
    truth = np.linalg.cholesky(covariance + 1e-9 * np.eye(inside.size)) @ random.normal(size=inside.size)
    error = random.uniform(0.05, 2.0, inside.size)
    total = np.hypot(error, prior.noise * prior.amplitude)
    values = np.where(seen, truth + total * random.normal(size=inside.size), 0)
    gain = np.linalg.solve(covariance[np.ix_(seen, seen)] + np.diag(total[seen] ** 2), covariance[seen]).T
    expected = np.where(inside, gain @ values[seen], 0)
    shape = (1, 3, 1, 9, 11)
    y, mask, sigma = (torch.tensor(part, dtype=torch.float64).view(shape) for part in (values, seen * 1.0, error))
    found = prior.map(y, mask, domain, days, tolerance=1e-7, uncertainty=sigma)
    assert np.abs(found.numpy().ravel() - expected).max() < 1e-3 * np.abs(expected).max()
    draws = torch.randn((2, 200, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, deviations = prior.members(y, mask, domain, days, noise=draws, tolerance=1e-3, loose=1e-2, uncertainty=sigma)
    posterior = np.diag(covariance - gain @ covariance[seen])[inside]
    ratio = deviations.square().mean(0).numpy().ravel()[inside] / posterior
    assert abs(ratio.mean() - 1) < 0.03


def test_without_uncertainty_the_map_is_what_it_was_and_with_an_endless_one_it_is_blind(prior):
    random = torch.Generator().manual_seed(1)
    values = torch.randn(1, 4, 1, 12, 16, generator=random)
    mask, domain, days = (values > 0).float(), torch.ones(12, 16), torch.arange(4.0)
    none = torch.zeros_like(values)
    assert torch.equal(
        prior.map(values * mask, mask, domain, days), prior.map(values * mask, mask, domain, days, uncertainty=none)
    )
    half = mask * (torch.arange(16) < 8)
    endless = torch.where(half > 0, 0.0, 1e6) * torch.ones_like(values)
    found = prior.map(values * mask, mask, domain, days, uncertainty=endless, tolerance=1e-6)
    torch.testing.assert_close(
        found, prior.map(values * half, half, domain, days, tolerance=1e-6), atol=1e-4, rtol=1e-3
    )


def test_the_noise_of_hidden_observations_is_not_the_priors_fault():
    """Fitted error and amplitude are those of the field, even if half of its observations are noisy."""
    prior = GaussianPrior(length=6.0, persistence=4.0, noise=0.05)
    days, domain = torch.arange(6, dtype=torch.float64), torch.ones(16, 20)
    random = torch.Generator().manual_seed(3)
    nothing = torch.zeros(1, 6, 1, 16, 20)
    pieces, exact = [], []
    for _ in range(6):
        field = 0.8 * prior.sample(nothing, nothing, domain, days, generator=random)[0]
        hidden = (
            1
            - CloudMask(coverage=0.3, scale=4.0)
            .apply(field[None] * 0 + 1, CloudMask(coverage=0.3, scale=4.0).sample((1, 6, 1, 16, 20), generator=random))
            .mask[0]
        )
        error = torch.where(torch.rand(field.shape, generator=random) < 0.5, 0.03, 1.0)
        measured = field + error * torch.randn(field.shape, generator=random)
        parts = {"mask": torch.ones_like(field), "kept": 1 - hidden, "domain": domain, "days": days}
        pieces.append(Film(values=measured, uncertainty=error, **parts))
        exact.append(Film(values=field, **parts))
    fitted = fit_amplitude(prior, pieces, seed=0)
    assert fitted.amplitude == pytest.approx(0.8, rel=0.12)
    guesses = [
        fitted.map((p.values * p.kept)[None], p.kept[None], domain, days, uncertainty=p.uncertainty[None])[0]
        for p in pieces
    ]
    true = sum(float((p.hidden * (g - e.values) ** 2).sum()) for p, g, e in zip(pieces, guesses, exact))
    true = (true / sum(float(p.hidden.sum()) for p in pieces)) ** 0.5
    assert hidden_error(fitted, pieces) == pytest.approx(true, rel=0.15)


# Training and filling.


def windows_of(uncertainty: torch.Tensor | None, *, seed: int = 0) -> Film:
    random = torch.Generator().manual_seed(seed)
    shape = (4, 3, 1, 16, 16)
    values = torch.randn(shape, generator=random)
    mask = (torch.rand(shape, generator=random) < 0.7).float()
    kept = mask * (torch.rand(shape, generator=random) < 0.7)
    noise = None if uncertainty is None else uncertainty * torch.randn(shape, generator=random) * mask
    days, domain = torch.arange(3.0).expand(4, -1), torch.ones(4, 1, 1, 16, 16)
    return Film(
        values=values * mask,
        mask=mask,
        kept=kept,
        guess=torch.zeros(shape),
        domain=domain,
        days=days,
        noise=noise,
        uncertainty=uncertainty,
    )


def state_of() -> TrainState:
    torch.manual_seed(0)
    network = UNet(frames=3, channels=1, width=4)
    torch.nn.init.normal_(network.leave.weight, std=0.1)
    discriminator = geogan.model.networks.Discriminator(frames=3, channels=1, width=4)
    return TrainState.start(
        network,
        discriminator,
        ErrorNet(frames=3, width=4),
        rate_generator=1e-3,
        rate_discriminator=1e-3,
        betas=(0.5, 0.9),
        seed=0,
    )


def test_a_vanishing_error_teaches_on_hidden_cells_what_none_does():
    """Terms on hidden cells are the same; shown cells matter only for the error network."""
    shape = (4, 3, 1, 16, 16)
    operator = CloudMask(coverage=0.3, scale=4.0)
    steps = []
    for windows in (windows_of(None), dataclasses.replace(windows_of(None), uncertainty=torch.full(shape, 1e-7))):
        steps.append(step(state_of(), windows, operator, None, weights(1.0, 1.0, 0.0)))
    for name, loss in steps[0].items():
        torch.testing.assert_close(loss, steps[1][name], rtol=1e-4, atol=1e-5)


def test_windows_whose_error_is_endless_teach_as_if_it_was_unobserved():
    operator = CloudMask(coverage=0.3, scale=4.0)
    left = (torch.arange(16) < 8).float()
    known = windows_of(0.3 * torch.ones(4, 3, 1, 16, 16))
    assert known.noise is not None
    blind = dataclasses.replace(
        known, values=known.values * left, mask=known.mask * left, kept=known.kept * left, noise=known.noise * left
    )
    endless = dataclasses.replace(known, uncertainty=torch.where(left > 0, 0.3, 1e7).expand(4, 3, 1, 16, 16))
    first, second = state_of(), state_of()
    # How much is shown around a cell is counted, not how well it is known: the weights differ, by a factor each.
    losses = [
        step(state, windows, operator, None, weights(0.0, 0.0, 1.0))
        for state, windows in ((first, blind), (second, endless))
    ]
    assert float(losses[0]["withheld"]) == pytest.approx(float(losses[1]["withheld"]), rel=0.1)


def test_networks_do_not_look_at_observations_of_an_endless_error(prior):
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    network = UNet(frames=3, channels=1, width=4).eval()
    torch.nn.init.normal_(network.leave.weight, std=0.1)
    values = random.normal(size=(5, 1, 16, 16)).astype("f4")
    observed = (random.random(values.shape) < 0.6).astype("f4")
    left = (np.arange(16) < 8).astype("f4")
    error = np.where(left > 0, 0.2, 1e6).astype("f4") * np.ones_like(values)

    def filled(mask: np.ndarray, uncertainty: np.ndarray) -> torch.Tensor:
        parts = {"values": values * mask, "mask": mask, "uncertainty": uncertainty, "domain": np.ones((16, 16), "f4")}
        film = Film(**{name: torch.from_numpy(part) for name, part in parts.items()}, days=torch.arange(5.0))
        return fill_film(Networks(network), prior, film, tolerance=1e-6).field

    one, other = filled(observed, error), filled(observed * left, error * left)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def learned(noisy, domain):
    field, error = noisy
    return make_reconstructor(
        "cloud_mask:scale=5", window=1, width=8, crop=20, batch=4, steps=60, weight_prior=0, weight_likelihood=0,
        precision="float32", threads=1, prior_evaluations=3, blocks=2, posterior_draws=1,
    ).fit(field, domain=domain, error=error)  # fmt: skip


def test_noisy_observations_are_nearer_to_the_truth_after_the_fill(learned, noisy, truth, tmp_path):
    field, error = noisy
    assert learned.model_.observation_error == "sst_error" and not learned.model_.exact
    filled = learned.fill(field, error=error)
    seen = field.notnull()

    def off(values: xr.DataArray, where: xr.DataArray) -> float:
        return float((((values - truth) ** 2).where(where).mean()) ** 0.5)

    poor = seen & (error > 1)
    assert off(filled.sst, seen) < 0.6 * off(field, seen)
    assert off(filled.sst, poor) < 0.5 * off(field, poor)
    # They are estimates, flagged as such, with an error of their own; that of poor ones is larger.
    assert bool((filled.sst_source.where(seen) == 1).sum() == seen.sum())
    assert float(filled.sst_std.where(poor).mean()) > float(filled.sst_std.where(seen & (error < 1)).mean())
    ratio = float((filled.sst_std.where(seen) ** 2).mean() ** 0.5) / off(filled.sst, seen)
    assert 0.7 < ratio < 1.7
    assert bool((filled.sst_std.where(seen) <= 1.0001 * error.where(seen)).sum() == seen.sum())
    kept = learned.fill(field, error=error, keep_observed=True)
    assert bool((kept.sst.where(seen) == field.where(seen)).sum() == seen.sum())
    back = geogan.Reconstructor.load(learned.save(tmp_path / "run"))
    xr.testing.assert_identical(back.fill(field, error=error), filled)


def test_each_of_several_variables_has_errors_of_its_own(noisy):
    field, error = noisy
    other = xr.Dataset({"sst": field, "ssh": (0.1 * field).assign_attrs(units="m")})
    errors = xr.Dataset({"sst_error": error, "ssh_error": (0.1 * error).assign_attrs(units="m")})
    fitted = make_reconstructor("observed_gaps", window=0, width=4, crop=16, batch=2, steps=1, threads=1, **QUICK)
    filled = fitted.fit(other, error=errors).fill(other, error=errors)
    assert fitted.model_.observation_error == "sst_error,ssh_error"
    seen = field.notnull().values
    assert (filled.ssh_std.values[seen] <= 1.0001 * errors.ssh_error.values[seen]).all()
    with pytest.raises(InputError, match="sst_error,ssh_error is in K, m, sst,ssh in degree_Celsius, m; convert it"):
        fitted.fill(other, error=errors.assign(sst_error=error.assign_attrs(units="K")))


def test_a_fill_needs_the_errors_that_training_knew(learned, reconstructor, noisy):
    field, error = noisy
    with pytest.raises(InputError, match="trained with sst_error, the error of each observation"):
        learned.fill(field)
    with pytest.raises(InputError, match="trained without an error variable"):
        reconstructor.fill(field, error=error)


def test_one_noise_for_all_is_remembered(noisy, domain):
    field, _ = noisy
    fitted = make_reconstructor(
        "cloud_mask:scale=5", noise=0.5, window=1, width=4, crop=16, batch=2, steps=2, threads=1, **QUICK
    )
    fitted.fit(field, domain=domain)
    assert fitted.model_.observation_error == 0.5
    filled = fitted.fill(field)
    assert bool((filled.sst_source.where(field.notnull()) != 0).all())
    assert dataclasses.replace(fitted.model_, observation_error=None).exact


def test_on_the_command_line_it_is_read_by_its_name(noisy, sea, truth, tmp_path):
    field, error = noisy
    xr.merge([field, error, sea["sea_mask"]]).to_zarr(tmp_path / "noisy.zarr", consolidated=False)
    run = train(
        tmp_path / "noisy.zarr", operator=["cloud_mask:scale=5"], out=tmp_path / "run", error_variable="sst_error",
        domain="sea_mask", window=1, width=4, crop=16, batch=2, steps=2, threads=1, **QUICK,
    )  # fmt: skip
    out = fill(tmp_path / "noisy.zarr", run, tmp_path / "filled.nc")
    with xr.open_dataset(out) as filled:
        seen = field.notnull().values
        assert (filled.sst_source.values[seen] == 1).all() and np.isfinite(filled.sst_std.values[seen]).all()
        dataset = xr.merge([field, error])
        xr.testing.assert_allclose(dataset.geogan.fill(run, variable="sst").sst, filled.sst, rtol=1e-4)
    rows = evaluate(tmp_path / "noisy.zarr", run, Scoring("gaussian,model", members=4), ablation=False)
    for row in rows:
        # Observations are foretold with the errors they have: their spread is that of the residuals.
        assert 0.5 < (row.law or row.members).spread_skill < 2
    other = tmp_path / "other.nc"
    field.to_netcdf(other)
    with pytest.raises(InputError, match="has no variable 'sst_error'; it has"):
        fill(other, run, tmp_path / "x.nc")
    again = resume(run, {"steps": 3})
    assert geogan.Reconstructor.load(again).model_.observation_error == "sst_error"


def test_noise_beside_gaps_asks_for_what_was_shown_without_its_noise(gappy, domain, prior):
    """With added noise in blocks, the true field has a smaller loss than the measurement shown."""
    operator = Compose((ConvolveNoise(l=1, sigma=0.4), CloudMask(coverage=0.3, scale=4.0)))
    archive = Archive.of(Field.of(gappy, domain=domain), Standardiser.fit(Field.of(gappy, domain=domain)))
    made = BlockMaker(archive, operator, prior, np.full(len(archive.days), 0.7), dates=16, side=24)(3)
    assert made.noise is not None and 0 < float(made.kept.sum()) < float(made.mask.sum())
    windows = WindowSampler(3, (20, 24)).draw([made], 16, torch.Generator().manual_seed(0))
    state = state_of()
    state.generator.scale.fill_(0.3)
    one = Step(state, windows, Problem(operator), weights(0.0, 0.0, 1.0), TrainConfig(), WHOLE_BATCH)
    hidden, shown = withheld_targets(one)
    assert hidden.noise == pytest.approx(0.4) and shown.noise == pytest.approx(0.4 * 5**0.5)
    assert torch.equal(shown.where, windows.kept) and torch.equal(hidden.where, windows.mask - windows.kept)
    seen, _ = what_is_shown(one, windows.kept)
    square = float((shown.weight * (seen - shown.values) ** 2).sum() / shown.weight.sum())
    # Against y - n / alpha, y + alpha n is off by (alpha + 1 / alpha) n; the truth by sqrt(1 + 1 / alpha^2) epsilon.
    assert square == pytest.approx((0.5 + 2) ** 2 * 0.4**2, rel=0.1) and square > float(shown.noise) ** 2


class Counted:
    """An array that counts the values that are read from it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim, self.reads = (
            values,
            values.shape,
            values.dtype,
            values.ndim,
            0,
        )

    def __getitem__(self, key):
        self.reads += 1
        return self.values[key]

    def lazy(self, like):
        data = dask.array.from_array(self, chunks=(10, *self.shape[1:]), meta=np.empty((0,) * self.ndim, self.dtype))
        return like.copy(data=data)


def test_nothing_is_read_before_something_is_computed(learned, noisy):
    field, error = noisy
    counted = [Counted(part.values) for part in (field, error)]
    lazy = [one.lazy(like) for one, like in zip(counted, (field, error), strict=True)]
    filled = learned.fill(lazy[0], error=lazy[1])
    assert [one.reads for one in counted] == [0, 0]
    xr.testing.assert_identical(filled.sst[:4].compute(), learned.fill(field, error=error).sst[:4])
    assert 0 < counted[1].reads <= counted[0].reads


def test_lazy_errors_are_checked_where_they_are_read(learned, noisy):
    field, error = noisy
    wrong = error.where(error.lat < error.lat[10]).chunk(time=5)
    filled = learned.fill(field.chunk(time=5), error=wrong)
    with pytest.raises(InputError, match="sst_error has no value at .* observations of sst"):
        filled.sst.compute()
    with pytest.raises(InputError, match="goes down to -0.4"):
        learned.fill(field.chunk(time=5), error=(error - 0.5).assign_attrs(error.attrs).chunk(time=5)).sst.compute()
    with pytest.raises(InputError, match="has no value at"):
        make_reconstructor(window=0, steps=1).fit(field.chunk(time=5), error=wrong)


def archive_of(noisy, folder, *, chunks=5):
    field, error = noisy
    packed = {name: {"chunks": (chunks, 20, 24)} for name in ("sst", "sst_error")}
    path = folder / "noisy.zarr"
    xr.Dataset({"sst": field, "sst_error": error}).to_zarr(path, encoding=packed, consolidated=False)
    return path


def test_a_damaged_chunk_of_the_errors_makes_gaps_that_are_flagged(learned, noisy, tmp_path):
    field, error = noisy
    path = archive_of(noisy, tmp_path)
    model = learned.save(tmp_path / "run")
    chunk = path / "sst_error" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:40])
    with pytest.raises(InputError, match="'sst_error' of .* cannot be read, .* --skip-bad"):
        fill(path, model, tmp_path / "filled.zarr", threads=1)
    assert not (tmp_path / "filled.zarr").exists()
    filled = xr.open_zarr(fill(path, model, tmp_path / "filled.zarr", threads=1, skip_bad=True), consolidated=False)
    lost = np.zeros(field.shape, bool)
    lost[5:10] = field.notnull().values[5:10]
    np.testing.assert_array_equal(filled.sst_source.values == 4, lost)
    gaps = field.where(~xr.DataArray(lost, dims=field.dims))
    np.testing.assert_allclose(filled.sst.values, learned.fill(gaps, error=error).sst.values, atol=1e-5)
    kept = fill(path, model, tmp_path / "kept.zarr", threads=1, skip_bad=True, keep_observed=True)
    kept = xr.open_zarr(kept, consolidated=False)
    np.testing.assert_array_equal(kept.sst_source.values == 4, lost)
    assert (kept.sst.values[5:10] != field.values[5:10])[lost[5:10]].all()
    seen = field.notnull().values & ~lost
    np.testing.assert_array_equal(kept.sst.values[seen], field.values[seen])


def test_a_task_too_large_for_memory_flags_them_too(learned, noisy, tmp_path):
    path = archive_of(noisy, tmp_path)
    model = learned.save(tmp_path / "run")
    chunk = path / "sst_error" / "c" / "2" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:40])
    first = fill(path, model, tmp_path / "first.zarr", threads=1, skip_bad=True)
    sizes = TaskSizes(read_values=10)
    second = fill(path, model, tmp_path / "second.zarr", threads=1, skip_bad=True, sizes=sizes)
    one, other = (xr.open_zarr(each, consolidated=False) for each in (first, second))
    np.testing.assert_array_equal(one.sst_source.values, other.sst_source.values)
    np.testing.assert_array_equal(one.sst.values, other.sst.values)


def test_an_accessor_finds_the_errors_of_several_variables(noisy, tmp_path):
    field, error = noisy
    both = xr.Dataset({"sst": field, "ssh": (0.1 * field).assign_attrs(units="m")})
    errors = xr.Dataset({"sst_error": error, "ssh_error": (0.1 * error).assign_attrs(units="m")})
    fitted = make_reconstructor("observed_gaps", window=0, width=4, crop=16, batch=2, steps=1, threads=1, **QUICK)
    run = fitted.fit(both, error=errors).save(tmp_path / "run")
    expected = fitted.fill(both, error=errors)
    xr.testing.assert_identical(both.merge(errors).geogan.fill(run), expected)
    xr.testing.assert_identical(both.geogan.fill(run, error=errors), expected)
    named = both.merge(errors).geogan.fill(run, variable=["sst", "ssh"], error=["sst_error", "ssh_error"])
    xr.testing.assert_identical(named, expected)
    with pytest.raises(InputError, match="trained with sst_error,ssh_error, the error of each observation"):
        both.geogan.fill(run)
