"""Schemas of the JSON files of models, runs and products: every entry with its type and its bounds.

Such files may come from anybody. Content that passes can cause neither an allocation of terabytes nor an endless loop;
its meaning is checked where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    JsonValue,
    Tag,
    ValidationError,
)

from geogan import settings
from geogan.operators.errors import InputError
from geogan.operators.parameters import whole_number

# Most frames of a window, bands of a field, covariates and channels of a layer: far more than a training can hold.
MOST_FRAMES, MOST_BANDS, MOST_EXTRAS, MOST_WIDTH = 10_001, 10_000, 10_000, 8192
# Most steps, cells or seconds: the largest integers that float64 represents exactly.
MOST_COUNT = 2**53
# Most operators in a composition, and points of a calibration.
MOST_OPERATORS, MOST_POINTS = 32, 1000
# Longest side of a frame of a dense network, in cells.
DENSE_SIDE = 512
# Most covariates whose product is a term of a regression.
MOST_FACTORS = 4
# Most characters of a name and of a text; most files of a run's data.
NAME, TEXT, MOST_FILES = 4096, 100_000, 1_000_000

Name = Annotated[str, Field(max_length=NAME)]
Text = Annotated[str, Field(max_length=TEXT)]
Count = Annotated[int, Field(ge=0, le=MOST_COUNT)]
# -1 until a step has been scored.
BestStep = Annotated[int, Field(ge=-1, le=MOST_COUNT)]
Frames = Annotated[int, Field(ge=1, le=MOST_FRAMES)]
Bands = Annotated[int, Field(ge=1, le=MOST_BANDS)]
Width = Annotated[int, Field(ge=1, le=MOST_WIDTH)]
Extras = Annotated[int, Field(ge=0, le=MOST_EXTRAS)]
Number = Annotated[FiniteFloat, Field(ge=-1e30, le=1e30)]
NotNegative = Annotated[FiniteFloat, Field(ge=0, le=1e30)]
Positive = Annotated[FiniteFloat, Field(gt=0, le=1e30)]
# A score that has not been measured is infinite.
Score = Annotated[float, Field(allow_inf_nan=True)]
Calendar = Literal["standard", "noleap", "all_leap", "360_day", "julian", "tai"]
Noise = Literal["none", "posterior", "white"]
Precision = Literal["float32", "bfloat16"]


class Strict(BaseModel):
    """A set of entries without type conversion and without unknown entries."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class UNetPlan(Strict):
    """Arguments of `geogan.model.networks.UNet`."""

    kind: Literal["unet"]
    frames: Frames
    channels: Bands
    width: Width
    noise: Noise = "none"
    extras: Extras = 0
    skip: Literal["guess", "measurement"] = "guess"
    bounded: bool = False
    attention: bool = False


class DensePlan(Strict):
    """Arguments of `geogan.model.networks.dense.DenseGenerator`."""

    kind: Literal["dense"]
    frames: Frames
    channels: Bands
    width: Width
    size: Annotated[list[Annotated[int, Field(ge=1, le=DENSE_SIDE)]], Field(min_length=2, max_length=2)]
    skip: Literal["guess", "measurement"] = "guess"
    bounded: bool = False
    noise: Literal["none"] = "none"
    extras: Extras = 0


class SaganPlan(Strict):
    """Arguments of `geogan.model.networks.SaganGenerator`."""

    kind: Literal["sagan"]
    frames: Frames
    channels: Bands
    width: Width
    widths: Annotated[list[Annotated[int, Field(ge=1, le=16 * MOST_WIDTH)]], Field(max_length=16)] | None = None
    show_mask: bool = True
    bounded: bool = False
    skip: Literal["none", "measurement", "guess"] = "none"
    noise: Noise = "none"
    extras: Extras = 0


class ErrorPlan(Strict):
    """Arguments of `geogan.model.networks.ErrorNet`."""

    frames: Frames
    channels: Bands
    width: Width
    extras: Extras = 0
    spread: bool = False


class SpreadPlan(Strict):
    """Arguments of `geogan.model.networks.SpreadTable`."""

    kind: Literal["table"]
    frames: Frames
    channels: Bands


def _error_kind(content: Any) -> str:
    has_kind = "kind" in content if isinstance(content, Mapping) else hasattr(content, "kind")
    return "table" if has_kind else "errors"


AnyErrorPlan = Annotated[
    Annotated[SpreadPlan, Tag("table")] | Annotated[ErrorPlan, Tag("errors")], Discriminator(_error_kind)
]


class CalibrationPoints(Strict):
    """`geogan.model.calibration.Calibration`."""

    std: Annotated[list[Positive], Field(min_length=1, max_length=MOST_POINTS)] = [1.0]
    factor: Annotated[list[Positive], Field(min_length=1, max_length=MOST_POINTS)] = [1.0]
    cells: Count = 0
    stretches: Count = 0


