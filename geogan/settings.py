"""Settings of a reconstruction: each parameter with its default, unit, help text, type and range, defined once.

The command line makes its options from the fields of these dataclasses, runs and models store them as JSON, and
`geogan.Reconstructor` takes them as objects. Values are checked when an object is made. Importing this module needs
neither torch nor NumPy, so that ``geogan --help`` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from geogan.operators.choices import choice, suggestion
from geogan.operators.errors import InputError
from geogan.operators.parameters import real_number, shown, switch, whole_number

# Cells that a training window needs each way.
SMALLEST_CROP = 8
# Seeds fill 63 bits, the width of a signed integer in the generators of NumPy and torch.
LARGEST_SEED = 2**63 - 1
# Members of an ensemble are held in memory side by side, each as large as the field.
MOST_MEMBERS = 10_000
# A process with more threads than this only switches between them.
MOST_THREADS = 4096
# A training of a billion steps takes years.
MOST_STEPS = 10**9
# Limits that no machine reaches, and none wider than those of `geogan.files.schema`, which bounds the JSON of runs.
MOST_WIDTH, MOST_BATCH, LARGEST_CROP, LARGEST_WINDOW = 8192, 2**16, 2**20, 5000
# Letters of a name or of several.
MOST_LETTERS = 100_000
# Length of a training without a budget, in minutes.
MINUTES = 10.0

Object = TypeVar("Object")
Check = Callable[[str, Any], Any]
"""A check takes the name and the value of a setting, and returns the value as Python's own type."""


# ---- checks of single values --------------------------------------------------------------------------------------


def one_of(*choices: str) -> Check:
    """Return the check of a text that must be one of a few; capitals and dashes do not matter.

    Examples
    --------
    >>> one_of("unet", "sagan")("generator", "UNet")
    'unet'
    """

    def check(name: str, value: Any) -> str:
        return choice(value, choices, name)

    return check


def names(name: str, value: Any) -> tuple[str, ...]:
    """Return one or several names as a tuple; a text may hold several, with commas between.

    Raises
    ------
    InputError
        If the value is neither a text nor a sequence of texts.

    Examples
    --------
    >>> names("covariates", ["day_of_year, depth", "depth"])
    ('day_of_year', 'depth')
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{name} must be a name or several names, got {shown(value)}; give texts")
    return tuple(dict.fromkeys(part.strip() for text in texts for part in text.split(",") if part.strip()))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MOST_LETTERS:
        raise InputError(f"{name} must be a text, got {shown(value)}; give a name")
    return value


def _paths(name: str, value: Any) -> tuple[str | Path, ...]:
    paths = (value,) if isinstance(value, str | Path) else value
    if not isinstance(paths, Sequence) or not all(isinstance(path, str | Path) for path in paths):
        raise InputError(f"{name} must be a path or URL, or several, got {shown(value)}; give texts")
    return tuple(paths)


def _dims(name: str, value: Any) -> Any:
    """Return roles and dimensions as they were given; `geogan.io` knows which roles there are."""
    return dict(value) if isinstance(value, Mapping) else value


def _variable(name: str, value: Any) -> str:
    return ",".join(names(name, value))


def _noise(name: str, value: Any) -> float:
    try:
        return real_number(name, value, least=0)
    except InputError:
        raise InputError(
            f"{name} is a standard deviation in the units of the field, got {shown(value)}; give a positive number"
        ) from None


def _betas(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise InputError(
            f"{name} must be two numbers of at least 0 and less than 1, got {shown(value)}; give (0.9, 0.999)"
        )
    return tuple(float(real_number(name, part, least=0, below=1)) for part in value)  # type: ignore[return-value]


def _screen(name: str, value: Any) -> bool | float:
    try:
        return switch(name, value)
    except InputError:
        pass
    try:
        return real_number(name, value, least=1, most=1e6)
    except InputError as error:
        raise InputError(f"{error}, or true for the default") from None


def _first_guess(name: str, value: Any) -> Any:
    # A fitted prior is recognised by its estimator: its class would import torch.
    if hasattr(value, "map") and hasattr(value, "stationary"):
        return value
    try:
        return switch(name, value)
    except InputError as error:
        raise InputError(str(error).replace(" got ", " or a GaussianPrior, got ", 1)) from None


def _operator(name: str, value: Any) -> Any:
    """Return an operator as it was given; its text is parsed where torch is at hand."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return value


