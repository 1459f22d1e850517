"""Tests of source flags: the observed part of a product, the map of flags."""

import numpy as np
import pytest
import xarray as xr

from geogan.fields.source_flags import observed_part
from geogan.operators.errors import InputError
from geogan.plotting import plot_reconstruction

pytestmark = pytest.mark.usefixtures("no_network")


def test_the_observed_part_of_a_product(a_field):
    filled = a_field(dates=2)
    source = xr.zeros_like(filled, dtype="int8")
    source.attrs = {"flag_values": np.array([3, 1], "int8"), "flag_meanings": "observed filled"}
    source[:] = 1
    source[1, 4:] = 3
    observed = observed_part(filled, source)
    assert observed.notnull().values.tolist() == (source == 3).values.tolist()
    source.attrs["flag_meanings"] = "measured filled"
    with pytest.raises(InputError, match="must name observed"):
        observed_part(filled, source)


def test_flags_are_drawn_with_a_legend_of_their_meanings(tmp_path, a_field, texts):
    filled = a_field()
    source = xr.zeros_like(filled, dtype="int8")
    source.attrs = {"flag_values": np.array([0, 1], "int8"), "flag_meanings": "observed filled"}
    source[:5] = 1
    figure = plot_reconstruction(filled.where(source == 0), filled, source=source, path=tmp_path / "map.pdf")
    assert "source" in texts(figure)
    assert {text.get_text() for text in figure.axes[2].get_legend().get_texts()} == {"observed", "filled"}
    with pytest.raises(InputError, match="flag_meanings"):
        plot_reconstruction(filled, filled, source=filled)
