"""A web server's files are a store: what is there comes whole or in part, what is not is absent."""

import asyncio
import functools
import http.server
import threading
import urllib.error

import pytest
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest

from geogan.http_store import HttpStore


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "a b.zarr").mkdir()
    (tmp_path / "a b.zarr" / "key").write_bytes(b"0123456789")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            if "broken" in self.path:
                self.send_error(500)
            else:
                super().do_GET()

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


def test_whole_and_in_part(url):
    store = HttpStore(url)
    assert read(store, "key") == b"0123456789"
    assert read(store, "key", RangeByteRequest(2, 5)) == b"234"
    assert read(store, "key", OffsetByteRequest(7)) == b"789"
    assert read(store, "key", SuffixByteRequest(2)) == b"89"


def test_absent_is_none_and_a_failure_is_an_error(url):
    store = HttpStore(url)
    assert read(store, "no key") is None
    assert not asyncio.run(store.exists("no key")) and asyncio.run(store.exists("key"))
    with pytest.raises(urllib.error.HTTPError):
        read(store, "broken")


def test_read_only_and_equal_by_address(url):
    store = HttpStore(url)
    assert store.read_only and store == HttpStore(url.rstrip("/")) and store != HttpStore(url + "more")
    with pytest.raises(NotImplementedError, match="read-only"):
        asyncio.run(store.delete("key"))
