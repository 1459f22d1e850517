"""The Gaussian prior: a space-time Markov field, its solver, its fit."""

from geogan.prior.film import Film

__all__ = ["Film"]
