"""A map of the source of each value of a filled product."""

from typing import Any

import numpy as np

from geogan.plotting.coast import draw_coastline
from geogan.plotting.colours import LAND, REFUSED, ColourScale
from geogan.plotting.map_view import MapView
from geogan.plotting.painting import draw_mesh

_COLOURS = {
    "observed": "#3b6ea5",
    "filled": "#f2b84b",
    "land": LAND,
    "refused": REFUSED,
    "unreadable": "#8e6bb0",
    "screened": "#4f8f5b",
}
_COLOURS_OF_OTHER_FLAGS = ("#7aa874", "#8d7fb8", "#c98b6b", "#5fa6a6", "#c5719e", "#8a8a8a")


def draw_flags(ax: Any, view: MapView, flags: np.ndarray, names: dict[int, str]) -> None:
    """Draw one colour for each flag, with a legend of the flags that occur."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    other = iter(_COLOURS_OF_OTHER_FLAGS)
    colours = {value: _COLOURS.get(name) or next(other, "#555555") for value, name in names.items()}
    index = np.full(flags.shape, np.nan)
    for i, value in enumerate(names):
        index[flags == value] = i
    ax.set_facecolor(view.grid.gap)
    draw_mesh(ax, view, index, ColourScale(ListedColormap(list(colours.values())), (-0.5, len(colours) - 0.5)))
    if view.grid.is_geographic:
        draw_coastline(ax, view)
    present = [value for value in names if (flags == value).any()]
    ax.legend(
        handles=[Patch(facecolor=colours[value], label=_label(names[value])) for value in present],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02 if view.grid.is_image else -0.12),
        ncols=2,
        frameon=False,
        fontsize="small",
    )


def _label(meaning: str) -> str:
    """Return what a legend calls a flag; ``land`` of a product is every cell outside the domain."""
    return "outside the domain" if meaning == "land" else meaning.replace("_", " ")
