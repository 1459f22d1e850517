"""Labelled fields: axes, dates, grids, variables, domains, errors and covariates."""
