"""Trainings for tests: settings by their flat names, and a ready first guess in place of the search for one.

The module is found because ``pyproject.toml`` names the folder ``tests`` as pytest's ``pythonpath``.
"""

from dataclasses import fields

from geogan import Reconstructor
from geogan.pipelines import train as pipeline
from geogan.presets import preset_settings
from geogan.prior import GaussianPrior
from geogan.settings import DataConfig, by_object

PRIOR = GaussianPrior(length=6.0, persistence=8.0, noise=0.05)
# The search for the first guess's parameters takes seconds; few blocks and samples do.
QUICK = {"first_guess": PRIOR, "blocks": 2, "posterior_draws": 1}
# A short search, whose parameters are rough.
BRIEF = {"first_guess": True, "prior_evaluations": 6, "blocks": 2, "posterior_draws": 1}


def make_reconstructor(operator="cloud_mask", *, device="auto", **settings):
    """Return a reconstructor with settings by their flat names, such as ``steps``."""
    return Reconstructor(operator, device=device, **by_object(settings))


def train(data, *, out=None, preset=(), device="auto", overwrite=False, console=None, save_every=30.0, **options):
    """Train with parameters of `DataConfig` and `Settings` by their flat names."""
    names = {each.name for each in fields(DataConfig)}
    config = {name: options.pop(name) for name in names & options.keys()}
    settings = preset_settings(preset).replaced(**options)
    config = DataConfig(data=data, **config)
    return pipeline.train(
        config, settings, out=out, device=device, overwrite=overwrite, save_every=save_every, console=console
    )
