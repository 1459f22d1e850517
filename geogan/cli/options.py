"""Options that several verbs have, each said once."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    list[str],
    typer.Option(
        help="Field to read: Zarr store, NetCDF or GeoTIFF file, glob in quotes, or URL, may be given several times; "
        "or images: a folder of PNG or JPEG files, an .npy or .npz array."
    ),
]
Model = Annotated[Path, typer.Option(help="Folder of a run, made by geogan train.")]
Variable = Annotated[
    str | None,
    typer.Option(
        help="Name of the variable; or of several of one grid and the same dates, with commas between, for one model.",
        show_default="the only measured one",
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        help="Dates: a year, month or day such as 2001-07-14, or two with a slash between, both included.",
        show_default="all",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Group of a NetCDF4 file or Zarr store, nested ones with slashes.",
        show_default="the root, or the only group with fields",
    ),
]
Dims = Annotated[
    str | None,
    typer.Option(
        metavar="ROLE=NAME,...",
        help="Which dimension is time, band, y or x, such as time=t,y=YDim,x=XDim.",
        show_default="found by attributes and names",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="CONDITION",
        help="Take cells for gaps where a condition on other variables fails, such as 'quality_level>=4 and flags & 4 "
        "== 0'.",
        show_default="no condition",
    ),
]
OperatorNames = Annotated[
    list[str],
    typer.Option(
        metavar="NAME[:PARAMETERS]",
        help="How the field is measured: a name with parameters after a colon, such as "
        "cloud_mask:coverage=0.4,scale=12 (share hidden; size of clouds in grid cells); several are applied "
        "in order.",
    ),
]
Domain = Annotated[
    str | None,
    typer.Option(
        help="Where the quantity exists: observed (where anything was ever observed), all, sea or land (by the "
        "coastlines that come with geogan), or a variable that is 1 there and 0 elsewhere, or not:NAME for one that is "
        "0 there; a variable comes before a word.",
        show_default="a mask of the data, else by the standard name, else observed; of a single scene all",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of every random draw, a whole number.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to compute with.", show_default="what suits the machine")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output that geogan made before.", show_default="no")
]
AllowProduct = Annotated[
    bool,
    typer.Option(
        "--allow-product",
        help="Let the data be a filled product of geogan, and take its estimates for observations.",
        show_default="no",
    ),
]
Product = Annotated[Path, typer.Option(help="Product to write, .zarr or .nc.")]
