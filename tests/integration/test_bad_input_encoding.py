"""Values that no product could hold, and models that are not finite, end in one sentence."""

import json

import numpy as np
import pytest
from bad_input import CORRUPT, FILL, case, every_reader, refused, sea
from safetensors import safe_open
from safetensors.torch import save_file

from geogan.files.run_folder import MODEL


def one_value(value, dtype="f8"):
    """Return a function that writes the gappy sea to ``bad.nc`` in a type, with one observed value changed."""

    def make():
        field = sea().drop_encoding()
        values = field.sst.values.astype(dtype)
        values[tuple(np.argwhere(np.isfinite(values))[7])] = value
        field.assign(sst=field.sst.copy(data=values)).to_netcdf("bad.nc")

    return make


def spoiled(tensor, value):
    """Return a function that changes one number of the model in the working folder."""

    def make():
        with safe_open(f"model/{MODEL}", "pt") as file:
            described = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        names = [key for key in tensors if tensor in key]
        assert names
        changed = tensors[names[0]].clone()
        if "coefficients" in tensor:
            changed[:, :, tensors["domain"].bool()] = value
        else:
            changed.reshape(-1)[0] = value
        save_file(tensors | {names[0]: changed.contiguous()}, f"model/{MODEL}", described)

    return make


def of_scale(value):
    """Return a function that changes the scale of the model's standardiser."""

    def make():
        with safe_open(f"model/{MODEL}", "pt") as file:
            described = dict(file.metadata())
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        key = next(key for key, text in described.items() if "standardiser" in text)
        text = json.loads(described[key])
        text["standardiser"]["scale"] = [value]
        save_file(tensors, f"model/{MODEL}", described | {key: json.dumps(text)})

    return make


CASES = [
    *every_reader("beyond-single", "bad.nc", "values beyond 3e+36", "scale", make=one_value(1e39), but=("plot",)),
    *every_reader("far-below", "bad.nc", "values beyond 3e+36", make=one_value(-1e300), but=("plot", "info")),
    *every_reader("infinite", "bad.nc", "infinite values", "set them to NaN", make=one_value(-np.inf), but=("plot",)),
    case("near-overflow-fill", f"{FILL} bad.nc", "values beyond 3e+36", make=one_value(3e38, "f4")),
    case("near-overflow-corrupt", f"{CORRUPT} bad.nc", "values beyond 3e+36", make=one_value(-2e37, "f4")),
    *[
        case(f"{tensor}-{value}", f"{FILL} sst.nc", tensor.split(".")[0], "train it again", make=spoiled(tensor, value))
        for tensor in ("network.", "standardiser.coefficients", "error.")
        for value in (float("nan"), float("inf"))
    ],
    case("scale-nan", f"{FILL} sst.nc", "scale", make=of_scale(float("nan"))),
    case("scale-inf", f"{FILL} sst.nc", "scale", make=of_scale(float("inf"))),
    case("scale-zero", f"{FILL} sst.nc", "scale", make=of_scale(0.0)),
]


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(folder, case):
    refused(case)
