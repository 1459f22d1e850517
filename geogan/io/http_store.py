"""A Zarr store behind a web server, read with the standard library."""

import asyncio
import http.client
import math
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import numpy as np
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from geogan.files.plain_file import parse_json
from geogan.io.web import PATIENT, Patience, answered, is_refused_connection, may_pass, read_parts, status_of

_METADATA = ("zarr.json", ".zmetadata", ".zarray", ".zattrs", ".zgroup")


class HttpStore(Store):
    """A Zarr store behind a web server, read-only.

    The standard library reads it, so that no further package is needed; proxies are those of the environment. A web
    server lists no folders: the store needs consolidated metadata.

    Many object stores answer 403 for a key that does not exist, and so do servers whose permission has expired. Such a
    key counts as absent only while a key that existed can still be read.

    Parameters
    ----------
    url : str
    patience : Patience
        How long to wait for the server.
    most_metadata, most_chunk, spare : int
        Largest size, in bytes, of a metadata file and of a chunk of unknown size; and what a codec or a shard may add
        to a chunk of known size.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(
        self,
        url: str,
        *,
        patience: Patience = PATIENT,
        most_metadata: int = 64 * 2**20,
        most_chunk: int = 4 * 2**30,
        spare: int = 2**20,
    ) -> None:
        super().__init__(read_only=True)
        self.url = url.rstrip("/")
        self.patience = patience
        self.most_metadata, self.most_chunk, self.spare = most_metadata, most_chunk, spare
        self._has_answered = False
        self._chunk_bytes: dict[str, int] = {}  # uncompressed size of a chunk of each array, by prefix of its keys
        self._existing_key: str | None = None  # the first key that existed: the metadata of a store that was opened

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HttpStore) and other.url == self.url

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        content = await asyncio.to_thread(self._fetch, key, byte_range)
        buffer = (prototype or default_buffer_prototype()).buffer
        return None if content is None else buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return list(await asyncio.gather(*[self.get(key, prototype, part) for key, part in key_ranges]))

    async def exists(self, key: str) -> bool:
        return await self.get(key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError("a store behind a web server is read-only")

    async def delete(self, key: str) -> None:
        raise NotImplementedError("a store behind a web server is read-only")

    async def list(self) -> AsyncIterator[str]:
        raise NotImplementedError("a web server does not list its folders")
        yield ""

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError("a web server does not list its folders")
        yield ""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError("a web server does not list its folders")
        yield ""

    def _fetch(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        """Return the content of a key, or a part of it; None if the key is absent. A failed request is repeated."""
        for wait in (*self.patience.waits, None):
            try:
                content = self._content(key, byte_range)
            except (OSError, http.client.HTTPException) as error:
                # A failure must not count as an absent chunk, which would become a gap.
                code = status_of(error)
                if code == http.HTTPStatus.NOT_FOUND or (code == http.HTTPStatus.FORBIDDEN and self._may_read()):
                    self._has_answered = True
                    return None
                if code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return b""  # the content ends before the range
                # If no server has ever listened at the address, waiting is useless.
                never_there = not self._has_answered and is_refused_connection(error)
                if wait is None or never_there or not (may_pass(error) or code == http.HTTPStatus.FORBIDDEN):
                    raise OSError(f"{self._address(key)}: {error}") from error
                time.sleep(wait)
            else:
                self._has_answered = True
                self._existing_key = self._existing_key or (key if content else None)
                if key.endswith(_METADATA) and byte_range is None:
                    self._chunk_bytes |= _chunk_sizes(key, content)
                return content
        raise AssertionError("the last attempt returns or raises")

    def _may_read(self) -> bool:
        """Return whether a key that existed can still be read; True if none is known to have existed."""
        if self._existing_key is None:
            return True
        try:
            self._content(self._existing_key, RangeByteRequest(0, 1))
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _content(self, key: str, byte_range: ByteRequest | None) -> bytes:
        """Request a key, or a part of it, once."""
        most = self._most(key)
        requested: str | None
        match byte_range:
            case RangeByteRequest(start, end):
                requested, part, length = f"bytes={start}-{end - 1}", slice(start, end), end - start
            case OffsetByteRequest(offset):
                requested, part, length = f"bytes={offset}-", slice(offset, None), most
            case SuffixByteRequest(suffix):
                requested, part, length = f"bytes=-{suffix}", slice(-suffix, None), suffix
            case _:
                requested, part, length = None, slice(None), most
        headers = {} if requested is None else {"Range": requested}
        with answered(self._address(key), headers, patience=self.patience) as answer:
            # A server without ranges sends the whole content.
            is_part = answer.status == http.HTTPStatus.PARTIAL_CONTENT
            limit = min(length, most) if is_part else most
            content = b"".join(read_parts(answer, most=limit, patience=self.patience))
            return content if is_part else content[part]

    def _most(self, key: str) -> int:
        """Return the largest plausible size of a key's content: a chunk has little more than its uncompressed size."""
        if key.endswith(_METADATA):
            return self.most_metadata
        prefixes = [prefix for prefix in self._chunk_bytes if key.startswith(prefix)]
        if not prefixes:
            return self.most_chunk
        return min(self.most_chunk, 2 * self._chunk_bytes[max(prefixes, key=len)] + self.spare)

    def _address(self, key: str) -> str:
        return f"{self.url}/{urllib.parse.quote(key)}"


def _chunk_sizes(key: str, content: bytes) -> dict[str, int]:
    """Return the uncompressed size of a stored chunk, in bytes, of each array that a metadata file describes."""
    try:
        metadata = parse_json(content)
        if key.endswith(".zmetadata"):
            arrays = {name.removesuffix(".zarray"): array for name, array in metadata["metadata"].items()
                      if name.endswith(".zarray")}  # fmt: skip
        else:
            prefix = key.removesuffix("zarr.json").removesuffix(".zarray")
            inside = (metadata.get("consolidated_metadata") or {}).get("metadata", {})
            arrays = {prefix: metadata} | {f"{prefix}{name}/": array for name, array in inside.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    sizes = {}
    for name, array in arrays.items():
        # The size of other types, such as text, is unknown.
        with suppress(ValueError, LookupError, TypeError, AttributeError, OverflowError):
            chunks = array["chunks"] if "chunks" in array else array["chunk_grid"]["configuration"]["chunk_shape"]
            dtype = np.dtype(array["dtype"] if "dtype" in array else array["data_type"])
            if dtype.kind in "biufcmM":
                sizes[name] = math.prod(int(size) for size in chunks) * dtype.itemsize
    return sizes
