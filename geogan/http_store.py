"""A Zarr store behind a web server, read with the standard library."""

import asyncio
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterable

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

# Seconds to wait before a request is made again that was not answered, or with an error of the server's.
WAITS = (0.5, 2.0, 8.0)


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
                content = _content(self._address(key), byte_range)
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
                return content
        raise AssertionError("the last attempt returns or raises")

    def _may_read(self) -> bool:
        """Whether a key that was there is still given; where none was yet, nobody can tell, and it counts as so."""
        if self._there is None:
            return True
        try:
            _content(self._address(self._there), RangeByteRequest(0, 1))
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _address(self, key: str) -> str:
        return f"{self.url}/{urllib.parse.quote(key)}"


def _content(address: str, byte_range: ByteRequest | None) -> bytes:
    """What a web server has under an address, or a part of it."""
    request = urllib.request.Request(address)
    match byte_range:
        case RangeByteRequest(start, end):
            request.add_header("Range", f"bytes={start}-{end - 1}")
            part = slice(start, end)
        case OffsetByteRequest(offset):
            request.add_header("Range", f"bytes={offset}-")
            part = slice(offset, None)
        case SuffixByteRequest(suffix):
            request.add_header("Range", f"bytes=-{suffix}")
            part = slice(-suffix, None)
        case _:
            part = slice(None)
    with urllib.request.urlopen(request, timeout=60) as answer:
        content = answer.read()
        # A server that knows no ranges sends the whole.
        return content if answer.status == http.HTTPStatus.PARTIAL_CONTENT else content[part]
