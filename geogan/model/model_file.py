"""A run on disk: a folder of safetensors and JSON, never pickle.

``model.safetensors`` and ``model.json`` hold what filling needs; ``state.safetensors`` holds what going on
with training needs. Each file is written aside and renamed, so a kill leaves the one before.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geogan.archive.screening import Screen
from geogan.archive.standardiser import Standardiser
from geogan.archive.withheld import Withheld
from geogan.fields.covariates import Covariates
from geogan.files.disk import writing
from geogan.files.plain_file import read_json
from geogan.files.run_folder import MODEL, RUN, STATE, TEXT, holds, others, read_run
from geogan.files.run_folder import is_run as is_run
from geogan.files.schema import ModelText
from geogan.files.tensor_file import (
    FORMAT,
    KINDS,
    READ,
    Entry,
    check_text,
    in_short,
    open_tensors,
    prefixed,
    read_body,
    read_header,
    stripped,
    write_tensors,
)
from geogan.files.user_path import user_path
from geogan.model.calibration import Calibration
from geogan.model.model import Model
from geogan.model.networks import GENERATORS, ErrorNet, Generator
from geogan.operators.errors import InputError
from geogan.operators.parse import from_dict, to_dict
from geogan.prior.archive_covariance import MOST_CELLS, ArchivePrior, Prior
from geogan.prior.gaussian import GaussianPrior

# What an operator keeps: its gaps, packed; names as in `geogan.operators.observed.ObservedGaps.state`.
_OPERATORS = re.compile(r"operator\.(\d{1,2}\.)?(packed|runs|width)")


def save_model(path: str | Path, model: Model) -> Path:
    """Write a model into the folder ``path``; it is created where it is missing."""
    path = user_path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    tensors = {
        "standardiser.coefficients": torch.from_numpy(model.standardiser.coefficients),
        "domain": torch.from_numpy(model.domain),
        "withheld.sources": torch.from_numpy(model.withheld.sources),
    }
    tensors |= prefixed("operator", model.operator.state())
    if model.network is not None:
        tensors |= prefixed("network", model.network.state_dict())
    if model.error is not None:
        tensors |= prefixed("error", model.error.state_dict())
    tensors |= {
        f"grid.{name}": torch.from_numpy(values)
        for name, values in (("y", model.y), ("x", model.x))
        if values is not None
    }
    tensors |= {f"places.{kind}": torch.from_numpy(np.ascontiguousarray(at)) for kind, at in model.places.items()}
    if isinstance(model.prior, ArchivePrior):
        tensors["prior.covariance"] = model.prior.covariance
    if model.covariates is not None:
        tensors["covariates.maps"] = torch.from_numpy(model.covariates.maps)
    text = {
        "geogan": FORMAT,
        "covariates": None if model.covariates is None else list(model.covariates.names),
        "observation_error": model.observation_error,
        "variable": model.variable,
        "units": model.units,
        "frames": model.frames,
        "bands": list(model.bands),
        "kinds": dict(model.kinds),
        "calendar": model.calendar,
        "band_units": list(model.band_units),
        "network": None if model.network is None else _plan_of(model.network),
        "error": None if model.error is None else _arguments(model.error),
        "calibration": asdict(model.calibration),
        "smoothing": model.smoothing,
        "prior": None if model.prior is None else _scalars(model.prior),
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
    # The text travels inside the tensors' file too: the two can never be of different moments.
    write_tensors(path / MODEL, tensors, text)
    _replace(path / TEXT, json.dumps(text, indent=2).encode())
    return path


def load_model(path: str | Path) -> Model:
    """Read the model of a run.

    Sizes and types of all tensors are compared with the description before anything is allocated.

    Raises
    ------
    InputError
        Where there is none, or it is damaged, or not geogan's.
    """
    path = user_path(path)
    file = path / MODEL
    header, text = read_header(file)
    try:
        check_text(ModelText, text)
        _check_beside(path / TEXT)
        _check_tensors(header, _expected(text, header))
        tensors = read_body(file, header, text)
        return _model(tensors, text)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path} is a damaged geogan model ({in_short(error)}); train it again") from error
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{path} is a damaged geogan model ({in_short(error)}); train it again") from error


def _model(tensors: Mapping[str, Tensor], text: Mapping[str, Any]) -> Model:
    """The model that tensors and text describe, once both are checked."""
    operator = from_dict(text["operator"]).with_state(stripped("operator", tensors))
    network = None
    if text["network"] is not None:
        network = _network(text["network"])
        network.load_state_dict(stripped("network", tensors))
        network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    error = None
    if _predicts(text):
        error = ErrorNet(**text["error"])
        error.load_state_dict(stripped("error", tensors))
        error = error.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    covariates = None
    if text.get("covariates") is not None:
        covariates = Covariates(tuple(text["covariates"]), tensors["covariates.maps"].numpy())
    standardiser = text["standardiser"] | {"scale": np.array(text["standardiser"]["scale"], np.float64)}
    sources = tensors["withheld.sources"].numpy()
    if sources.size and not (sources.min() >= -1 and sources.max() < len(sources)):
        raise ValueError(f"withheld.sources names dates beyond the {len(sources)} that there are")
    ready = Standardiser(tensors["standardiser.coefficients"].numpy(), **standardiser)
    assert ready.transforms  # refuses an unknown transform
    return Model(
        network=network,
        prior=_prior(text["prior"], tensors),
        operator=operator,
        standardiser=ready,
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
        band_units=tuple(text.get("band_units", ())),
        error=error,
        calibration=Calibration(**text.get("calibration", {})),
        covariates=covariates,
        observation_error=text.get("observation_error"),
        smoothing=text.get("smoothing", 0),
        calendar=text.get("calendar"),
        screen=None if text.get("screen") is None else _screen(text["screen"]),
        kinds=dict(text.get("kinds", {})),
        places={kind: places.numpy() for kind, places in stripped("places", tensors).items()},
    )


def _screen(text: Mapping[str, Any]) -> Screen:
    center, spread, local = (tuple(text[name]) for name in ("center", "spread", "local"))
    return Screen(center, spread, local, text["threshold"])


def _network(plan: Mapping[str, Any]) -> Generator:
    sizes = dict(plan)
    return GENERATORS[sizes.pop("kind")](**sizes)


def _predicts(text: Mapping[str, Any]) -> bool:
    """Whether a model predicts errors. What was predicted before format 6 was too small, and is left out."""
    return text.get("error") is not None and text["geogan"] >= 6


def _check_beside(file: Path) -> None:
    """Refuse a ``model.json`` that is none; the text in the tensors' file is the one that holds."""
    try:
        text = read_json(file)
        if not isinstance(text, dict) or text.get("geogan") not in READ:
            raise ValueError("it is not the description of a model")
        check_text(ModelText, text)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); copy it again, or remove it") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); copy it again, or remove it") from error


