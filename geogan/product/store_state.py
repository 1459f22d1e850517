"""What the storage tells of the files of an archive, to notice that they changed without reading their values."""

from __future__ import annotations

import hashlib
import http
import itertools
import json
import math
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from geogan.compute.threads import side_by_side

# Seconds by which a file must be older than the server's answer: its time of change has whole seconds, so a younger
# file may change again and keep the time.
SETTLED_SECONDS = 2.0
# Requests at a time for the chunks of a store behind a web server, and seconds to wait for each.
REQUESTS, PATIENCE = 16, 30
# Chunks of such a store at most; reading the values of more is not much slower than asking for each.
MOST_CHUNKS = 20_000
# Properties of a stored object that change with its content, by the names that fsspec's file systems have for them.
_TAGS = ["ETag", "etag", "md5Hash", "content_md5", "generation", "VersionId", "LastModified", "last_modified"]
_TAGS += ["mtime", "updated", "created"]
# What stands for a chunk that a store does not have.
_ABSENT = "absent"


def describe(paths: Sequence[str]) -> str | None:
    """Describe the files of an archive: a short text that changes when one of them does.

    Local files are described by size, time of change and time of change of the file's metadata, which a copied-back
    time of change cannot hide; files behind a web server by their entity tag or time of change; objects by what their
    store lists.

    Parameters
    ----------
    paths : sequence of str
        Files, stores and URLs, as `geogan.io.find_paths` gives them.

    Returns
    -------
    description : str or None
        None where the storage does not tell enough; only the values can be compared then.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name, "sst.nc")
    >>> _ = file.write_bytes(b"1")
    >>> before = describe([str(file)])
    >>> _ = file.write_bytes(b"22")
    >>> before == describe([str(file)])
    False
    """
    summary = hashlib.sha256()
    for path in paths:
        for line in _lines(path):
            if line is None:
                return None
            summary.update(line.encode(errors="surrogateescape") + b"\n")
    return summary.hexdigest()[:32]


def _lines(path: str) -> Iterable[str | None]:
    if "://" not in path:
        return _local(Path(path))
    if path.startswith(("http://", "https://")):
        return _behind_server(path)
    return _objects(path)


def _local(path: Path) -> Iterator[str | None]:
    files: Iterable[Path] = [path]
    if path.is_dir():
        files = (Path(folder, name) for folder, _, names in os.walk(path, followlinks=True) for name in names)
    lines = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            continue  # a link to nothing, or a file that a writer has just removed
        lines.append(f"{file.relative_to(path)} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}")
    yield from sorted(lines)


def _behind_server(url: str) -> Iterator[str | None]:
    if urllib.parse.urlparse(url).path.lower().endswith((".nc", ".nc4", ".cdf", ".h5")):
        yield _head(url)
        return
    keys = _keys(url.rstrip("/"))
    # The first is the metadata, which is there if the server answers such requests at all.
    if keys is None or (first := _head(f"{url.rstrip('/')}/{keys[0]}")) == _ABSENT:
        yield None
        return
    yield first
    addresses = [f"{url.rstrip('/')}/{urllib.parse.quote(key)}" for key in keys[1:]]
    for key, line in zip(keys[1:], side_by_side(_head, addresses, threads=REQUESTS)):
        yield None if line is None else f"{key} {line}"


def _keys(url: str) -> list[str] | None:
    """List the keys of a Zarr store with consolidated metadata: the metadata's own, and all chunks."""
    import zarr

    from geogan.io.http_store import HttpStore

    try:
        group = zarr.open_group(HttpStore(url), mode="r")
        keys: list[str] = []
        for name, array in group.members(max_depth=None):
            if not isinstance(array, zarr.Array):
                continue
            sizes = array.shards or array.chunks
            grid = [range(-(-length // size)) for length, size in zip(array.shape, sizes)]
            if len(keys) + math.prod(map(len, grid)) > MOST_CHUNKS:
                return None
            keys += [f"{name}/{array.metadata.encode_chunk_key(index)}" for index in itertools.product(*grid)]
    except Exception:
        # Whatever keeps the store from being opened is said by the one that reads it.
        return None
    return [".zmetadata" if group.metadata.zarr_format == 2 else "zarr.json", *keys]


def _head(url: str) -> str | None:
    """Describe what a web server has under an address, without fetching it."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        # Zarr leaves out chunks without a value.
        return _ABSENT if error.code == http.HTTPStatus.NOT_FOUND else None
    except (OSError, HTTPException):
        return None
    tag, changed = headers.get("ETag", ""), headers.get("Last-Modified")
    if not tag or tag.startswith("W/"):
        try:
            age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(changed or "")
        except (TypeError, ValueError):
            return None
        if age.total_seconds() < SETTLED_SECONDS:
            return None
    return f"{headers.get('Content-Length')} {tag} {changed}"


def _objects(url: str) -> Iterator[str | None]:
    try:
        import fsspec

        system, root = fsspec.core.url_to_fs(url)
        system.invalidate_cache()
        found: dict[str, dict[str, Any]] = system.find(root, detail=True)
    except Exception:
        # Whatever keeps the store from answering is said by the one that reads it.
        yield None
        return
    for name, entry in sorted(found.items()):
        tags = {key: str(entry[key]) for key in _TAGS if entry.get(key) is not None}
        yield f"{name} {entry.get('size')} {json.dumps(tags)}" if tags else None
    if not found:
        yield None
