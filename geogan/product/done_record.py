"""The record of a partial product: the regions that are safely on disk, one JSON line each."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from geogan.files.plain_file import parse_json, read_lines
from geogan.files.schema import DoneLine, check
from geogan.files.swap import write_text
from geogan.product.checksums import from_text, to_text
from geogan.product.chunk_store import ChunkStore, Region

_FILE = "done.jsonl"


class DoneRecord:
    """Regions of a partial product that are on disk, in memory and in ``done.jsonl``; several threads may use it.

    Parameters
    ----------
    partial : Path
        Partial folder; the lines of an earlier run are read from it.
    store : ChunkStore
        Store of the product.
    """

    def __init__(self, partial: Path, store: ChunkStore) -> None:
        self._file = partial / _FILE
        self._store = store
        self._guard = threading.Lock()
        self._lines: dict[tuple[Any, ...], dict[str, Any]] = {}
        for line in _read(self._file):
            if not self._fits(line):
                break  # a line of another product: this line and the next ones are not trusted
            self._add(line)
        self._rewrite()

    def missing(self, regions: Iterable[Region]) -> list[Region]:
        """Return the regions that are not recorded, in their order."""
        with self._guard:
            return [region for region in regions if self._key(region) not in self._lines]

    @property
    def notes(self) -> list[str]:
        """Notes of all recorded regions, each text once."""
        with self._guard:
            return list(dict.fromkeys(note for line in self._lines.values() for note in line.get("notes", [])))

    def sums(self, region: Region) -> np.ndarray | None:
        """Return the checksums of the dates that a recorded region was computed from; None if it has none."""
        with self._guard:
            text = self._lines[self._key(region)].get("read")
        try:
            return None if text is None else from_text(text)
        except ValueError:
            return None

    def append(
        self, region: Region, names: Iterable[str], *, notes: Sequence[str] = (), sums: np.ndarray | None = None
    ) -> None:
        """Record a region and flush the record to the disk; arguments as in `geogan.product.Product.record`."""
        line: dict[str, Any] = {
            "region": {str(dim): [span.start, span.stop] for dim, span in self._store.whole(region).items()},
            "names": list(names),
        }
        if notes:
            line["notes"] = list(notes)
        if sums is not None:
            line["read"] = to_text([sums])
        with self._guard:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._add(line)

    def forget(self, regions: Iterable[Region]) -> None:
        """Remove regions from the record, so that they are computed again."""
        with self._guard:
            for region in regions:
                del self._lines[self._key(region)]
            self._rewrite()

    def check_complete(self) -> None:
        """Raise ValueError if a chunk of the product is not recorded."""
        store = self._store
        is_written = {
            name: np.zeros([-(-store.sizes[dim] // store.chunks[dim]) for dim in dims], dtype=bool)
            for name, dims in store.dims.items()
        }
        for line in self._lines.values():
            for name in line["names"]:
                is_written[name][store.numbers(name, _region(line))] = True
        for name, chunks in is_written.items():
            if not chunks.all():
                lacking = int(chunks.size - chunks.sum())
                raise ValueError(f"{lacking} of {chunks.size} chunks of {name!r} are not written yet")

    def _key(self, region: Region) -> tuple[Any, ...]:
        return tuple((dim, span.start, span.stop) for dim, span in self._store.whole(region).items())

    def _add(self, line: dict[str, Any]) -> None:
        region = _region(line)
        for name in line["names"]:
            self._store.numbers(name, region)  # raises if the region cuts a chunk
        self._lines[self._key(region)] = line

    def _fits(self, line: Mapping[str, Any]) -> bool:
        """Return whether a recorded region lies in this product, whose variables it names."""
        store = self._store
        is_inside = all(
            dim in store.sizes and start < stop <= store.sizes[dim] for dim, (start, stop) in line["region"].items()
        )
        if not is_inside or not all(name in store.dims for name in line["names"]):
            return False
        try:
            for name in line["names"]:
                store.numbers(name, _region(line))
        except ValueError:
            return False  # it cuts a chunk
        return True

    def _rewrite(self) -> None:
        write_text(self._file, "".join(json.dumps(line) + "\n" for line in self._lines.values()))


def count_done(partial: Path) -> int:
    """Return the number of regions that are recorded in a partial folder."""
    return len(_read(partial / _FILE))


def _read(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a record up to the first one that is damaged or was cut short by a kill."""
    lines = []
    with suppress(FileNotFoundError, ValueError):
        for text, is_complete in read_lines(file):
            if not is_complete:
                break
            line = parse_json(text)
            check(DoneLine, line)
            lines.append(line)
    return lines


def _region(line: Mapping[str, Any]) -> dict[str, slice]:
    return {dim: slice(*bounds) for dim, bounds in line["region"].items()}
