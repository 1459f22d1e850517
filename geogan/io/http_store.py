"""A Zarr store behind a web server, read with the standard library."""

import asyncio
import http.client
import math
import time
import urllib.error
import urllib.parse
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import numpy as np
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from geogan.files.plain_file import parse_json
from geogan.io.web import Refused, answered, pieces

# Seconds to wait before a request is made again that was not answered, or with an error of the server's.
WAITS = (0.5, 2.0, 8.0)
# Bytes of a metadata file, of a chunk whose size is not known, and of what a codec or a shard adds to a chunk.
METADATA_BYTES, CHUNK_BYTES, SPARE_BYTES = 64 * 2**20, 4 * 2**30, 2**20
_METADATA = ("zarr.json", ".zmetadata", ".zarray", ".zattrs", ".zgroup")


class HttpStore(Store):
    """A Zarr store behind a web server, read-only.

    The standard library reads it, so that no further package is needed; proxies are those of the
    environment. A web server lists no folders: the store needs consolidated metadata.

    Many object stores answer 403 for a key that is not there, and so do servers whose permission has run out: such a
    key counts as absent only while one that was there is still given.

    Parameters
    ----------
    url : str
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, url: str) -> None:
        super().__init__(read_only=True)
        self.url = url.rstrip("/")
        self._answered = False
        self._chunks: dict[str, int] = {}  # bytes of a chunk of each array, by the beginning of its keys
        self._there: str | None = None  # the first key that was: of a store that was opened, its metadata

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
        """What there is under a key, or a part of it; None for nothing. Asked again a few times where that fails."""
        for wait in (*WAITS, None):
            try:
                content = _content(self._address(key), byte_range, self._most(key))
            except Refused as error:
                raise OSError(f"{self._address(key)}: {error}") from error
            except (OSError, http.client.HTTPException) as error:
                # A failure taken for an absent chunk would come out as a gap.
                code = error.code if isinstance(error, urllib.error.HTTPError) else None
                if code == 404 or (code == 403 and self._may_read()):
                    self._answered = True
                    return None
                if code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return b""  # as the whole has no such part: what is read is cut short
                # Where nothing has ever listened, nothing will.
                refused = not self._answered and isinstance(getattr(error, "reason", error), ConnectionRefusedError)
                if wait is None or refused or (code is not None and code < 500 and code not in (403, 429)):
                    raise OSError(f"{self._address(key)}: {error}") from error
                time.sleep(wait)
            else:
                self._answered = True
                self._there = self._there or (key if content else None)
                if key.endswith(_METADATA) and byte_range is None:
                    self._chunks |= _sizes(key, content)
                return content
        raise AssertionError("the last attempt returns or raises")

    def _may_read(self) -> bool:
        """Whether a key that was there is still given; where none was yet, nobody can tell, and it counts as so."""
        if self._there is None:
            return True
        try:
            _content(self._address(self._there), RangeByteRequest(0, 1), self._most(self._there))
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _most(self, key: str) -> int:
        """Bytes that there may be under a key: of a chunk somewhat more than uncompressed."""
        if key.endswith(_METADATA):
            return METADATA_BYTES
        known = [name for name in self._chunks if key.startswith(name)]
        if not known:
            return CHUNK_BYTES
        return min(CHUNK_BYTES, 2 * self._chunks[max(known, key=len)] + SPARE_BYTES)

    def _address(self, key: str) -> str:
        return f"{self.url}/{urllib.parse.quote(key)}"


def _content(address: str, byte_range: ByteRequest | None, most: int) -> bytes:
    """What a web server has under an address, or a part of it; ``most`` bytes at most."""
    wanted: str | None
    match byte_range:
        case RangeByteRequest(start, end):
            wanted, part, length = f"bytes={start}-{end - 1}", slice(start, end), end - start
        case OffsetByteRequest(offset):
            wanted, part, length = f"bytes={offset}-", slice(offset, None), most
        case SuffixByteRequest(suffix):
            wanted, part, length = f"bytes=-{suffix}", slice(-suffix, None), suffix
        case _:
            wanted, part, length = None, slice(None), most
    with answered(address, {} if wanted is None else {"Range": wanted}) as answer:
        # A server that knows no ranges sends the whole.
        is_part = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        content = b"".join(pieces(answer, most=min(length, most) if is_part else most))
        return content if is_part else content[part]


def _sizes(key: str, content: bytes) -> dict[str, int]:
    """Bytes of a stored chunk of each array that a metadata file describes, uncompressed."""
    try:
        found = parse_json(content)
        if key.endswith(".zmetadata"):
            parts = {name.removesuffix(".zarray"): each for name, each in found["metadata"].items()
                     if name.endswith(".zarray")}  # fmt: skip
        else:
            own = key.removesuffix("zarr.json").removesuffix(".zarray")
            inside = (found.get("consolidated_metadata") or {}).get("metadata", {})
            parts = {own: found} | {f"{own}{name}/": each for name, each in inside.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    sizes = {}
    for name, each in parts.items():
        # Of another type, such as text, the size is not known.
        with suppress(ValueError, LookupError, TypeError, AttributeError, OverflowError):
            chunks = each["chunks"] if "chunks" in each else each["chunk_grid"]["configuration"]["chunk_shape"]
            kind = np.dtype(each["dtype"] if "dtype" in each else each["data_type"])
            if kind.kind in "biufcmM":
                sizes[name] = math.prod(int(size) for size in chunks) * kind.itemsize
    return sizes
