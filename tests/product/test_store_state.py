"""What storage tells of files: the same while they are, another when one changes, None where it does not tell."""

import functools
import http.server
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from geogan.product.store_state import describe


@pytest.fixture
def store(film, to_store, tmp_path):
    return to_store(film().chunk(time=2), tmp_path / "sea.zarr", consolidated=True)


@pytest.fixture
def file(film, tmp_path):
    film().to_netcdf(tmp_path / "sea.nc")
    return tmp_path / "sea.nc"


def rewrite(path):
    """Other bytes of the same number, and the time of change put back."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def test_a_file_rewritten_in_place_with_its_size_and_time_is_noticed(file):
    before = describe([str(file)])
    assert before == describe([str(file)])
    rewrite(file)
    assert describe([str(file)]) != before


@pytest.mark.parametrize("change", ["rewrite", "remove", "add", "touch", "grow"])
def test_any_chunk_of_a_store_counts(store, change):
    before, chunk = describe([str(store)]), store / "sst" / "c" / "1" / "0" / "0"
    assert before == describe([str(store)])
    {
        "rewrite": lambda: rewrite(chunk),
        "remove": chunk.unlink,
        "add": lambda: shutil.copy(chunk, chunk.with_name("9")),
        "touch": chunk.touch,
        "grow": lambda: chunk.write_bytes(chunk.read_bytes() + b"1"),
    }[change]()
    assert describe([str(store)]) != before


def test_each_of_several_files_counts(film, tmp_path):
    paths = []
    for name in ("a", "b"):
        film().to_netcdf(tmp_path / f"{name}.nc")
        paths.append(str(tmp_path / f"{name}.nc"))
    before = describe(paths)
    rewrite(tmp_path / "b.nc")
    assert describe(paths) != before and describe(paths[:1]) not in (before, describe(paths))


def test_a_link_stands_for_what_it_leads_to(file, tmp_path):
    (tmp_path / "link.nc").symlink_to(file)
    before = describe([str(tmp_path / "link.nc")])
    rewrite(file)
    assert describe([str(tmp_path / "link.nc")]) != before


class Server(http.server.SimpleHTTPRequestHandler):
    asked: list = []
    tags = False
    head = True

    def do_HEAD(self):
        self.asked.append(self.path)
        if not self.head:
            self.send_error(403)
            return
        super().do_HEAD()

    def end_headers(self):
        file = Path(self.translate_path(self.path))
        if self.tags and file.is_file():
            self.send_header("ETag", f'"{hash(file.read_bytes())}"')
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """Serves the folder; settings are those of the handler's class."""
    handler = type("Handler", (Server,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def older(folder):
    past = time.time() - 3600
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (past, past))


@pytest.mark.parametrize("tags", [True, False])
def test_a_store_behind_a_web_server(store, served, tags):
    handler, url = served
    handler.tags = tags
    older(store)
    before, chunk = describe([f"{url}/sea.zarr"]), store / "sst" / "c" / "1" / "0" / "0"
    assert before is not None and before == describe([f"{url}/sea.zarr"])
    chunk.write_bytes(chunk.read_bytes() + b"1")
    os.utime(chunk, (1e9, 1e9))
    after = describe([f"{url}/sea.zarr"])
    assert after not in (None, before)
    chunk.unlink()
    assert describe([f"{url}/sea.zarr"]) not in (None, before, after)


def test_a_file_behind_a_web_server_is_not_fetched(file, served):
    handler, url = served
    older(file)
    before = describe([f"{url}/sea.nc"])
    file.write_bytes(file.read_bytes() + b"1")
    older(file)
    assert None not in (before, describe([f"{url}/sea.nc"])) and before != describe([f"{url}/sea.nc"])
    assert set(handler.asked) == {"/sea.nc"}


def test_where_the_server_does_not_tell_nothing_is_known(file, store, served):
    handler, url = served
    # Written just now: the file may change within the same second of the server's time.
    file.write_bytes(file.read_bytes())
    assert describe([f"{url}/sea.nc"]) is None
    handler.tags = True
    assert describe([f"{url}/sea.nc"]) is not None
    handler.head = False
    assert describe([f"{url}/sea.nc"]) is None and describe([f"{url}/sea.zarr"]) is None
    assert describe(["http://127.0.0.1:9/sea.nc"]) is None


def test_objects_are_described_by_what_their_store_lists():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe("/sea/a", b"1")
    before = describe(["memory://sea"])
    assert before is not None and before == describe(["memory://sea"])
    system.pipe("/sea/a", b"2")
    assert describe(["memory://sea"]) != before
    assert describe(["memory://nowhere"]) is None and describe(["nothing://sea"]) is None
    system.rm("/sea", recursive=True)