def _expected(text: Mapping[str, Any], header: Mapping[str, Entry]) -> dict[str, Entry]:
    """The tensors that a description asks for; sizes that it leaves open are those of the header.

    Nothing is allocated: networks are built without memory.
    """
    shapes = {name: entry.shape for name, entry in header.items()}
    bands = len(text["standardiser"]["scale"])
    rows, columns = _sized("domain", shapes, 2)
    found = {
        "domain": Entry("BOOL", (rows, columns)),
        "standardiser.coefficients": Entry(
            "F32", (_sized("standardiser.coefficients", shapes, 4)[0], bands, rows, columns)
        ),
        "withheld.sources": Entry("I32", _sized("withheld.sources", shapes, 2)),
    }
    if found["standardiser.coefficients"].shape[0] not in (1, 3, 5):
        raise ValueError("standardiser.coefficients must be 1, 3 or 5 maps a band")
    if len(text["bands"]) not in (0, bands) or len(text.get("band_units", ())) not in (0, bands):
        raise ValueError(f"bands and band_units must name all {bands} bands, or none")
    found |= {
        f"grid.{name}": Entry("F64", (size,))
        for name, size in (("y", rows), ("x", columns))
        if f"grid.{name}" in header
    }
    # Coordinates beside these lie along one side of the grid, or both.
    found |= {
        f"places.{kind}": Entry("F64", shapes[f"places.{kind}"])
        for kind in ("y", "x", "latitude", "longitude")
        if shapes.get(f"places.{kind}") in ((rows, 1), (1, columns), (rows, columns))
    }
    found |= {name: entry for name, entry in header.items() if _OPERATORS.fullmatch(name)}
    extras = 0
    if text.get("covariates") is not None:
        seasonal = "day_of_year" in text["covariates"]
        count = len(text["covariates"]) - seasonal
        found["covariates.maps"], extras = Entry("F32", (count, rows, columns)), count + 2 * seasonal
    prior = text["prior"]
    if prior is not None and "steady" in prior:
        cells = rows * columns
        if cells > MOST_CELLS:
            raise ValueError(f"prior has a covariance of {cells:,} cells, where {MOST_CELLS:,} are the most")
        found["prior.covariance"] = Entry("F32", (bands, cells, cells))
    parts: dict[str, Any] = {"network": text["network"], "error": text["error"] if _predicts(text) else None}
    for part, plan in parts.items():
        if plan is None:
            continue
        for name, wanted in (("frames", text["frames"]), ("channels", bands), ("extras", extras)):
            if plan.get(name, 0) != wanted:
                raise ValueError(f"{part}.{name} is {plan.get(name, 0)}, where the model has {wanted}")
        with torch.device("meta"):
            network = _network(plan) if part == "network" else ErrorNet(**plan)
        found |= {
            f"{part}.{name}": Entry(KINDS[tensor.dtype], tuple(tensor.shape))
            for name, tensor in network.state_dict().items()
        }
    if text.get("error") is not None and not _predicts(text):
        found |= {name: entry for name, entry in header.items() if name.startswith("error.")}
    return found


