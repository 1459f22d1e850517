"""All processes of a fill use one model."""

import dataclasses

import pytest

from geogan.filling.job import Job, OpenJob
from geogan.model import digest, save_model
from geogan.operators.errors import InputError


def test_a_model_that_was_replaced_meanwhile_is_refused(model, gappy, tmp_path):
    """A training may save a better model during a fill; tasks of two models must not be mixed."""
    gappy.to_netcdf(tmp_path / "gappy.nc")
    run = save_model(tmp_path / "run", model)
    job = Job((str(tmp_path / "gappy.nc"),), str(run), digest(run))
    assert OpenJob.open(job).model.network is not None
    save_model(run, dataclasses.replace(model, network=None))
    with pytest.raises(InputError, match="the model .*run has changed since the fill began; wait for its training to"):
        OpenJob.open(job)
