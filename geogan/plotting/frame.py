"""The frame of a map: extent, grid lines, labels along the sides."""

from typing import Any

import numpy as np

from geogan.plotting.map_view import MapView


def frame_map(
    ax: Any,
    view: MapView,
    *,
    has_row_labels: bool = True,
    has_column_labels: bool = True,
    ticks: tuple[int, int] = (5, 6),
) -> None:
    """Set the extent and the labels along the sides; axes of the caller keep theirs.

    Parameters
    ----------
    ax : Axes
    view : MapView
    has_row_labels, has_column_labels : bool
        Whether there are labels at the left side, and below.
    ticks : (int, int)
        Largest number of labels along x and along y.
    """
    if view.name == "axes":
        return
    grid = view.grid
    ax.set_xlim(view.x_span)
    ax.set_ylim(view.y_span[::-1] if grid.is_image else view.y_span)
    if grid.is_image:
        ax.set(xticks=[], yticks=[], aspect="equal")
        return
    ax.set_aspect("auto" if view.aspect is None else view.aspect)
    if view.crs is not None:
        if view.is_round:
            ax.set_boundary(_circle(), transform=ax.transAxes)
        _draw_grid_lines(ax, view, has_row_labels=has_row_labels, has_column_labels=has_column_labels, ticks=ticks)
        return
    if view.aspect is not None:
        ax.locator_params(axis="x", nbins=ticks[0] + 1)
        ax.locator_params(axis="y", nbins=ticks[1] + 1)
    if has_column_labels:
        ax.set_xlabel(grid.x_label)
    else:
        ax.tick_params(labelbottom=False)
    if has_row_labels:
        ax.set_ylabel(grid.y_label)
    else:
        ax.tick_params(labelleft=False)


def _draw_grid_lines(
    ax: Any, view: MapView, *, has_row_labels: bool, has_column_labels: bool, ticks: tuple[int, int]
) -> None:
    """Draw meridians and parallels with labels."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    if view.is_round:
        lines = ax.gridlines(draw_labels=True, alpha=0.3, x_inline=False, y_inline=True)
        lines.xlocator = FixedLocator(range(-180, 180, 45))
        lines.ylocator = MaxNLocator(4)
    else:
        sides = {"bottom": "x"} if has_column_labels else {}
        sides |= {"left": "y"} if has_row_labels else {}
        lines = ax.gridlines(draw_labels=sides or False, alpha=0.25, x_inline=False, y_inline=False)
        if view.name == "plate-carree":
            centre = view.grid.centre or 0.0
            lines.xlocator = _longitude_ticks(view.x_span[0] + centre, view.x_span[1] + centre, ticks[0])
            lines.ylocator = MaxNLocator(ticks[1], steps=[1, 1.5, 2, 2.5, 3, 5, 10])
    lines.xlabel_style = {"size": "small"}
    lines.ylabel_style = {"size": "small"}
    if view.is_round:
        from matplotlib.patheffects import withStroke

        # Labels of parallels lie on the map.
        lines.ylabel_style = {"size": "x-small", "path_effects": [withStroke(linewidth=2, foreground="white")]}
    # Turned labels of meridians would overlap those of the parallels.
    lines.rotate_labels = False


def _circle() -> Any:
    """Return a disc that fills the axes."""
    from matplotlib.path import Path as Outline

    angle = np.linspace(0, 2 * np.pi, 181)
    return Outline(0.5 + 0.5 * np.stack([np.sin(angle), np.cos(angle)], 1))


def _longitude_ticks(low: float, high: float, most: int) -> Any:
    """Return a locator of round longitudes in a range; across 180° cartopy's own ticks span the whole globe."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    steps = [1, 1.5, 2, 3, 4.5, 6, 9, 10] if high - low > 60 else [1, 2, 2.5, 5, 10]
    ticks = np.asarray(MaxNLocator(nbins=most, steps=steps).tick_values(low, high))
    ticks = ticks[(ticks >= low - 1e-9) & (ticks <= high + 1e-9)]
    return FixedLocator(np.unique((ticks + 180) % 360 - 180).tolist())
