"""A Zarr store behind a web server: keys come whole or in part, absent keys are None, failures are errors."""

import asyncio
import functools
import http.server
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest

from geogan.io.http_store import HttpStore
from geogan.io.web import Patience

QUICK = Patience(waits=(0.0, 0.01))

requested: list[str] = []
sent: list[int] = []  # bytes of each answer that is a part
forbidden: set[str] = set()  # words in the keys that the server answers with 403


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "a b.zarr").mkdir()
    for key in ("key", "plain key", "moody key"):
        (tmp_path / "a b.zarr" / key).write_bytes(b"0123456789")
    requested.clear()
    sent.clear()
    forbidden.clear()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            requested.append(self.path)
            if any(word in self.path for word in forbidden):
                self.send_error(403)
            elif "broken" in self.path or requested.count(self.path) < ("moody" in self.path) * 3:
                self.send_error(500 + 3 * ("moody" in self.path))
            elif "plain" not in self.path and "Range" in self.headers:
                self.part(Path(self.translate_path(self.path)), *self.headers["Range"][len("bytes=") :].split("-"))
            else:
                super().do_GET()

        def part(self, file, first, last):
            content = file.read_bytes() if file.is_file() else b""
            start = int(first) if first else max(0, len(content) - int(last))
            if start >= len(content):
                self.send_error(416 if file.is_file() else 404)
                return
            content = content[start : int(last) + 1 if first and last else None]
            self.send_response(206)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            sent.append(len(content))

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/a%20b.zarr/"
        running.shutdown()
        thread.join()


def read(store, key, part=None):
    buffer = asyncio.run(store.get(key, byte_range=part))
    return None if buffer is None else buffer.to_bytes()


@pytest.mark.parametrize("key", ["key", "plain key"])
def test_keys_are_read_whole_and_in_part(url, key):
    """Also from a server without ranges, which sends the whole content."""
    store = HttpStore(url, patience=QUICK)
    assert read(store, key) == b"0123456789"
    assert read(store, key, RangeByteRequest(2, 5)) == b"234"
    assert read(store, key, OffsetByteRequest(7)) == b"789"
    assert read(store, key, SuffixByteRequest(2)) == b"89"
    assert read(store, key, OffsetByteRequest(70)) == b""
    assert sent == ([] if "plain" in key else [3, 3, 2])


@pytest.mark.parametrize("name", ["shards", "plain"])
def test_only_the_chunk_of_a_shard_is_fetched(url, tmp_path, name):
    values = np.random.default_rng(0).normal(size=(64, 64))
    array = zarr.create_array(tmp_path / "a b.zarr" / name, shape=(64, 64), chunks=(8, 8), shards=(64, 64), dtype="f8")
    array[:] = values
    opened = zarr.open_array(HttpStore(url + name), mode="r")
    np.testing.assert_array_equal(opened[8:16, 40:48], values[8:16, 40:48])
    assert len(sent) == 2 * (name == "shards") and sum(sent) < values.nbytes / 10


def test_an_absent_key_is_none_and_a_failure_is_an_error(url):
    store = HttpStore(url, patience=QUICK)
    assert read(store, "no key") is None
    assert not asyncio.run(store.exists("no key")) and asyncio.run(store.exists("key"))
    with pytest.raises(OSError, match=r"a%20b.zarr/broken: HTTP Error 500"):
        read(store, "broken")
    assert requested.count("/a%20b.zarr/broken") == 3


def test_a_key_that_may_no_longer_be_read_is_not_absent(url):
    """Object stores answer 403 for an absent key; an expired permission must not become a gap."""
    forbidden.add("none")
    store = HttpStore(url, patience=QUICK)
    assert read(store, "none at first") is None
    assert read(store, "key") is not None and read(store, "none") is None
    forbidden.add("key")
    with pytest.raises(OSError, match="none: HTTP Error 403"):
        read(store, "none")
    with pytest.raises(OSError, match="key: HTTP Error 403"):
        read(store, "key")


def test_a_request_to_an_unreliable_server_is_repeated(url):
    assert read(HttpStore(url, patience=QUICK), "moody key") == b"0123456789" and len(requested) == 3


def test_only_a_server_that_has_answered_before_is_waited_for(url, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    gone = HttpStore("http://127.0.0.1:9/a.zarr", patience=Patience(waits=(60.0,)))
    with pytest.raises(OSError, match="127.0.0.1:9/a.zarr/key: .*refused"):
        read(gone, "key")
    assert not waits
    store = HttpStore(url, patience=QUICK)
    read(store, "key")
    store.url = gone.url
    with pytest.raises(OSError, match="refused"):
        read(store, "key")
    assert waits == list(QUICK.waits)


def test_read_only_and_equal_by_address(url):
    store = HttpStore(url, patience=QUICK)
    assert store.read_only and store == HttpStore(url.rstrip("/")) and store != HttpStore(url + "more")
    with pytest.raises(NotImplementedError, match="read-only"):
        asyncio.run(store.delete("key"))
