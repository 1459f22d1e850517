"""Tests of reading the metrics of a training."""

import json

import pytest

from geogan.files.metrics import error_units, read_metrics
from geogan.operators.errors import InputError


def test_incomplete_lines_are_skipped(tmp_path):
    records = [{"step": 1, "loss_prior": 0.5}, {"step": 2, "withheld_rmse": 0.2}]
    lines = [json.dumps(record) for record in records]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, "[]", '{"step": 3, "lo']))
    assert read_metrics(tmp_path) == records


def test_a_run_without_metrics_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no metrics\.jsonl"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(InputError, match="a regular file is expected"):
        read_metrics(tmp_path)


def test_units_of_the_error(tmp_path):
    assert error_units(tmp_path) == ""
    (tmp_path / "model.json").write_text(json.dumps({"scores": {"units": "K" * 200}}))
    assert error_units(tmp_path) == "K" * 100
