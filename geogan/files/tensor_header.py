"""The header of a file of tensors in the safetensors format: types, shapes and a JSON text; needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from geogan.files.plain_file import JSON_BYTES, open_plain, parse_json, readable
from geogan.operators.errors import InputError

FORMAT = 8
"""Version of the files ``model.safetensors`` and ``state.safetensors``; other versions are refused."""

# Bytes of one number of each type of the format.
_BYTES = {"BOOL": 1, "U8": 1, "I32": 4, "I64": 8, "F32": 4, "F64": 8}


class Entry(NamedTuple):
    """Type and shape of a tensor, as the header of its file states them."""

    dtype: str
    shape: tuple[int, ...]


def open_tensors(file: Path) -> BufferedReader:
    """Open a file of tensors that is no larger than this machine's memory; a sparse file may claim terabytes."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows does not provide it
        memory = None
    return open_plain(file, most=memory)


def read_header(file: Path) -> tuple[dict[str, Entry], dict[str, Any]]:
    """Read the entries of a file of tensors and its JSON text, without the tensors.

    Parameters
    ----------
    file : Path
        Written by `geogan.files.tensor_file.write_tensors`.

    Returns
    -------
    entries : dict of Entry
    text : dict

    Raises
    ------
    InputError
        If the file is absent, not a regular file, damaged, not written by geogan, or of another format.
    """
    with readable(file, absent=f"{file.parent} is not a geogan run: it has no {file.name}; give a folder made by "
                               "geogan train"):  # fmt: skip
        with open_tensors(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= min(JSON_BYTES, size - 8):
                raise ValueError(f"its header would have {length:,} of its {size:,} bytes")
            header = parse_json(opened.read(length))
        try:
            geogan_text = header.pop("__metadata__", {})["geogan"]
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file} was not written by geogan; give a folder made by geogan train") from error
        text = parse_json(geogan_text)
        entries = _entries(header, size - 8 - length)
    version = text.get("geogan") if isinstance(text, dict) else None
    if type(version) is not int or version != FORMAT:
        raise InputError(f"{file} has format {str(version)[:40]} and this geogan reads {FORMAT}; train it again")
    return entries, text


def _entries(header: Mapping[str, Any], size: int) -> dict[str, Entry]:
    """Return the entries of a header whose tensors fill the rest of the file, ``size`` bytes, without gaps."""
    entries, spans = {}, []
    for name, entry in header.items():
        dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if dtype not in _BYTES:
            raise ValueError(f"the tensor {name} has the unknown type {str(dtype)[:20]}")
        if len(shape) > 8 or not all(type(number) is int and number >= 0 for number in (*shape, start, stop)):
            raise ValueError(f"the tensor {name} has no valid shape")
        count = _BYTES[dtype]
        for number in shape:
            count *= number
        if stop - start != count:
            raise ValueError(f"the tensor {name} of shape {list(shape)} has {stop - start} bytes")
        entries[name] = Entry(dtype, shape)
        spans.append((start, stop))
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise ValueError("its tensors overlap or leave a gap")
        end = stop
    if end != size:
        raise ValueError(f"its tensors have {end:,} bytes, and the file has {size:,} bytes for them")
    return entries
