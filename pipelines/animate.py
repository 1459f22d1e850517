"""``geogan animate``: write the dates of a product or a field as an animation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geogan.compute.streaming import explain_read_errors
from geogan.files.places import check_apart
from geogan.files.user_path import Data
from geogan.io import Reading, open_source
from geogan.pipelines.plot import check_single, part_of_product
from geogan.plotting import MapStyle, figure_path
from geogan.plotting import animate as write_animation

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class AnimateOptions:
    """What ``geogan animate`` draws of its data; each attribute is an option of the command line.

    Attributes
    ----------
    variable : str or None
        Variable to draw; needed if the data hold several measured variables.
    time : str or None
        Range of dates, as in `geogan.io.open_field`.
    band : str, int or None
        As in `geogan.pipelines.plot.PlotOptions`.
    panels : tuple of str or None
        ``observed`` and ``filled``; None for both of a product.
    rate : int
        Dates a second.
    style : MapStyle
    group, where : str or None
        How the data are read, as in `geogan.io.open_field`.
    dims : str, mapping or None
        As in `geogan.io.open_field`.
    """

    variable: str | None = None
    time: str | None = None
    band: str | int | None = None
    panels: tuple[str, ...] | None = None
    rate: int = 8
    style: MapStyle = MapStyle(dpi=100)
    group: str | None = None
    dims: str | Mapping[str, str] | None = None
    where: str | None = None


def animate(
    data: Data,
    out: str | Path,
    options: AnimateOptions = AnimateOptions(),
    *,
    overwrite: bool = False,
    console: "Console | None" = None,
) -> Path:
    """Write the dates of ``data`` as an animation: a field, or a product with its observed and filled maps.

    Parameters
    ----------
    data : str, Path or a sequence of them
    out : str or Path
        ``.gif``, or ``.mp4`` if ffmpeg is installed. An existing file is replaced as a whole or stays as it is.
    options : AnimateOptions
    overwrite : bool
        Replace an existing file.
    console : Console, optional
        Console that shows the progress and how the data were read.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the data cannot be read or drawn, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     synthetic_sst(days=2, size=24).to_netcdf(f"{folder}/sea.nc")
    ...     animate(f"{folder}/sea.nc", f"{folder}/sea.gif", AnimateOptions(style=MapStyle(dpi=30))).name
    'sea.gif'
    """
    paths = [data] if isinstance(data, str | Path) else list(data)
    check_apart(out, {"--data": paths}, what="the animation")
    out = figure_path(out, overwrite=overwrite, is_animation=True)
    given = Reading.of(options.group, options.dims, options.where)
    opened = open_source(paths, variable=options.variable, time=options.time, reading=given)
    array = opened.field.array
    check_single(array, options.variable)
    source = part_of_product(paths, f"{array.name}_source", opened.reading, time=options.time)
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=console is None) as bar:
        task = bar.add_task("frames", total=None)
        with explain_read_errors(" ".join(map(str, paths)), str(array.name)):
            write_animation(
                array,
                out,
                source=None if source is None else source.array,
                panels=options.panels,
                band=options.band,
                rate=options.rate,
                style=options.style,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    if console is not None and opened.notes:
        console.print(*opened.notes, sep="\n", markup=False, highlight=False)
    return out
