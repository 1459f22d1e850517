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
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geogan.calibration import Calibration
from geogan.covariance import MOST_CELLS, ArchivePrior, Prior
from geogan.covariates import Covariates
from geogan.disk import writing
from geogan.gaussian import GaussianPrior
from geogan.model import Model
from geogan.networks import GENERATORS, ErrorNet, Generator
from geogan.operators.errors import InputError
from geogan.operators.parse import from_dict, to_dict
from geogan.plain_file import JSON_BYTES, check_plain, open_plain, parse_json, read_json
from geogan.run_folder import MODEL, RUN, STATE, TEXT, holds, others, read_run
from geogan.run_folder import is_run as is_run
from geogan.schema import ModelText, StateText, check
from geogan.screening import Screen
from geogan.standardise import Standardiser
from geogan.training import TrainState
from geogan.user_path import user_path
from geogan.withheld import Withheld

FORMAT = 6  # 2: bands; 3: predicted errors; 4: covariates; 5: observation errors; 6: errors that know the nearness
READ = (2, 3, 4, 5, 6)

# Names of the library's types of numbers, and bytes of one.
_BYTES = {"BOOL": 1, "U8": 1, "I32": 4, "I64": 8, "F32": 4, "F64": 8}
# Of tensors by their type: torch's name to the library's.
_KINDS = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int32: "I32", torch.int64: "I64", torch.float32: "F32",
    torch.float64: "F64",
}  # fmt: skip
# What an operator keeps: its gaps, packed; names as in `geogan.operators.observed.ObservedGaps.state`.
_OPERATORS = re.compile(r"operator\.(\d{1,2}\.)?(packed|runs|width)")


class Entry(NamedTuple):
    """What the header of a file of tensors says of one."""

    kind: str
    shape: tuple[int, ...]


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
    tensors |= _prefixed("operator", model.operator.state())
    if model.network is not None:
        tensors |= _prefixed("network", model.network.state_dict())
    if model.error is not None:
        tensors |= _prefixed("error", model.error.state_dict())
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
        _check_text(ModelText, text)
        _check_beside(path / TEXT)
        _check_tensors(header, _expected(text, header))
        tensors = _read(file, header, text)
        return _model(tensors, text)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path} is a damaged geogan model ({_shortly(error)}); train it again") from error
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{path} is a damaged geogan model ({_shortly(error)}); train it again") from error


def _model(tensors: Mapping[str, Tensor], text: Mapping[str, Any]) -> Model:
    """The model that tensors and text describe, once both are checked."""
    operator = from_dict(text["operator"]).with_state(_stripped("operator", tensors))
    network = None
    if text["network"] is not None:
        network = _network(text["network"])
        network.load_state_dict(_stripped("network", tensors))
        network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    error = None
    if _predicts(text):
        error = ErrorNet(**text["error"])
        error.load_state_dict(_stripped("error", tensors))
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
        places={kind: places.numpy() for kind, places in _stripped("places", tensors).items()},
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


def _check_text(kind: type[BaseModel], text: Mapping[str, Any]) -> None:
    """Check a description of a format that this geogan reads."""
    check(kind, text, lenient=text["geogan"] < FORMAT)


def _check_beside(file: Path) -> None:
    """Refuse a ``model.json`` that is none; the text in the tensors' file is the one that holds."""
    try:
        text = read_json(file)
        if not isinstance(text, dict) or text.get("geogan") not in READ:
            raise ValueError("it is not the description of a model")
        _check_text(ModelText, text)
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
            f"{part}.{name}": Entry(_KINDS[tensor.dtype], tuple(tensor.shape))
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


def save_state(path: str | Path, state: TrainState) -> None:
    """Write all that training needs to go on, into the folder ``path``."""
    tensors = {"random": state.random.get_state()}
    tensors |= _prefixed("generator", state.generator.state_dict())
    tensors |= _prefixed("discriminator", state.discriminator.state_dict())
    tensors |= _prefixed("average", state.average.state_dict())
    tensors |= _prefixed("best", state.best)
    if state.error is not None:
        tensors |= _prefixed("error", state.error.network.state_dict())
        tensors |= _prefixed("error_average", state.error.average.state_dict())
        tensors |= _prefixed("error_best", state.error.best)
        tensors |= _prefixed("error_optimiser", _flat(state.error.optimiser))
    tensors |= _prefixed("generator_optimiser", _flat(state.generator_optimiser))
    tensors |= _prefixed("discriminator_optimiser", _flat(state.discriminator_optimiser))
    text = {
        "geogan": FORMAT,
        "best_error_score": None if state.error is None else state.error.best_score,
        "step": state.step,
        "seconds": state.seconds,
        "best_score": state.best_score,
        "best_step": state.best_step,
    }
    write_tensors(user_path(path) / STATE, tensors, text)


