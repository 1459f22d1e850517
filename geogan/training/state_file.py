"""Save the state of a training, and go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geogan.files.run_folder import STATE
from geogan.files.run_folder import is_run as is_run
from geogan.files.schema import StateText
from geogan.files.tensor_file import (
    FORMAT,
    check_text,
    in_short,
    prefixed,
    read_body,
    read_header,
    stripped,
    write_tensors,
)
from geogan.files.user_path import user_path
from geogan.operators.errors import InputError
from geogan.training.loop import TrainState


def save_state(path: str | Path, state: TrainState) -> None:
    """Write all that training needs to go on, into the folder ``path``."""
    tensors = {"random": state.random.get_state()}
    tensors |= prefixed("generator", state.generator.state_dict())
    tensors |= prefixed("discriminator", state.discriminator.state_dict())
    tensors |= prefixed("average", state.average.state_dict())
    tensors |= prefixed("best", state.best)
    if state.error is not None:
        tensors |= prefixed("error", state.error.network.state_dict())
        tensors |= prefixed("error_average", state.error.average.state_dict())
        tensors |= prefixed("error_best", state.error.best)
        tensors |= prefixed("error_optimiser", _flat(state.error.optimiser))
    tensors |= prefixed("generator_optimiser", _flat(state.generator_optimiser))
    tensors |= prefixed("discriminator_optimiser", _flat(state.discriminator_optimiser))
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
        check_text(StateText, text)
        tensors = read_body(file, header, text)
        for name in ("generator", "discriminator", "average"):
            getattr(state, name).load_state_dict(stripped(name, tensors))
        for name in ("generator_optimiser", "discriminator_optimiser"):
            _unflat(getattr(state, name), stripped(name, tensors))
        if state.error is not None:
            state.error.network.load_state_dict(stripped("error", tensors))
            state.error.average.load_state_dict(stripped("error_average", tensors))
            _unflat(state.error.optimiser, stripped("error_optimiser", tensors))
            state.error.best, state.error.best_score = stripped("error_best", tensors), float(text["best_error_score"])
            _check_best("error_best", state.error.best, state.error.average)
        state.best = stripped("best", tensors)
        _check_best("best", state.best, state.average)
        state.random.set_state(tensors["random"])
        state.step, state.seconds = int(text["step"]), float(text["seconds"])
        state.best_score, state.best_step = float(text["best_score"]), int(text["best_step"])
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path} cannot be resumed ({in_short(error)}); train it again") from error
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{path} cannot be resumed ({in_short(error)}); train it again") from error


def _check_best(name: str, weights: Mapping[str, Tensor], network: Any) -> None:
    """The best weights so far are those of the network, or none."""
    own = network.state_dict()
    if weights and ({key: value.shape for key, value in weights.items()}
                    != {key: value.shape for key, value in own.items()}):  # fmt: skip
        raise ValueError(f"the tensors {name} are those of another network")


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
        check_text(StateText, text)
    except ValueError as error:
        raise InputError(f"{file} is damaged ({in_short(error)}); train it again") from error
    return text


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
