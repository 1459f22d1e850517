"""Only regular files are opened, none waits, none is read beyond its bound."""

import os
from pathlib import Path

import pytest

from geogan.files.plain_file import check_plain, open_plain, parse_json, read_json, read_lines
from geogan.operators.errors import InputError


def test_a_file_is_read(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"a": [1, "ä"]}', encoding="utf-8")
    assert read_json(file) == {"a": [1, "ä"]}


@pytest.mark.parametrize("name", ["missing.json", "file/below.json"])
def test_what_is_not_there(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises((FileNotFoundError, NotADirectoryError)):
        read_json(tmp_path / name)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, words in (("pipe", "is a pipe"), ("folder", "is a folder")):
        with pytest.raises(InputError, match=words):
            check_plain(tmp_path / name)
    with pytest.raises(InputError, match="is a device"):
        check_plain(Path("/dev/null"))


def test_links(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "out").write_text("1")
    (tmp_path / "run" / "in").write_text("2")
    for name, target in (("good", "in"), ("bad", "../out"), ("device", "/dev/zero"), ("lost", "nowhere")):
        (tmp_path / "run" / name).symlink_to(target)
    (tmp_path / "run" / "round").symlink_to("round")
    assert read_json(tmp_path / "run" / "good") == 2
    for name in ("bad", "device"):
        with pytest.raises(InputError, match="link that leads out of its folder"):
            read_json(tmp_path / "run" / name)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "run" / "lost")
    with pytest.raises((InputError, OSError)):
        read_json(tmp_path / "run" / "round")
    # The folder itself may be a link: a user names it.
    (tmp_path / "latest").symlink_to("run")
    assert read_json(tmp_path / "latest" / "in") == 2


def test_bounds(tmp_path):
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(2**40)
    with pytest.raises(InputError, match="has 1,099,511,627,776 bytes, where at most 16,777,216"):
        read_json(file)
    with pytest.raises(InputError, match="bytes"):
        open_plain(file, most=10)
    # A file of the system that says it has none goes on to a bound.
    with pytest.raises(InputError, match="has more than 1 bytes"):
        read_json(Path("/proc/self/status"), most=1)


@pytest.mark.parametrize(
    "text, words",
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": 1, "a": 1}', "names 'a' twice"),
        ('{"a": {"b": 1, "b": 1}}', "names 'b' twice"),
        ("1" * 5000, "Exceeds the limit"),
        (b"\xff\xfe", "decode"),
        ("", "Expecting value"),
    ],
)
def test_json_that_may_be_hostile(text, words):
    with pytest.raises(ValueError, match=words):
        parse_json(text)


def test_lines(tmp_path):
    file = tmp_path / "lines"
    file.write_bytes(b"one\n\xfftwo\nthree")
    assert list(read_lines(file)) == [("one", True), ("\ufffdtwo", True), ("three", False)]
    file.write_bytes(b"a" * 2**21)
    with pytest.raises(InputError, match="a line of more than"):
        list(read_lines(file))
