"""A web server's files are a store: what is there comes whole or in part, what is not is absent."""

import asyncio
import functools
import http.server
import threading

import pytest
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest

from geogan import http_store
from geogan.http_store import HttpStore

asked: list[str] = []


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "a b.zarr").mkdir()
    for key in ("key", "moody key"):
        (tmp_path / "a b.zarr" / key).write_bytes(b"0123456789")
    monkeypatch.setattr(http_store, "WAITS", (0.0, 0.01))
    asked.clear()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            asked.append(self.path)
            if "broken" in self.path or asked.count(self.path) < ("moody" in self.path) * 3:
                self.send_error(500 + 3 * ("moody" in self.path))
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
    with pytest.raises(OSError, match=r"a%20b.zarr/broken: HTTP Error 500"):
        read(store, "broken")
    assert asked.count("/a%20b.zarr/broken") == 3


def test_a_server_that_fails_now_and_then_is_asked_again(url):
    assert read(HttpStore(url), "moody key") == b"0123456789" and len(asked) == 3


def test_a_server_that_is_gone_is_waited_for_if_it_was_ever_there(url, monkeypatch):
    waited = []
    monkeypatch.setattr(http_store.time, "sleep", waited.append)
    gone = HttpStore("http://127.0.0.1:9/a.zarr")
    with pytest.raises(OSError, match="127.0.0.1:9/a.zarr/key: .*refused"):
        read(gone, "key")
    assert not waited
    store = HttpStore(url)
    read(store, "key")
    store.url = gone.url
    with pytest.raises(OSError, match="refused"):
        read(store, "key")
    assert waited == list(http_store.WAITS)


def test_read_only_and_equal_by_address(url):
    store = HttpStore(url)
    assert store.read_only and store == HttpStore(url.rstrip("/")) and store != HttpStore(url + "more")
    with pytest.raises(NotImplementedError, match="read-only"):
        asyncio.run(store.delete("key"))
