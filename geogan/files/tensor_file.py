"""Read and write tensors with a JSON text in one safetensors file, never pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geogan.files.plain_file import check_plain, one_line, parse_json
from geogan.files.tensor_header import Entry, read_header
from geogan.operators.errors import InputError

# Name of each tensor type in the format.
DTYPE_NAMES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int32: "I32", torch.int64: "I64", torch.float32: "F32",
    torch.float64: "F64",
}  # fmt: skip


def write_tensors(file: Path, tensors: Mapping[str, Tensor], text: Mapping[str, Any]) -> None:
    """Write tensors and a JSON text into one file, aside and renamed: a failure keeps the previous file.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    aside = file.with_name(f".{file.name}.partial")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(contiguous, aside, metadata={"geogan": json.dumps(text)})
        # safetensors creates files that only their owner can read; a run is as readable as its folder.
        aside.chmod(file.parent.stat().st_mode & 0o666)
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(file)
    except (OSError, SafetensorError) as error:
        aside.unlink(missing_ok=True)
        raise InputError(
            f"{file} could not be written ({one_line(error)}), so the previous one is kept; free some space, or check "
            "who may write there"
        ) from error


def read_tensors(
    file: Path, check: Callable[[dict[str, Entry], dict[str, Any]], None] | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Parameters
    ----------
    file : Path
    check : function, optional
        Called with the entries of the header and the text before any tensor is allocated; raises to refuse the file.

    Returns
    -------
    tensors : dict of Tensor
    text : dict

    Raises
    ------
    InputError
        As :func:`geogan.files.tensor_header.read_header`; or if a tensor is not finite.
    """
    entries, text = read_header(file)
    if check is not None:
        check(entries, text)
    check_plain(file)
    try:
        with safe_open(file, framework="pt") as opened:
            if parse_json((opened.metadata() or {})["geogan"]) != text:
                raise InputError(f"{file} was replaced while it was read; run again")
            tensors = {name: opened.get_tensor(name) for name in entries}
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{file} is damaged ({one_line(error)}); train it again") from error
    for name, tensor in tensors.items():
        # Two-dimensional coordinates may be missing outside the swath of a satellite.
        if tensor.is_floating_point() and not name.startswith("places.") and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"the tensor {name} of {file} holds NaN or infinite numbers; train it again")
    return tensors, text


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors under ``prefix.name``; safetensors refuses tensors that share memory."""
    return {f"{prefix}.{name}": tensor.detach().clone() for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors named ``prefix.name`` under ``name``."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")}