def load_state(path: str | Path, state: TrainState) -> None:
    """Put back into ``state`` what :func:`save_state` wrote.

    Raises
    ------
    InputError
        Where there is none, or it is damaged or of another network.
    """
    path = user_path(path)
    file = path / STATE
    header, text = read_header(file)
    try:
        _check_text(StateText, text)
        tensors = _read(file, header, text)
        for name in ("generator", "discriminator", "average"):
            getattr(state, name).load_state_dict(_stripped(name, tensors))
        for name in ("generator_optimiser", "discriminator_optimiser"):
            _unflat(getattr(state, name), _stripped(name, tensors))
        if state.error is not None:
            state.error.network.load_state_dict(_stripped("error", tensors))
            state.error.average.load_state_dict(_stripped("error_average", tensors))
            _unflat(state.error.optimiser, _stripped("error_optimiser", tensors))
            state.error.best, state.error.best_score = _stripped("error_best", tensors), float(text["best_error_score"])
            _check_best("error_best", state.error.best, state.error.average)
        state.best = _stripped("best", tensors)
        _check_best("best", state.best, state.average)
        state.random.set_state(tensors["random"])
        state.step, state.seconds = int(text["step"]), float(text["seconds"])
        state.best_score, state.best_step = float(text["best_score"]), int(text["best_step"])
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path} cannot be resumed ({_shortly(error)}); train it again") from error
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{path} cannot be resumed ({_shortly(error)}); train it again") from error


def _check_best(name: str, weights: Mapping[str, Tensor], network: Any) -> None:
    """The best weights so far are those of the network, or none."""
    own = network.state_dict()
    if weights and ({key: value.shape for key, value in weights.items()}
                    != {key: value.shape for key, value in own.items()}):  # fmt: skip
        raise ValueError(f"the tensors {name} are those of another network")


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
            f"{path} holds no run that geogan can read, so it stays ({_shortly(error)}); give another {other}"
        ) from error


def saved_step(path: str | Path) -> int:
    """The step at which a training was last saved to be gone on with; the model beside may be of a later one.

    Raises
    ------
    InputError
        Where there is none, or it is damaged.
    """
    return int(read_state_text(path)["step"])


def read_state_text(path: str | Path) -> dict[str, Any]:
    """What the saved training in the folder ``path`` says of itself, without its tensors.

    Raises
    ------
    InputError
        Where there is none, or it is damaged.
    """
    file = user_path(path) / STATE
    _, text = read_header(file)
    try:
        _check_text(StateText, text)
    except ValueError as error:
        raise InputError(f"{file} is damaged ({_shortly(error)}); train it again") from error
    return text


def digest(path: str | Path) -> str:
    """A short name for the exact weights of a run's model.

    Raises
    ------
    InputError
        Where there is none.
    """
    try:
        with _opened(user_path(path) / MODEL) as content:
            return hashlib.file_digest(content, "sha256").hexdigest()[:16]
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} is no geogan run: it has no {MODEL}; give a folder made by geogan train") from None
    except OSError as error:
        raise InputError(f"{Path(path) / MODEL} cannot be read ({error.strerror or error}); copy it again") from error


