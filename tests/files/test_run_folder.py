"""The folder of a run: which folders are runs, and which are free for a new one."""

import json

import pytest
import torch

from geogan.files.run_folder import (
    MODEL,
    RUN,
    STATE,
    check_files,
    check_free,
    foreign_names,
    is_just_begun,
    is_run,
    read_run,
)
from geogan.files.tensor_file import write_tensors
from geogan.files.tensor_header import FORMAT
from geogan.operators.errors import InputError

DESCRIPTION = {"data": ["a.nc"], "variable": "sst", "domain": None, "time": None}


@pytest.fixture
def run(tmp_path):
    """A run that was killed before its first state was saved."""
    folder = tmp_path / "run"
    folder.mkdir()
    text = {"geogan": FORMAT, "scores": {"steps": 0}, "network": {"kind": "unet"}}
    write_tensors(folder / MODEL, {"a": torch.zeros(2)}, text)
    (folder / RUN).write_text(json.dumps(DESCRIPTION))
    return folder


def refuse(folder, *, overwrite=False):
    check_free(folder, overwrite=overwrite, ways="resume it", other="folder")


def test_a_run_without_a_state_is_just_begun_and_may_be_replaced(run):
    assert is_run(run) and is_just_begun(run) and read_run(run) == DESCRIPTION
    refuse(run)
    (run / STATE).write_bytes(b"")
    assert not is_just_begun(run)
    with pytest.raises(InputError, match="holds a run already; resume it"):
        refuse(run)
    refuse(run, overwrite=True)


def test_files_of_the_user_are_never_replaced(run, tmp_path):
    (run / "notes.txt").write_text("of three years")
    (run / "without-prior").mkdir()
    (run / "without-prior" / "map.png").write_bytes(b"")
    (run / ".model.json.partial").write_text("left by a kill")
    assert sorted(foreign_names(run)) == ["notes.txt", "without-prior/map.png"]
    with pytest.raises(InputError, match="beside the files of a run, so it stays; move"):
        refuse(run, overwrite=True)
    for name, words in (("other", "is a folder with other things in it"), ("other/notes.txt", "is a file")):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / "notes.txt").write_text("of three years")
        with pytest.raises(InputError, match=words):
            refuse(tmp_path / name, overwrite=True)


@pytest.mark.parametrize("content", ["{", "[]", '{"data": []}'])
def test_a_run_that_cannot_be_read_is_not_replaced(run, content):
    (run / RUN).write_text(content)
    with pytest.raises(InputError, match=r"run\.json"):
        read_run(run)
    with pytest.raises(InputError, match="holds no run that geogan can read, so it stays"):
        refuse(run, overwrite=True)


def test_a_link_out_of_the_folder_is_refused(run, tmp_path):
    check_files(run)
    (tmp_path / "run.json").write_text(json.dumps(DESCRIPTION))
    (run / RUN).unlink()
    (run / RUN).symlink_to(tmp_path / "run.json")
    with pytest.raises(InputError, match="leads out of its folder"):
        check_files(run)


def test_an_absent_run_is_one_sentence(tmp_path):
    assert not is_run(tmp_path / "nowhere") and not is_just_begun(tmp_path)
    with pytest.raises(InputError, match="is not a geogan run that can be resumed: it has no run.json"):
        read_run(tmp_path)
