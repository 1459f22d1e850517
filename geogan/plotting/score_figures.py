"""Figures of scores: rank histograms, power spectra, reliability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from geogan.operators.errors import InputError
from geogan.plotting.curves import REFERENCE, curve_colours, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from geogan.evaluation import EnsembleScore
    from geogan.fields.spectra import Spectrum


def score_figures(
    laws: Mapping[str, EnsembleScore],
    ensembles: Mapping[str, EnsembleScore],
    spectra: Mapping[str, Spectrum],
    *,
    units: str = "",
) -> dict[str, Figure]:
    """Return the figures of the scores of several methods.

    Parameters
    ----------
    laws : mapping of str to EnsembleScore
        Scores of predicted distributions by method.
    ensembles : mapping of str to EnsembleScore
        Scores of members by method.
    spectra : mapping of str to Spectrum
        By the name of the estimate.
    units : str
        Unit of the field.

    Returns
    -------
    figures : dict of str to Figure
        ``reliability``, ``ranks`` and ``spectra``; those without scores are left out.

    Examples
    --------
    >>> from geogan.evaluation.ensembles import EnsembleTally
    >>> truth = np.random.default_rng(0).normal(size=500)
    >>> score = EnsembleTally().add_normal(0 * truth, 0 * truth + 1, truth, np.array(True)).score()
    >>> list(score_figures({"model": score}, {}, {}))
    ['reliability']
    """
    from matplotlib.figure import Figure

    figures: dict[str, Figure] = {}
    if any(score.cells for score in laws.values()):
        reliability = Figure(figsize=(4.2, 4.0), layout="constrained")
        plot_reliability(laws, ax=reliability.subplots())
        figures["reliability"] = reliability
    if any(sum(score.ranks) > 0 for score in ensembles.values()):
        figures["ranks"] = plot_ranks(ensembles)
    if any(spectrum.segments for spectrum in spectra.values()):
        figures["spectra"] = plot_spectra(spectra, units=units)
    return figures


def plot_ranks(scores: Mapping[str, EnsembleScore]) -> Figure:
    """Draw rank histograms: how often 0, 1, ... M members lie below the truth.

    The histogram of a reliable ensemble is flat. A U shape means too little spread, a dome too much spread, a slope
    a bias.

    Parameters
    ----------
    scores : mapping of str to EnsembleScore
        By method; a score without members is left out.

    Returns
    -------
    figure : Figure
        Not registered with pyplot; the caller saves it.

    Raises
    ------
    InputError
        If no score has members.

    Examples
    --------
    >>> from geogan.evaluation.ensembles import EnsembleTally
    >>> random = np.random.default_rng(0)
    >>> members, truth = random.normal(size=(9, 500)), random.normal(size=500)
    >>> score = EnsembleTally().add_members(members, truth, np.array(True)).score()
    >>> [ax.get_title().splitlines() for ax in plot_ranks({"model": score}).axes]
    [['model: 9 members', '500 cells']]
    """
    from matplotlib.figure import Figure

    ranks = {name: np.array(score.ranks) for name, score in scores.items() if sum(score.ranks) > 0}
    if not ranks:
        raise InputError("a rank histogram needs scores of members, got none; score members, not their mean alone")
    columns = min(3, len(ranks))
    rows = -(-len(ranks) // columns)
    figure = Figure(figsize=(1.0 + 2.6 * columns, 0.5 + 2.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    axes = list(grid.flat)
    for unused in axes[len(ranks) :]:
        unused.remove()
    for ax, (name, counts), colour in zip(axes, ranks.items(), curve_colours(len(ranks))):
        relative = counts * len(counts) / counts.sum()
        ax.bar(np.arange(len(counts)), relative, width=0.9, color=colour)
        ax.axhline(1, color=REFERENCE, linestyle="--", linewidth=1)
        ax.set_title(f"{name}: {len(counts) - 1} members\n{counts.sum():,.0f} cells", fontsize="medium")
        ax.set_xlabel("members below the truth")
        ax.xaxis.get_major_locator().set_params(integer=True)
        plain_axes(ax)
    for ax in grid[:, 0]:
        ax.set_ylabel("relative frequency")
    return figure


def plot_spectra(
    spectra: Mapping[str, Spectrum], *, spacing: float | None = None, threshold: float = 0.5, units: str = ""
) -> Figure:
    """Draw power spectra beside those of the observations, and their ratios with the effective resolution.

    Parameters
    ----------
    spectra : mapping of str to Spectrum
        By the name of the estimate that was compared with the observations.
    spacing : float, optional
        Cell size in km; by default wavelengths are in cells.
    threshold : float
        Ratio of power that defines the effective resolution.
    units : str
        Unit of the field.

    Returns
    -------
    figure : Figure
        Not registered with pyplot; the caller saves it. Wavelengths decrease to the right.

    Raises
    ------
    InputError
        If no spectrum has a segment.

    Examples
    --------
    >>> from geogan.fields.spectra import SpectrumTally
    >>> field = np.random.default_rng(0).normal(size=(40, 64)).cumsum(1)
    >>> spectrum = SpectrumTally(16).add(field, 0.9 * field).score()
    >>> [ax.get_ylabel() for ax in plot_spectra({"mean": spectrum}, units="K").axes]
    ['power [K² per cycle per cell]', 'power over that of the observations']
    """
    from matplotlib.figure import Figure

    spectra = {name: spectrum for name, spectrum in spectra.items() if spectrum.segments}
    if not spectra:
        raise InputError("a spectrum needs runs of observed cells, got none; give shorter segments or larger fields")
    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    power_axes, ratio_axes = figure.subplots(1, 2)
    _draw_power(power_axes, spectra, spacing or 1.0, units)
    _draw_ratios(ratio_axes, spectra, spacing, threshold)
    for letter, ax in zip("ab", (power_axes, ratio_axes)):
        ax.set_title(f"({letter})", loc="left", fontsize="medium")
        ax.set_xscale("log", base=2)
        ax.invert_xaxis()
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlabel(f"wavelength [{'cells' if spacing is None else 'km'}]")
        plain_axes(ax)
        ax.legend(frameon=False, fontsize="small")
    return figure


def _draw_power(ax: Axes, spectra: Mapping[str, Spectrum], spacing: float, units: str) -> None:
    """Draw the power of each estimate, and each different spectrum of observations once."""
    references: list[np.ndarray] = []
    for (name, spectrum), colour in zip(spectra.items(), curve_colours(len(spectra))):
        wavelength = spectrum.wavelength * spacing
        if not any(np.array_equal(spectrum.reference, other) for other in references):
            label = "observations" if not references else None
            positive = np.where(spectrum.reference > 0, spectrum.reference, np.nan)
            ax.plot(wavelength, positive, color=REFERENCE, linewidth=2, label=label, zorder=1)
            references.append(spectrum.reference)
        ax.plot(wavelength, spectrum.estimate, color=colour, linewidth=1.4, label=name)
    ax.set_yscale("log")
    ax.set_ylabel(f"power [{units + '² ' if units else ''}per cycle per cell]", fontsize="small")


def _draw_ratios(ax: Axes, spectra: Mapping[str, Spectrum], spacing: float | None, threshold: float) -> None:
    """Draw the power of each estimate over that of the observations, and mark the effective resolution."""
    cell, unit = (1.0, "cells") if spacing is None else (spacing, "km")
    for (name, spectrum), colour in zip(spectra.items(), curve_colours(len(spectra))):
        resolution = spectrum.effective_resolution(threshold=threshold, spacing=cell)
        label = f"{name}: {resolution:.3g} {unit}" if np.isfinite(resolution) else name
        wavelength = spectrum.wavelength * cell
        ax.plot(wavelength, spectrum.ratio, color=colour, linewidth=1.4, label=label, marker="o", markersize=3)
        if np.isfinite(resolution):
            ax.plot([resolution], [threshold], color=colour, marker="D", markersize=6, linestyle="")
    ax.axhline(1, color=REFERENCE, linewidth=1)
    ax.axhline(threshold, color=REFERENCE, linestyle="--", linewidth=1)
    # A logarithmic axis treats twice and half the power alike, and one ratio of 10 does not flatten the other curves.
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter("{x:g}")
    ratios = np.concatenate([spectrum.ratio[spectrum.ratio > 0] for spectrum in spectra.values()])
    ax.set_ylim(max(1 / 16, 0.8 * min(threshold, *ratios)), 1.25 * max(1, *ratios))
    ax.set_ylabel("power over that of the observations", fontsize="small")


def plot_reliability(scores: Mapping[str, EnsembleScore], *, ax: Axes | None = None) -> Axes:
    """Draw the share of truths inside central intervals against the nominal share.

    A curve below the diagonal means that the predicted errors are too small; above it, too large. The legend gives the
    number of cells.

    Parameters
    ----------
    scores : mapping of str to EnsembleScore
        By method.
    ax : Axes, optional
        By default those of a new figure, which is not registered with pyplot.

    Returns
    -------
    ax : Axes

    Raises
    ------
    InputError
        If no score has a cell.

    Examples
    --------
    >>> from geogan.evaluation.ensembles import EnsembleTally
    >>> truth = np.random.default_rng(0).normal(size=500)
    >>> score = EnsembleTally().add_normal(0 * truth, 0 * truth + 1, truth, np.array(True)).score()
    >>> ax = plot_reliability({"model": score})
    >>> ax.get_xlabel(), ax.get_legend().get_texts()[0].get_text()
    ('nominal coverage [%]', 'model (500 cells)')
    """
    from matplotlib.figure import Figure

    scores = {name: score for name, score in scores.items() if score.cells}
    if not scores:
        raise InputError("reliability needs scores over some cells, got none; score where the truth is known")
    if ax is None:
        ax = Figure(figsize=(4.2, 4.0), layout="constrained").subplots()
    ax.plot([0, 100], [0, 100], color=REFERENCE, linestyle="--", linewidth=1, zorder=1)
    for (name, score), colour in zip(scores.items(), curve_colours(len(scores))):
        nominal, reached = 100 * np.array(list(score.coverage.items())).T
        label = f"{name} ({score.cells:,} cells)"
        ax.plot(nominal, reached, color=colour, linewidth=1.4, marker="o", markersize=4, label=label, clip_on=False)
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 100)
    ax.set_aspect("equal")
    ax.set_xlabel("nominal coverage [%]")
    ax.set_ylabel("truths inside [%]")
    plain_axes(ax)
    ax.legend(frameon=False, loc="best", fontsize="small")
    return ax
