"""The state of an archive's files, to notice that they changed without reading their values."""

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
from geogan.io.files import is_zarr
from geogan.io.http_store import HttpStore
from geogan.io.images import are_images

# Line for a chunk that a store does not have.
_ABSENT = "absent"


def describe_source(paths: Sequence[str]) -> str | None:
    """Return a short text that changes whenever one of an archive's files does.

    A local file is described by its size, its modification time and the change time of its metadata, which a restored
    modification time cannot hide; a file behind a web server by its entity tag or modification time; an object by the
    properties that its store lists.

    Parameters
    ----------
    paths : sequence of str
        Files, stores and URLs, as `geogan.io.find_paths` returns them.

    Returns
    -------
    description : str or None
        None if the storage gives too little information; then only the values can be compared.

    Raises
    ------
    InputError
        If a folder is neither a store nor holds images alone; its files are not listed then, because there may be many.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name, "sst.nc")
    >>> _ = file.write_bytes(b"1")
    >>> before = describe_source([str(file)])
    >>> _ = file.write_bytes(b"22")
    >>> before == describe_source([str(file)])
    False
    """
    summary = hashlib.sha256()
    for path in paths:
        if "://" not in path and not are_images([path]):
            is_zarr(path)
        for line in _lines(path):
            if line is None:
                return None
            summary.update(line.encode(errors="surrogateescape") + b"\n")
    return summary.hexdigest()[:32]


def _lines(path: str) -> Iterable[str | None]:
    """Return one line for each file of a path; None for a file that the storage does not describe."""
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
            continue  # a dangling link, or a file that another process has just removed
        lines.append(f"{file.relative_to(path)} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}")
    yield from sorted(lines)


def _behind_server(url: str) -> Iterator[str | None]:
    if urllib.parse.urlparse(url).path.lower().endswith((".nc", ".nc4", ".cdf", ".h5")):
        yield _head(url)
        return
    keys = _keys(url.rstrip("/"))
    # The first key is the metadata file, which exists: a server that reports it absent does not answer HEAD requests.
    if keys is None or (first := _head(f"{url.rstrip('/')}/{keys[0]}")) == _ABSENT:
        yield None
        return
    yield first
    addresses = [f"{url.rstrip('/')}/{urllib.parse.quote(key)}" for key in keys[1:]]
    for key, line in zip(keys[1:], side_by_side(_head, addresses, threads=16)):  # 16 requests at a time
        yield None if line is None else f"{key} {line}"


def _keys(url: str, *, most: int = 20_000) -> list[str] | None:
    """List the keys of a Zarr store with consolidated metadata: the metadata file, then all chunks.

    None if the store has more than ``most`` chunks (reading their values takes little longer than one request for
    each), or cannot be opened.
    """
    import zarr

    try:
        group = zarr.open_group(HttpStore(url), mode="r")
        keys: list[str] = []
        for name, array in group.members(max_depth=None):
            if not isinstance(array, zarr.Array):
                continue
            sizes = array.shards or array.chunks
            grid = [range(-(-length // size)) for length, size in zip(array.shape, sizes)]
            if len(keys) + math.prod(map(len, grid)) > most:
                return None
            keys += [f"{name}/{array.metadata.encode_chunk_key(index)}" for index in itertools.product(*grid)]
    except Exception:
        # The reader of the store reports why it cannot be opened.
        return None
    return [".zmetadata" if group.metadata.zarr_format == 2 else "zarr.json", *keys]


def _head(url: str, *, settled_seconds: float = 2.0, timeout: float = 30.0) -> str | None:
    """Describe a file behind a web server without fetching it.

    Without a strong entity tag, the file must be ``settled_seconds`` older than the server's answer: modification
    times have whole seconds, so that a younger file may change again and keep its time.
    """
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        # Zarr leaves out chunks without a value.
        return _ABSENT if error.code == http.HTTPStatus.NOT_FOUND else None
    except (OSError, HTTPException):
        return None
    tag, modified = headers.get("ETag", ""), headers.get("Last-Modified")
    if not tag or tag.startswith("W/"):
        try:
            age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(modified or "")
        except (TypeError, ValueError):
            return None
        if age.total_seconds() < settled_seconds:
            return None
    return f"{headers.get('Content-Length')} {tag} {modified}"


def _objects(url: str) -> Iterator[str | None]:
    # Properties that change with the content of an object, by the names that the file systems of fsspec use.
    properties = ["ETag", "etag", "md5Hash", "content_md5", "generation", "VersionId", "LastModified", "last_modified"]
    properties += ["mtime", "updated", "created"]
    try:
        import fsspec

        system, root = fsspec.core.url_to_fs(url)
        system.invalidate_cache()
        objects: dict[str, dict[str, Any]] = system.find(root, detail=True)
    except Exception:
        # The reader of the store reports why it does not answer.
        yield None
        return
    for name, entry in sorted(objects.items()):
        tags = {key: str(entry[key]) for key in properties if entry.get(key) is not None}
        yield f"{name} {entry.get('size')} {json.dumps(tags)}" if tags else None
    if not objects:
        yield None
