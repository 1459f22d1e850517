"""Curves of a training: losses and error on withheld cells."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geogan.fields.captions import with_units
from geogan.operators.errors import InputError
from geogan.plotting.curves import plain_axes
from geogan.plotting.figure_file import figure_path, save_figure

_LOSSES = {"loss_prior": "prior", "loss_likelihood": "likelihood", "loss_withheld": "withheld"}

Curves = dict[str, tuple[list[float], list[float]]]


def plot_training(metrics: Sequence[dict[str, Any]], path: str | Path, *, units: str = "", dpi: int = 150) -> Path:
    """Draw the losses of a training and its error on the withheld cells.

    Parameters
    ----------
    metrics : sequence of dict
        One record for each report, with ``step`` and any of ``loss_prior``, ``loss_likelihood``, ``loss_withheld``
        and ``withheld_rmse``; missing and None values are skipped.
    path : str or Path
        File to write: PNG, PDF or SVG.
    units : str
        Unit of the error.
    dpi : int
        Dots per inch of the file.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If no record has a step and a value, or the figure cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> records = [{"step": 1, "loss_prior": 0.7}, {"step": 9, "loss_prior": 0.6}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_training(records, f"{folder}/training.png").name
    'training.png'
    """
    # A figure without pyplot need not be closed.
    from matplotlib.figure import Figure

    target = figure_path(path)
    groups = [
        (_curves(metrics, _LOSSES), "loss"),
        (_curves(metrics, {"withheld_rmse": "withheld RMSE"}), with_units("withheld RMSE", units)),
    ]
    groups = [(curves, label) for curves, label in groups if curves]
    if not groups:
        raise InputError(
            "metrics must hold records with a step and a loss or a withheld_rmse, got none of them; "
            "draw after the first report"
        )
    figure = Figure(figsize=(4.6 * len(groups), 3.2), layout="constrained")
    for i, (curves, label) in enumerate(groups):
        ax = figure.add_subplot(1, len(groups), i + 1)
        for name, (steps, values) in curves.items():
            ax.plot(steps, values, label=name, linewidth=1.4, marker="o" if len(steps) < 30 else "", ms=3)
        if len(groups) > 1:
            ax.set_title(f"({'ab'[i]})", loc="left", fontsize="medium")
        ax.set_xlabel("step")
        ax.set_ylabel(label)
        plain_axes(ax)
        if len(curves) > 1:
            ax.legend(frameon=False)
    save_figure(figure, target, dpi=dpi)
    return target


def _curves(metrics: Sequence[dict[str, Any]], names: dict[str, str]) -> Curves:
    """Return steps and values by label, for keys that at least one record holds."""
    curves = {}
    for key, label in names.items():
        points = [(m["step"], m[key]) for m in metrics if m.get(key) is not None and m.get("step") is not None]
        if points:
            curves[label] = ([float(step) for step, _ in points], [float(value) for _, value in points])
    return curves
