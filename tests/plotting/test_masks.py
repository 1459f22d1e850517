"""Masks side by side."""

import numpy as np
import pytest

from geogan.operators.errors import InputError
from geogan.plotting import plot_masks


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_rows_of_masks_are_written(tmp_path, suffix):
    masks = np.random.default_rng(0).random((3, 8, 12)) < 0.5
    domain = np.ones((8, 12), bool)
    domain[0] = False
    path = plot_masks({"observed": masks, "drawn": masks[:2]}, domain, tmp_path / f"masks.{suffix}")
    assert path.stat().st_size > 1000
    with pytest.raises(InputError):
        plot_masks({"observed": masks}, domain, tmp_path / "masks.txt")
