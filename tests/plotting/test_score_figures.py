"""Tests of figures of scores: their curves equal the scores."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from geogan.evaluation.ensembles import LEVELS, EnsembleTally
from geogan.fields.spectra import SpectrumTally
from geogan.operators.errors import InputError
from geogan.plotting.score_figures import plot_ranks, plot_reliability, plot_spectra, score_figures

EVERYWHERE = np.array(True)


@pytest.fixture
def scores():
    random = np.random.default_rng(0)
    members, truth = random.normal(size=(7, 2000)), random.normal(size=2000)
    return {
        "model": EnsembleTally().add_members(members, truth, EVERYWHERE).score(),
        "overconfident": EnsembleTally().add_members(0.5 * members, truth, EVERYWHERE).score(),
        "mean only": EnsembleTally().add_normal(0 * truth, 0 * truth + 1, truth, EVERYWHERE).score(),
    }


def texts(figure) -> str:
    FigureCanvasAgg(figure).draw()
    return " | ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible())


def cut_off(figure) -> list[str]:
    """Return titles and labels that extend beyond the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer, frame = canvas.get_renderer(), figure.bbox.padded(1)
    labels = [part for ax in figure.axes for part in (ax.title, ax.xaxis.label, ax.yaxis.label) if part.get_text()]
    boxes = {label.get_text(): label.get_window_extent(renderer) for label in labels}
    return [text for text, box in boxes.items() if not all(frame.contains(*corner) for corner in box.corners())]


def test_rank_frequencies_average_one(scores):
    figure = plot_ranks(scores)
    titles = [ax.get_title().splitlines() for ax in figure.axes]
    assert titles == [["model: 7 members", "2,000 cells"], ["overconfident: 7 members", "2,000 cells"]]
    for ax, name in zip(figure.axes, ("model", "overconfident")):
        heights = np.array([bar.get_height() for bar in ax.patches])
        assert heights.mean() == pytest.approx(1)
        np.testing.assert_allclose(heights / 8, np.array(scores[name].ranks) / 2000)
    assert not cut_off(figure)


def test_reliability_curves_equal_the_scores(scores):
    ax = plot_reliability(scores)
    figure = ax.figure
    diagonal, *curves = ax.lines
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    for curve, (name, score) in zip(curves, scores.items(), strict=True):
        assert curve.get_label() == f"{name} (2,000 cells)"
        np.testing.assert_allclose(curve.get_xdata(), 100 * np.array(LEVELS))
        np.testing.assert_allclose(curve.get_ydata(), [100 * score.coverage[level] for level in LEVELS])
    assert not cut_off(figure)


def test_spectra_name_the_effective_resolution():
    field = np.random.default_rng(1).normal(size=(80, 256)).cumsum(1)
    smooth = (np.roll(field, 1, 1) + 2 * field + np.roll(field, -1, 1)) / 4
    spectra = {
        "mean": SpectrumTally(32).add(field, smooth, axes="x").score(),
        "member": SpectrumTally(32).add(field, field, axes="x").score(),
        "nothing": SpectrumTally(32).score(),
    }
    figure = plot_spectra(spectra, spacing=4.0, units="°C")
    words = texts(figure)
    expected = spectra["mean"].effective_resolution(spacing=4.0)
    assert f"mean: {expected:.3g} km" in words and "wavelength [km]" in words and "[°C² per cycle per cell]" in words
    assert "nothing" not in words and words.count("observations") == 2  # one label of a curve and one of an axis
    power, ratio = figure.axes
    np.testing.assert_allclose(ratio.lines[0].get_ydata(), spectra["mean"].ratio)
    assert power.xaxis_inverted() and ratio.xaxis_inverted()
    assert not cut_off(figure)
    assert "wavelength [cells]" in texts(plot_spectra(spectra))


def test_no_figure_is_registered_with_pyplot(scores):
    before = plt.get_fignums()
    plot_ranks(scores)
    assert list(score_figures(scores, scores, {})) == ["reliability", "ranks"]
    assert plt.get_fignums() == before


def test_errors():
    none = EnsembleTally().score()
    with pytest.raises(InputError, match="needs scores of members"):
        plot_ranks({"model": none})
    with pytest.raises(InputError, match="over some cells"):
        plot_reliability({"model": none})
    with pytest.raises(InputError, match="runs of observed cells"):
        plot_spectra({"model": SpectrumTally().score()})
