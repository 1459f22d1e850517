"""The model of a run on disk: ``model.safetensors`` and ``model.json``, never pickle.

The tensors' file holds the JSON text too, so that the two always agree; ``model.json`` is a copy for people. Each
file is written aside and renamed, so that a kill leaves the previous one.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geogan.archive import Screen, Standardiser, Withheld
from geogan.fields.covariates import CYCLES, Covariates
from geogan.fields.regression import Regression
from geogan.fields.time_varying import TimeVarying
from geogan.files.disk import writing
from geogan.files.plain_file import one_line, read_json, readable
from geogan.files.run_folder import MODEL, TEXT
from geogan.files.schema import ModelText, check
from geogan.files.swap import write_text
from geogan.files.tensor_file import DTYPE_NAMES, read_tensors, with_prefix, without_prefix, write_tensors
from geogan.files.tensor_header import FORMAT, Entry, open_tensors
from geogan.files.user_path import user_path
from geogan.model.calibration import Calibration
from geogan.model.model import Model
from geogan.model.networks import GENERATORS, ErrorModel, ErrorNet, Generator, SpreadTable
from geogan.operators.errors import InputError
from geogan.operators.parse import from_dict, to_dict
from geogan.prior import GaussianPrior, PriorFile

# Tensors of an operator: the packed gaps of `geogan.operators.observed.ObservedGaps.state`.
_OPERATOR_NAME = re.compile(r"operator\.(\d{1,2}\.)?(packed|runs|width)")


def save_model(path: str | Path, model: Model) -> Path:
    """Write a model into the folder ``path``, which is created if absent.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the folder cannot be written; a previous model stays.
    """
    path = user_path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    text = _describe(model)
    write_tensors(path / MODEL, _tensors(model), text)
    with writing(path / TEXT):
        write_text(path / TEXT, json.dumps(text, indent=2))
    return path


def _tensors(model: Model) -> dict[str, Tensor]:
    """Return all tensors of a model by their names in the file."""
    tensors = {
        "standardiser.coefficients": torch.from_numpy(model.standardiser.coefficients),
        "domain": torch.from_numpy(model.domain),
        "withheld.sources": torch.from_numpy(model.withheld.sources),
    }
    if model.standardiser.fine is not None:
        tensors["standardiser.fine"] = torch.from_numpy(model.standardiser.fine)
    tensors |= with_prefix("operator", model.operator.state())
    if model.network is not None:
        tensors |= with_prefix("network", model.network.state_dict())
    if model.error is not None:
        tensors |= with_prefix("error", model.error.state_dict())
    for name, values in (("y", model.y), ("x", model.x)):
        if values is not None:
            tensors[f"grid.{name}"] = torch.from_numpy(values)
    tensors |= {f"places.{kind}": torch.from_numpy(np.ascontiguousarray(at)) for kind, at in model.places.items()}
    if model.prior is not None:
        tensors |= with_prefix("prior", PriorFile.tensors(model.prior))
    if model.covariates is not None:
        tensors["covariates.maps"] = torch.from_numpy(model.covariates.maps)
        if model.covariates.turns is not None:
            tensors["covariates.turns"] = torch.from_numpy(model.covariates.turns)
    regression = model.standardiser.regression
    if regression is not None:
        tensors["regression.coefficients"] = torch.from_numpy(regression.coefficients)
    return tensors


def _describe(model: Model) -> dict[str, Any]:
    """Return everything but the tensors of a model, as `geogan.files.schema.ModelText` requires it."""
    return {
        "geogan": FORMAT,
        "covariates": None if model.covariates is None else list(model.covariates.names),
        "varying": [
            {"name": each.name, "mean": each.mean, "scale": each.scale}
            for each in (() if model.covariates is None else model.covariates.varying)
        ],
        "regression": _describe_regression(model.standardiser.regression),
        "observation_error": model.observation_error,
        "variable": model.variable,
        "units": model.units,
        "frames": model.frames,
        "bands": list(model.bands),
        "kinds": dict(model.kinds),
        "calendar": model.calendar,
        "band_units": list(model.band_units),
        "network": None if model.network is None else _network_plan(model.network),
        "error": None if model.error is None else _error_plan(model.error),
        "calibration": asdict(model.calibration),
        "smoothing": model.smoothing,
        "prior": None if model.prior is None else PriorFile.numbers(model.prior),
        "operator": to_dict(model.operator),
        "standardiser": {
            "scale": model.standardiser.scale.tolist(),
            "transform": model.standardiser.transform,
            "note": model.standardiser.note,
        },
        "withheld": {"flip": model.withheld.flip, "dates": len(model.withheld.dates)},
        "precision": model.precision,
        "screen": None if model.screen is None else asdict(model.screen),
        "scores": model.scores,
        "settings": model.settings,
    }


def load_model(path: str | Path) -> Model:
    """Read the model of a run.

    Sizes and types of all tensors are compared with the description before anything is allocated.

    Raises
    ------
    InputError
        If the folder holds no model, or one that is damaged, of another format, or not written by geogan.
    """
    path = user_path(path)

    def check_file(header: Mapping[str, Entry], text: Mapping[str, Any]) -> None:
        check(ModelText, text)
        _check_copy(path / TEXT)
        _check_header(header, _expected_header(text, header))

    try:
        return _model(*read_tensors(path / MODEL, check_file))
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path} is a damaged geogan model ({one_line(error)}); train it again") from error
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{path} is a damaged geogan model ({one_line(error)}); train it again") from error


def _model(tensors: Mapping[str, Tensor], text: Mapping[str, Any]) -> Model:
    """Return the model of checked tensors and text."""
    operator = from_dict(text["operator"]).with_state(without_prefix("operator", tensors))
    network = None
    if text["network"] is not None:
        network = _network(text["network"])
        network.load_state_dict(without_prefix("network", tensors))
        network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    error = None
    if text["error"] is not None:
        error = _error_model(text["error"])
        error.load_state_dict(without_prefix("error", tensors))
        error = error.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    covariates = None
    if text["covariates"] is not None:
        turns = tensors["covariates.turns"].numpy() if "covariates.turns" in tensors else None
        varying = tuple(TimeVarying(**each) for each in text["varying"])
        covariates = Covariates(tuple(text["covariates"]), tensors["covariates.maps"].numpy(), varying, turns)
    regression = None
    if text["regression"] is not None:
        terms = tuple(map(tuple, text["regression"]["terms"]))
        coefficients = tensors["regression.coefficients"].numpy()
        regression = Regression(terms, coefficients, tuple(text["regression"]["reach"]))
    sources = tensors["withheld.sources"].numpy()
    if sources.size and not (sources.min() >= -1 and sources.max() < len(sources)):
        raise ValueError(f"withheld.sources names dates beyond the {len(sources)} of the archive")
    scale = np.array(text["standardiser"]["scale"], np.float64)
    standardiser = Standardiser(
        tensors["standardiser.coefficients"].numpy(),
        **(text["standardiser"] | {"scale": scale}),
        regression=regression,
        fine=tensors["standardiser.fine"].numpy() if "standardiser.fine" in tensors else None,
    )
    prior = None
    if text["prior"] is not None:
        prior = PriorFile.read(text["prior"], without_prefix("prior", tensors))
        prior = prior.through(operator) if isinstance(prior, GaussianPrior) else prior
    assert standardiser.transforms  # raises for an unknown transform
    return Model(
        network=network,
        prior=prior,
        operator=operator,
        standardiser=standardiser,
        domain=tensors["domain"].numpy(),
        withheld=Withheld(sources, text["withheld"]["flip"]),
        frames=text["frames"],
        variable=text["variable"],
        units=text["units"],
        y=tensors["grid.y"].numpy() if "grid.y" in tensors else None,
        x=tensors["grid.x"].numpy() if "grid.x" in tensors else None,
        precision=text["precision"],
        scores=text["scores"],
        settings=text["settings"],
        bands=tuple(text["bands"]),
        band_units=tuple(text["band_units"]),
        error=error,
        calibration=Calibration(**text["calibration"]),
        covariates=covariates,
        observation_error=text["observation_error"],
        smoothing=text["smoothing"],
        calendar=text["calendar"],
        screen=None if text["screen"] is None else _screen(text["screen"]),
        kinds=dict(text["kinds"]),
        places={kind: places.numpy() for kind, places in without_prefix("places", tensors).items()},
    )


def _screen(text: Mapping[str, Any]) -> Screen:
    center, spread, local = (tuple(text[name]) for name in ("center", "spread", "local"))
    return Screen(center, spread, local, text["threshold"])


def _network(plan: Mapping[str, Any]) -> Generator:
    arguments = dict(plan)
    return GENERATORS[arguments.pop("kind")](**arguments)


def _check_copy(file: Path) -> None:
    """Refuse a ``model.json`` that does not describe a model, although only the text beside the tensors is used."""
    try:
        with readable(file, remedy="copy it again, or remove it"):
            text = read_json(file)
            if not isinstance(text, dict) or text.get("geogan") != FORMAT:
                raise ValueError(f"it does not describe a model of format {FORMAT}")
            check(ModelText, text)
    except FileNotFoundError:
        return


def _expected_header(text: Mapping[str, Any], header: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries that a description requires; sizes that it does not state are those of the header.

    Nothing is allocated: networks are built on the meta device.
    """
    shapes = {name: entry.shape for name, entry in header.items()}
    bands = len(text["standardiser"]["scale"])
    rows, columns = _sized("domain", shapes, 2)
    expected = {
        "domain": Entry("BOOL", (rows, columns)),
        "standardiser.coefficients": Entry(
            "F32", (_sized("standardiser.coefficients", shapes, 4)[0], bands, rows, columns)
        ),
        "withheld.sources": Entry("I32", _sized("withheld.sources", shapes, 2)),
    }
    if expected["standardiser.coefficients"].shape[0] not in (1, 3, 5):
        raise ValueError("standardiser.coefficients must be 1, 3 or 5 maps a band")
    if "standardiser.fine" in header:
        expected["standardiser.fine"] = expected["standardiser.coefficients"]
    if len(text["bands"]) not in (0, bands) or len(text["band_units"]) not in (0, bands):
        raise ValueError(f"bands and band_units must name all {bands} bands, or none")
    expected |= {
        f"grid.{name}": Entry("F64", (size,))
        for name, size in (("y", rows), ("x", columns))
        if f"grid.{name}" in header
    }
    # Further coordinates lie along one side of the grid, or both.
    expected |= {
        f"places.{kind}": Entry("F64", shapes[f"places.{kind}"])
        for kind in ("y", "x", "latitude", "longitude")
        if shapes.get(f"places.{kind}") in ((rows, 1), (1, columns), (rows, columns))
    }
    expected |= {name: entry for name, entry in header.items() if _OPERATOR_NAME.fullmatch(name)}
    extras = 0
    if text["covariates"] is not None:
        cycles = sum(name in text["covariates"] for name in CYCLES)
        extras = len(text["covariates"]) + cycles
        count = extras - 2 * cycles - len(text["varying"])
        names = [each["name"] for each in text["varying"]]
        if count < 0 or len(set(text["covariates"])) < len(text["covariates"]) or {*names} - {*text["covariates"]}:
            raise ValueError("covariates must name each covariate once, and varying those that change in time")
        expected["covariates.maps"] = Entry("F32", (count, rows, columns))
        if "hour_of_day" in text["covariates"]:
            expected["covariates.turns"] = Entry("F32", (rows, columns))
    expected |= _regression_header(text, shapes, extras, (bands, rows, columns))
    if text["prior"] is not None:
        found = {name.removeprefix("prior."): shape for name, shape in shapes.items()}
        required = PriorFile.shapes(text["prior"], found, bands, (rows, columns))
        expected |= {f"prior.{name}": Entry("F32", shape) for name, shape in required.items()}
    parts: dict[str, Any] = {"network": text["network"], "error": text["error"]}
    for part, plan in parts.items():
        if plan is None:
            continue
        # A table of the posterior sees no covariates.
        shown = plan.get("extras", 0) if plan.get("kind") == "table" else extras
        for name, wanted in (("frames", text["frames"]), ("channels", bands), ("extras", shown)):
            if plan.get(name, 0) != wanted:
                raise ValueError(f"{part}.{name} is {plan.get(name, 0)}, where the model has {wanted}")
        with torch.device("meta"):
            network = _network(plan) if part == "network" else _error_model(plan)
        expected |= {
            f"{part}.{name}": Entry(DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
            for name, tensor in network.state_dict().items()
        }
    return expected


def _regression_header(
    text: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], channels: int, size: tuple[int, int, int]
) -> dict[str, Entry]:
    """Return the entry of a regression on covariates with some channels, on a grid (bands, rows, columns)."""
    if text["regression"] is None:
        return {}
    terms, reach = text["regression"]["terms"], text["regression"]["reach"]
    if len(reach) != len(terms) or any(channel >= channels for term in terms for channel in term):
        raise ValueError(f"regression must have one reach for each term, of the {channels} channels of the covariates")
    name, (bands, *grid) = "regression.coefficients", size
    cells = _sized(name, shapes, 4)[2:]
    if cells not in ((1, 1), tuple(grid)):
        raise ValueError(f"{name} must have one coefficient for all cells, or one for each")
    return {name: Entry("F32", (len(terms), bands, *cells))}