class PriorNumbers(Strict):
    """`geogan.prior.gaussian.GaussianPrior`.

    With ``steady`` an `ArchivePrior`, with ``mode_persistence`` a `LocalPrior`, both without their tensors.
    """

    length: Annotated[FiniteFloat, Field(gt=0, le=1e9)]
    persistence: Annotated[FiniteFloat, Field(gt=0, le=1e12)]
    noise: Annotated[FiniteFloat, Field(gt=0, le=1e9)]
    aspect: Annotated[FiniteFloat, Field(gt=0, le=1e6)]
    amplitude: Annotated[FiniteFloat, Field(gt=0, le=1e9)]
    detail: Annotated[FiniteFloat, Field(gt=0, le=1)] = 1.0
    tilt: Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)] = 0.0
    drift_y: Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)] = 0.0
    drift_x: Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)] = 0.0
    brief: Annotated[FiniteFloat, Field(ge=0, le=1e9)] = 0.0
    brief_length: Annotated[FiniteFloat, Field(gt=0, le=1e9)] = 8.0
    steady: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.0
    mode_persistence: Annotated[FiniteFloat, Field(gt=0, le=1e12)] = 1.0


class SimpleOperator(BaseModel):
    """One operator by its name; `geogan.operators.parse.from_dict` checks its parameters."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, bool | Annotated[int, Field(ge=-(10**9), le=10**9)] | Number | None]

    name: Name


class ComposedOperator(Strict):
    """Several operators, applied in order."""

    name: Literal["compose"]
    operators: Annotated[list[SimpleOperator], Field(min_length=1, max_length=MOST_OPERATORS)]


def _is_composed(content: Any) -> str:
    name = content.get("name") if isinstance(content, Mapping) else getattr(content, "name", None)
    return "composed" if name == "compose" else "simple"


AnyOperator = Annotated[
    Annotated[ComposedOperator, Tag("composed")] | Annotated[SimpleOperator, Tag("simple")],
    Discriminator(_is_composed),
]


class Standardising(Strict):
    """`geogan.archive.standardiser.Standardiser` without its coefficients."""

    scale: Annotated[list[Positive], Field(min_length=1, max_length=MOST_BANDS)]
    transform: Text = "none"
    note: Text = ""


class Varying(Strict):
    """`geogan.fields.time_varying.TimeVarying` without its values."""

    name: Annotated[Name, Field(min_length=1)]
    mean: Number
    scale: Positive


class Regressing(Strict):
    """`geogan.fields.regression.Regression` without its coefficients."""

    terms: Annotated[
        list[
            Annotated[list[Annotated[int, Field(ge=0, lt=MOST_EXTRAS)]], Field(min_length=1, max_length=MOST_FACTORS)]
        ],
        Field(min_length=1, max_length=MOST_EXTRAS),
    ]
    reach: Annotated[list[NotNegative], Field(min_length=1, max_length=MOST_EXTRAS)]


class Screening(Strict):
    """`geogan.archive.screening.Screen`."""

    center: Annotated[list[FiniteFloat], Field(min_length=1, max_length=MOST_BANDS)]
    spread: Annotated[list[NotNegative], Field(min_length=1, max_length=MOST_BANDS)]
    local: Annotated[list[NotNegative], Field(min_length=1, max_length=MOST_BANDS)]
    threshold: Annotated[FiniteFloat, Field(ge=1, le=1e6)] | None = None


class WithheldRule(Strict):
    """`geogan.archive.withheld.Withheld` without its sources."""

    flip: Annotated[int, Field(ge=0, le=3)] | bool = 0
    dates: Count = 0


class Scores(Strict):
    """Scores of a model on withheld observations."""

    withheld: Score | None = None
    first_guess: Score | None = None
    expected_in_gaps: Score | None = None
    judged_by: Name | None = None
    judged: Score | None = None
    units: Name = ""
    dates: Count | None = None
    cells: Count | None = None
    step: BestStep | None = None
    steps: Count | None = None
    seconds: NotNegative | None = None
    # Share of the first guess's error that the network gained, and the 90 % interval of the share.
    gain: Score | None = None
    gain_low: Score | None = None
    gain_high: Score | None = None
    clouds: Count | None = None


def _settings(content: Any) -> Any:
    """Check stored settings as the objects that they become; beside them a training stores what it found."""
    results = {name: content[name] for name in ("dates", "threads_used") if name in content}
    for name, value in results.items():
        whole_number(name, value, least=0, most=MOST_COUNT)
    known = [each.name for each in fields(settings.Settings)]
    for name in content.keys() - results.keys():
        if name not in known:
            raise InputError(f"{name} is not known; another geogan wrote it, train again")
    settings.Settings.stored(content)
    return content


StoredSettings = Annotated[dict[str, Any], AfterValidator(_settings)]


class ModelText(Strict):
    """``model.json``, which is also part of ``model.safetensors``."""

    geogan: Annotated[int, Field(ge=0, le=2**16)]
    covariates: Annotated[list[Name], Field(max_length=MOST_EXTRAS)] | None
    varying: Annotated[list[Varying], Field(max_length=MOST_EXTRAS)]
    regression: Regressing | None
    observation_error: Positive | Annotated[Name, Field(min_length=1)] | None
    variable: Text
    units: Name
    frames: Frames
    bands: Annotated[list[Name], Field(max_length=MOST_BANDS)]
    band_units: Annotated[list[Name], Field(max_length=MOST_BANDS)]
    network: Annotated[UNetPlan | SaganPlan | DensePlan, Discriminator("kind")] | None
    error: AnyErrorPlan | None
    calibration: CalibrationPoints
    # Each smoothing step needs two cells of a halo.
    smoothing: Annotated[int, Field(ge=0, le=64)]
    prior: PriorNumbers | None
    operator: AnyOperator
    standardiser: Standardising
    withheld: WithheldRule
    precision: Precision
    calendar: Calendar | None
    screen: Screening | None
    # Which dimension of the grid is the latitude, and which the longitude.
    kinds: dict[Literal["y", "x"], Literal["latitude", "longitude"]]
    scores: Scores
    settings: StoredSettings


class StateText(Strict):
    """The text of ``state.safetensors``."""

    geogan: Annotated[int, Field(ge=0, le=2**16)]
    best_error_score: Score | None
    step: Count
    seconds: NotNegative
    best_score: Score
    best_step: BestStep


class RunText(Strict):
    """``run.json``: the data on which a run was trained."""

    data: Annotated[list[Name], Field(max_length=MOST_FILES)]
    variable: Text | None
    domain: Name | None
    time: Name | None
    dates: Name | None = None
    error_variable: Name | None = None
    clean: Annotated[list[Name], Field(max_length=MOST_FILES)] | None = None
    group: Name | None = None
    dims: Name | None = None
    where: Name | None = None
    # A training that was killed before its first state was saved can be begun again with them.
    settings: StoredSettings | None = None


class PartialText(BaseModel):
    """``product.json`` and ``finished.json`` of a partial product."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, JsonValue]

    digest: Name
    sizes: Annotated[dict[Name, Count], Field(max_length=100)]
    chunks: Annotated[dict[Name, Count], Field(max_length=100)]
    dims: Annotated[dict[Name, Annotated[list[Name], Field(max_length=100)]], Field(max_length=MOST_BANDS * 8)]
    after: Name | None = None


