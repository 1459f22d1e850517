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
        content = _content(f"{self.url}/{urllib.parse.quote(key)}", answered=self._answered)
        self._answered = True
        if content is None:
            return None
        match byte_range:
            case RangeByteRequest(start, end):
                return content[start:end]
            case OffsetByteRequest(offset):
                return content[offset:]
            case SuffixByteRequest(suffix):
                return content[-suffix:]
        return content


def _content(url: str, *, answered: bool) -> bytes | None:
    """What a web server has under an address, None for nothing; asked again a few times where it fails."""
    for wait in (*WAITS, None):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read()
        except (OSError, http.client.HTTPException) as error:
            # Many object stores answer 403 for a key that is not there; anything else is a failure, and a
            # failure taken for an absent chunk would come out as a gap.
            code = error.code if isinstance(error, urllib.error.HTTPError) else None
            if code in (403, 404):
                return None
            # Where nothing has ever listened, nothing will.
            refused = not answered and isinstance(getattr(error, "reason", error), ConnectionRefusedError)
            if wait is None or refused or (code is not None and code < 500 and code != 429):
                raise OSError(f"{url}: {error}") from error
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")