def _describe_regression(regression: Regression | None) -> dict[str, Any] | None:
    if regression is None:
        return None
    return {"terms": [list(term) for term in regression.terms], "reach": list(regression.reach)}


def _sized(name: str, shapes: Mapping[str, tuple[int, ...]], rank: int) -> tuple[int, ...]:
    """Return the shape of a tensor whose sizes only the header states; refuse another rank and a size of 0."""
    if name not in shapes:
        raise ValueError(f"the tensor {name} is missing")
    if len(shapes[name]) != rank or 0 in shapes[name]:
        raise ValueError(f"the tensor {name} has the shape {list(shapes[name])}, where {rank} sizes are expected")
    return shapes[name]


def _check_header(header: Mapping[str, Entry], expected: Mapping[str, Entry]) -> None:
    """Raise ValueError if tensors are missing, unknown, or of another type or shape than expected."""
    for name in [*expected, *header]:
        if name not in header:
            raise ValueError(f"the tensor {name} is missing")
        if name not in expected:
            raise ValueError(f"the tensor {name} is not known")
        (dtype, shape), (wanted_dtype, wanted_shape) = header[name], expected[name]
        # Arrays made in Python may have the other precision; weights have one type.
        other_dtype = {"I32": "I64", "F32": "F64", "F64": "F32"}.get(wanted_dtype)
        dtypes = (wanted_dtype,) if name.startswith(("network.", "error.")) else (wanted_dtype, other_dtype)
        if dtype not in dtypes or shape != wanted_shape:
            raise ValueError(
                f"the tensor {name} is {dtype} {list(shape)}, where {wanted_dtype} {list(wanted_shape)} is expected"
            )