_count = partial(whole_number, least=1, most=MOST_STEPS)
_not_negative = partial(real_number, least=0)
_positive = partial(real_number, above=0)


# ---- fields of the settings objects -------------------------------------------------------------------------------


def setting(
    default: Any,
    check: Check | type,
    help: str,
    *,
    unit: str = "",
    may_be_none: bool = False,
    option: str = "",
    shown_default: str = "",
    metavar: str = "",
) -> Any:
    """Define one parameter of a settings object.

    Parameters
    ----------
    default : Any
    check : callable or type
        See :data:`Check`; the class of another settings object, which may then be given as a dictionary.
    help : str
        One sentence or more, for the docstring and for the command line.
    unit : str
        Unit of the value, or what it counts.
    may_be_none : bool
        Whether None is a value too; it leaves the setting open.
    option : str
        Name of the command line's option; without one the setting is available from Python only.
    shown_default : str
        The default in words, where the value alone says too little.
    metavar : str
        What stands for the value in the command line's help, where the type alone says too little.
    """
    about = {
        "check": check,
        "help": help,
        "unit": unit,
        "may_be_none": may_be_none,
        "option": option,
        "shown_default": shown_default,
        "metavar": metavar,
    }
    if isinstance(check, type):
        return field(default_factory=check, metadata=about)
    return field(default=default, metadata=about)


def checked(described: Field[Any], value: Any) -> Any:
    """Return the value of a field of a settings object after its check.

    Raises
    ------
    InputError
        If the value has another type, is not finite, or lies outside its range.
    """
    check = described.metadata["check"]
    if value is None and described.metadata["may_be_none"]:
        return None
    if not isinstance(check, type):
        return check(described.name, value)
    if isinstance(value, check):
        return value
    if not isinstance(value, Mapping):
        raise InputError(
            f"{described.name} must be a {check.__name__} or a dictionary, got {shown(value)}; "
            f"give {described.name}={check.__name__}(...)"
        )
    known = [each.name for each in fields(check)]
    for name in value:
        if name not in known:
            raise InputError(
                f"{check.__name__} has no parameter {name!r}; choose from {', '.join(known)}{suggestion(name, known)}"
            )
    return check(**value)


def check_all(settings: Any) -> None:
    """Check every value of a new settings object, and make it Python's own type.

    Raises
    ------
    InputError
        If a value has another type, is not finite, or lies outside its range.
    """
    for each in fields(settings):
        object.__setattr__(settings, each.name, checked(each, getattr(settings, each.name)))


def documented(cls: type[Object]) -> type[Object]:
    """Append the parameters of a settings object, with defaults and units, to its docstring."""
    lines = ["", "", "    Parameters", "    ----------"]
    for each in fields(cls):  # type: ignore[arg-type]
        unit = f" [{each.metadata['unit']}]" if each.metadata["unit"] else ""
        default = f"{each.metadata['check'].__name__}()" if each.default is MISSING else repr(each.default)
        lines += [f"    {each.name} : {each.type}, default {default}{unit}", f"        {each.metadata['help']}"]
    summary, *rest = (cls.__doc__ or "").rstrip().split("\n\n    Examples\n", 1)
    examples = "".join(f"\n\n    Examples\n{text}" for text in rest)
    cls.__doc__ = summary + "\n".join(lines) + examples + "\n"
    return cls


