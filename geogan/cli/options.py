"""Options that several verbs have.

The options of settings objects are made from the fields of `geogan.settings`: a verb is decorated with the classes
whose parameters it takes, and receives the values that were given, by flat name, in its parameter ``given``::

    @takes(DataConfig, TrainConfig, leave_out=("clean",))
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

from geogan.cli.completion import (
    Completer,
    complete_device,
    complete_domain,
    complete_operator,
    complete_transform,
    complete_variable,
)
from geogan.operators.errors import InputError
from geogan.settings import DataConfig

Config = TypeVar("Config")
Given = dict[str, Any]
"""Values of the options of settings objects that were given, by the names of the fields."""


def takes(
    *kinds: type,
    only: Collection[str] | None = None,
    leave_out: Collection[str] = (),
    preset_names: Collection[str] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb an option for each field of some settings objects that has one.

    Parameters
    ----------
    *kinds : class
        Classes of `geogan.settings`.
    only : collection of str, optional
        Names of the fields that the verb has an option for; by default all.
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
            if each.metadata["option"] and each.name not in leave_out and (only is None or each.name in only)
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


# Completion of values, by the field of a settings object.
_COMPLETERS: dict[str, Completer] = {
    "variable": complete_variable,
    "error_variable": complete_variable,
    "covariates": complete_variable,
    "domain": complete_domain,
    "transform": complete_transform,
}
# Placeholders of numbers in the help; a text needs one of its own.
_METAVARS: dict[Any, str] = {int: "N", float: "NUMBER"}


def _option(kind: type, described: Any, *, or_preset: bool) -> inspect.Parameter:
    """Return the parameter of a verb from which Typer makes the option of a field; None stands for not given."""
    value_type = _value_type(kind, described)
    return inspect.Parameter(
        described.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[value_type | None, _typer_option(described, value_type, or_preset=or_preset)],
    )


def _value_type(kind: type, described: Any) -> Any:
    """Return the type of one value of an option, or a list of texts."""
    hint = get_type_hints(kind)[described.name]
    if isinstance(described.default, tuple):
        return list[str]
    if hint is Any or isinstance(described.default, bool):
        return bool
    return next((part for part in get_args(hint) if part in (str, int, float)), hint)


def _typer_option(described: Any, value_type: Any, *, or_preset: bool = False) -> Any:
    """Return Typer's description of the option of a field: name, placeholder, help, default."""
    about, default = described.metadata, described.default
    is_flag = value_type is bool and "/" not in about["option"]
    shown = about["shown_default"] or (f"{default:g}" if isinstance(default, float) else str(default))
    shown = f"{shown}, or the preset's" if or_preset else shown
    return typer.Option(
        about["option"],
        metavar=about["metavar"] or _METAVARS.get(value_type),
        help=about["help"],
        show_default=False if is_flag or shown == "none" else shown,
        autocompletion=_COMPLETERS.get(described.name),
    )


def _data_option(name: str) -> Any:
    """Return Typer's description of the option of a field of `DataConfig`."""
    described = next(each for each in fields(DataConfig) if each.name == name)
    return _typer_option(described, _value_type(DataConfig, described))


def pick(kind: type[Config], given: Given, **more: Any) -> Config:
    """Return the settings object of a class, made of the given options that belong to it and of values beside them."""
    own = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in given.items() if name in own} | more)


def given_data(argument: Sequence[str] | None, option: Sequence[str] | None, *, is_needed: bool = True) -> list[str]:
    """Return the data of a verb that takes them as its first argument or as ``--data``.

    Raises
    ------
    InputError
        If both are given and differ, or if data are needed and none are given.
    """
    if is_needed and not (argument or option):
        raise InputError("no data are given; name a Zarr store, a file, a glob or a URL after the verb")
    if argument and option and list(argument) != list(option):
        raise InputError(
            f"the data are given twice, as {' '.join(argument)} and as --data {' '.join(option)}; leave one of them out"
        )
    return list(argument or option or [])


DataArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA",
        help="Zarr store, NetCDF or GeoTIFF file, URL, or glob in quotes; several are joined. Images: a folder of PNG "
        "or JPEG files, or an .npy or .npz array.",
        show_default=False,
    ),
]
DataOption = Annotated[
    list[str] | None, typer.Option("--data", metavar="DATA", help="The same as DATA.", show_default=False)
]
Model = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of a run that geogan train wrote.")]
OperatorNames = Annotated[
    list[str],
    typer.Option(
        metavar="OPERATOR",
        help="Measurement process: a name, with parameters after a colon, such as cloud_mask:coverage=0.4,scale=12. "
        "Repeat to apply several in order.",
        autocompletion=complete_operator,
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of all random draws.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Number of threads.", show_default="depends on the machine"),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        help="auto, cpu, cuda or cuda:N; auto uses a GPU if there is one.",
        autocompletion=complete_device,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing output of geogan.", show_default=False)
]
Product = Annotated[Path, typer.Option(metavar="FILE", help="Store or file to write: .zarr or .nc.")]
Variable = Annotated[str | None, _data_option("variable")]
Time = Annotated[str | None, _data_option("time")]
Group = Annotated[str | None, _data_option("group")]
Dims = Annotated[str | None, _data_option("dims")]
Where = Annotated[str | None, _data_option("where")]
AllowProduct = Annotated[bool, _data_option("allow_product")]
KeepObserved = Annotated[
    bool | None,
    typer.Option(
        help="Return observed values bit for bit, or estimate observed cells too.",
        show_default="keep, unless they are known to be noisy or blurred",
    ),
]
Members = Annotated[int, typer.Option(metavar="N", help="Ensemble members to write beside the estimate; 1 for none.")]
MaxError = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER",
        help="Leave cells empty whose predicted error (standard deviation) is larger, in the field's unit; for "
        "several variables one number each, with commas between.",
        show_default="no limit",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Treat chunks that cannot be read as gaps, and flag their cells.", show_default=False
    ),
]
Screen = Annotated[
    bool | None,
    typer.Option(
        help="Leave out observations that neither their neighbours nor the climatology support, estimate their cells, "
        "and flag them as screened.",
        show_default="as the model was trained",
    ),
]
CovariatePlaces = Annotated[
    list[str],
    typer.Option(
        "--covariate",
        metavar="NAME",
        help="FILE:VARIABLE, where a covariate of the model is that changes in time.",
        show_default="as in the training",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Fill on the cluster of this dask.distributed scheduler, such as tcp://10.0.0.1:8786; its workers must "
        "see data and output under the same names.",
        show_default="this process",
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option(metavar="N", help="Number of local processes that fill.", show_default="threads of this process"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.", show_default=False)]
# Options of figures.
Projection = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Projection of the map: plate-carree, mercator, lambert, polar, equal-earth, grid (that of the data) or "
        "none (plain axes).",
        show_default="one that suits the place",
    ),
]
Limits = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Values at the ends of the colours, in the unit of the data.",
        show_default="percentiles 2 and 98",
    ),
]
Colormap = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Colour map of Matplotlib or cmocean, such as viridis.",
        show_default="one that suits the quantity",
    ),
]
Log = Annotated[
    bool | None,
    typer.Option(
        "--log/--no-log",
        help="Logarithmic colours.",
        show_default="for concentrations and amounts that span decades",
    ),
]
Dpi = Annotated[int, typer.Option(metavar="N", help="Dots per inch of the file, 10 to 2400; 300 suits print.")]


def map_style(projection: str | None, limits: str | None, colormap: str | None, log: bool | None, dpi: int) -> Any:
    """Return the `geogan.MapStyle` of the options of figures.

    Raises
    ------
    InputError
        If an option is not understood.
    """
    from geogan.plotting import MapStyle

    ends = None
    if limits is not None:
        try:
            low, high = (float(part) for part in limits.split(","))
        except ValueError:
            raise InputError(
                f"--limits must be two numbers with a comma between them, got {limits!r}; write 12,24"
            ) from None
        ends = low, high
    return MapStyle(projection, ends, colormap, log, dpi)


def names_in(text: str | None) -> tuple[str, ...] | None:
    """Return the names in a text with commas between them; None if it was not given."""
    return None if text is None else tuple(part.strip() for part in text.split(","))
