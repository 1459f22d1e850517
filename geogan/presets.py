"""Named settings of one training loop: the paper's objective, and its variants that see clean fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geogan.operators.choices import choice

PRESETS: dict[str, dict[str, Any]] = {
    # Algorithm 1 as the paper has it: its networks, its weights, its optimisers; nothing before it, nothing beside it.
    "unir": {
        "generator": "sagan",
        "discriminator": "sagan",
        "show_mask": False,
        "window": 0,
        "first_guess": False,
        "weight_prior": 1.0,
        "weight_likelihood": 2.0,
        "weight_withheld": 0.0,
        "likelihood_every": 1,
        "rate_generator": 1e-4,
        "rate_discriminator": 4e-4,
        "betas": (0.0, 0.9),
        "decay": 0.995,
        "decay_every": 400,
        "cooling": 0.0,
        "warm_up": 0,
        "clip": None,
        "batch": 16,
    },
    # Regression on pairs of a measurement and its clean field, with an adversarial term that compares reconstructions
    # with clean fields.
    "paired": {"weight_paired": 1.0, "weight_likelihood": 0.0, "weight_withheld": 0.0},
    # As the method, but the discriminator compares reconstructions with unrelated clean fields.
    "unpaired": {
        "weight_prior": 1.0,
        "weight_likelihood": 2.0,
        "weight_withheld": 0.0,
        "likelihood_every": 1,
        "rate_generator": 1e-4,
        "rate_discriminator": 4e-4,
        "betas": (0.0, 0.9),
        "cooling": 0.0,
        "clean_unrelated": True,
    },
}
"""Settings by name; what a preset does not name stays as it is."""

OPTIMISER = (
    "rate_generator", "rate_discriminator", "betas", "decay", "decay_every", "cooling", "warm_up", "clip",
)  # fmt: skip
"""The settings that say how is descended, and not what."""


def settings_of(presets: Sequence[str]) -> dict[str, Any]:
    """The settings of some presets, later ones over earlier ones.

    Parameters
    ----------
    presets : sequence of str
        Of :data:`PRESETS`.

    Raises
    ------
    InputError
        For a name that is none.

    Examples
    --------
    >>> settings_of(["unir", "paired"])["weight_likelihood"]
    0.0
    """
    found: dict[str, Any] = {}
    for name in presets:
        found |= PRESETS[choice(name, PRESETS, "preset")]
    return found
