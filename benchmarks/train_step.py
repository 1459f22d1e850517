"""Compare a training step with the passes of its networks alone.

    python benchmarks/train_step.py [--networks unet] [--precision bfloat16] [--rounds 5]

*Alone* are the forward and backward passes that Algorithm 1 needs, on the same tensors: the generator on the
measurements shown; the discriminator on real and simulated measurements together, and once more, frozen, for the
generator; the generator on ``y_hat``, in steps with the likelihood term; and the error network, if one is trained. The
losses are plain means. *The step* is that of ``training.train`` without blocks: it draws windows, theta and noise,
measures, solves for the first guess of ``y_hat``, computes the losses, clips, and updates weights and averages. Medians
of eight steps of one and eight of the other in turns. One thread computes, and on a CPU its own processor time counts;
another thread prepares windows and theta.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from geogan.model.networks import DISCRIMINATORS, GENERATORS, ErrorNet
from geogan.operators.cloud import CloudMask
from geogan.operators.operator import each_tensor
from geogan.presets import PRESETS
from geogan.prior import ASPECTS, Film, GaussianPrior
from geogan.settings import Objective, Settings, TrainConfig
from geogan.training.loop import train
from geogan.training.state import TrainState
from geogan.training.step import Problem
from geogan.training.windows import WindowSampler

TURN = 8


class Times(NamedTuple):
    """Seconds of a step and of its passes alone, the median of their ratios turn by turn, operations of the passes."""

    step: float
    alone: float
    ratio: float
    flop: float


class Ready:
    """Blocks that need not be prepared."""

    def __init__(self, blocks: list[Film]) -> None:
        self.blocks = blocks

    def at(self, step: int) -> list[Film]:
        """Return the same blocks for any step."""
        return self.blocks


def block(frames: int, channels: int, crop: int, generator: torch.Generator) -> Film:
    """Return windows with half of the cells observed and some hidden; speed does not depend on the values."""
    shape = (max(16, frames), channels, 2 * crop, 2 * crop)
    mask = (torch.rand(shape, generator=generator) < 0.5).float()
    kept = mask * (torch.rand(shape, generator=generator) < 0.7)
    values = torch.randn(shape, generator=generator) * mask
    domain, days = torch.ones(shape[-2:]), torch.arange(shape[0], dtype=torch.float64)
    deviation = torch.randn(shape, generator=generator)
    return Film(
        values=values,
        mask=mask,
        kept=kept,
        guess=torch.zeros(shape),
        domain=domain,
        days=days,
        near=kept.repeat(1, ASPECTS, 1, 1),
        deviation=deviation,
    )


def passes(state: TrainState, windows: Film, seen: Tensor, precision: torch.dtype, *, prior: bool, again: bool) -> None:
    """Run only the forward and backward passes of one step."""
    generator, discriminator, error = state.generator, state.discriminator, state.error
    cast = torch.autocast(windows.values.device.type, precision, enabled=precision != torch.float32)
    with cast:
        x = generator(windows.values * windows.kept, windows.kept, windows.guess, windows.domain)
    loss = x.mean()
    if error is not None:
        shown = (windows.values, windows.kept, windows.guess, x.detach(), windows.domain, None, windows.near)
        with cast:
            std, spread = error.network.predict(*shown)
        (std.mean() + spread.mean()).backward()
    fake = x * seen
    if prior:
        with cast:
            both = discriminator(torch.cat([windows.values, fake.detach()]), torch.cat([windows.mask, seen]))
        both.mean().backward()
        discriminator.requires_grad_(False)
        with cast:
            loss = loss + discriminator(fake, seen).mean()
        discriminator.requires_grad_(True)
    if again:
        with cast:
            twice = generator(fake, seen, windows.guess, windows.domain)
        loss = loss + twice.mean()
    loss.backward()


def compare(
    *,
    networks: str,
    precision: torch.dtype,
    device: torch.device,
    batch: int,
    crop: int,
    rounds: int,
    compile: bool = False,
) -> tuple[float, float]:
    """Return the seconds of a step, and of its passes alone."""
    paper = networks == "sagan"
    frames, channels = (1, 3) if paper else (2 * Settings.window + 1, 1)
    preset: dict[str, Any] = PRESETS["unir"] if paper else {}
    objective = Objective(**{each.name: preset[each.name] for each in fields(Objective) if each.name in preset})
    config = TrainConfig(
        batch=batch, steps=10**9, clip=preset.get("clip", 1.0), cooling=0.0, validate_every=10**9, report_every=TURN,
        precision="bfloat16" if precision == torch.bfloat16 else "float32",
    )  # fmt: skip
    made: dict[str, Any] = {"skip": "none", "show_mask": False} if paper else {}
    place: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
    state = TrainState.start(
        GENERATORS[networks](frames=frames, channels=channels, **made).to(**place),
        DISCRIMINATORS["sagan" if paper else "convolutional"](frames=frames, channels=channels).to(**place),
        None if paper else ErrorNet(frames=frames, channels=channels, spread=True).to(**place),
        rate_generator=1e-4,
        rate_discriminator=4e-4,
        betas=(0.5, 0.999),
        seed=0,
    )
    random = torch.Generator().manual_seed(0)
    operator = CloudMask(coverage=0.4, scale=12.0, persistence=1.0)
    prior = None if paper else GaussianPrior(length=10.0, persistence=5.0, noise=0.1)
    blocks = [block(frames, channels, crop, random) for _ in range(4)]

    sampler = WindowSampler(frames, (crop, crop))
    windows = sampler.draw(blocks, batch, random).to(device)
    if objective.weight_withheld == 0:
        windows = replace(windows, kept=windows.mask)
    theta = operator.sample(tuple(windows.values.shape), generator=random)  # type: ignore[arg-type]
    seen = operator.apply(torch.ones_like(windows.values), each_tensor(theta, lambda part: part.to(device))).mask
    training = train(state, Ready(blocks), sampler, Problem(operator, prior), objective, config)  # type: ignore[arg-type]
    next(training)

    def alone() -> None:
        for number in range(TURN):
            for network in (state.generator, state.discriminator, state.error and state.error.network):
                if network is not None:
                    for weight in network.parameters():
                        weight.grad = None
            again = objective.weight_likelihood > 0 and number % objective.likelihood_every == 0
            passes(state, windows, seen, precision, prior=objective.weight_prior > 0, again=again)

    cuda = device.type == "cuda"
    clock = time.perf_counter if cuda else time.thread_time

    def seconds(work: Callable[[], Any]) -> float:
        if cuda:
            torch.cuda.synchronize(device)
        began = clock()
        work()
        if cuda:
            torch.cuda.synchronize(device)
        return (clock() - began) / TURN

    def steps() -> None:
        next(training)

    seconds(steps)
    with FlopCounterMode(display=False) as counter:
        alone()
    took = [(seconds(steps), seconds(alone)) for _ in range(rounds)]
    training.close()
    return Times(
        *(statistics.median(each) for each in zip(*took)),
        statistics.median(a / b for a, b in took),
        counter.get_total_flops() / TURN,
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", choices=("unet", "sagan"), default="unet")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--crop", type=int, default=TrainConfig.crop)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    took = compare(
        networks=given.networks,
        precision=getattr(torch, given.precision),
        device=torch.device(given.device),
        batch=given.batch or (2 if given.networks == "sagan" and given.device == "cpu" else 8),
        crop=given.crop,
        rounds=given.rounds,
    )
    print(
        f"{given.networks}, {given.precision}: step {took.step * 1e3:.1f} ms, networks alone {took.alone * 1e3:.1f} ms"
    )
    print(f"step / networks alone (aim: at most 1.15)    {took.ratio:.2f}")


if __name__ == "__main__":
    main()
