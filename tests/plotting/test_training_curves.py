"""Tests of training curves."""

import matplotlib.pyplot as plt
import pytest

from geogan.operators.errors import InputError
from geogan.plotting import plot_training

pytestmark = pytest.mark.usefixtures("no_network")


def test_missing_values_are_skipped_and_a_metric_is_required(tmp_path):
    records = [{"step": i, "loss_prior": 1 / (i + 1), "withheld_rmse": 0.5 if i % 2 else None} for i in range(9)]
    before = plt.get_fignums()
    path = plot_training([*records, {"step": 10}], tmp_path / "training.png")
    assert path.stat().st_size > 5_000
    assert plt.get_fignums() == before
    with pytest.raises(InputError, match="first report"):
        plot_training([{"step": 1}], path)
