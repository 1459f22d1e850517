"""The style that all curves share."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCE = "#3c3a35"
_COLOURS = ("#3b6ea5", "#d9822b", "#4f8f5b", "#9b2f3f", "#7a5fa0", "#5f6b73")


def plain_axes(ax: "Axes") -> None:
    """Draw a faint grid behind the curves, and no frame at the top and on the right."""
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def curve_colours(count: int) -> list[str]:
    """Return one colour for each of ``count`` curves; the colours repeat after six."""
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]
