"""Compare training images a second with deepinv's adversarial training and its UAIR loss, networks and batch equal.

    pip install --no-deps deepinv torchmetrics lightning-utilities tqdm einops h5py natsort requests
    python benchmarks/train_rivals.py [--networks unet] [--batch 8] [--rounds 3]

Images of three bands, 64 x 64, half of the pixels removed; Adam, the paper's weights, the likelihood term in every
step. deepinv runs its ``AdversarialTrainer`` without metrics, bars or checkpoints; its mask is the one that made
``y``, its precision float32. geogan draws a fresh theta each step, and trains in both precisions. Medians, in turns,
one thread. If torchvision, which deepinv imports and this benchmark does not use, is not installed, an empty module
replaces it.
"""

import argparse
import importlib.machinery
import importlib.util
import statistics
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from train_step import Ready

from geogan.model.networks import DISCRIMINATORS, GENERATORS
from geogan.operators.pixels import RemovePixel
from geogan.prior import Film
from geogan.settings import Objective, TrainConfig
from geogan.training.loop import train
from geogan.training.state import TrainState
from geogan.training.step import Problem
from geogan.training.windows import WindowSampler

BANDS, SIDE, STEPS = 3, 64, 8
NEEDED = ("deepinv", "torchmetrics", "tqdm", "einops", "h5py", "natsort", "requests")


class Empty(types.ModuleType):
    """A module in which every name is a class of nothing."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Standing:
    """Finds an empty module wherever one below ``torchvision`` is imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """An empty module."""
        if name.split(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Empty."""
        return Empty(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


class Images(nn.Module):
    """A generator of films as deepinv calls it: images, and of what made them a mask."""

    def __init__(self, network: nn.Module, mask: Tensor) -> None:
        super().__init__()
        self.network, self.mask = network, mask

    def forward(self, y: Tensor, physics: Any = None, **_: Any) -> Tensor:
        """Return an output of the input's shape, (B, C, H, W)."""
        film = y[:, None]
        mask = self.mask.expand_as(film)
        return self.network(film, mask, torch.zeros_like(film), torch.ones_like(film[:, :, :1]))[:, 0]


class Scores(nn.Module):
    """A discriminator of films as deepinv calls it."""

    def __init__(self, network: nn.Module, mask: Tensor) -> None:
        super().__init__()
        self.network, self.mask = network, mask

    def forward(self, y: Tensor) -> Tensor:
        """Return scores (B,) of (B, C, H, W)."""
        film = y[:, None]
        return self.network(film, self.mask.expand_as(film))


def made(networks: str) -> tuple[nn.Module, nn.Module]:
    """Return a generator and a discriminator."""
    torch.manual_seed(0)
    paper = networks == "sagan"
    more: dict[str, Any] = {"skip": "none", "show_mask": False} if paper else {}
    return (
        GENERATORS[networks](frames=1, channels=BANDS, **more),  # type: ignore[return-value]
        DISCRIMINATORS["sagan" if paper else "convolutional"](frames=1, channels=BANDS),
    )


def ours(networks: str, batch: int, precision: torch.dtype) -> Callable[[], None]:
    """Run some steps of geogan's training."""
    generator, discriminator = (each.to(memory_format=torch.channels_last) for each in made(networks))  # type: ignore[call-overload]
    state = TrainState.start(
        generator, discriminator, rate_generator=1e-4, rate_discriminator=4e-4, betas=(0.0, 0.9), seed=0
    )
    random = torch.Generator().manual_seed(0)
    shape = (64, BANDS, SIDE, SIDE)
    mask = (torch.rand(shape, generator=random) < 0.5).float()
    values = torch.randn(shape, generator=random) * mask
    block = Film(
        values=values,
        mask=mask,
        kept=mask,
        guess=torch.zeros(shape),
        domain=torch.ones(SIDE, SIDE),
        days=torch.arange(64.0).double(),
    )
    config = TrainConfig(
        batch=batch, steps=10**9, clip=None, warm_up=0, cooling=0.0, validate_every=10**9, report_every=STEPS,
        precision="bfloat16" if precision == torch.bfloat16 else "float32",
    )  # fmt: skip
    training = train(
        state, Ready([block]), WindowSampler(1, (SIDE, SIDE)), Problem(RemovePixel(0.5)),  # type: ignore[arg-type]
        Objective(1.0, 2.0, 0.0, likelihood_every=1), config,
    )  # fmt: skip
    next(training)
    return lambda: next(training) and None


def theirs(networks: str, batch: int) -> Callable[[], None]:
    """Run as many steps of deepinv's training."""
    from deepinv.loss.adversarial import UAIRGeneratorLoss, UnsupAdversarialDiscriminatorLoss
    from deepinv.physics import Inpainting
    from deepinv.training import AdversarialOptimizer, AdversarialTrainer
    from torch.utils.data import DataLoader, TensorDataset

    random = torch.Generator().manual_seed(0)
    mask = (torch.rand((BANDS, SIDE, SIDE), generator=random) < 0.5).float()
    x = torch.randn((STEPS * batch, BANDS, SIDE, SIDE), generator=random)
    generator, discriminator = made(networks)
    model, critic = Images(generator, mask), Scores(discriminator, mask)

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            AdversarialTrainer(
                model=model,
                D=critic,
                physics=Inpainting((BANDS, SIDE, SIDE), mask=mask),
                optimizer=AdversarialOptimizer(
                    torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.0, 0.9)),
                    torch.optim.Adam(critic.parameters(), lr=4e-4, betas=(0.0, 0.9)),
                ),
                train_dataloader=DataLoader(TensorDataset(x, x * mask), batch_size=batch, shuffle=True),
                epochs=1,
                losses=UAIRGeneratorLoss(weight_adv=1.0, weight_mc=2.0),
                losses_d=UnsupAdversarialDiscriminatorLoss(),
                metrics=[],
                compute_train_metrics=False,
                optimizer_step_multi_dataset=False,
                save_path=folder,
                ckp_interval=10**9,
                device="cpu",
                verbose=False,
                show_progress_bar=False,
            ).train()

    return work


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", choices=("unet", "sagan"), default="unet")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"{', '.join(missing)} is not installed; pip install --no-deps {' '.join(missing)}")
    if importlib.util.find_spec("torchvision") is None:
        sys.meta_path.append(Standing())  # type: ignore[arg-type]
    torch.set_num_threads(1)
    works = {
        "deepinv, float32": theirs(given.networks, given.batch),
        "geogan, float32": ours(given.networks, given.batch, torch.float32),
        "geogan, bfloat16": ours(given.networks, given.batch, torch.bfloat16),
    }
    took: dict[str, list[float]] = {name: [] for name in works}
    with warnings.catch_warnings(action="ignore"):
        for turn in range(given.rounds + 1):
            for name, work in works.items():
                began = time.perf_counter()
                work()
                if turn:  # the first warms up
                    took[name].append(time.perf_counter() - began)
    slow = statistics.median(took["deepinv, float32"])
    for name, seconds in took.items():
        median = statistics.median(seconds)
        print(f"{name:18s} {STEPS * given.batch / median:8.1f} images a second {slow / median:8.2f} x")


if __name__ == "__main__":
    main()
