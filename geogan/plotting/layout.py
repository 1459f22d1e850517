"""Figures of several maps: their size, panels, letters, colour bars, legend and margins."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geogan.plotting.colours import LAND, REFUSED, WATER, ColourScale, colour_extend
from geogan.plotting.frame import frame_map
from geogan.plotting.map_view import MapView
from geogan.plotting.painting import Ground, on_land

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches.
_AREA_OF_ONE, _AREA_OF_SEVERAL = 22.0, 6.5
_NARROWEST, _WIDEST, _TALLEST = 1.6, 6.5, 7.5
_MARGIN, _GAP, _THICKNESS = 0.08, 0.1, 0.13
_PAGE = 10.0
# Width of a figure over its height that suits a page.
_SHAPE = 1.4


class _Bar(NamedTuple):
    """A colour bar, the panels that it belongs to, and whether it stands beside them."""

    ax: Any
    panels: list[int]
    is_column: bool


class Panels:
    """A figure of maps of one size in rows and columns, placed by the size of their labels.

    Matplotlib's layout engines keep the size of the figure and leave empty space beside maps, whose aspect is fixed.

    Attributes
    ----------
    figure : Figure
    axes : list of Axes
    shape : (int, int)
        Rows and columns.
    """

    def __init__(self, view: MapView, count: int, *, multiple: int = 1) -> None:
        import matplotlib.pyplot as plt

        self.view, self.count = view, count
        self._width, self._height = _map_size(view.height, count)
        self.shape = _arrangement(self._width, self._height, count, multiple)
        self._bars: list[_Bar] = []
        rows, columns = self.shape
        # Every map and colour bar has its final size from the start, because the number of its labels depends on it.
        self._size = columns * (self._width + 1) + 1, rows * (self._height + 1) + 1
        self.figure: Figure = plt.figure(figsize=self._size)
        self.axes = [self._new_axes(self._width, self._height, projection=view.crs) for _ in range(count)]

    def _new_axes(self, width: float, height: float, **options: Any) -> Any:
        """Return axes of a size in inches."""
        place = (0.2, 0.2, width / self._size[0], height / self._size[1])
        return self.figure.add_axes(place, **options)

    def frame(self, number: int) -> None:
        """Draw the extent and the labels of a panel; only the outer panels have labels."""
        columns = self.shape[1]
        frame_map(
            self.axes[number],
            self.view,
            has_row_labels=number % columns == 0,
            has_column_labels=number + columns >= self.count,
            # A label is about 0.6 inches wide and 0.15 inches high.
            ticks=(int(np.clip(self._width / 0.75, 2, 6)), int(np.clip(self._height / 0.4, 1, 6))),
        )

    def title(self, number: int, text: str) -> None:
        """Write the letter and the title of a panel; a long title is broken into lines."""
        letter = f"({chr(ord('a') + number)}) " if self.count > 1 else ""
        self.axes[number].set_title(_broken(letter + text, self._width), loc="left", fontsize="medium")

    def colour_bar(
        self, numbers: Sequence[int], mesh: Any, scale: ColourScale, label: str, values: Sequence[np.ndarray]
    ) -> None:
        """Draw the colour bar of panels with one colour scale: one for the panels of each row."""
        if mesh is None:
            return
        columns = self.shape[1]
        is_column = columns == 1 and self.view.height > 0.8
        groups = [[n for n in numbers if n // columns == row] for row in range(self.shape[0])]
        if columns == 1 and not is_column:
            groups = [[number] for number in numbers]
        for group in filter(None, groups):
            self.add_bar(group, mesh, scale, label, values, is_column=is_column)

    def last_row_halves(self) -> tuple[list[int], list[int]]:
        """Return the panels in the left and in the right half of the last row."""
        columns = self.shape[1]
        row = list(range(columns * ((self.count - 1) // columns), self.count))
        middle = (len(row) + 1) // 2
        return row[:middle], row[middle:]

    def add_bar(
        self,
        group: list[int],
        mesh: Any,
        scale: ColourScale,
        label: str,
        values: Sequence[np.ndarray],
        *,
        is_column: bool = False,
    ) -> None:
        """Draw one colour bar below some panels of a row, or beside those of a column."""
        if mesh is not None and group:
            length = 0.9 * (self._height if is_column else self._width * (1.0 if len(group) == 1 else 1.5))
            size = (_THICKNESS, length) if is_column else (length, _THICKNESS)
            bar = self._new_axes(*size)
            draw_colour_bar(bar, mesh, scale, _broken(label, length), values, is_column=is_column)
            self._bars.append(_Bar(bar, group, is_column))

    def legend(self, entries: dict[str, str]) -> None:
        """Draw the colours of cells without a value below the maps."""
        if not entries:
            return
        from matplotlib.patches import Patch

        patches = [Patch(facecolor=colour, edgecolor="0.6", label=label) for label, colour in entries.items()]
        letters = max(map(len, entries)) + 6
        columns = max(1, min(len(entries), int((self._total_width + 1) / (0.07 * letters))))
        self.figure.legend(handles=patches, loc="lower center", ncols=columns, frameon=False, fontsize="small")

    def heading(self, text: str) -> None:
        """Write the title of the figure."""
        self.figure.suptitle(_broken(text, self._total_width + 0.6, letter=0.1), va="top")

    @property
    def _total_width(self) -> float:
        return self.shape[1] * self._width

    def finish(self) -> "Figure":
        """Place maps, colour bars, legend and title, and cut the figure to them: nothing is clipped or overlaps."""
        figure = self.figure
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        margins = {ax: _margins(ax, renderer) for ax in figure.axes}
        columns, rows = self.shape[1], self.shape[0]
        below, beside = np.zeros(self.count), np.zeros(self.count)
        for bar in self._bars:
            left, right, bottom, top = margins[bar.ax]
            along = beside if bar.is_column else below
            along[bar.panels] = _GAP + _THICKNESS + (left + right if bar.is_column else bottom + top)
        sides = np.array([margins[ax] for ax in self.axes])  # left, right, bottom, top of each panel
        lefts, rights = ([sides[c::columns, side].max() for c in range(columns)] for side in (0, 1))
        rights = [right + beside[c::columns].max() for c, right in enumerate(rights)]
        by_row = [slice(row * columns, (row + 1) * columns) for row in range(rows)]
        tops = [sides[row, 3].max() for row in by_row]
        bottoms = [(sides[row, 2] + below[row]).max() for row in by_row]
        x = _MARGIN + np.cumsum([0.0, *(right + self._width + _GAP for right in rights[:-1])]) + np.cumsum(lefts)
        depth = np.cumsum(tops) + np.cumsum([0.0, *(bottom + self._height + _GAP for bottom in bottoms[:-1])])
        width = x[-1] + self._width + rights[-1] + _MARGIN
        height = depth[-1] + self._height + bottoms[-1]
        head, legend_height, widest = self._around(renderer)
        total = head + height + legend_height + 2 * _MARGIN
        shift = max(0.0, widest + 2 * _MARGIN - width) / 2
        width += 2 * shift
        figure.set_size_inches(width, total)
        corners = [(shift + x[n % columns], total - _MARGIN - head - depth[n // columns] - self._height)
                   for n in range(self.count)]  # fmt: skip
        for ax, (left, bottom) in zip(self.axes, corners, strict=True):
            ax.set_position((left / width, bottom / total, self._width / width, self._height / total))
        for bar in self._bars:
            self._place_bar(bar, corners, sides, margins[bar.ax], (width, total))
        for legend in figure.legends:
            legend.set_bbox_to_anchor((0.5, _MARGIN / total))
        if figure._suptitle is not None:  # type: ignore[attr-defined]
            figure._suptitle.set(x=0.5, y=1 - _MARGIN / total)  # type: ignore[attr-defined]
        return figure

    def _around(self, renderer: Any) -> tuple[float, float, float]:
        """Return the heights of the title and of the legend with their gaps, and the larger of their widths."""
        heights, widths = [0.0, 0.0], [0.0]
        for number, parts in enumerate(([self.figure._suptitle], self.figure.legends)):  # type: ignore[attr-defined]
            for part in parts:
                if part is not None:
                    box = part.get_window_extent(renderer)
                    heights[number] = box.height / self.figure.dpi + _GAP
                    widths.append(box.width / self.figure.dpi)
        return heights[0], heights[1], max(widths)

    def _place_bar(
        self,
        bar: _Bar,
        corners: list[tuple[float, float]],
        sides: np.ndarray,
        margins: tuple[float, ...],
        size: tuple[float, float],
    ) -> None:
        """Place a colour bar beside or below the maps that it belongs to."""
        lowest = min(corners[number][1] for number in bar.panels)
        leftmost = min(corners[number][0] for number in bar.panels)
        rightmost = max(corners[number][0] for number in bar.panels) + self._width
        highest = max(corners[number][1] for number in bar.panels) + self._height
        if bar.is_column:
            length = 0.9 * self._height
            left = rightmost + sides[bar.panels, 1].max() + _GAP + margins[0]
            place = (left, (lowest + highest - length) / 2, _THICKNESS, length)
        else:
            length = 0.9 * self._width * (1.0 if len(bar.panels) == 1 else 1.5)
            bottom = lowest - sides[bar.panels, 2].max() - _GAP - _THICKNESS - margins[3]
            place = ((leftmost + rightmost - length) / 2, bottom, length, _THICKNESS)
        bar.ax.set_position((place[0] / size[0], place[1] / size[1], place[2] / size[0], place[3] / size[1]))


def _margins(ax: Any, renderer: Any) -> tuple[float, float, float, float]:
    """Return how far labels and titles extend beyond axes at left, right, bottom and top, in inches."""
    box = ax.get_position(original=True).transformed(ax.figure.transFigure)
    tight = ax.get_tightbbox(renderer)
    extents = (box.x0 - tight.x0, tight.x1 - box.x1, box.y0 - tight.y0, tight.y1 - box.y1)
    left, right, bottom, top = (max(0.0, float(extent)) / ax.figure.dpi for extent in extents)
    return left, right, bottom, top


def _broken(text: str, width: float, *, letter: float = 0.08) -> str:
    """Return a text broken into lines that fit a width, for letters of a width, both in inches."""
    return "\n".join(textwrap.wrap(text, max(12, int(width / letter))))


def draw_colour_bar(
    ax: Any,
    mesh: Any,
    scale: ColourScale,
    label: str,
    values: Sequence[np.ndarray],
    *,
    is_column: bool,
    is_caller: bool = False,
) -> None:
    """Draw a colour bar.

    Parameters
    ----------
    ax : Axes or list of Axes
        Axes of the bar; with ``is_caller`` the map, or maps, beside or below which Matplotlib places it.
    mesh : QuadMesh
    scale : ColourScale
    label : str
    values : sequence of ndarray
        All values that are drawn, which decide whether the bar has ends for values beyond the limits.
    is_column : bool
        Whether the bar stands.
    is_caller : bool
        Whether ``ax`` is the map.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    place = {"ax": ax, "location": "right" if is_column else "bottom", "shrink": 0.85} if is_caller else {"cax": ax}
    if not is_caller:
        place["orientation"] = "vertical" if is_column else "horizontal"
    figure = (ax[0] if isinstance(ax, list) else ax).figure
    bar = figure.colorbar(mesh, label=label, extend=colour_extend(list(values), scale.limits), **place)
    if scale.is_log:
        decades = np.log10(scale.limits[1] / scale.limits[0])
        bar.ax.minorticks_off()
        bar.locator = LogLocator(subs=(1, 2, 3, 5, 7) if decades < 0.8 else (1, 2, 5) if decades < 2.5 else (1,))
        bar.formatter = FuncFormatter(lambda value, _: f"{value:g}")
        bar.minorformatter = NullFormatter()
        bar.update_ticks()
    elif not is_column and not is_caller:
        length = ax.get_position(original=True).width * figure.get_figwidth()
        bar.ax.locator_params(nbins=int(np.clip(length / 0.55, 4, 9)))
    bar.ax.tick_params(labelsize="small")