@documented
@dataclass(frozen=True)
class DataConfig:
    """Data to read: which field of which files, and what goes with it."""

    data: tuple[str | Path, ...] = setting(
        (),
        _paths,
        "Zarr store, NetCDF or GeoTIFF file, URL or glob, or several, which are joined. Images: a folder of PNG or "
        "JPEG files, or an .npy or .npz array.",
    )
    variable: str | None = setting(
        None,
        _variable,
        "Variable to read; or several on one grid with the same dates, with commas between, for one model.",
        may_be_none=True,
        option="--variable",
        metavar="VARIABLE",
        shown_default="the only measured variable",
    )
    domain: str | None = setting(
        None,
        _text,
        "Cells where the quantity exists: observed (cells that were ever observed), all, sea, land, or the name of a "
        "mask that is 1 there; not:NAME for a mask that is 0 there.",
        may_be_none=True,
        option="--domain",
        metavar="DOMAIN",
        shown_default="a mask of the data, else by the standard name, else observed; all in a single scene",
    )
    time: str | None = setting(
        None,
        _text,
        "Dates to read: a year, month or day such as 2001-07-14; two with a slash between, both included; last for the "
        "last date; -7d for the last seven days (also h for hours, w for weeks).",
        may_be_none=True,
        option="--time",
        metavar="DATES",
        shown_default="all",
    )
    group: str | None = setting(
        None,
        _text,
        "Group of a NetCDF4 file or Zarr store; nested groups with slashes.",
        may_be_none=True,
        option="--group",
        metavar="GROUP",
        shown_default="the root, or the only group with fields",
    )
    dims: str | Mapping[str, str] | None = setting(
        None,
        _dims,
        "Roles of dimensions (time, band, y, x), such as time=t,y=YDim,x=XDim.",
        may_be_none=True,
        option="--dims",
        metavar="ROLE=NAME,...",
        shown_default="found by attributes and names",
    )
    where: str | None = setting(
        None,
        _text,
        "Condition on other variables, such as 'quality_level>=4 and flags & 4 == 0'; cells that fail it are gaps.",
        may_be_none=True,
        option="--where",
        metavar="CONDITION",
        shown_default="none",
    )
    error_variable: str | None = setting(
        None,
        _text,
        "Variable with the standard deviation of each observation's error, in the field's unit; fill and evaluate read "
        "it too.",
        may_be_none=True,
        option="--error-variable",
        metavar="VARIABLE",
        shown_default="none",
    )
    clean: tuple[str | Path, ...] = setting(
        (),
        _paths,
        "Fields without gaps, for the presets paired and unpaired.",
        option="--clean",
        metavar="DATA",
        shown_default="none",
    )
    allow_product: bool = setting(
        False,
        switch,
        "Accept a filled product of geogan as data, and use its estimates as observations.",
        option="--allow-product",
    )

    def __post_init__(self) -> None:
        check_all(self)


@documented
@dataclass(frozen=True)
class NetworkConfig:
    """Architecture of the generator and the discriminator."""

    generator: str = setting(
        "unet",
        one_of("unet", "sagan", "dense"),
        "unet, the paper's sagan, or dense for small images of which few pixels are observed.",
        option="--generator",
        metavar="NAME",
    )
    discriminator: str = setting(
        "convolutional",
        one_of("convolutional", "dense_head", "dense", "sagan"),
        "convolutional; dense_head or dense for images of one size; or the paper's sagan.",
        option="--discriminator",
        metavar="NAME",
    )
    width: int = setting(
        32,
        partial(whole_number, least=2, most=MOST_WIDTH),
        "Channels of the network's first layer.",
        unit="channels",
        option="--width",
    )
    show_mask: bool = setting(True, switch, "Show the mask to the paper's generator.")
    attention: bool = setting(False, switch, "Give the U-Net self-attention at quarter resolution.")

    def __post_init__(self) -> None:
        check_all(self)


@documented
@dataclass(frozen=True)
class Objective:
    """Weights of the terms of the generator's loss; a weight of 0 leaves its term out.

    The paper's objective is ``Objective(weight_prior=1, weight_likelihood=2, weight_withheld=0, likelihood_every=1)``
    without a first guess.
    """

    weight_prior: float = setting(
        0.02, _not_negative, "Weight of the adversarial term; 0 leaves it out.", option="--weight-prior"
    )
    weight_likelihood: float = setting(
        0.1, _not_negative, "Weight of the likelihood term; 0 leaves it out.", option="--weight-likelihood"
    )
    weight_withheld: float = setting(
        1.0, _not_negative, "Weight of the withheld term; 0 leaves it out.", option="--weight-withheld"
    )
    weight_paired: float = setting(0.0, _not_negative, "Weight of the regression on clean fields; 0 leaves it out.")
    likelihood_every: int = setting(
        8,
        _count,
        "Interval between steps with the likelihood term, whose weight is multiplied by as much; 1 where it is the "
        "only term.",
        unit="steps",
    )
    prior_every: int = setting(
        8,
        _count,
        "Interval between steps with the adversarial term, whose weight is multiplied by as much; 1 without a withheld "
        "or paired term.",
        unit="steps",
    )
    weight_r1: float = setting(
        0.0,
        _not_negative,
        "Weight of the R1 penalty: half of it times the squared gradient of the discriminator at real measurements; "
        "0 leaves it out.",
    )
    clean_unrelated: bool = setting(
        False, switch, "The clean fields are unrelated to the measurements: no pairs, other scenes."
    )

    def __post_init__(self) -> None:
        check_all(self)
        if not any((self.weight_prior, self.weight_likelihood, self.weight_withheld, self.weight_paired)):
            raise InputError("all weights are 0, so there is nothing to learn; give one of them a weight")


