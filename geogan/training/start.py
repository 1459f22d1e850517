"""The state of a training before its first step: networks and optimisers."""

from __future__ import annotations

from typing import Any

import torch

from geogan.compute.processes import Ranks
from geogan.model import Model
from geogan.model.networks import DISCRIMINATORS, GENERATORS, ErrorNet
from geogan.operators.band import PatchBand
from geogan.operators.convolve import ConvolveNoise
from geogan.settings import Settings
from geogan.training.state import TrainState


def start_state(
    first: Model, settings: Settings, *, scale: float, is_bounded: bool, device: torch.device, ranks: Ranks
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
    """
    network, objective, training = settings.network, settings.objective, settings.training
    assert network is not None
    sizes: dict[str, Any] = {
        "frames": first.frames,
        "channels": len(first.standardiser.scale),
        "extras": 0 if first.covariates is None else first.covariates.channels,
    }
    options: dict[str, Any] = {}
    if network.generator == "sagan":
        # The paper's generator adds to the measurement where most of it can be seen.
        shows_most = isinstance(first.operator, PatchBand | ConvolveNoise)
        has_guess = settings.first_guess is not False
        options["skip"] = "guess" if has_guess else "measurement" if shows_most else "none"
        options |= {"bounded": is_bounded, "show_mask": network.show_mask}
    if settings.members > 1:
        options["noise"] = "white" if first.prior is None else "posterior"
    # Weights are drawn from the seed without touching the caller's own random state.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator: Any = GENERATORS[network.generator](**sizes, width=network.width, **options)
        discriminator: Any = DISCRIMINATORS[network.discriminator](
            frames=sizes["frames"], channels=sizes["channels"], width=network.width
        )
        error: Any = None
        # Errors can be learned where observations are hidden.
        if objective.weight_withheld > 0 and first.operator.masks:
            error = ErrorNet(**sizes, spread=first.prior is not None and not first.operator.blurs)
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
