"""Servers that send too much, too slowly or compressed, or lead elsewhere; disks without room; copies at the end."""

import asyncio
import http.server
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from geogan.io import downloads, http_store, open_field, web
from geogan.io.http_store import HttpStore
from geogan.operators.errors import InputError


class Moody(http.server.BaseHTTPRequestHandler):
    """Answers as the path says."""

    content = b""
    asked: list[str] = []

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        kind = self.path.strip("/").split("/")[0].removesuffix(".nc")
        getattr(self, kind, self.plain)()

    def start(self, length=None, **headers):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def plain(self):
        self.start(len(self.content))
        self.wfile.write(self.content)

    def moody(self):
        if len(self.asked) < 3:
            self.send_error(503)
        else:
            self.plain()

    def broken(self):
        """Breaks off, and is whole when it is asked again."""
        if len(self.asked) > 1:
            self.plain()
            return
        self.start(len(self.content))
        self.wfile.write(self.content[:100])

    def huge(self):
        self.start(2**50)

    def endless(self):
        self.start()
        self.pour(b"x" * 2**16, 0.0)

    def slow(self):
        self.start(2**20)
        self.pour(b"x", 0.02)

    def slow_to_begin(self):
        self.pour(b"H", 0.02)

    def packed(self):
        self.start(3, Content_Encoding="gzip")
        self.wfile.write(b"abc")

    def to_file(self):
        self.lead("file:///etc/hostname")

    def to_ftp(self):
        self.lead("ftp://127.0.0.1/sst.nc")

    def round(self):
        self.lead(f"/round/{len(self.asked)}.nc")

    def to_plain(self):
        self.lead("/plain.nc")

    def lead(self, where):
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def pour(self, piece, pause):
        try:
            while True:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:
            pass


@pytest.fixture
def server(film, tmp_path, monkeypatch):
    """The address of a server; copies go below ``copies``."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    film().to_netcdf(tmp_path / "sst.nc")
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    monkeypatch.setattr(http_store, "WAITS", (0.0, 0.01))
    monkeypatch.setattr(web, "SECONDS", 0.4)
    monkeypatch.setattr(Moody, "content", (tmp_path / "sst.nc").read_bytes())
    monkeypatch.setattr(Moody, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["plain", "moody", "broken", "to_plain"])
def test_a_file_is_copied_and_asked_for_again(server, film, kind):
    field = open_field(f"{server}/{kind}.nc")
    np.testing.assert_array_equal(field.values, film().sst.values)


@pytest.mark.parametrize(
    "kind, words",
    [
        ("huge", "has room for"),
        ("slow", "comes too slowly"),
        ("slow_to_begin", "no answer within 0.4 s"),
        ("packed", "sent as 'gzip'"),
        ("to_file", "file:///etc/hostname"),
        ("to_ftp", "which is no web server"),
        ("round", "redirect"),
    ],
)
def test_what_a_server_must_not_do(server, tmp_path, kind, words):
    with pytest.raises(InputError, match=words) as raised:
        open_field(f"{server}/{kind}.nc")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600
    assert not list((tmp_path / "copies").iterdir())


@pytest.mark.parametrize("kind", ["plain", "endless"])
def test_a_disk_without_room(server, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(downloads, "_room", lambda file: max(0, 1000 - (file.stat().st_size if file.exists() else 0)))
    with pytest.raises(InputError, match="cannot be read|has room for|where .* expected"):
        open_field(f"{server}/{kind}.nc")
    assert not list((tmp_path / "copies").iterdir())


def fetched(store, key):
    return asyncio.run(store.get(key))


@pytest.mark.parametrize("kind, words", [("huge", "at most"), ("endless", "which are expected at most")])
def test_no_more_of_a_store_than_it_can_have(server, monkeypatch, kind, words):
    monkeypatch.setattr(http_store, "METADATA_BYTES", 10_000)
    with pytest.raises(OSError, match=words):
        fetched(HttpStore(f"{server}/{kind}"), "zarr.json")
    assert len(Moody.asked) == 1  # it would not be better the second time


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_are_bounded_by_their_array(server, tmp_path, monkeypatch, version):
    dataset = xr.Dataset({"sst": (("y", "x"), np.ones((6, 8), "f4")), "note": ((), "text")})
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=True)
    monkeypatch.setattr(http_store, "SPARE_BYTES", 0)
    store = HttpStore(f"{server}/plain")
    for name in (".zmetadata",) if version == 2 else ("zarr.json",):
        monkeypatch.setattr(Moody, "content", (tmp_path / "a.zarr" / name).read_bytes())
        fetched(store, name)
    key = "sst/0.0" if version == 2 else "sst/c/0/0"
    for size, is_there in ((2 * 6 * 8 * 4, True), (2 * 6 * 8 * 4 + 1, False)):
        monkeypatch.setattr(Moody, "content", b"x" * size)
        if is_there:
            assert fetched(store, key).to_bytes() == b"x" * size
        else:
            with pytest.raises(OSError, match="385 bytes, where at most 384"):
                fetched(store, key)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, None])
def test_copies_are_removed_at_the_end(server, tmp_path, end):
    """Also where the process is asked to end; it ends as it would have."""
    program = (
        "import sys, time; from geogan.io import open_field\n"
        f"field = open_field('{server}/plain.nc'); print('open', flush=True)\n" + ("time.sleep(60)" if end else "")
    )
    copies = tmp_path / "copies"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=os.environ | {"TMPDIR": str(copies)}) as process:  # fmt: skip
        assert process.stdout.readline() == b"open\n"
        if end:
            assert [file.name for folder in copies.glob("geogan-*") for file in folder.iterdir()] == ["data.nc"]
            process.send_signal(end)
        code = process.wait(timeout=60)
    assert code == {signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: -signal.SIGINT, None: 0}[end]
    assert not list(copies.glob("geogan-*"))


def test_names_of_servers_are_not_used(server, tmp_path):
    """A name may be too long for a file, or lead out of the folder."""
    open_field(f"{server}/plain/..%2f..%2f{'a' * 300}.nc").load()
    assert Path(tmp_path / "copies").is_dir()
