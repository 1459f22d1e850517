"""A model on disk: every part comes back, nothing is pickled, damage is one sentence, a failed write loses nothing."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import xarray as xr
from film_product import file_size_limit
from safetensors.torch import save_file

from geogan.fields.field import Field
from geogan.files.run_folder import is_run
from geogan.files.tensor_file import read_tensors, write_tensors
from geogan.filling import FillOptions, fill_field
from geogan.model import digest, load_model, prepare_archive, save_model
from geogan.model.networks import Discriminator, UNet
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.observed import ObservedGaps
from geogan.prior import GaussianPrior
from geogan.prior.archive_covariance import ArchivePrior
from geogan.prior.blur import PointSpread
from geogan.prior.local import LocalPrior
from geogan.training.state import TrainState
from geogan.training.state_file import load_state, save_state


def same(a, b):
    """Return whether two dataclasses, arrays, networks or plain values are equal, to the last bit."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, part.name), getattr(b, part.name)) for part in dataclasses.fields(a)
        )
    if isinstance(a, torch.nn.Module):
        mine, other = a.state_dict(), b.state_dict()
        return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b


def state_of(seed=0, *, steps=0):
    torch.manual_seed(seed)
    state = TrainState.start(UNet(frames=2, width=4), Discriminator(frames=2, width=4), rate_generator=1e-3,
                             rate_discriminator=1e-3, betas=(0.5, 0.9), seed=seed)  # fmt: skip
    for _ in range(steps):
        x = torch.randn(1, 2, 1, 8, 8)
        loss = state.generator(x, x, x, torch.ones(1, 1, 1, 8, 8)).square().mean() + state.discriminator(x, x).mean()
        loss.backward()
        state.generator_optimiser.step(), state.discriminator_optimiser.step()
        state.step += 1
    return state


def test_every_part_of_a_model_comes_back(model, tmp_path):
    assert save_model(tmp_path / "deep" / "run", model) == tmp_path / "deep" / "run"
    assert same(load_model(tmp_path / "deep" / "run"), model) and is_run(tmp_path / "deep" / "run")


@pytest.mark.parametrize(
    "changes",
    [{"network": None}, {"prior": None}, {"prior": GaussianPrior(drift_y=331.5, drift_x=-0.25)},
     {"y": None, "x": None},
     {"operator": Compose((ConvolveNoise(3, 0.2),)), "prior": GaussianPrior(blur=PointSpread.of(torch.ones(3, 3)))},
     {"smoothing": 3}, {"precision": "bfloat16", "units": "", "scores": {"steps": 3, "withheld": 0.25}}],
)  # fmt: skip
def test_models_of_all_kinds(model, tmp_path, changes):
    changed = dataclasses.replace(model, **changes)
    save_model(tmp_path, changed)
    assert same(load_model(tmp_path), changed)


def test_an_archive_prior_comes_back(model, gappy, tmp_path):
    archive = prepare_archive(model, Field.of(gappy))
    film = archive.read(slice(None))
    prior = ArchivePrior.fit(film.values * film.mask, film.mask, film.domain, GaussianPrior(length=4.0))
    changed = dataclasses.replace(model, prior=prior)
    save_model(tmp_path, changed)
    loaded = load_model(tmp_path)
    assert same(loaded.prior, prior) and same(loaded, changed)
    xr.testing.assert_identical(fill_field(loaded, Field.of(gappy[:6])), fill_field(changed, Field.of(gappy[:6])))


def local_prior(model, count: int) -> LocalPrior:
    random = torch.Generator().manual_seed(0)
    maps = torch.rand((1, 3, *model.domain.shape), generator=random) + 0.5
    modes = torch.randn((1, count, *model.domain.shape), generator=random)
    return LocalPrior(maps, modes, mode_persistence=20.0, length=5.0, persistence=3.0, noise=0.1)


@pytest.mark.parametrize("count", [0, 3])
def test_a_local_prior_comes_back(model, gappy, tmp_path, count):
    changed = dataclasses.replace(model, prior=local_prior(model, count))
    save_model(tmp_path, changed)
    loaded = load_model(tmp_path)
    assert same(loaded, changed)
    filled = (fill_field(each, Field.of(gappy[:6]), FillOptions(members=4)) for each in (loaded, changed))
    xr.testing.assert_identical(*filled)


def test_maps_of_a_local_prior_are_checked(model, tmp_path):
    prior = local_prior(model, 2)
    save_model(tmp_path, dataclasses.replace(model, prior=prior))
    tensors, text = read_tensors(tmp_path / "model.safetensors")
    for name, wrong in (("maps", -prior.maps), ("maps", prior.maps[:, :2]), ("modes", prior.modes[:, :, 1:])):
        write_tensors(tmp_path / "model.safetensors", tensors | {f"prior.{name}": wrong.contiguous()}, text)
        with pytest.raises(InputError, match=f"damaged geogan model .*prior.{name}"):
            load_model(tmp_path)
    many = torch.zeros(1, 65, *model.domain.shape)
    write_tensors(tmp_path / "model.safetensors", tensors | {"prior.modes": many}, text)
    with pytest.raises(InputError, match="65 modes, where 64 are the most"):
        load_model(tmp_path)


def test_a_description_that_lacks_an_entry_is_refused(model, tmp_path):
    save_model(tmp_path, model)
    tensors, text = read_tensors(tmp_path / "model.safetensors")
    del text["smoothing"]
    write_tensors(tmp_path / "model.safetensors", tensors, text)
    with pytest.raises(InputError, match=r"damaged geogan model \(smoothing is missing\); train it again"):
        load_model(tmp_path)