@documented
@dataclass(frozen=True)
class TrainConfig:
    """How to train: batch, budget, optimisers, arithmetic, and intervals of the training loop."""

    batch: int = setting(
        8,
        partial(whole_number, least=1, most=MOST_BATCH),
        "Windows in a training step, over all processes.",
        unit="windows",
        option="--batch",
    )
    crop: int = setting(
        64,
        partial(whole_number, least=SMALLEST_CROP, most=LARGEST_CROP),
        "Side of a training window, in cells.",
        unit="cells",
        option="--crop",
    )
    steps: int | None = setting(
        None,
        partial(whole_number, least=0, most=MOST_STEPS),
        "Length of training, in steps.",
        unit="steps",
        may_be_none=True,
        option="--steps",
        shown_default="by minutes",
    )
    minutes: float | None = setting(
        None,
        _not_negative,
        "Length of training, in minutes; training ends at the first limit that is reached.",
        unit="minutes",
        may_be_none=True,
        option="--minutes",
        shown_default=f"{MINUTES:g} if no steps are given",
    )
    rate_generator: float = setting(1e-3, _not_negative, "Learning rate of the generator (Adam).")
    rate_discriminator: float = setting(4e-4, _not_negative, "Learning rate of the discriminator (Adam).")
    betas: tuple[float, float] | None = setting(
        None,
        _betas,
        "Decay rates of Adam's moments; by default (0.9, 0.999), or (0.5, 0.999) with an adversarial term.",
        may_be_none=True,
    )
    decay: float = setting(1.0, _positive, "Factor that both learning rates are multiplied by every decay_every steps.")
    decay_every: int = setting(400, _count, "Interval between decays of the learning rates.", unit="steps")
    cooling: float = setting(
        0.2,
        partial(real_number, least=0, most=1),
        "Share of the budget, at its end, over which both learning rates fall linearly to 0.",
    )
    warm_up: int = setting(
        50,
        partial(whole_number, least=0, most=MOST_STEPS),
        "Steps over which the generator's learning rate rises.",
        unit="steps",
    )
    clip: float | None = setting(
        1.0, _positive, "Norm that the generator's gradient is clipped to; None for no clipping.", may_be_none=True
    )
    averaging: float = setting(
        0.998, partial(real_number, least=0, below=1), "Decay of the moving average of the generator's weights."
    )
    precision: str = setting(
        "auto",
        one_of("auto", "float32", "bfloat16"),
        "auto, float32 or bfloat16; auto chooses bfloat16 on devices that compute in it natively.",
        option="--precision",
        metavar="NAME",
    )
    threads: int | None = setting(
        None,
        partial(whole_number, least=1, most=MOST_THREADS),
        "Number of threads.",
        may_be_none=True,
        option="--threads",
        shown_default="all cores but one",
    )
    blocks: int = setting(12, partial(whole_number, least=1, most=10_000), "Blocks that windows are drawn from.")
    replace_every: int = setting(8, _count, "Interval between replacements of the oldest block.", unit="steps")
    memory: int = setting(
        2**28,
        partial(whole_number, least=0, most=2**63 - 1),
        "Size up to which a field on disk is loaded for training; a larger one is read in groups of chunks, each of at "
        "most a quarter of it.",
        unit="bytes of float32",
    )
    validate_every: int = setting(
        100, _count, "Interval between validations on the withheld observations.", unit="steps"
    )
    report_every: int = setting(10, _count, "Interval between reports of progress.", unit="steps")
    prior_evaluations: int = setting(
        50,
        partial(whole_number, least=1, most=100_000),
        "Largest number of evaluations in each stage of the search for the first guess's parameters.",
        unit="evaluations",
    )
    posterior_draws: int = setting(
        4,
        partial(whole_number, least=1, most=MOST_MEMBERS),
        "Samples of the first guess's posterior that calibrate the predicted error.",
        unit="samples",
    )

    def __post_init__(self) -> None:
        check_all(self)

    @property
    def time_limit(self) -> float | None:
        """Minutes after which training ends, or None: the default budget holds where nothing is given."""
        return MINUTES if self.steps is None and self.minutes is None else self.minutes