def write_tensors(file: Path, tensors: Mapping[str, Tensor], text: Mapping[str, Any]) -> None:
    """Write tensors with a JSON text into one file, aside and renamed."""
    aside = file.with_name(f".{file.name}.partial")
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(ready, aside, metadata={"geogan": json.dumps(text)})
        # The library lets nobody else read it; who may read the folder may read the run.
        aside.chmod(file.parent.stat().st_mode & 0o666)
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(file)
    except (OSError, SafetensorError) as error:
        aside.unlink(missing_ok=True)
        raise InputError(
            f"{file} could not be written ({error}); the one before is kept; make room, or see who may write there"
        ) from error


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Raises
    ------
    InputError
        As :func:`read_header`; or if a tensor is not finite.
    """
    header, text = read_header(file)
    try:
        return _read(file, header, text), text
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is damaged ({error}); train it again") from error


def read_header(file: Path) -> tuple[dict[str, Entry], dict[str, Any]]:
    """Read the types and sizes of tensors that :func:`write_tensors` wrote, and the text beside them.

    Raises
    ------
    InputError
        If the file is not there, no regular file, damaged, not geogan's, or of another format.
    """
    try:
        with _opened(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= min(JSON_BYTES, size - 8):
                raise ValueError(f"its header would have {length:,} of its {size:,} bytes")
            header = parse_json(opened.read(length))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{file.parent} is no geogan run: it has no {file.name}; give a folder made by geogan train"
        ) from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); copy it again") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{file} is damaged ({_shortly(error)}); train it again") from error
    try:
        own = header.pop("__metadata__", {})["geogan"]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} was not written by geogan; give a folder made by geogan train") from error
    try:
        text = parse_json(own)
        entries = _entries(header, size - 8 - length)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged ({_shortly(error)}); train it again") from error
    found = text.get("geogan") if isinstance(text, dict) else None
    if type(found) is not int or found not in READ:
        raise InputError(
            f"{file} is of format {str(found)[:40]} and this geogan reads {READ[0]} to {READ[-1]}; train it again"
        )
    return entries, text


def _entries(header: Mapping[str, Any], size: int) -> dict[str, Entry]:
    """The header's tensors, which must fill the rest of the file, ``size`` bytes, one after another."""
    entries, spans = {}, []
    for name, entry in header.items():
        kind, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if kind not in _BYTES:
            raise ValueError(f"the tensor {name} is of type {str(kind)[:20]}")
        count = _BYTES[kind]
        if len(shape) > 8 or not all(type(number) is int and number >= 0 for number in (*shape, start, stop)):
            raise ValueError(f"the tensor {name} has no shape")
        for number in shape:
            count *= number
        if stop - start != count:
            raise ValueError(f"the tensor {name} of shape {list(shape)} has {stop - start} bytes")
        entries[name] = Entry(kind, shape)
        spans.append((start, stop))
    reached = 0
    for start, stop in sorted(spans):
        if start != reached:
            raise ValueError("its tensors do not follow one another")
        reached = stop
    if reached != size:
        raise ValueError(f"its tensors have {reached:,} bytes, and the file {size:,} for them")
    return entries


def _read(file: Path, header: Mapping[str, Entry], text: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file whose header and text are read; all of them finite."""
    check_plain(file)
    with safe_open(file, framework="pt") as opened:
        if parse_json((opened.metadata() or {})["geogan"]) != text:
            raise InputError(f"{file} was replaced while it was read; run again")
        tensors = {name: opened.get_tensor(name) for name in header}
    for name, tensor in tensors.items():
        # Coordinates in two dimensions may be missing off the swath of a satellite.
        if tensor.is_floating_point() and not name.startswith("places.") and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"the tensor {name} of {file} holds NaN or infinite numbers; train it again")
    return tensors


def _opened(file: Path) -> BufferedReader:
    """Open a file of tensors that fit into this machine's memory; one with a hole may claim terabytes."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows does not say
        memory = None
    return open_plain(file, most=memory)


def _replace(file: Path, content: bytes) -> None:
    aside = file.with_name(f".{file.name}.partial")
    with writing(file):
        aside.write_bytes(content)
        aside.replace(file)


def _shortly(error: Exception) -> str:
    """What an error says, on one line: torch lists every tensor on lines of its own."""
    return " ".join(str(error).split())[:200]


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Copies: safetensors refuses tensors that share memory.
    return {f"{prefix}.{name}": tensor.detach().clone() for name, tensor in tensors.items()}


def _stripped(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")}


def _flat(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    moments = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, part in moments.items() for name, value in part.items()
    }


def _unflat(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    whole = optimiser.state_dict()
    whole["state"] = {}
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    for name, tensor in tensors.items():
        index, part = name.split(".", 1)
        if part not in ("step", "exp_avg", "exp_avg_sq"):
            raise ValueError(f"the optimiser has no {part}")
        if not index.isdecimal() or int(index) >= len(weights):
            raise ValueError(f"the optimiser has no weight {index}")
        if tensor.shape != (torch.Size() if part == "step" else weights[int(index)].shape):
            raise ValueError(f"{part} of the optimiser's weight {index} has the shape {list(tensor.shape)}")
        if part != "step":
            # A fused optimiser goes through memory: moments must lie there as the weights do.
            tensor = torch.empty_like(weights[int(index)], requires_grad=False).copy_(tensor)
        whole["state"].setdefault(int(index), {})[part] = tensor
    optimiser.load_state_dict(whole)
