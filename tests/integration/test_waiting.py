"""A training step never waits for the device, because it reads no value of a tensor."""

import pytest
import torch
from small_training import weights
from torch.utils._python_dispatch import TorchDispatchMode

from geogan.model.networks import Discriminator, ErrorNet, SaganDiscriminator, SaganGenerator, UNet
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.prior import ASPECTS, Film, GaussianPrior
from geogan.settings import TrainConfig
from geogan.training.state import TrainState
from geogan.training.step import Problem, train_step

FRAMES, CROP, BATCH = 3, (16, 20), 4
CLOUDS = CloudMask(coverage=0.4, scale=5.0, persistence=1.0)
aten = torch.ops.aten
# What an accelerator must have finished for: a value, a truth, a number of cells.
WAITS = {
    aten._local_scalar_dense.default, aten.is_nonzero.default, aten.item.default, aten.equal.default,
    aten.nonzero.default, aten.masked_select.default, aten._unique2.default, aten.bincount.default,
}  # fmt: skip


class NoWaiting(TorchDispatchMode):
    """Refuse operations that wait for the device, except on the calendar, which is float64 on the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        host = isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64 if args else False
        assert func not in WAITS or host, f"{func} waits for the device"
        if func is aten.index.Tensor:
            assert not any(part is not None and part.dtype == torch.bool for part in args[1]), "a mask picks cells"
        return func(*args, **(kwargs or {}))


def windows_of(**more):
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, FRAMES, 1, *CROP)
    mask = (torch.rand(shape, generator=generator) < 0.6).float()
    kept = mask * (torch.rand(shape, generator=generator) < 0.7)
    days = torch.arange(FRAMES, dtype=torch.float64).expand(BATCH, -1)
    normal = torch.randn(shape, generator=generator)
    near = kept.repeat(1, 1, ASPECTS, 1, 1)
    whole = {"near": near, "deviation": normal, **{name: make(shape) for name, make in more.items()}}
    domain = torch.ones(BATCH, 1, 1, *CROP)
    return Film(values=normal * mask, mask=mask, kept=kept, guess=torch.zeros(shape), domain=domain, days=days, **whole)


def members(shape):
    return torch.randn((BATCH, 2, *shape[1:]))


CASES = {
    "defaults": {},
    "without gaps": {"operator": ConvolveNoise(l=3, sigma=0.3), "more": {"noise": torch.randn}},
    "known errors": {"more": {"noise": torch.randn, "uncertainty": torch.rand}},
    "an ensemble": {"more": {"members": members}, "generator": UNet(frames=FRAMES, width=4, noise="posterior")},
    "clean fields": {"more": {"clean": torch.randn}, "weights": weights(1.0, 1.0, 0.0, 1.0)},
    "the paper's": {
        "operator": Compose((ConvolveNoise(l=3, sigma=0.3), CLOUDS)),
        "generator": SaganGenerator(frames=FRAMES, width=4),
        "discriminator": SaganDiscriminator(frames=FRAMES, width=4),
        "weights": weights(1.0, 2.0, 0.0),
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_never_waits(name):
    case = {"operator": CLOUDS, "weights": weights(0.02, 0.1, 1.0), "more": {}} | CASES[name]
    state = TrainState.start(
        case.get("generator") or UNet(frames=FRAMES, width=4),
        case.get("discriminator") or Discriminator(frames=FRAMES, width=4),
        ErrorNet(frames=FRAMES, width=4, spread=True),
        rate_generator=1e-3, rate_discriminator=1e-3, betas=(0.5, 0.9), seed=0,
    )  # fmt: skip
    windows, operator = windows_of(**case["more"]), case["operator"]
    theta = operator.sample(tuple(windows.values.shape), generator=state.random)
    prior = GaussianPrior(length=6.0, persistence=8.0, noise=0.05)

    def once():
        config = TrainConfig(precision="bfloat16")
        return train_step(state, windows, Problem(operator, prior), case["weights"], config, theta=theta)

    once()  # at first the optimisers' memory is made
    with NoWaiting():
        losses = once()
    assert losses and all(loss.ndim == 0 and not loss.requires_grad for loss in losses.values())


def test_the_guard_holds():
    x = torch.ones(3)
    for wait in (lambda: float(x.sum()), lambda: bool((x > 0).all()), lambda: x[x > 0], lambda: x.nonzero()):
        with NoWaiting(), pytest.raises(AssertionError):
            wait()
    with NoWaiting():
        assert float(torch.arange(3.0, dtype=torch.float64).diff().min()) == 1.0