@documented
@dataclass(frozen=True)
class Settings:
    """All parameters of a reconstruction but the device: what a run and its model store.

    Examples
    --------
    >>> Settings(window=1, training={"steps": 60}).training.steps
    60
    >>> Settings(window=-1)
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: window must be at least 0, got -1; give a larger one
    """

    operator: Any = setting(
        "cloud_mask",
        _operator,
        "How the field is measured: an operator, or a name with parameters after a colon, such as "
        "cloud_mask:coverage=0.4,scale=12, or several that are applied in order. Parameters you do not set are "
        "estimated from the gaps in the data.",
    )
    window: int = setting(
        2,
        partial(whole_number, least=0, most=LARGEST_WINDOW),
        "Dates that the network sees on each side of the date that it fills, in time steps.",
        unit="time steps",
        option="--window",
    )
    members: int = setting(
        1,
        partial(whole_number, least=1, most=MOST_MEMBERS),
        "Ensemble members in a training step; 2 or more train an ensemble, whose members a fill can write.",
        unit="members",
        option="--members",
    )
    first_guess: Any = setting(
        True,
        _first_guess,
        "Start from the Gaussian estimate, or reconstruct with the network alone.",
        option="--first-guess/--no-first-guess",
        shown_default="first-guess",
    )
    transform: str = setting(
        "none",
        _text,
        "none; log for positive values over several decades; bounded:LOW,HIGH for fractions (bounded:0,1) or amounts "
        "(bounded:0,inf); circular or circular:0,360 for directions; identity to keep values as they are, as for "
        "images. One for each variable or band, with commas between.",
        option="--transform",
        metavar="TRANSFORM",
        shown_default="none; circular if the standard name is a direction's",
    )
    covariates: tuple[str, ...] = setting(
        (),
        names,
        "Known beside the field, for a regression of the first guess and as input of the networks: day_of_year, "
        "hour_of_day, latitude, distance_to_coast; a variable of the data such as depth, or one with every date of the "
        "field such as t2m; FILE:VARIABLE for one of another file. Several with commas between, or by repeating the "
        "option.",
        option="--covariate",
        metavar="NAME",
        shown_default="none",
    )
    noise: float | None = setting(
        None,
        _noise,
        "Standard deviation of the observations' errors, in the field's unit; observed cells are then estimated too.",
        unit="of the field",
        may_be_none=True,
        option="--noise",
        shown_default="none",
    )
    screen: bool | float = setting(
        False,
        _screen,
        "Leave out single observations that neither their neighbours nor the climatology support, in training and in "
        "fills; a number is the threshold, by default 5.",
        unit="robust standard deviations",
    )
    network: NetworkConfig | None = setting(
        MISSING,
        NetworkConfig,
        "Architecture of the networks; None for no network: the Gaussian first guess alone, fitted and calibrated.",
        may_be_none=True,
    )
    objective: Objective = setting(MISSING, Objective, "Terms of the loss.")
    training: TrainConfig = setting(MISSING, TrainConfig, "Batch, budget, optimisers and arithmetic.")
    seed: int = setting(
        0,
        partial(whole_number, least=0, most=LARGEST_SEED),
        "Seed of all random draws.",
        option="--seed",
    )

    def __post_init__(self) -> None:
        check_all(self)
        if self.network is None and self.first_guess is False:
            raise InputError("without a network and without a first guess nothing fills; give one of them")

    def replaced(self, **changes: Any) -> Self:
        """Return these settings with other values; parameters of nested objects are given by their own names.

        Raises
        ------
        InputError
            If a setting has an unknown name or a value outside its range.

        Examples
        --------
        >>> Settings().replaced(window=0, steps=60, width=8).network.width
        8
        """
        return replace(self, **by_object(changes, self))

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> Self:
        """Return settings from what a run or a model stores; entries of other names are left out."""
        return cls(**{each.name: content[each.name] for each in fields(cls) if each.name in content})

    def flat(self) -> dict[str, Any]:
        """Return all values by name, those of nested objects beside the others."""
        values: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if is_dataclass(each.metadata["check"]):
                values |= {} if value is None else asdict(value)
            else:
                values[each.name] = value
        return values

    def plain(self) -> dict[str, Any]:
        """Return all values but the operator as JSON holds them; a ready first guess is stored with the model."""
        values: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            values[each.name] = _plain(asdict(value) if each.name in GROUPS and value is not None else value)
        del values["operator"]
        return values | {"first_guess": self.first_guess is not False}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return list(value) if isinstance(value, tuple) else value


