"""Archives in object stores are opened, trained on and filled as archives on a disk; failures are one sentence.

The stores are small local servers with the part of the S3 and Google APIs that is needed.
"""

import http.server
import json
import threading
import urllib.parse
from collections import Counter

import fsspec
import numpy as np
import pytest
import xarray as xr
from fill_files import fill
from runs import train

from geogan.archive import check_field
from geogan.fields.field import Field
from geogan.io import open_field
from geogan.operators.errors import InputError

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed (pip install 'geogan[cloud]')")


class Store(http.server.BaseHTTPRequestHandler):
    """Serve the objects of a dictionary by GET, HEAD and listing; some requests fail and have to be repeated."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes] = {}
    failures: dict[str, int] = {}
    asked: Counter[str] = Counter()

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        address = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(address.path), dict(urllib.parse.parse_qsl(address.query))
        self.asked[path] += 1
        if self.failures.get(path, 0) > 0:
            self.failures[path] -= 1
            self.answer(503, b"<Error><Code>SlowDown</Code><Message>try again</Message></Error>")
        elif path.startswith(("/storage/v1/", "/download/storage/v1/")):
            self.google(path, query)
        elif not path.startswith("/bucket"):
            self.answer(404, b"<Error><Code>NoSuchBucket</Code><Message>there is no such bucket</Message></Error>")
        elif "list-type" in query:
            self.listing(query.get("prefix", ""), query.get("delimiter", ""))
        else:
            self.object(path.removeprefix("/bucket/"), b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")

    def object(self, key, absent):
        content = self.objects.get(key)
        if content is None:
            return self.answer(404, absent)
        part, status, headers = self.headers.get("Range"), 200, {"ETag": '"0"', "x-goog-hash": ""}
        if part:
            first, last = part.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, len(content) - int(last))
            stop = int(last) + 1 if first and last else len(content)
            headers["Content-Range"] = f"bytes {start}-{min(stop, len(content)) - 1}/{len(content)}"
            content, status = content[start:stop], 206
        return self.answer(status, content, headers)

    def names(self, prefix, delimiter):
        """Return keys below a prefix, and folders."""
        found = [key for key in sorted(self.objects) if key.startswith(prefix)]
        folders = {key[: key.index("/", len(prefix)) + 1] for key in found if delimiter and "/" in key[len(prefix) :]}
        return [key for key in found if not any(key.startswith(folder) for folder in folders)], sorted(folders)

    def listing(self, prefix, delimiter):
        keys, folders = self.names(prefix, delimiter)
        date = "<LastModified>2026-01-01T00:00:00Z</LastModified><ETag>0</ETag><StorageClass>STANDARD</StorageClass>"
        body = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self.objects[key])}</Size>{date}</Contents>" for key in keys
        )
        body += "".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders)
        body = f"<Name>bucket</Name><Prefix>{prefix}</Prefix><KeyCount>{len(keys)}</KeyCount>{body}"
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        self.answer(200, f'<ListBucketResult xmlns="{space}">{body}</ListBucketResult>'.encode())

    def google(self, path, query):
        bucket, _, key = path.partition("/b/")[2].partition("/o")
        if bucket != "bucket":
            self.answer(404, json.dumps({"error": {"code": 404, "message": "there is no such bucket"}}).encode())
        elif not key:
            keys, folders = self.names(query.get("prefix", ""), query.get("delimiter", ""))
            items = [{"name": each, "bucket": bucket, "size": len(self.objects[each])} for each in keys]
            self.answer(200, json.dumps({"items": items, "prefixes": folders}).encode())
        elif query.get("alt") == "media" or path.startswith("/download"):
            self.object(key.removeprefix("/"), b"{}")
        elif key.removeprefix("/") in self.objects:
            size = len(self.objects[key.removeprefix("/")])
            self.answer(200, json.dumps({"name": key.removeprefix("/"), "bucket": bucket, "size": size}).encode())
        else:
            self.answer(404, json.dumps({"error": {"code": 404, "message": "no such object"}}).encode())

    def answer(self, status, content, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture(scope="module")
def running():
    """Start one server for all tests, because clients reuse their sessions."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def store(running, monkeypatch, tmp_path):
    """Return the server's class, whose objects are a bucket, and direct the libraries to the server."""
    for name, value in {
        "AWS_ENDPOINT_URL": running,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "STORAGE_EMULATOR_HOST": running,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it would use gRPC
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    for content in (Store.objects, Store.failures, Store.asked):
        content.clear()
    return Store


@pytest.fixture
def archive(store, gappy, tmp_path):
    """Return an archive on disk, a copy of which is in the bucket."""
    path = tmp_path / "sea.zarr"
    packed = {"sst": {"chunks": (8, 20, 12), "dtype": "i2", "scale_factor": 0.001, "_FillValue": -32768}}
    gappy[:16].to_dataset().to_zarr(path, encoding=packed, zarr_format=2, consolidated=True)
    for file in path.rglob("*"):
        if file.is_file():
            store.objects[f"sea.zarr/{file.relative_to(path)}"] = file.read_bytes()
    return path


def assert_same(first, second):
    xr.testing.assert_identical(first.drop_attrs(), second.drop_attrs())


def test_a_field_is_read_from_a_bucket(archive, store):
    field = open_field("s3://bucket/sea.zarr")
    assert field.chunks is not None and not any("sst/0" in path for path in store.asked)
    assert_same(field.compute(), open_field(archive).compute())


def test_training_and_filling_from_a_bucket_equal_those_from_a_disk(archive, tmp_path):
    """The archive is read in regions, like one larger than memory."""
    small = {"first_guess": False, "window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 2, "precision": "float32"}
    small["memory"] = 4000
    filled = []
    for data, name in ((archive, "disk"), ("s3://bucket/sea.zarr", "bucket")):
        run = train(data, out=tmp_path / name, **small)
        fill(data, run, tmp_path / f"{name}.zarr")
        filled.append(xr.open_zarr(tmp_path / f"{name}.zarr").compute())
    assert_same(*filled)
    assert np.isfinite(filled[0].sst).sum() > np.isfinite(open_field(archive)).sum()


def test_a_request_to_an_unreliable_store_is_repeated(archive, store):
    store.failures.update(dict.fromkeys(("/bucket/sea.zarr/sst/0.0.0", "/bucket/sea.zarr/sst/1.0.1"), 2))
    assert_same(open_field("s3://bucket/sea.zarr").compute(), open_field(archive).compute())
    assert store.failures == dict.fromkeys(store.failures, 0)


def test_a_chunk_that_cannot_be_read_is_named(archive, store, monkeypatch):
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    field = open_field("s3://bucket/sea.zarr")
    store.failures["/bucket/sea.zarr/sst/1.0.1"] = 10**6
    with pytest.raises(InputError, match=r"'sst' of s3://bucket/sea.zarr could not be read, .*run again") as found:
        check_field(Field.of(field))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("url", ["s3://nowhere/sea.zarr", "s3://bucket/no.zarr"])
def test_an_absent_store_is_named(archive, url):
    with pytest.raises(InputError, match=f"{url} cannot be read .*check the address") as found:
        open_field(url)
    assert "\n" not in str(found.value)


def test_missing_credentials_are_named(archive, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()  # cached instances hold the credentials
    with pytest.raises(InputError, match="s3://bucket/sea.zarr needs credentials, .*AWS_ACCESS_KEY_ID") as found:
        open_field("s3://bucket/sea.zarr")
    s3fs.S3FileSystem.clear_instance_cache()
    assert "\n" not in str(found.value)


def test_a_field_is_read_from_a_google_bucket(archive):
    gcsfs = pytest.importorskip("gcsfs", reason="gcsfs is not installed (pip install 'geogan[cloud]')")
    gcsfs.GCSFileSystem.clear_instance_cache()
    assert_same(open_field("gs://bucket/sea.zarr").compute(), open_field(archive).compute())