def _network_plan(network: Generator) -> dict[str, Any]:
    """Return the name of a network and the arguments of its constructor."""
    kind = next(name for name, generator in GENERATORS.items() if type(network) is generator)
    return {"kind": kind} | _arguments(network)


def _error_plan(error: ErrorModel) -> dict[str, Any]:
    """Return the arguments of the constructor of what predicts the error, with its kind unless that is a network."""
    return ({"kind": "table"} if isinstance(error, SpreadTable) else {}) | _arguments(error)


def _error_model(plan: Mapping[str, Any]) -> ErrorModel:
    arguments = dict(plan)
    return ErrorNet(**arguments) if arguments.pop("kind", None) is None else SpreadTable(**arguments)


def _arguments(network: Generator | ErrorModel) -> dict[str, Any]:
    """Return the arguments of a network's constructor, which are attributes of the same names."""
    return {name: getattr(network, name) for name in inspect.signature(type(network)).parameters}


def digest(path: str | Path) -> str:
    """Return a short text that identifies the model of a run with its exact weights.

    Raises
    ------
    InputError
        If the folder holds no model.
    """
    file = user_path(path) / MODEL
    absent = f"{path} is not a geogan run: it has no {MODEL}; give a folder made by geogan train"
    with readable(file, absent=absent), open_tensors(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