def legend_entries(
    view: MapView, ground: Ground, *, has_gaps: bool, domain: np.ndarray | None, refused: np.ndarray | None = None
) -> dict[str, str]:
    """Return the colours of cells without a value that a map shows, by their label."""
    entries = {"not observed": ground.gap} if has_gaps else {}
    if refused is not None and refused.any():
        entries["refused: error too large"] = REFUSED
    if view.grid.is_image:
        return entries
    # A legend needs no cell by cell answer.
    stride = -(-max(view.grid.y_edges.size, view.grid.x_edges.size) // 150)
    land = on_land(view.grid, stride) if ground.surface is not None else None
    if land is not None and ground.surface == "sea" and land.any():
        entries["land"] = LAND
    if land is not None and ground.surface == "land" and not land.all():
        entries["sea"] = WATER
    if domain is not None:
        outside = ~domain[::stride, ::stride]
        if land is not None:
            outside &= ~land if ground.surface == "sea" else land
        if outside.any():
            entries[ground.outside_label] = ground.outside
    return entries


def _map_size(height: float, count: int) -> tuple[float, float]:
    """Return width and height of a map in inches: narrow and tall maps keep a legible width."""
    area = _AREA_OF_ONE if count == 1 else _AREA_OF_SEVERAL
    width = float(np.clip(np.sqrt(area / height), _NARROWEST, _WIDEST))
    return (width, width * height) if width * height <= _TALLEST else (_TALLEST / height, _TALLEST)


def _arrangement(width: float, height: float, count: int, multiple: int) -> tuple[int, int]:
    """Return rows and columns whose figure fits a page; empty places count against an arrangement."""

    def unfitness(columns: int) -> float:
        rows = -(-count // columns)
        shape = columns * (width + 0.5) / (rows * (height + 1.0))
        too_high = max(0.0, rows * (height + 1.0) - _PAGE)
        return abs(np.log(shape / _SHAPE)) + 0.7 * (rows * columns - count) + 0.2 * too_high

    columns = min(range(multiple, count + 1, multiple), key=unfitness)
    return -(-count // columns), columns
