"""A single scene: hidden under its own gaps, whole, its climatology chosen by what is hidden."""

import dataclasses
import re

import numpy as np
import pytest
import torch
import xarray as xr

from geogan import preparation, scene
from geogan.coordinates import find_axes
from geogan.gaussian import GaussianPrior, hidden_error
from geogan.io import check_field
from geogan.operators.cloud import CloudMask
from geogan.preparation import prepare_model
from geogan.scene import places

ROUGH = GaussianPrior(length=9.0, noise=0.1, detail=0.4)


def smooth(shape, *, length, seed):
    """A Gaussian field of standard deviation 1."""
    covariance = GaussianPrior(length=length).covariance(torch.ones(shape))
    draw = torch.from_numpy(np.random.default_rng(seed).standard_normal(covariance.shape[0]))
    return (torch.linalg.cholesky(covariance + 1e-6 * torch.eye(len(covariance))) @ draw).view(shape).numpy()


def scattered(shape, *, share=0.35, seed=1):
    """What is seen under clouds all over a scene."""
    return smooth(shape, length=6.0, seed=seed) > np.quantile(smooth(shape, length=6.0, seed=seed), share)


def labelled(values):
    return xr.DataArray(values, dims=("y", "x"), name="lst", attrs={"units": "K"})


def prepare(field, **options):
    options = {"window": 0, "transform": "none", "first_guess": True, "seed": 0, "message": lambda _: None} | options
    domain = np.ones((field.sizes["y"], field.sizes["x"]), bool)
    return prepare_model(field, check_field(field, find_axes(field)), domain, CloudMask(), **options)


def sloping(shape=(28, 36)):
    """A field on a slope, and where it is seen."""
    slope = np.add.outer(0.5 * np.arange(shape[0]), -0.4 * np.arange(shape[1]))
    return 290 + slope + smooth(shape, length=5.0, seed=0), scattered(shape)


def test_a_scene_on_a_slope_has_a_plane(monkeypatch):
    values, seen = sloping()
    said = []
    prepared = prepare(labelled(np.where(seen, values, np.nan)), message=said.append)
    assert re.search(r"^climatology: a plane; error (.*) on hidden clouds, (.*) with the mean$", said[1])
    assert prepared.model.standardiser.note == "a plane"
    errors = [float(number) for number in re.findall(r"[\d.]+", said[1])]
    assert errors[0] < 0.95 * errors[1]
    assert prepared.scale * prepared.model.standardiser.scale[0] <= errors[0] * 1.01
