"""The state of a training on disk, from which it can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geogan.files.plain_file import one_line, readable
from geogan.files.run_folder import STATE
from geogan.files.schema import StateText, check
from geogan.files.tensor_file import read_tensors, with_prefix, without_prefix, write_tensors
from geogan.files.tensor_header import FORMAT, read_header
from geogan.files.user_path import user_path
from geogan.operators.errors import InputError
from geogan.training.state import TrainState


def save_state(path: str | Path, state: TrainState) -> None:
    """Write everything that resuming a training needs, beside its model, into the folder ``path``."""
    tensors = {"random": state.random.get_state()}
    tensors |= with_prefix("generator", state.generator.state_dict())
    tensors |= with_prefix("discriminator", state.discriminator.state_dict())
    tensors |= with_prefix("average", state.average.state_dict())
    tensors |= with_prefix("best", state.best)
    if state.error is not None:
        tensors |= with_prefix("error", state.error.network.state_dict())
        tensors |= with_prefix("error_average", state.error.average.state_dict())
        tensors |= with_prefix("error_best", state.error.best)
        tensors |= with_prefix("error_optimiser", _flat(state.error.optimiser))
    tensors |= with_prefix("generator_optimiser", _flat(state.generator_optimiser))
    tensors |= with_prefix("discriminator_optimiser", _flat(state.discriminator_optimiser))
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
    """Restore into ``state`` what :func:`save_state` wrote.

    Raises
    ------
    InputError
        If the folder holds no state, or one that is damaged or belongs to another network.
    """
    path = user_path(path)
    try:
        tensors, text = read_tensors(path / STATE, lambda header, text: check(StateText, text))
        for name in ("generator", "discriminator", "average"):
            getattr(state, name).load_state_dict(without_prefix(name, tensors))
        for name in ("generator_optimiser", "discriminator_optimiser"):
            _unflat(getattr(state, name), without_prefix(name, tensors))
        if state.error is not None:
            state.error.network.load_state_dict(without_prefix("error", tensors))
            state.error.average.load_state_dict(without_prefix("error_average", tensors))
            _unflat(state.error.optimiser, without_prefix("error_optimiser", tensors))
            state.error.best, state.error.best_score = (
                without_prefix("error_best", tensors),
                float(text["best_error_score"]),
            )
            _check_best("error_best", state.error.best, state.error.average)
        state.best = without_prefix("best", tensors)
        _check_best("best", state.best, state.average)
        state.random.set_state(tensors["random"])
        state.step, state.seconds = int(text["step"]), float(text["seconds"])
        state.best_score, state.best_step = float(text["best_score"]), int(text["best_step"])
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path} cannot be resumed ({one_line(error)}); train it again") from error
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{path} cannot be resumed ({one_line(error)}); train it again") from error


def _check_best(name: str, weights: Mapping[str, Tensor], network: Any) -> None:
    """Raise ValueError unless the best weights are empty or have the shapes of the network's."""
    current = network.state_dict()
    if weights and ({key: value.shape for key, value in weights.items()}
                    != {key: value.shape for key, value in current.items()}):  # fmt: skip
        raise ValueError(f"the tensors {name} are those of another network")


def saved_step(path: str | Path) -> int:
    """Return the step of the saved state; the model beside it may be of a later step.

    Raises
    ------
    InputError
        If the folder holds no state, or a damaged one.
    """
    return int(read_state_text(path)["step"])


def read_state_text(path: str | Path) -> dict[str, Any]:
    """Return the text of the saved state in the folder ``path``, without reading its tensors.

    Raises
    ------
    InputError
        If the folder holds no state, or a damaged one.
    """
    file = user_path(path) / STATE
    _, text = read_header(file)
    with readable(file):
        check(StateText, text)
    return text


def _flat(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the moments of an optimiser as tensors named ``weight.moment``."""
    moments = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, part in moments.items() for name, value in part.items()
    }


def _unflat(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what :func:`_flat` returned; raise ValueError if it belongs to other weights."""
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
            # A fused optimiser requires moments with the memory layout of the weights.
            tensor = torch.empty_like(weights[int(index)], requires_grad=False).copy_(tensor)
        whole["state"].setdefault(int(index), {})[part] = tensor
    optimiser.load_state_dict(whole)