def _sized(name: str, shapes: Mapping[str, tuple[int, ...]], rank: int) -> tuple[int, ...]:
    """The shape of a tensor whose sizes nothing else says: none of them 0."""
    if name not in shapes:
        raise ValueError(f"the tensor {name} is missing")
    if len(shapes[name]) != rank or 0 in shapes[name]:
        raise ValueError(f"the tensor {name} has the shape {list(shapes[name])}, where {rank} sizes are expected")
    return shapes[name]


def _check_tensors(header: Mapping[str, Entry], expected: Mapping[str, Entry]) -> None:
    for name in [*expected, *header]:
        if name not in header:
            raise ValueError(f"the tensor {name} is missing")
        if name not in expected:
            raise ValueError(f"the tensor {name} is not known")
        (kind, shape), (wanted, sizes) = header[name], expected[name]
        # What was made in Python may be wider; weights are of one type.
        wider = {"I32": "I64", "F32": "F64", "F64": "F32"}.get(wanted)
        kinds = (wanted,) if name.startswith(("network.", "error.")) else (wanted, wider)
        if kind not in kinds or shape != sizes:
            raise ValueError(f"the tensor {name} is {kind} {list(shape)}, where {wanted} {list(sizes)} is expected")


def _plan_of(network: Generator) -> dict[str, Any]:
    """What a network is built from: its name, and every argument of its constructor, which it keeps by that name."""
    kind = next(name for name, made in GENERATORS.items() if type(network) is made)
    return {"kind": kind} | _arguments(network)


def _arguments(network: Generator | ErrorNet) -> dict[str, Any]:
    return {name: getattr(network, name) for name in inspect.signature(type(network)).parameters}


def _scalars(prior: Prior) -> dict[str, float]:
    """A prior without its tensors; whether it goes round is a fact of what is filled."""
    left_out = ("covariance", "root", "is_periodic")
    return {each.name: getattr(prior, each.name) for each in fields(prior) if each.name not in left_out}


def _prior(text: Mapping[str, Any] | None, tensors: Mapping[str, Tensor]) -> Prior | None:
    if text is None:
        return None
    if "prior.covariance" in tensors:
        return ArchivePrior(tensors["prior.covariance"], **text)
    return GaussianPrior(**text)


def is_just_begun(path: Path) -> bool:
    """Whether a run was killed when its first model was written and its first state was not.

    Raises
    ------
    InputError
        If its model is damaged, or not geogan's.
    """
    if holds(path, STATE) or not is_run(path):
        return False
    text = read_header(path.expanduser() / MODEL)[1]
    scores = text.get("scores")
    # A model without a network, of a grid too thin for one, is complete without a state.
    return isinstance(scores, dict) and scores.get("steps") == 0 and text.get("network") is not None


def check_free(path: Path, *, overwrite: bool, ways: str, other: str) -> None:
    """Refuse a folder that is not free for a run: of what is there, only a run that geogan made is ever replaced.

    Parameters
    ----------
    path : Path
        Need not exist.
    overwrite : bool
        Whether a run that is there may be replaced. One that was killed before its first step always may.
    ways : str
        What to do about a run that is there, for the error.
    other : str
        How another folder is given, for the error.

    Raises
    ------
    InputError
    """
    there = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise InputError(f"{there} is a file; give another {other}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there} may not be written to, so {path} cannot be made; give another {other}")
    if not path.is_dir():
        return
    foreign = next(others(path), None)
    if not is_run(path):
        if foreign is not None:
            raise InputError(f"{path} is a folder with other things in it; give another {other}")
        return
    if not overwrite and not is_just_begun(path):
        raise InputError(f"{path} holds a run already; {ways}")
    if foreign is not None:
        raise InputError(
            f"{path} holds {foreign} beside the files of a run, so it stays; move {foreign}, or give another {other}"
        )
    try:
        read_header(path / MODEL)
        if holds(path, TEXT) and "geogan" not in read_json(path / TEXT):
            raise InputError(f"{TEXT} was not written by geogan")
        if holds(path, RUN):
            read_run(path)
    except (InputError, OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} holds no run that geogan can read, so it stays ({in_short(error)}); give another {other}"
        ) from error


def digest(path: str | Path) -> str:
    """A short name for the exact weights of a run's model.

    Raises
    ------
    InputError
        Where there is none.
    """
    try:
        with open_tensors(user_path(path) / MODEL) as content:
            return hashlib.file_digest(content, "sha256").hexdigest()[:16]
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} is no geogan run: it has no {MODEL}; give a folder made by geogan train") from None
    except OSError as error:
        raise InputError(f"{Path(path) / MODEL} cannot be read ({error.strerror or error}); copy it again") from error


def _replace(file: Path, content: bytes) -> None:
    aside = file.with_name(f".{file.name}.partial")
    with writing(file):
        aside.write_bytes(content)
        aside.replace(file)
