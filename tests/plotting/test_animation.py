"""Tests of animations: one frame a date, with the values of that date; no half of a file."""

import stat

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from geogan.operators.errors import InputError
from geogan.plotting import MapStyle, animate

pytestmark = pytest.mark.usefixtures("no_network")
SMALL = MapStyle(dpi=20, colormap="gray", limits=(0.0, 1.0), projection="none")


@pytest.fixture
def film():
    """Return three dates of one value each: 0, 1/2 and 1."""
    values = np.broadcast_to(np.array([0.0, 0.5, 1.0])[:, None, None], (3, 4, 5))
    time = np.datetime64("2019-03-01", "ns") + np.arange(3) * np.timedelta64(1, "D")
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": time}, name="share")


def frames(path):
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            yield np.asarray(image.convert("L")), image.info["duration"]


def test_a_frame_shows_the_values_of_its_date(film, tmp_path):
    before, done = plt.get_fignums(), []
    path = animate(film, tmp_path / "film.gif", rate=4, style=SMALL, progress=lambda *counts: done.append(counts))
    middles = [(picture[picture.shape[0] // 3, picture.shape[1] // 3], duration) for picture, duration in frames(path)]
    assert [duration for _, duration in middles] == [250] * 3 and done == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_allclose([middle for middle, _ in middles], [0, 127, 255], atol=3)
    assert plt.get_fignums() == before and [file.name for file in tmp_path.iterdir()] == ["film.gif"]


def test_a_product_has_observed_and_filled_maps(film, tmp_path):
    source = xr.ones_like(film, dtype="int8").copy()
    source[0] = 0
    source.attrs = {"flag_values": [0, 1], "flag_meanings": "observed filled"}
    one = animate(film, tmp_path / "one.gif", source=source, panels=["filled"], style=SMALL)
    two = animate(film, tmp_path / "two.gif", source=source, style=SMALL)
    assert next(frames(two))[0].shape[1] > next(frames(one))[0].shape[1]
    # After the first date nothing is observed: the first map is a gap, whose grey is 230.
    gaps = [(abs(picture.astype(int) - 230) < 4).sum() for picture, _ in frames(two)]
    assert gaps[1] > gaps[0] + 200 and gaps[2] > gaps[0] + 200


def test_an_mp4_is_written_by_ffmpeg(film, tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    # It counts the bytes of the frames, and writes the number to its last argument.
    program.write_text('#!/bin/sh\nfor last; do :; done\nwc -c > "$last"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with matplotlib.rc_context({"animation.ffmpeg_path": str(program)}):
        path = animate(film, tmp_path / "film.mp4", style=SMALL)
    size = int(path.read_text())
    assert size > 0 and size % (3 * 4) == 0  # three frames of four bytes a pixel
    with (
        matplotlib.rc_context({"animation.ffmpeg_path": str(tmp_path / "nothing")}),
        pytest.raises(InputError, match="needs the program ffmpeg"),
    ):
        animate(film, tmp_path / "other.mp4")


def test_errors(film, tmp_path):
    for change, words in [
        ({"path": tmp_path / "film.png"}, "path must end in .gif or .mp4"),
        ({"rate": 0}, "from 1 to 60, got 0"),
        ({"field": film[0]}, "two dates or more"),
        ({"panels": ["observed"]}, "without source flags"),
    ]:
        with pytest.raises(InputError, match=words):
            animate(**{"field": film, "path": tmp_path / "film.gif"} | change)
    assert not list(tmp_path.iterdir())
