"""Animations of a field or a filled product: GIF and MP4."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.captions import colour_bar_label, date_title, display_name
from geogan.fields.field import Field
from geogan.fields.selection import select_band
from geogan.fields.source_flags import flag_names, observed_part
from geogan.operators.choices import choice
from geogan.operators.errors import InputError
from geogan.plotting.colours import REFUSED, ColourScale, colour_scale
from geogan.plotting.figure_file import figure_path, replaced
from geogan.plotting.layout import Panels, legend_entries
from geogan.plotting.map_grid import map_grid, map_values
from geogan.plotting.map_style import MapStyle
from geogan.plotting.map_view import map_view
from geogan.plotting.painting import draw_cells, draw_map, ground_of, mesh_values
from geogan.plotting.product_maps import in_any_band

PANELS = ("observed", "filled")
"""Names of the maps of an animated product."""

# Dates from which the range of the colours is taken.
_SAMPLED = 20
_FASTEST = 60


def animate(
    field: xr.DataArray,
    path: str | Path,
    *,
    source: xr.DataArray | None = None,
    panels: Sequence[str] | None = None,
    band: str | int | None = None,
    rate: int = 8,
    style: MapStyle = MapStyle(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the dates of a field as an animation; of a filled product, observed and filled side by side.

    Dates are read one at a time. All have the same colours: limits are the 2nd and 98th percentiles of up to twenty
    dates.

    Parameters
    ----------
    field : DataArray, shape (time, [band,] y, x)
        Lazy or not.
    path : str or Path
        ``.gif``, or ``.mp4`` if ffmpeg is installed.
    source : DataArray of int, same shape, optional
        CF flags of each cell of a filled product.
    panels : sequence of str, optional
        ``"observed"`` and ``"filled"``; both by default if there is a ``source``.
    band : str or int, optional
        As in `geogan.fields.selection.select_band`.
    rate : int
        Dates a second.
    style : MapStyle
        Projection, colours and resolution.
    progress : callable
        Called with the number of frames done, and of all.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the field has fewer than two dates, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     animate(synthetic_sst(days=3, size=24)["sst"], f"{folder}/sea.gif", style=MapStyle(dpi=40)).name
    'sea.gif'
    """
    target = figure_path(path, is_animation=True)
    if isinstance(rate, bool) or not isinstance(rate, int) or not 1 <= rate <= _FASTEST:
        raise InputError(f"rate must be a whole number of dates a second from 1 to {_FASTEST}, got {rate!r}")
    whole = select_band(Field.of(field), band)
    time = whole.axes.time
    if time is None or whole.array.sizes[time] < 2:
        raise InputError("an animation needs a field with two dates or more; draw a single date with geogan plot")
    names = _panel_names(panels, source)
    flags = None if source is None else select_band(Field.of(source), band, like=whole).array
    count = whole.array.sizes[time]
    with _new_figures_closed(), replaced(target) as partial:
        film = _Film(whole.array, time, flags, names, style)
        writer = _write_gif if target.suffix.lower() == ".gif" else _write_mp4
        writer(film, partial, count, rate, style.dpi, progress)
    return target


