"""The valid range of a field: predictions have the limits that observations have."""

import numpy as np
import pytest
import xarray as xr

from geogan.fields.codes import Codes
from geogan.fields.valid_range import valid_codes, valid_limits
from geogan.io.missing import MissingRules


@pytest.mark.parametrize("scale", [10.0, 0.25, -0.5])
@pytest.mark.parametrize("dtype", ["i2", "f4"])
@pytest.mark.parametrize(
    "limits",
    [
        {"valid_range": np.array([1, 3], "i2")},
        {"valid_min": np.int16(1)},
        {"valid_max": np.float32(50)},
        {"valid_min": np.float32(20), "valid_max": np.float32(50)},
        {"valid_min": np.int16(-1), "valid_max": np.float32(50)},
    ],
)
def test_predictions_have_the_limits_that_observations_have(dtype, scale, limits):
    encoding = {"dtype": np.dtype(dtype), "scale_factor": scale, "add_offset": 20.0}
    field = xr.DataArray(np.zeros((1, 2, 2)), attrs=limits)
    field.encoding = encoding
    rules = MissingRules.of(np.dtype(dtype), {"scale_factor": scale, "add_offset": 20.0} | limits)
    ends = tuple(None if np.isinf(end) else end for end in valid_limits(field))
    assert ends == rules.limits()


def test_a_negative_scale_swaps_the_valid_codes():
    encoding = {"dtype": "int16", "scale_factor": -0.5, "add_offset": 20.0}
    attrs = {"valid_min": np.float32(10.0)}
    assert valid_codes(attrs, encoding, Codes.of(encoding)) == (None, 20)


def test_an_empty_range_is_no_range():
    assert valid_limits(xr.DataArray(0.0, attrs={"valid_min": 3.0, "valid_max": 1.0})) == (-np.inf, np.inf)
