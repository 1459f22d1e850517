"""Figures of scores: rank histograms, spectra and reliability, one line or panel a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from geogan.evaluation.ensembles import EnsembleScore
from geogan.model.spectra import Spectrum
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#3b6ea5", "#d9822b", "#4f8f5b", "#9b2f3f", "#7a5fa0", "#5f6b73")
_REFERENCE = "#3c3a35"


def plot_ranks(scores: Mapping[str, EnsembleScore]) -> Figure:
    """Draw how often the truth had 0, 1, ... M members below it: flat where the members are honest.

    A hollow (U) says that they are too much alike, a dome that they differ too much, a slope that they are biased.

    Parameters
    ----------
    scores : mapping of str to EnsembleScore
        By method; those without members have no ranks and are left out.

    Returns
    -------
    figure : Figure
        The caller's to save; not known to pyplot.

    Raises
    ------
    InputError
        Where none has ranks.

    Examples
    --------
    >>> from geogan.evaluation.ensembles import EnsembleTally
    >>> random = np.random.default_rng(0)
    >>> members, truth = random.normal(size=(9, 500)), random.normal(size=500)
    >>> score = EnsembleTally().add_members(members, truth, np.array(True)).score()
    >>> [ax.get_title() for ax in plot_ranks({"model": score}).axes]
    ['model: 9 members']
    """
    from matplotlib.figure import Figure

    ranks = {name: np.array(score.ranks) for name, score in scores.items() if sum(score.ranks) > 0}
    if not ranks:
        raise InputError("a rank histogram needs scores of members, got none; score members, not their mean alone")
    figure = Figure(figsize=(1.2 + 3.2 * len(ranks), 3.0), layout="constrained")
    panels = figure.subplots(1, len(ranks), squeeze=False, sharey=True)[0]
    for ax, (name, counts), colour in zip(panels, ranks.items(), _colours(len(ranks))):
        relative = counts * len(counts) / counts.sum()
        ax.bar(np.arange(len(counts)), relative, width=0.9, color=colour)
        ax.axhline(1, color=_REFERENCE, linestyle="--", linewidth=1)
        ax.set_title(f"{name}: {len(counts) - 1} members")
        ax.set_xlabel("members below the truth")
        ax.xaxis.get_major_locator().set_params(integer=True)
        _plain(ax)
    panels[0].set_ylabel("relative frequency")
    return figure


def plot_spectra(
    spectra: Mapping[str, Spectrum], *, spacing: float | None = None, threshold: float = 0.5, units: str = ""
) -> Figure:
    """Draw power spectra beside that of the observations, and their ratios with the effective resolution.

    Parameters
    ----------
    spectra : mapping of str to Spectrum
        By what was compared with the observations: the mean, a member, a rival.
    spacing : float, optional
        Size of a cell in km; by default wavelengths are in cells.
    threshold : float
        Of the ratio, at the effective resolution.
    units : str
        Of the field.

    Returns
    -------
    figure : Figure
        The caller's to save; not known to pyplot. Wavelengths get shorter to the right.

    Raises
    ------
    InputError
        Where none has a segment.

    Examples
    --------
    >>> from geogan.model.spectra import SpectrumTally
    >>> field = np.random.default_rng(0).normal(size=(40, 64)).cumsum(1)
    >>> spectrum = SpectrumTally(16).add(field, 0.9 * field).score()
    >>> [ax.get_ylabel() for ax in plot_spectra({"mean": spectrum}, units="K").axes]
    ['power [K² per cycle per cell]', 'power over that of the observations']
    """
    from matplotlib.figure import Figure

    spectra = {name: spectrum for name, spectrum in spectra.items() if spectrum.segments}
    if not spectra:
        raise InputError("a spectrum needs runs of observed cells, got none; give shorter segments or larger fields")
    cell, unit = (1.0, "cells") if spacing is None else (spacing, "km")
    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    power, ratio = figure.subplots(1, 2)
    references: list[np.ndarray] = []
    for (name, spectrum), colour in zip(spectra.items(), _colours(len(spectra))):
        length = spectrum.wavelength * cell
        if not any(np.array_equal(spectrum.reference, other) for other in references):
            label = "observations" if not references else None
            known = np.where(spectrum.reference > 0, spectrum.reference, np.nan)
            power.plot(length, known, color=_REFERENCE, linewidth=2, label=label, zorder=1)
            references.append(spectrum.reference)
        power.plot(length, spectrum.estimate, color=colour, linewidth=1.4, label=name)
        resolution = spectrum.effective_resolution(threshold=threshold, spacing=cell)
        found = f"{name}: {resolution:.3g} {unit}" if np.isfinite(resolution) else name
        ratio.plot(length, spectrum.ratio, color=colour, linewidth=1.4, label=found, marker="o", markersize=3)
        if np.isfinite(resolution):
            ratio.plot([resolution], [threshold], color=colour, marker="D", markersize=6, linestyle="")
    for ax in (power, ratio):
        ax.set_xscale("log", base=2)
        ax.invert_xaxis()
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlabel(f"wavelength [{unit}]")
        _plain(ax)
        ax.legend(frameon=False, fontsize="small")
    power.set_yscale("log")
    power.set_ylabel(f"power [{units + '² ' if units else ''}per cycle per cell]", fontsize="small")
    ratio.axhline(1, color=_REFERENCE, linewidth=1)
    ratio.axhline(threshold, color=_REFERENCE, linestyle="--", linewidth=1)
    # Twice too much is as far off as half: one that is ten times too rough must not flatten the others.
    ratio.set_yscale("log", base=2)
    ratio.yaxis.set_major_formatter("{x:g}")
    said = np.concatenate([spectrum.ratio[spectrum.ratio > 0] for spectrum in spectra.values()])
    ratio.set_ylim(max(1 / 16, 0.8 * min(threshold, *said)), 1.25 * max(1, *said))
    ratio.set_ylabel("power over that of the observations", fontsize="small")
    return figure


def plot_reliability(scores: Mapping[str, EnsembleScore]) -> Figure:
    """Draw the share of truths within central intervals against the share that was promised.

    Parameters
    ----------
    scores : mapping of str to EnsembleScore
        By method. Below the diagonal the error bars are too small, above it too large.

    Returns
    -------
    figure : Figure
        The caller's to save; not known to pyplot.

    Raises
    ------
    InputError
        Where none has a cell.

    Examples
    --------
    >>> from geogan.evaluation.ensembles import EnsembleTally
    >>> truth = np.random.default_rng(0).normal(size=500)
    >>> score = EnsembleTally().add_normal(0 * truth, 0 * truth + 1, truth, np.array(True)).score()
    >>> plot_reliability({"model": score}).axes[0].get_xlabel()
    'nominal coverage [%]'
    """
    from matplotlib.figure import Figure

    scores = {name: score for name, score in scores.items() if score.cells}
    if not scores:
        raise InputError("reliability needs scores over some cells, got none; score where the truth is known")
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 100], [0, 100], color=_REFERENCE, linestyle="--", linewidth=1, zorder=1)
    for (name, score), colour in zip(scores.items(), _colours(len(scores))):
        nominal, reached = 100 * np.array(list(score.coverage.items())).T
        ax.plot(nominal, reached, color=colour, linewidth=1.4, marker="o", markersize=4, label=name, clip_on=False)
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 100)
    ax.set_aspect("equal")
    ax.set_xlabel("nominal coverage [%]")
    ax.set_ylabel("truths inside [%]")
    _plain(ax)
    ax.legend(frameon=False, loc="upper left")
    return figure


def _plain(ax: Axes) -> None:
    """The look of all curves of the project."""
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _colours(count: int) -> Sequence[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]
