"""Tests of the style of curves."""

from geogan.plotting.curves import curve_colours


def test_colours_repeat_after_six():
    colours = curve_colours(8)
    assert len(set(colours)) == 6 and colours[6:] == colours[:2]
