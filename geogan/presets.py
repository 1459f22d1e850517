"""Presets: named changes of the settings, for the paper's objective and its variants that see clean fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geogan.operators.choices import choice
from geogan.settings import Settings, by_object

# Settings of the paper's optimisers, without its objective.
OPTIMISER: dict[str, Any] = {
    "rate_generator": 1e-4,
    "rate_discriminator": 4e-4,
    "betas": (0.0, 0.9),
    "decay": 0.995,
    "decay_every": 400,
    "cooling": 0.0,
    "warm_up": 0,
    "clip": None,
}
"""The paper's optimisers."""

# The paper's objective, for every preset with it: no first guess, no withheld term.
TERMS: dict[str, Any] = {
    "window": 0,
    "first_guess": False,
    "weight_prior": 1.0,
    "weight_likelihood": 2.0,
    "weight_withheld": 0.0,
    "likelihood_every": 1,
}
"""The paper's objective."""

# Networks and optimisers with which the paper's objective learns on a CPU in minutes.
LIGHT: dict[str, Any] = {
    "generator": "unet",
    "discriminator": "dense_head",
    "width": 16,
    "batch": 32,
    "rate_generator": 1e-3,
    "rate_discriminator": 1e-3,
    "betas": (0.0, 0.99),
    "weight_r1": 0.02,
    "cooling": 0.0,
    "warm_up": 0,
    "clip": None,
}
"""Networks and optimisers for a CPU."""

PRESETS: dict[str, dict[str, Any]] = {
    # Algorithm 1 of the paper: its networks, weights and optimisers, without a first guess and without withheld data.
    "unir": {
        "generator": "sagan",
        "discriminator": "sagan",
        "show_mask": False,
        "batch": 16,
        "weight_r1": 0.0,
        **TERMS,
        **OPTIMISER,
    },
    # The same objective for a CPU: a light U-Net, and a discriminator with a dense head and an R1 penalty.
    "unir-light": {**TERMS, **LIGHT},
    # The same for images of which few pixels are observed: networks in which every cell affects every cell.
    "unir-global": {
        **TERMS,
        **LIGHT,
        "generator": "dense",
        "discriminator": "dense",
        "width": 32,
        "batch": 256,
        "rate_generator": 3e-4,
        "rate_discriminator": 1e-3,
        "averaging": 0.999,
    },
    # Regression on pairs of a measurement and its clean field, with an adversarial term that compares reconstructions
    # with clean fields.
    "paired": {"weight_paired": 1.0, "weight_likelihood": 0.0, "weight_withheld": 0.0, "prior_every": 1},
    # The discriminator compares reconstructions with unrelated clean fields.
    "unpaired": {
        **TERMS,
        **LIGHT,
        "rate_generator": 5e-4,
        "rate_discriminator": 5e-4,
        "weight_r1": 0.1,
        "clean_unrelated": True,
    },
}
"""Changes of :class:`geogan.settings.Settings` by the name of the preset; other settings keep their values."""


def preset_settings(names: Sequence[str], within: Settings | None = None) -> Settings:
    """Return settings with the changes of some presets, later ones over earlier ones.

    Parameters
    ----------
    names : sequence of str
        Of :data:`PRESETS`.
    within : Settings, optional
        Settings to change; by default the defaults.

    Raises
    ------
    InputError
        If a name is unknown.

    Examples
    --------
    >>> preset_settings(["unir", "paired"]).objective.weight_likelihood
    0.0
    """
    changes: dict[str, Any] = {}
    for name in names:
        changes |= PRESETS[choice(name, PRESETS, "preset")]
    return (within or Settings()).replaced(**changes)


def preset(*names: str, **changes: Any) -> dict[str, Any]:
    """Return keyword arguments of `geogan.Reconstructor` for some presets and changes beside them.

    Parameters
    ----------
    *names : str
        Of :data:`PRESETS`; later ones over earlier ones.
    **changes
        Parameters of :class:`geogan.settings.Settings` and of its nested objects, by their names; over the presets.

    Raises
    ------
    InputError
        If a name is unknown, or a value has another type or lies outside its range.

    Examples
    --------
    >>> sorted(preset("paired", steps=60))
    ['objective', 'training']
    """
    flat: dict[str, Any] = {}
    for name in names:
        flat |= PRESETS[choice(name, PRESETS, "preset")]
    return by_object(flat | changes)