class _Film:
    """A figure whose maps are changed from date to date."""

    def __init__(
        self, array: xr.DataArray, time: str, flags: xr.DataArray | None, names: Sequence[str], style: MapStyle
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self.array, self.time, self.flags = array, time, flags
        sampled = np.unique(np.linspace(0, array.sizes[time] - 1, _SAMPLED).round().astype(int))
        examples = array.isel({time: sampled}).load()
        scale = colour_scale([examples], colours=style.colormap, limits=style.limits, is_log=style.log)
        first = examples.isel({time: 0})
        self.grid = map_grid(first)
        self.view, self.scale = map_view(self.grid, style.projection), scale
        seen = examples.notnull().any([dim for dim in examples.dims if dim not in (self.grid.y, self.grid.x)])
        ground = ground_of(array, self.grid, np.where(map_values(seen, self.grid) > 0, 1.0, np.nan))
        self.names, self.meshes, self.refused = names, [], []
        drawn = Panels(self.view, len(names))
        maps, refused = self._maps(0)
        domain = None if flags is None else self._domain(flags.isel({time: 0}))
        for number, name in enumerate(names):
            mesh = draw_map(drawn.axes[number], self.view, maps[number], scale, ground, domain=domain)
            self.meshes.append(drawn.axes[number].collections[-1] if mesh is None else mesh)
            if flags is not None and name == "filled":
                self.refused.append(draw_cells(drawn.axes[number], self.view, refused, REFUSED, zorder=1))
            drawn.frame(number)
            if len(names) > 1:
                drawn.title(number, name)
        drawn.colour_bar(
            range(len(names)),
            None if maps[0].ndim == 3 else self.meshes[0],
            scale,
            colour_bar_label(array),
            [examples.values],
        )
        entries = legend_entries(self.view, ground, has_gaps=True, domain=domain)
        may_refuse = flags is not None and "refused" in flag_names(flags).values()
        drawn.legend(entries | ({"refused: error too large": REFUSED} if may_refuse else {}))
        self.name = display_name(array)
        drawn.heading(self._heading(0))
        self.figure = drawn.finish()
        self.canvas = FigureCanvasAgg(self.figure)

    def _heading(self, index: int) -> str:
        date = date_title(self.array.isel({self.time: index}))
        return ", ".join(part for part in (self.name, date) if part)

    def _domain(self, flags: xr.DataArray) -> np.ndarray:
        """Return the cells that a product does not flag as land."""
        land = [value for value, meaning in flag_names(flags).items() if meaning == "land"]
        return in_any_band(~np.isin(map_values(flags, self.grid, "source"), land))

    def _maps(self, index: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the values of each panel at a date, and the refused cells."""
        filled = self.array.isel({self.time: index}).load()
        values = map_values(filled, self.grid)
        if self.flags is None:
            return [values] * len(self.names), np.zeros(self.grid.shape, bool)
        flags = self.flags.isel({self.time: index}).load()
        found = {value for value, meaning in flag_names(flags).items() if meaning == "refused"}
        refused = np.isin(map_values(flags, self.grid, "source"), list(found))
        refused = (refused.any(-1) if refused.ndim == 3 else refused) & ~np.isfinite(
            values.max(-1) if values.ndim == 3 else values
        )
        observed = map_values(observed_part(filled, flags), self.grid, "observed")
        return [observed if name == "observed" else values for name in self.names], refused

    def show(self, index: int) -> None:
        """Change the maps to a date."""
        maps, refused = self._maps(index)
        for mesh, values in zip(self.meshes, maps, strict=True):
            mesh.set_array(mesh_values(self.view, values, self.scale))
        for mesh in self.refused:
            mesh.set_array(mesh_values(self.view, np.where(refused, 0.5, np.nan), ColourScale("gray", (0.0, 1.0))))
        self.figure._suptitle.set_text(self._heading(index))  # type: ignore[attr-defined]


def _panel_names(panels: Sequence[str] | None, source: xr.DataArray | None) -> list[str]:
    """Return the names of the maps."""
    if source is None:
        if panels is not None and list(panels) != ["filled"]:
            raise InputError("the panels of a field without source flags are filled alone; leave the panels out")
        return ["filled"]
    names = list(PANELS) if panels is None else [choice(name, PANELS, "panel") for name in panels]
    if not names or len(set(names)) < len(names):
        raise InputError(f"panels must name each map once, got {', '.join(names) or 'none'}; choose from {PANELS}")
    return names


def _write_gif(
    film: _Film, partial: Path, count: int, rate: int, dpi: int, progress: Callable[[int, int], None]
) -> None:
    """Write the frames as a GIF, one at a time, with the colours of the first one."""
    from PIL import Image

    film.figure.set_dpi(dpi)

    def frames() -> Iterator[Any]:
        palette = None
        for index in range(count):
            film.show(index)
            film.canvas.draw()
            image = Image.fromarray(np.asarray(film.canvas.buffer_rgba())[..., :3])
            if palette is None:
                image = palette = image.quantize(255)
            else:
                image = image.quantize(palette=palette, dither=Image.Dither.NONE)
            progress(index + 1, count)
            yield image

    every = frames()
    next(every).save(
        partial, format="GIF", save_all=True, append_images=every, duration=round(1000 / rate), loop=0, optimize=False
    )


def _write_mp4(
    film: _Film, partial: Path, count: int, rate: int, dpi: int, progress: Callable[[int, int], None]
) -> None:
    """Write the frames as an MP4 that every browser plays."""
    from matplotlib.animation import FFMpegWriter

    writer = FFMpegWriter(fps=rate, codec="h264", extra_args=["-pix_fmt", "yuv420p"])
    with writer.saving(film.figure, str(partial), dpi):
        for index in range(count):
            film.show(index)
            writer.grab_frame()
            progress(index + 1, count)


@contextmanager
def _new_figures_closed() -> Iterator[None]:
    """Close the figures that are made inside, at an error too."""
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    try:
        yield
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
