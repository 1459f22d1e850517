"""A run on disk: a folder of safetensors and JSON, never pickle.

``model.safetensors`` and ``model.json`` hold what filling needs; ``state.safetensors`` holds what going on
with training needs. Each file is written aside and renamed, so a kill leaves the one before.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geogan.calibration import Calibration
from geogan.covariance import ArchivePrior, Prior
from geogan.covariates import Covariates
from geogan.disk import writing
from geogan.gaussian import GaussianPrior
from geogan.model import Model
from geogan.networks import GENERATORS, ErrorNet, Generator
from geogan.operators.errors import InputError
from geogan.operators.parse import from_dict, to_dict
from geogan.run_folder import MODEL, STATE, TEXT
from geogan.run_folder import is_run as is_run
from geogan.standardise import Standardiser
from geogan.training import TrainState
from geogan.withheld import Withheld

FORMAT = 6  # 2: bands; 3: predicted errors; 4: covariates; 5: observation errors; 6: errors that know the nearness
READ = (2, 3, 4, 5, 6)


def save_model(path: str | Path, model: Model) -> Path:
    """Write a model into the folder ``path``; it is created where it is missing."""
    path = Path(path)
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
        "scores": model.scores,
        "settings": model.settings,
    }
    # The text travels inside the tensors' file too: the two can never be of different moments.
    write_tensors(path / MODEL, tensors, text)
    _replace(path / TEXT, json.dumps(text, indent=2).encode())
    return path


def load_model(path: str | Path) -> Model:
    """Read the model of a run.

    Raises
    ------
    InputError
        Where there is none, or it is damaged, or not geogan's.
    """
    tensors, text = read_tensors(Path(path) / MODEL)
    try:
        operator = from_dict(text["operator"]).with_state(_stripped("operator", tensors))
        network = None
        if text["network"] is not None:
            sizes = dict(text["network"])
            network = GENERATORS[sizes.pop("kind")](**sizes)
            network.load_state_dict(_stripped("network", tensors))
            network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        error = None
        # What was predicted before format 6 was too small: such a model predicts none.
        if text.get("error") is not None and text["geogan"] >= 6:
            error = ErrorNet(**text["error"])
            error.load_state_dict(_stripped("error", tensors))
            error = error.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        covariates = None
        if text.get("covariates") is not None:
            covariates = Covariates(tuple(text["covariates"]), tensors["covariates.maps"].numpy())
        standardiser = text["standardiser"] | {"scale": np.array(text["standardiser"]["scale"])}
        return Model(
            network=network,
            prior=_prior(text["prior"], tensors),
            operator=operator,
            standardiser=Standardiser(tensors["standardiser.coefficients"].numpy(), **standardiser),
            domain=tensors["domain"].numpy(),
            withheld=Withheld(tensors["withheld.sources"].numpy(), text["withheld"]["flip"]),
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
            kinds=dict(text.get("kinds", {})),
            places={kind: places.numpy() for kind, places in _stripped("places", tensors).items()},
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is a damaged geogan model ({_shortly(error)}); train it again") from error


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
    write_tensors(Path(path) / STATE, tensors, text)


def load_state(path: str | Path, state: TrainState) -> None:
    """Put back into ``state`` what :func:`save_state` wrote.

    Raises
    ------
    InputError
        Where there is none, or it is damaged or of another network.
    """
    tensors, text = read_tensors(Path(path) / STATE)
    try:
        for name in ("generator", "discriminator", "average"):
            getattr(state, name).load_state_dict(_stripped(name, tensors))
        for name in ("generator_optimiser", "discriminator_optimiser"):
            _unflat(getattr(state, name), _stripped(name, tensors))
        if state.error is not None:
            state.error.network.load_state_dict(_stripped("error", tensors))
            state.error.average.load_state_dict(_stripped("error_average", tensors))
            _unflat(state.error.optimiser, _stripped("error_optimiser", tensors))
            state.error.best, state.error.best_score = _stripped("error_best", tensors), float(text["best_error_score"])
        state.best = _stripped("best", tensors)
        state.random.set_state(tensors["random"])
        state.step, state.seconds = int(text["step"]), float(text["seconds"])
        state.best_score, state.best_step = float(text["best_score"]), int(text["best_step"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be resumed ({_shortly(error)}); train it again") from error


def saved_step(path: str | Path) -> int:
    """The step at which a training was last saved to be gone on with; the model beside may be of a later one.

    Raises
    ------
    InputError
        Where there is none, or it is damaged.
    """
    _, text = read_tensors(Path(path) / STATE)
    return int(text["step"])


def digest(path: str | Path) -> str:
    """A short name for the exact weights of a run's model.

    Raises
    ------
    InputError
        Where there is none.
    """
    try:
        with (Path(path) / MODEL).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()[:16]
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} is no geogan run: it has no {MODEL}; give a folder made by geogan train") from None


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
    """Read what :func:`write_tensors` wrote."""
    if not file.is_file():
        raise InputError(f"{file.parent} is no geogan run: it has no {file.name}; give a folder made by geogan train")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            text = json.loads(metadata["geogan"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except KeyError as error:
        raise InputError(f"{file} was not written by geogan; give a folder made by geogan train") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error}); train it again") from error
    found = text.get("geogan") if isinstance(text, dict) else None
    if found not in READ:
        raise InputError(f"{file} is of format {found} and this geogan reads {READ[0]} to {READ[-1]}; train it again")
    return tensors, text


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
        if part != "step":
            # A fused optimiser goes through memory: moments must lie there as the weights do.
            tensor = torch.empty_like(weights[int(index)], requires_grad=False).copy_(tensor)
        whole["state"].setdefault(int(index), {})[part] = tensor
    optimiser.load_state_dict(whole)