GROUPS: dict[str, Any] = {"network": NetworkConfig, "objective": Objective, "training": TrainConfig}
"""The nested objects of :class:`Settings` by their names."""

GROUP_OF = {each.name: group for group, kind in GROUPS.items() for each in fields(kind)}
"""The nested object that holds a parameter, by the parameter's name; names are unique in all of them."""


def flattened(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored settings with the entries of nested objects beside the others.

    Examples
    --------
    >>> flattened({"window": 1, "training": {"steps": 60}})
    {'window': 1, 'steps': 60}
    """
    flat: dict[str, Any] = {}
    for name, value in stored.items():
        flat |= (value or {}) if name in GROUPS else {name: value}
    return flat


def by_object(flat: Mapping[str, Any], within: Settings | None = None) -> dict[str, Any]:
    """Return keyword arguments of :class:`Settings`, or of a Reconstructor, from values by their flat names.

    Parameters
    ----------
    flat : mapping
        Values by name; ``steps`` stands for ``training.steps``, and so on.
    within : Settings, optional
        Settings whose nested objects hold all other values; by default the defaults.

    Raises
    ------
    InputError
        If a setting has an unknown name or a value outside its range.

    Examples
    --------
    >>> by_object({"window": 1, "width": 8})["network"].width
    8
    """
    base = Settings() if within is None else within
    known = {each.name for each in fields(Settings)}
    values: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        if name in GROUP_OF:
            nested.setdefault(GROUP_OF[name], {})[name] = value
        elif name in known:
            values[name] = value
        else:
            raise InputError(
                f"no setting is named {name!r}; see geogan.settings{suggestion(name, known | {*GROUP_OF})}"
            )
    for group, changes in nested.items():
        values[group] = replace(values.get(group, getattr(base, group)) or GROUPS[group](), **changes)
    return values


# ---- settings of single calls -------------------------------------------------------------------------------------

_FIELDS = {each.name: each for kind in (Settings, *GROUPS.values()) for each in fields(kind)}
# Settings of a fill, which no training has; None leaves them open.
_OF_A_FILL: dict[str, Check] = {"keep_observed": switch, "workers": partial(whole_number, least=1, most=MOST_THREADS)}


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check the arguments of a call by their names; unknown names are left as they are.

    Parameters
    ----------
    settings : mapping
        Values by flat name.

    Returns
    -------
    settings : dict
        Values as Python's own types.

    Raises
    ------
    InputError
        If a value has another type, is not finite, or lies outside its range: with its name, the range and the value.

    Examples
    --------
    >>> check_settings({"window": 2, "minutes": None})
    {'window': 2, 'minutes': None}
    >>> check_settings({"threads": 2.5})
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: threads must be a whole number between 1 and 4096, got 2.5; give such a number
    """
    values = dict(settings)
    for name, value in settings.items():
        if name in _FIELDS:
            values[name] = checked(_FIELDS[name], value)
        elif name in _OF_A_FILL and value is not None:
            values[name] = _OF_A_FILL[name](name, value)
    return values
