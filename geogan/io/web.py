"""Requests to web servers: answers bounded in size and time, redirections only to other web servers."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

PART_BYTES = 2**18
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a web server, and how often to repeat a request.

    Attributes
    ----------
    seconds : float
        Time until an answer begins, redirections included.
    rate : float
        Bytes a second that must arrive on average after that time; a server that drips would never end.
    waits : tuple of float
        Seconds to wait before each repetition of a request that failed.
    """

    seconds: float = 60.0
    rate: float = 10_000.0
    waits: tuple[float, ...] = (0.5, 2.0, 8.0)


PATIENT = Patience()


class Refused(OSError):
    """An answer that a repeated request would not change."""


@contextmanager
def answered(
    address: str, headers: Mapping[str, str] | None = None, *, patience: Patience = PATIENT
) -> Iterator[http.client.HTTPResponse]:
    """Send a request to a web server, through the proxies that the environment names.

    Parameters
    ----------
    address : str
        ``http://`` or ``https://``.
    headers : mapping, optional
    patience : Patience

    Yields
    ------
    answer : HTTPResponse
        Read its content with :func:`read_parts`.

    Raises
    ------
    OSError
        If the server does not answer, or not in time; :class:`Refused` if it redirects to anything but a web server, or
        sends compressed content.
    """
    with _Watch(patience.seconds) as watch:
        opener = urllib.request.build_opener(_Redirections, _Http(watch), _Https(watch))
        try:
            request = urllib.request.Request(address, headers=dict(headers or {}))
            answer = opener.open(request, timeout=patience.seconds)
        except (OSError, http.client.HTTPException) as error:
            if watch.is_over:
                raise TimeoutError(f"no answer within {patience.seconds:g} s") from error
            raise
    with answer:
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            # Unpacked content can be a thousand times as large, and no request asks for compression.
            raise Refused(f"it is sent as {encoding[:20]!r}, although no compression was requested")
        yield answer


def read_parts(answer: http.client.HTTPResponse, *, most: int, patience: Patience = PATIENT) -> Iterator[bytes]:
    """Yield the content of an answer in parts.

    Parameters
    ----------
    answer : HTTPResponse
    most : int
        Largest size of the content, in bytes.
    patience : Patience

    Raises
    ------
    OSError
        If the content ends early; :class:`Refused` if it is larger than ``most`` or arrives too slowly.
    """
    length = content_length(answer)
    if length is not None and length > most:
        raise Refused(f"it has {length:,} bytes, where at most {most:,} are expected")
    begin, received = time.monotonic(), 0
    while part := answer.read1(PART_BYTES):
        received += len(part)
        if received > most:
            raise Refused(f"it has more bytes than the {most:,} that are expected at most")
        elapsed = time.monotonic() - begin
        if elapsed > patience.seconds + received / patience.rate:
            raise Refused(f"it arrives too slowly: {received:,} bytes in {elapsed:.0f} s")
        yield part
    if length is not None and received < length:
        raise OSError(f"it ends after {received:,} of {length:,} bytes")


def content_length(answer: http.client.HTTPResponse) -> int | None:
    """Return the size of the content that an answer announces, in bytes; None if it announces no valid size."""
    text = answer.headers.get("Content-Length", "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status code of an error; None if the server sent none."""
    return error.code if isinstance(error, urllib.error.HTTPError) else None


def may_pass(error: BaseException) -> bool:
    """Return whether a request that failed may succeed when it is repeated: the server was busy, or cut off."""
    code = status_of(error)
    return not isinstance(error, Refused) and (code is None or code >= 500 or code == http.HTTPStatus.TOO_MANY_REQUESTS)


def is_refused_connection(error: BaseException) -> bool:
    """Return whether no server listens at the address."""
    return isinstance(getattr(error, "reason", error), ConnectionRefusedError)


class _Watch:
    """Close connections when the time for an answer is over: a server may drip the header lines too."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def add(self, opened: socket.socket) -> None:
        self._sockets.append(opened)

    def _end(self) -> None:
        self.is_over = True
        for opened in self._sockets:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)


class _Redirections(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise Refused(f"it redirects to {newurl[:200]!r}, which is not a web server")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch

    def http_open(self, request: Any) -> Any:
        return self.do_open(_watched(http.client.HTTPConnection, self.watch), request)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch

    def https_open(self, request: Any) -> Any:
        return self.do_open(_watched(http.client.HTTPSConnection, self.watch), request)


def _watched(kind: Any, watch: _Watch) -> Any:
    """Return a constructor of connections that adds each opened socket to a watch."""

    def connection(*arguments: Any, **named: Any) -> Any:
        created = kind(*arguments, **named)
        connect = created.connect

        def connect_and_watch() -> None:
            connect()
            watch.add(created.sock)

        created.connect = connect_and_watch
        return created

    return connection