def test_a_gap_library_comes_back(model, gappy, domain, tmp_path):
    gaps = ObservedGaps(flip=False).fitted(gappy.notnull().values, domain)
    save_model(tmp_path, dataclasses.replace(model, operator=gaps))
    found = load_model(tmp_path).operator
    assert found == gaps and all(torch.equal(found.state()[name], value) for name, value in gaps.state().items())


def test_a_loaded_model_fills_the_same(model, gappy, tmp_path):
    save_model(tmp_path, model)
    again, expected = fill_field(load_model(tmp_path), Field.of(gappy)), fill_field(model, Field.of(gappy))
    # Loaded weights have another memory layout, so that the last bits may differ.
    np.testing.assert_allclose(again["sst"].values, expected["sst"].values, rtol=1e-5)
    np.testing.assert_array_equal(again["sst_source"].values, expected["sst_source"].values)


def test_nothing_is_pickled(model, tmp_path):
    save_model(tmp_path, model)
    save_state(tmp_path, state_of(steps=1))
    assert {file.name for file in tmp_path.iterdir()} == {"model.safetensors", "model.json", "state.safetensors"}
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        header = content[8 : 8 + int.from_bytes(content[:8], "little")] if file.suffix == ".safetensors" else content
        assert isinstance(json.loads(header), dict)
        assert not content.startswith((b"PK", b"\x80")) and b"ctorch" not in content
    assert json.loads((tmp_path / "model.json").read_text())["variable"] == "sst"


def test_every_part_of_a_state_comes_back(tmp_path):
    state = state_of(1, steps=3)
    state.seconds, state.best_score, state.best_step = 12.5, 0.75, 2
    state.best = {name: value.clone() + 1 for name, value in state.average.state_dict().items()}
    torch.rand(5, generator=state.random)
    save_state(tmp_path, state)
    other = state_of(2, steps=1)
    load_state(tmp_path, other)
    for name in ("generator", "discriminator", "average"):
        assert same(getattr(other, name), getattr(state, name))
    for name in ("generator_optimiser", "discriminator_optimiser"):
        mine, theirs = getattr(other, name).state_dict(), getattr(state, name).state_dict()
        assert mine["param_groups"] == theirs["param_groups"] and mine["state"].keys() == theirs["state"].keys()
        assert all(torch.equal(mine["state"][i][key], part) for i, parts in theirs["state"].items()
                   for key, part in parts.items())  # fmt: skip
    assert other.best.keys() == state.best.keys()
    assert all(torch.equal(other.best[name], state.best[name]) for name in state.best)
    for name in ("step", "seconds", "best_score", "best_step"):
        assert getattr(other, name) == getattr(state, name)
    assert torch.equal(torch.rand(3, generator=other.random), torch.rand(3, generator=state.random))


def test_a_state_before_the_first_score_comes_back(tmp_path):
    save_state(tmp_path, state_of())
    other = state_of(3, steps=2)
    load_state(tmp_path, other)
    assert other.best_score == float("inf") and other.best == {} and other.step == 0
    assert not other.generator_optimiser.state_dict()["state"]


def test_equal_models_have_equal_digests(model, tmp_path):
    save_model(tmp_path / "a", model)
    save_model(tmp_path / "b", model)
    save_model(tmp_path / "c", dataclasses.replace(model, network=None))
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_a_truncated_file_is_one_sentence(model, tmp_path, keep):
    save_model(tmp_path, model)
    save_state(tmp_path, state_of())
    for name, load in (("model", load_model), ("state", lambda path: load_state(path, state_of()))):
        file = tmp_path / f"{name}.safetensors"
        content = file.read_bytes()
        file.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
        with pytest.raises(InputError, match=rf"{name}.safetensors is damaged \(.*\); train it again"):
            load(tmp_path)


def test_foreign_files_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="is not a geogan run: it has no model.safetensors; give a folder"):
        load_model(tmp_path)
    assert not is_run(tmp_path) and not is_run(tmp_path / "nowhere")
    file = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(InputError, match="was not written by geogan"):
        load_model(tmp_path)
    for text, words in (("{}", "has format None and this geogan reads 8"), ("[]", "format None"), ("{", "damaged"),
                        ('{"geogan": 9}', "has format 9"),
                        ('{"geogan": 7}', "has format 7"), ('{"geogan": 8}', "damaged geogan model")):  # fmt: skip
        save_file({"weight": torch.zeros(2)}, file, metadata={"geogan": text})
        with pytest.raises(InputError, match=words):
            load_model(tmp_path)
    torch.save({"weight": torch.zeros(2)}, file)
    with pytest.raises(InputError, match="damaged"):
        load_model(tmp_path)


def test_a_lost_tensor_or_another_network_is_refused(model, tmp_path):
    save_model(tmp_path, model)
    tensors, text = read_tensors(tmp_path / "model.safetensors")
    for name in ("domain", "network.enter.weight", "withheld.sources"):
        rest = {key: value for key, value in tensors.items() if key != name}
        write_tensors(tmp_path / "model.safetensors", rest, text)
        with pytest.raises(InputError, match="damaged geogan model"):
            load_model(tmp_path)
    save_state(tmp_path, state_of())
    other = state_of()
    other.generator = UNet(frames=2, width=6)
    with pytest.raises(InputError, match="cannot be resumed"):
        load_state(tmp_path, other)


def test_a_failed_write_keeps_the_previous_model(model, tmp_path):
    save_model(tmp_path, model)
    with file_size_limit(1000), pytest.raises(InputError, match="could not be written .*the previous one is kept"):
        save_model(tmp_path, dataclasses.replace(model, units="K"))
    assert same(load_model(tmp_path), model)
    assert not list(tmp_path.glob(".*"))
