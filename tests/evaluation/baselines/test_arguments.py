"""Every baseline refuses maps in another order, and dates that do not increase, with the same sentence."""

import numpy as np
import pytest

from geogan.evaluation.baselines.arguments import check_days
from geogan.evaluation.baselines.biharmonic import biharmonic
from geogan.evaluation.baselines.climatology import climatology
from geogan.evaluation.baselines.deep_image_prior import deep_image_prior
from geogan.evaluation.baselines.dineof import decompose, dineof
from geogan.evaluation.baselines.linear_time import linear_time
from geogan.evaluation.baselines.total_variation import total_variation
from geogan.operators.errors import InputError

CALLS = {
    biharmonic: (r"\(T, H, W\) or \(T, C, H, W\)", {}),
    climatology: (r"\(T, H, W\)", {"background": np.zeros(())}),
    decompose: (r"\(T, H, W\)", {}),
    deep_image_prior: (r"\(T, C, H, W\)", {}),
    dineof: (r"\(T, H, W\)", {}),
    linear_time: (r"\(T, H, W\)", {"days": np.arange(3)}),
    total_variation: (r"\(T, C, H, W\)", {}),
}


@pytest.mark.parametrize("baseline", CALLS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("shape", [(9, 12), (3, 2, 12, 9), (3, 12, 9), (1, 3, 2, 9, 12)], ids=str)
def test_maps_in_another_order_are_refused(baseline, shape):
    order, rest = CALLS[baseline]
    with pytest.raises(InputError, match=rf"values must be {order} and domain \(H, W\).*transpose the dimensions"):
        baseline(np.zeros(shape), domain=np.ones((9, 12), bool), **rest)


@pytest.mark.parametrize("days", [[0, 1], [0, 2, 2], [0, 2, 1], [0, np.nan, 3]])
def test_there_must_be_one_increasing_date_for_each_map(days):
    with pytest.raises(InputError, match="days must be 3 increasing numbers"):
        check_days(np.array(days), 3)
