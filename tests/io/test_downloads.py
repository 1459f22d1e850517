"""Servers that send too much, too slowly or compressed, or redirect elsewhere; full disks; removal of copies."""

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

from geogan.io import open_field
from geogan.io.downloads import download
from geogan.io.http_store import HttpStore
from geogan.io.web import Patience
from geogan.operators.errors import InputError

QUICK = Patience(seconds=0.4, waits=(0.0, 0.01))


class Moody(http.server.BaseHTTPRequestHandler):
    """A server whose answer depends on the path."""

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
        """Send the beginning only, and the whole answer when the request is repeated."""
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
    """Yield the address of a server; copies go to the folder ``copies``."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    film().to_netcdf(tmp_path / "sst.nc")
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    monkeypatch.setattr(Moody, "content", (tmp_path / "sst.nc").read_bytes())
    monkeypatch.setattr(Moody, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_file_behind_a_web_server_is_opened(server, film):
    np.testing.assert_array_equal(open_field(f"{server}/to_plain.nc").values, film().sst.values)


@pytest.mark.parametrize("kind", ["plain", "moody", "broken", "to_plain"])
def test_a_file_is_copied_and_a_failed_request_is_repeated(server, tmp_path, kind):
    download(f"{server}/{kind}.nc", tmp_path / "copy.nc", patience=QUICK)
    assert (tmp_path / "copy.nc").read_bytes() == Moody.content


@pytest.mark.parametrize(
    "kind, words",
    [
        ("huge", "has room for"),
        ("packed", "sent as 'gzip'"),
        ("to_file", "file:///etc/hostname"),
        ("to_ftp", "which is not a web server"),
        ("round", "redirect"),
    ],
)
def test_a_hostile_answer_is_one_sentence(server, tmp_path, kind, words):
    with pytest.raises(InputError, match=words) as raised:
        open_field(f"{server}/{kind}.nc")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600
    assert not list((tmp_path / "copies").iterdir())


@pytest.mark.parametrize("kind, words", [("slow", "arrives too slowly"), ("slow_to_begin", "no answer within 0.4 s")])
def test_a_slow_server_is_given_up(server, tmp_path, kind, words):
    with pytest.raises(OSError, match=words):
        download(f"{server}/{kind}.nc", tmp_path / "copy.nc", patience=QUICK)


@pytest.mark.parametrize("kind, words", [("plain", "has room for 0 bytes"), ("endless", "more bytes than the 0")])
def test_no_file_is_copied_to_a_disk_without_room(server, tmp_path, kind, words):
    with pytest.raises((InputError, OSError), match=words):
        download(f"{server}/{kind}.nc", tmp_path / "copy.nc", patience=QUICK, spare=2**60)
    assert (tmp_path / "copy.nc").stat().st_size == 0


def fetched(store, key):
    return asyncio.run(store.get(key))


@pytest.mark.parametrize("kind, words", [("huge", "at most"), ("endless", "that are expected at most")])
def test_metadata_of_a_store_are_bounded(server, kind, words):
    with pytest.raises(OSError, match=words):
        fetched(HttpStore(f"{server}/{kind}", most_metadata=10_000), "zarr.json")
    assert len(Moody.asked) == 1  # a repetition would not help


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_are_bounded_by_their_array(server, tmp_path, monkeypatch, version):
    dataset = xr.Dataset({"sst": (("y", "x"), np.ones((6, 8), "f4")), "note": ((), "text")})
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=True)
    store = HttpStore(f"{server}/plain", spare=0)
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


@pytest.mark.parametrize("end", [signal.SIGTERM, None])
def test_copies_are_removed_at_the_end(server, tmp_path, end):
    """On a signal too, after which the process ends as it would without copies."""
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
    assert code == {signal.SIGTERM: -signal.SIGTERM, None: 0}[end]
    assert not list(copies.glob("geogan-*"))


def test_the_name_of_a_copy_does_not_come_from_the_server(server, tmp_path):
    """A name may be too long for a file, or lead out of the folder."""
    open_field(f"{server}/plain/..%2f..%2f{'a' * 300}.nc").load()
    assert Path(tmp_path / "copies").is_dir()
