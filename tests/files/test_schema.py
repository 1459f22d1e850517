"""The schema accepts what geogan writes, and refuses what could exhaust memory."""

import json

import pytest

from geogan.files.schema import DoneLine, FillText, MetricsLine, ModelText, PartialText, RunText, check
from geogan.files.tensor_header import read_header
from geogan.model import save_model
from geogan.settings import Settings
from geogan.training import settings_json


def test_every_setting_passes_and_no_other_entry_does():
    """A setting that the schema refused could be saved, and its model never be read again."""
    run = {"data": ["a"], "variable": None, "domain": None, "time": None}
    written = json.loads(json.dumps(settings_json(Settings(noise=0.5, training={"betas": (0.5, 0.9)}))))
    check(RunText, run | {"settings": written})
    for wrong, words in (
        ({"width": 4}, "settings: width is not known; another geogan wrote it, train again"),
        ({"network": {"width": 10**9}}, "settings: width must be at most 8192"),
        ({"training": {"colour": 1}}, "settings: TrainConfig has no parameter 'colour'"),
        ({"threads_used": -1}, "settings: threads_used must be at least 0"),
    ):
        with pytest.raises(ValueError, match=words):
            check(RunText, run | {"settings": written | wrong})


def test_a_saved_model_is_accepted(model, tmp_path):
    save_model(tmp_path, model)
    check(ModelText, json.loads((tmp_path / "model.json").read_text()))
    check(ModelText, read_header(tmp_path / "model.safetensors")[1])


@pytest.mark.parametrize(
    "kind, content, words",
    [
        (RunText, {"data": ["a"], "variable": None, "domain": None}, "time is missing"),
        (RunText, {"data": "a", "variable": None, "domain": None, "time": None}, "data should be a valid list"),
        (
            RunText,
            {"data": [], "variable": "x" * 100_001, "domain": None, "time": None},
            "variable string should have",
        ),
        (PartialText, {"digest": "a", "sizes": {"y": -1}, "chunks": {}, "dims": {}}, "sizes.y should be greater"),
        (PartialText, {"digest": "a", "sizes": {"y": 1e9}, "chunks": {}, "dims": {}}, "sizes.y should be a valid int"),
        (DoneLine, {"region": {"y": [0]}, "names": []}, "region.y"),
        (DoneLine, {"region": {"y": [0, 2**60]}, "names": []}, "region.y.1 should be less"),
        (MetricsLine, {"step": -1}, "step should be greater"),
        (MetricsLine, {"step": 1, "loss_prior": "x"}, "loss_prior should be a valid number"),
        (FillText, {"model": "a"}, "variable is missing"),
        (FillText, 3, "it should be a set of named entries, got 3"),
    ],
)
def test_invalid_content_is_refused(kind, content, words):
    with pytest.raises(ValueError, match=words) as raised:
        check(kind, content)
    assert len(str(raised.value)) < 400 and "\n" not in str(raised.value)


def test_unknown_entries_are_refused():
    content = {"data": [], "variable": None, "domain": None, "time": None, "colour": 1}
    with pytest.raises(ValueError, match="colour is not known"):
        check(RunText, content)


def test_a_loss_may_be_nan():
    check(MetricsLine, {"step": 3, "loss_prior": float("nan"), "withheld_rmse": None})
