"""The state of a training before its first step: networks and optimisers."""

from __future__ import annotations

from typing import Any

import torch

from geogan.compute.processes import Ranks
from geogan.model import Model
from geogan.model.networks import DISCRIMINATORS, GENERATORS, ONE_SIZE, ErrorNet, SpreadTable
from geogan.operators.band import PatchBand
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.settings import Settings
from geogan.training.state import TrainState


def predicts_error(first: Model, settings: Settings) -> bool:
    """Return whether a training has an error network: errors can be learned where observations are hidden.

    Blurred observations do not show the error of the field.
    """
    return settings.objective.weight_withheld > 0 and first.operator.masks and not first.operator.blurs


def predicts_spread(first: Model, settings: Settings) -> bool:
    """Return whether the error network starts at the spread of the Gaussian posterior."""
    return predicts_error(first, settings) and first.prior is not None


def start_state(
    first: Model,
    settings: Settings,
    *,
    scale: float,
    is_bounded: bool,
    device: torch.device,
    ranks: Ranks,
    table: SpreadTable | None = None,
) -> TrainState:
    """Return networks with random weights, and their optimisers.

    Parameters
    ----------
    first : Model
        The model without networks.
    settings : Settings
    scale : float
        Error of the first guess on withheld observations, in anomalies.
    is_bounded : bool
        Whether the values of the field lie between -1 and 1.
    device : torch.device
    ranks : Ranks
        Processes of the training; all start with the weights of the first one.
    table : SpreadTable, optional
        Spread of the Gaussian posterior, where the error network starts.

    Raises
    ------
    InputError
        If dense layers cannot see the whole grid.
    """
    network, objective, training = settings.network, settings.objective, settings.training
    assert network is not None
    sizes: dict[str, Any] = {
        "frames": first.frames,
        "channels": len(first.standardiser.scale),
        "extras": 0 if first.covariates is None else first.covariates.channels,
    }
    has_guess = settings.first_guess is not False
    # As in the paper, a generator adds to the measurement where most of it can be seen.
    shows_most = isinstance(first.operator, PatchBand | ConvolveNoise)
    options: dict[str, Any] = {"skip": "measurement" if shows_most and not has_guess else "guess"}
    if network.generator == "sagan":
        options["skip"] = "guess" if has_guess else "measurement" if shows_most else "none"
        options |= {"bounded": is_bounded, "show_mask": network.show_mask}
    else:
        options["bounded"] = is_bounded and not has_guess
    if network.generator == "unet":
        options["attention"] = network.attention
    height, width = first.domain.shape
    window = {"size": (min(training.crop, height), min(training.crop, width))}
    if network.generator in ONE_SIZE and window["size"] != (height, width):
        raise InputError(
            f"a dense generator sees whole grids, here of {height} x {width} cells; give --crop {max(height, width)}, "
            "or --generator unet"
        )
    if settings.members > 1:
        options["noise"] = "white" if first.prior is None else "posterior"
    # Weights are drawn from the seed without touching the caller's own random state.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        options |= window if network.generator in ONE_SIZE else {}
        generator: Any = GENERATORS[network.generator](**sizes, width=network.width, **options)
        discriminator: Any = DISCRIMINATORS[network.discriminator](
            frames=sizes["frames"],
            channels=sizes["channels"],
            width=network.width,
            **(window if network.discriminator in ONE_SIZE else {}),
        )
        error: Any = None
        if predicts_error(first, settings):
            error = ErrorNet(**sizes, spread=predicts_spread(first, settings))
    if error is not None and error.table is not None and table is not None:
        error.table.load_state_dict(table.state_dict())
    networks = [generator, discriminator] if error is None else [generator, discriminator, error]
    for each in networks:
        if each is not discriminator:
            each.scale.fill_(scale)
        each.to(device=device, memory_format=torch.channels_last)
        ranks.broadcast(each)
    return TrainState.start(
        generator,
        discriminator,
        error,
        rate_generator=training.rate_generator,
        rate_discriminator=training.rate_discriminator,
        betas=training.betas or ((0.5, 0.999) if objective.weight_prior > 0 else (0.9, 0.999)),
        seed=settings.seed,
    )
