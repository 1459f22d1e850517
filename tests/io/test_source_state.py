"""The description of an archive's files: equal while they are unchanged, None if the storage gives no information."""

import functools
import http.server
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from geogan.io import describe_source
from geogan.operators.errors import InputError


@pytest.fixture
def store(film, to_store, tmp_path):
    return to_store(film().chunk(time=2), tmp_path / "sea.zarr", consolidated=True)


@pytest.fixture
def file(film, tmp_path):
    film().to_netcdf(tmp_path / "sea.nc")
    return tmp_path / "sea.nc"


def rewrite(path):
    """Change the bytes of a file, and restore its size and modification time."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def test_a_folder_that_is_no_store_is_refused_before_its_files_are_listed(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("")
    monkeypatch.setattr(os, "walk", lambda *args, **options: pytest.fail("the folder is listed"))
    with pytest.raises(InputError, match="is a folder without zarr.json or .zgroup"):
        describe_source([str(tmp_path)])


def test_a_file_rewritten_in_place_with_its_size_and_time_is_noticed(file):
    before = describe_source([str(file)])
    assert before == describe_source([str(file)])
    rewrite(file)
    assert describe_source([str(file)]) != before


@pytest.mark.parametrize("change", ["rewrite", "remove", "add", "touch", "grow"])
def test_any_chunk_of_a_store_counts(store, change):
    before, chunk = describe_source([str(store)]), store / "sst" / "c" / "1" / "0" / "0"
    assert before == describe_source([str(store)])
    {
        "rewrite": lambda: rewrite(chunk),
        "remove": chunk.unlink,
        "add": lambda: shutil.copy(chunk, chunk.with_name("9")),
        "touch": chunk.touch,
        "grow": lambda: chunk.write_bytes(chunk.read_bytes() + b"1"),
    }[change]()
    assert describe_source([str(store)]) != before


def test_each_of_several_files_counts(film, tmp_path):
    paths = []
    for name in ("a", "b"):
        film().to_netcdf(tmp_path / f"{name}.nc")
        paths.append(str(tmp_path / f"{name}.nc"))
    before = describe_source(paths)
    rewrite(tmp_path / "b.nc")
    assert describe_source(paths) != before and describe_source(paths[:1]) not in (before, describe_source(paths))


def test_a_link_is_followed(file, tmp_path):
    (tmp_path / "link.nc").symlink_to(file)
    before = describe_source([str(tmp_path / "link.nc")])
    rewrite(file)
    assert describe_source([str(tmp_path / "link.nc")]) != before


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
    """Serve the folder; yield the handler class, whose attributes are its settings, and the address."""
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
    before, chunk = describe_source([f"{url}/sea.zarr"]), store / "sst" / "c" / "1" / "0" / "0"
    assert before is not None and before == describe_source([f"{url}/sea.zarr"])
    chunk.write_bytes(chunk.read_bytes() + b"1")
    os.utime(chunk, (1e9, 1e9))
    after = describe_source([f"{url}/sea.zarr"])
    assert after not in (None, before)
    chunk.unlink()
    assert describe_source([f"{url}/sea.zarr"]) not in (None, before, after)


def test_a_file_behind_a_web_server_is_not_fetched(file, served):
    handler, url = served
    older(file)
    before = describe_source([f"{url}/sea.nc"])
    file.write_bytes(file.read_bytes() + b"1")
    older(file)
    assert None not in (before, describe_source([f"{url}/sea.nc"])) and before != describe_source([f"{url}/sea.nc"])
    assert set(handler.asked) == {"/sea.nc"}


def test_without_information_from_the_server_there_is_no_description(file, store, served):
    handler, url = served
    # Written just now: the file may change within the same second of the server's time.
    file.write_bytes(file.read_bytes())
    assert describe_source([f"{url}/sea.nc"]) is None
    handler.tags = True
    assert describe_source([f"{url}/sea.nc"]) is not None
    handler.head = False
    assert describe_source([f"{url}/sea.nc"]) is None and describe_source([f"{url}/sea.zarr"]) is None
    assert describe_source(["http://127.0.0.1:9/sea.nc"]) is None


def test_objects_are_described_by_the_properties_that_their_store_lists():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe("/sea/a", b"1")
    before = describe_source(["memory://sea"])
    assert before is not None and before == describe_source(["memory://sea"])
    system.pipe("/sea/a", b"2")
    assert describe_source(["memory://sea"]) != before
    assert describe_source(["memory://nowhere"]) is None and describe_source(["nothing://sea"]) is None
    system.rm("/sea", recursive=True)
