"""The methods that a league table can score. This module imports nothing heavy, for the help of the command line."""

from geogan.evaluation.baselines import BASELINES

METHODS = (*BASELINES, "gaussian", "model")
"""Every method, in the order of tables: the baselines, the Gaussian first guess of a model, the model."""

DEFAULT_METHODS = tuple(name for name in METHODS if name not in BASELINES or not BASELINES[name].is_slow)
"""Methods that take seconds, which are scored by default."""
