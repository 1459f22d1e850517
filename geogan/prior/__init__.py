"""The Gaussian prior: a space-time Markov field, its solver, its fit."""
