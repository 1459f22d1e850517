"""Masks side by side, as small pictures."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from geogan.plotting.figure_file import figure_path, save_figure

# Colours of gaps, observed cells and cells outside the domain.
_COLOURS = ("#f3f1ec", "#31688e", "#b3a995")


def plot_masks(rows: Mapping[str, np.ndarray], domain: np.ndarray, path: str | Path) -> Path:
    """Draw a row of masks for each name.

    Parameters
    ----------
    rows : mapping of str to ndarray of bool, shape (N, H, W)
        True where observed.
    domain : ndarray of bool, shape (H, W)
        Cells outside are drawn in another colour.
    path : str or Path
        PNG, PDF or SVG.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the figure cannot be written.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

    target = figure_path(path)
    columns = max(len(masks) for masks in rows.values())
    height, width = domain.shape
    side = 2.4
    size = (columns * side, len(rows) * side * min(1.6, max(0.5, height / width)) + 0.9)
    # Room for the names, which the layout does not see.
    layout = ConstrainedLayoutEngine(h_pad=0.15)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout=layout)
    colours = ListedColormap(_COLOURS)
    try:
        for row, (name, masks) in zip(axes, rows.items(), strict=True):
            for ax in row:
                ax.set_xticks([])
                ax.set_yticks([])
            for ax, mask in zip(row, masks, strict=False):
                ax.imshow(
                    np.where(domain, mask, 2), cmap=colours, vmin=0, vmax=2, origin="lower", interpolation="nearest"
                )
            for ax in row[len(masks) :]:
                ax.set_visible(False)
            # A long name must not widen the first column.
            title = row[0].text(0, 1.03, name, transform=row[0].transAxes, fontsize="small")
            title.set_in_layout(False)
        words = ("gap", "observed", "outside the domain")
        shown = words if not domain.all() else words[:2]
        handles = [Patch(facecolor=colour, edgecolor="0.5", label=word) for colour, word in zip(_COLOURS, shown)]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize="small")
        save_figure(figure, target)
    finally:
        plt.close(figure)
    return target
