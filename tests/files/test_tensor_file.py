"""Tensors with a JSON text in one file: what was written comes back, and damage or a failed write is one sentence."""

import json

import pytest
import torch
from film_product import file_size_limit
from safetensors.torch import save_file

from geogan.files.tensor_file import read_tensors, with_prefix, without_prefix, write_tensors
from geogan.files.tensor_header import FORMAT, Entry, read_header
from geogan.operators.errors import InputError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False])}
TEXT = {"geogan": FORMAT, "units": "°C"}


@pytest.fixture
def file(tmp_path):
    write_tensors(tmp_path / "run.safetensors", TENSORS, TEXT)
    return tmp_path / "run.safetensors"


def test_tensors_and_text_come_back(file):
    tensors, text = read_tensors(file)
    assert text == TEXT and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert read_header(file) == ({"a.weight": Entry("F32", (2, 3)), "b": Entry("BOOL", (2,))}, TEXT)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_check_refuses_a_file_before_its_tensors_are_read(file):
    def refuse(entries, text):
        assert entries["b"].shape == (2,) and text == TEXT
        raise ValueError("another grid")

    with pytest.raises(ValueError, match="another grid"):
        read_tensors(file, refuse)


def test_prefixes_are_undone():
    renamed = with_prefix("network", TENSORS) | with_prefix("networks", TENSORS)
    assert without_prefix("network", renamed).keys() == TENSORS.keys()


@pytest.mark.parametrize("version", [None, 1, FORMAT - 1, FORMAT + 1, True, str(FORMAT)])
def test_another_format_is_refused(file, version):
    save_file(TENSORS, file, metadata={"geogan": json.dumps({"geogan": version})})
    with pytest.raises(InputError, match=rf"has format {version} and this geogan reads {FORMAT}; train it again"):
        read_header(file)


def test_a_file_of_another_program_is_refused(file):
    save_file(TENSORS, file)
    with pytest.raises(InputError, match="was not written by geogan"):
        read_header(file)
    with pytest.raises(InputError, match="is not a geogan run: it has no none.safetensors"):
        read_header(file.with_name("none.safetensors"))


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_truncated_file_is_damaged(file, size):
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(InputError, match=r"run.safetensors is damaged \(.*\); train it again"):
        read_tensors(file)


def test_tensors_that_are_not_finite_are_refused_except_coordinates(file):
    numbers = torch.tensor([1.0, float("nan")])
    write_tensors(file, {"places.latitude": numbers}, TEXT)
    assert read_tensors(file)[0]["places.latitude"].isnan().any()
    write_tensors(file, {"weight": numbers}, TEXT)
    with pytest.raises(InputError, match="the tensor weight of .* holds NaN"):
        read_tensors(file)


def test_a_failed_write_keeps_the_previous_file(file):
    before = file.read_bytes()
    with file_size_limit(100), pytest.raises(InputError, match="could not be written .*the previous one is kept"):
        write_tensors(file, TENSORS, {**TEXT, "note": "x" * 1000})
    assert file.read_bytes() == before and [path.name for path in file.parent.iterdir()] == [file.name]