class DoneLine(BaseModel):
    """A line of ``done.jsonl``: a region of a partial product that is on disk."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, JsonValue]

    region: Annotated[dict[Name, Annotated[list[Count], Field(min_length=2, max_length=2)]], Field(max_length=100)]
    names: Annotated[list[Name], Field(max_length=MOST_BANDS * 8)]
    notes: Annotated[list[Text], Field(max_length=1000)] = []


class FillText(BaseModel):
    """The attribute ``geogan_fill`` of a product: the settings of its fill."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, JsonValue]

    model: Name
    variable: Text
    members: Annotated[int, Field(ge=1, le=MOST_EXTRAS)]
    max_error: Text | None
    keep_observed: bool
    seed: int
    dates_of_archive: Count
    first_date: Count
    slab_and_margin: Annotated[list[Count], Field(min_length=2, max_length=2)]
    panel: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None
    is_periodic: bool = False
    network: bool = True
    question: Text | None = None


class MetricsLine(BaseModel):
    """A line of ``metrics.jsonl``: a step of a training, and numbers by name; a loss may be NaN."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, float | None]

    step: Count


def check(kind: type[BaseModel], content: Any) -> None:
    """Check the content of a JSON file.

    Parameters
    ----------
    kind : class
        One of this module's.
    content : object
        As ``json.loads`` gives it.

    Raises
    ------
    ValueError
        The first error, as a clause.

    Examples
    --------
    >>> check(WithheldRule, {"flip": 0, "dates": -3})
    Traceback (most recent call last):
        ...
    ValueError: dates should be greater than or equal to 0, got -3
    >>> check(WithheldRule, [])
    Traceback (most recent call last):
        ...
    ValueError: it should be a set of named entries, got []
    """
    try:
        kind.model_validate(content)
    except ValidationError as error:
        # Without the context, which would repeat the content.
        first = error.errors(include_url=False, include_context=False)[0]
        raise ValueError(_clause(first["loc"], str(first["type"]), str(first["msg"]), first["input"])) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _clause(location: tuple[int | str, ...], kind: str, message: str, given: Any) -> str:
    """Return one error of pydantic as a clause."""
    # The alternatives of a union are not entries of the file.
    name = ".".join(
        str(part) for part in location if part not in ("simple", "composed", "unet", "sagan", "table", "errors")
    )[:200]
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name} is not known; a later geogan may have written it"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        message = "Input should be a set of named entries"
    if kind == "value_error":
        return f"{name}: {message.removeprefix('Value error, ')}"
    shown = repr(given)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{name or 'it'} {message.removeprefix('Input ').rstrip('.').lower()}, got {shown}"
