"""Answers of web servers, bounded in size and time, with redirections to other web servers alone."""

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
from typing import Any

# Seconds until an answer begins, redirections included, and between two pieces of it.
SECONDS = 60.0
# Bytes a second that come at least, on average after those seconds: a server that drips would never end.
RATE = 10_000
# Bytes of a piece, and redirections one after another.
PIECE, REDIRECTIONS = 2**18, 5


class Refused(OSError):
    """An answer that would not be better if it were asked for again."""


@contextmanager
def answered(address: str, headers: Mapping[str, str] | None = None) -> Iterator[http.client.HTTPResponse]:
    """Ask a web server; proxies are those of the environment.

    Parameters
    ----------
    address : str
        ``http://`` or ``https://``.
    headers : mapping, optional

    Yields
    ------
    answer : HTTPResponse
        Its content is to be read by :func:`pieces`.

    Raises
    ------
    OSError
        If the server does not answer, in time or at all; :class:`Refused` where it leads elsewhere than to another web
        server, or compresses what it sends.
    """
    with _Watch() as watch:
        opener = urllib.request.build_opener(_Redirections, _Http(watch), _Https(watch))
        try:
            answer = opener.open(urllib.request.Request(address, headers=dict(headers or {})), timeout=SECONDS)
        except (OSError, http.client.HTTPException) as error:
            if watch.is_over:
                raise TimeoutError(f"no answer within {SECONDS:g} s") from error
            raise
    with answer:
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            # What is unpacked from it could be a thousand times as large; nothing has asked for it.
            raise Refused(f"it is sent as {encoding[:20]!r}, which was not asked for")
        yield answer


def pieces(answer: http.client.HTTPResponse, *, most: int) -> Iterator[bytes]:
    """Read an answer.

    Parameters
    ----------
    answer : HTTPResponse
    most : int
        Bytes that it may have.

    Raises
    ------
    OSError
        If it breaks off; :class:`Refused` if it is larger, or comes too slowly.
    """
    length = size_of(answer)
    if length is not None and length > most:
        raise Refused(f"it has {length:,} bytes, where at most {most:,} are expected")
    begun, came = time.monotonic(), 0
    while piece := answer.read1(PIECE):
        came += len(piece)
        if came > most:
            raise Refused(f"it has more than {most:,} bytes, which are expected at most")
        if time.monotonic() - begun > SECONDS + came / RATE:
            raise Refused(f"it comes too slowly: {came:,} bytes in {time.monotonic() - begun:.0f} s")
        yield piece
    if length is not None and came < length:
        raise OSError(f"it breaks off after {came:,} of {length:,} bytes")


def size_of(answer: http.client.HTTPResponse) -> int | None:
    """Bytes that an answer says it has; None where it does not say, or no number."""
    text = answer.headers.get("Content-Length", "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


class _Watch:
    """Closes connections when the time for an answer is over: a server may drip its first lines too."""

    def __init__(self) -> None:
        self.is_over = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(SECONDS, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def see(self, opened: socket.socket) -> None:
        self._sockets.append(opened)

    def _end(self) -> None:
        self.is_over = True
        for opened in self._sockets:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)


class _Redirections(urllib.request.HTTPRedirectHandler):
    max_redirections = REDIRECTIONS

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise Refused(f"it leads to {newurl[:200]!r}, which is no web server")
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
    """Makes connections of a kind whose sockets are watched."""

    def connection(*arguments: Any, **named: Any) -> Any:
        made = kind(*arguments, **named)
        connect = made.connect

        def connected() -> None:
            connect()
            watch.see(made.sock)

        made.connect = connected
        return made

    return connection
