"""Options that several verbs have.

The options of settings objects are made from the fields of `geogan.settings`: a verb is decorated with the classes
whose parameters it takes, and receives the values that were given, by flat name, in its parameter ``given``::

    @takes(DataConfig, FillConfig, leave_out=("clean",))
    def fill(data: DataArgument = None, data_option: DataOption = None, *, given: Given, out: Product) -> None:
        paths = given_data(data, data_option)
        config = pick(DataConfig, given, data=paths)
"""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from geogan.operators.errors import InputError

Config = TypeVar("Config")
Given = dict[str, Any]
"""Values of the options of settings objects that were given, by the names of the fields."""


def takes(
    *kinds: type, leave_out: Collection[str] = (), preset_names: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb an option for each field of some settings objects that has one.

    Parameters
    ----------
    *kinds : class
        Classes of `geogan.settings`.
    leave_out : collection of str
        Names of fields that the verb has no option for.
    preset_names : collection of str
        Names of fields that a preset may set, which the help then says.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        made = [
            _option(kind, each, or_preset=each.name in preset_names)
            for kind in kinds
            for each in fields(kind)
            if each.metadata["option"] and each.name not in leave_out
        ]
        names = {parameter.name for parameter in made}

        def called(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            return verb(**values, given={name: value for name, value in given.items() if value not in (None, [])})

        own = inspect.signature(verb, eval_str=True).parameters
        parameters: list[inspect.Parameter] = []
        for name, parameter in own.items():
            parameters += made if name == "given" else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        called.__name__, called.__doc__ = verb.__name__, verb.__doc__
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        # Typer makes its options from the signature.
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def _option(kind: type, described: Any, *, or_preset: bool) -> inspect.Parameter:
    """Return the parameter of a verb from which Typer makes the option of a field; None stands for not given."""
    about, default = described.metadata, described.default
    hint = get_type_hints(kind)[described.name]
    value_type: Any = next((each for each in get_args(hint) if each in (str, int, float)), hint)
    if hint is Any or isinstance(default, bool):
        value_type = bool
    if isinstance(default, tuple):
        value_type = list[str]
    shown = about["shown_default"] or (f"{default:g}" if isinstance(default, float) else str(default))
    option = typer.Option(
        about["option"],
        metavar=about["metavar"] or None,
        help=about["help"],
        show_default=f"{shown}, or the preset's" if or_preset else shown,
    )
    return inspect.Parameter(
        described.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[value_type | None, option],
    )


def pick(kind: type[Config], given: Given, **more: Any) -> Config:
    """Return the settings object of a class, made of the given options that belong to it and of values beside them."""
    own = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in given.items() if name in own} | more)


def given_data(argument: Sequence[str] | None, option: Sequence[str] | None) -> list[str]:
    """Return the data of a verb that takes them as its first argument or as ``--data``.

    Raises
    ------
    InputError
        If both are given and differ.
    """
    if argument and option and list(argument) != list(option):
        raise InputError(
            f"the data are given twice, as {' '.join(argument)} and as --data {' '.join(option)}; leave one of them out"
        )
    return list(argument or option or [])


_DATA = (
    "Field to read: Zarr store, NetCDF or GeoTIFF file, glob in quotes, or URL, may be given several times; "
    "or images: a folder of PNG or JPEG files, an .npy or .npz array."
)
DataArgument = Annotated[list[str] | None, typer.Argument(metavar="DATA", help=_DATA, show_default=False)]
DataOption = Annotated[list[str] | None, typer.Option("--data", help="The same as DATA.", show_default=False)]
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
