"""A fill that many processes take part in is of one model."""

import dataclasses

import pytest

from geogan.filling.job import Filler, Job
from geogan.model.model_file import digest, save_model
from geogan.operators.errors import InputError


def test_a_model_that_was_replaced_meanwhile_is_refused(model, gappy, tmp_path):
    """A training beside it saves a better one: regions of two models would stand in one product."""
    gappy.to_netcdf(tmp_path / "gappy.nc")
    run = save_model(tmp_path / "run", model)
    job = Job((str(tmp_path / "gappy.nc"),), str(run), digest(run))
    assert Filler.open(job).model.network is not None
    save_model(run, dataclasses.replace(model, network=None))
    with pytest.raises(InputError, match="the model .*run has changed since the fill began; wait for its training to"):
        Filler.open(job)
