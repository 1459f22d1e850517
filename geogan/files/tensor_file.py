"""Read and write tensors with a JSON text in one safetensors file, never pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geogan.files.plain_file import JSON_BYTES, check_plain, open_plain, parse_json
from geogan.files.run_folder import is_run as is_run
from geogan.files.schema import check
from geogan.operators.errors import InputError

FORMAT = 6  # 2: bands; 3: predicted errors; 4: covariates; 5: observation errors; 6: errors that know the nearness


READ = (2, 3, 4, 5, 6)


# Names of the library's types of numbers, and bytes of one.
_BYTES = {"BOOL": 1, "U8": 1, "I32": 4, "I64": 8, "F32": 4, "F64": 8}


# Of tensors by their type: torch's name to the library's.
KINDS = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int32: "I32", torch.int64: "I64", torch.float32: "F32",
    torch.float64: "F64",
}  # fmt: skip


class Entry(NamedTuple):
    """What the header of a file of tensors says of one."""

    kind: str
    shape: tuple[int, ...]


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
        return read_body(file, header, text), text
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
        with open_tensors(file) as opened:
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
        raise InputError(f"{file} is damaged ({in_short(error)}); train it again") from error
    try:
        own = header.pop("__metadata__", {})["geogan"]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} was not written by geogan; give a folder made by geogan train") from error
    try:
        text = parse_json(own)
        entries = _entries(header, size - 8 - length)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged ({in_short(error)}); train it again") from error
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


def read_body(file: Path, header: Mapping[str, Entry], text: Mapping[str, Any]) -> dict[str, Tensor]:
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


def open_tensors(file: Path) -> BufferedReader:
    """Open a file of tensors that fit into this machine's memory; one with a hole may claim terabytes."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows does not say
        memory = None
    return open_plain(file, most=memory)


def in_short(error: Exception) -> str:
    """What an error says, on one line: torch lists every tensor on lines of its own."""
    return " ".join(str(error).split())[:200]


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Copies: safetensors refuses tensors that share memory.
    return {f"{prefix}.{name}": tensor.detach().clone() for name, tensor in tensors.items()}


def stripped(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")}


def check_text(kind: type[BaseModel], text: Mapping[str, Any]) -> None:
    """Check a description of a format that this geogan reads."""
    check(kind, text, lenient=text["geogan"] < FORMAT)
