"""Files from outside, and meaningless options: one sentence, exit code 2, nothing written."""

import json
import os
import socket
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from bad_input import CORRUPT, EVALUATE, FILL, PLOT, TRAIN, case, every_reader, refused

from geogan.files.run_folder import MODEL, STATE
from geogan.files.tensor_file import read_tensors, write_tensors


def model_with(change, *, file=MODEL):
    """Return a function that rewrites the model with tensors and text changed by ``change(tensors, text)``."""

    def make():
        tensors, text = read_tensors(Path("model", file))
        change(tensors, text)
        write_tensors(Path("model", file), tensors, text)

    return make


def entry(value, *names):
    """Return a function that rewrites the model with another value of one entry of its description."""

    def change(tensors, text):
        for name in names[:-1]:
            text = text[name]
        text[names[-1]] = value

    return model_with(change)


def tensor(name, change):
    def changed(tensors, text):
        tensors[name] = change(tensors[name])

    return model_with(changed)


def not_finite(tensor):
    tensor = tensor.clone()
    tensor.view(-1)[-1] = float("nan")
    return tensor


def raw_text(text):
    """Return a function that rewrites the model with any text as its description."""
    from safetensors.torch import save_file

    def make():
        tensors, _ = read_tensors(Path("model", MODEL))
        save_file(tensors, "model/model.safetensors", metadata={"geogan": text})

    return make


def written(name, content):
    def make():
        Path("model", name).write_text(content)

    return make


def grown(name):
    """Write a sparse file with the size of a terabyte."""

    def make():
        with Path("model", name).open("r+b") as file:
            file.truncate(2**40)

    return make


def pipe(name):
    def make():
        Path("model", name).unlink(missing_ok=True)
        os.mkfifo(f"model/{name}")

    return make


def listening(name):
    def make():
        Path("model", name).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"model/{name}")

    return make


def link_out(name):
    def make():
        Path("elsewhere").mkdir()
        Path("model", name).replace(f"elsewhere/{name}")
        Path("model", name).symlink_to(Path("elsewhere", name).absolute())

    return make


def long_header():
    Path("model/model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")


def huge_tensor():
    """Write a sparse file whose header declares a tensor of 4 TiB."""
    entries = {"domain": {"dtype": "BOOL", "shape": [2**21, 2**21], "data_offsets": [0, 2**42]}}
    described = json.loads(Path("model/model.json").read_text())
    header = json.dumps({"__metadata__": {"geogan": json.dumps(described)}, **entries}).encode()
    with Path("model/model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2**42)


DEEP = "[" * 100_000
DAMAGED = "model is a damaged geogan model"
RESUME = "train --resume model --steps 9"
MODELS = [
    case("wide-network", f"{FILL} sst.nc", DAMAGED, "network.width", "8192", make=entry(10**9, "network", "width")),
    case("many-frames", f"{FILL} sst.nc", "frames should be less", make=entry(10**9, "frames")),
    case("other-frames", f"{FILL} sst.nc", "network.frames is 3, where the model has 5", make=entry(5, "frames")),
    case("wider-network", f"{FILL} sst.nc", "the tensor network.", "is expected", make=entry(64, "network", "width")),
    case("unknown-network", f"{FILL} sst.nc", "network", "'resnet'", make=entry("resnet", "network", "kind")),
    case("unknown-entry", f"{FILL} sst.nc", "colour is not known", "later geogan", make=entry("red", "colour")),
    case("unknown-of-a-part", f"{FILL} sst.nc", "network.code is not known", make=entry("x", "network", "code")),
    case("missing-entry", f"{FILL} sst.nc", "precision is missing",
         make=model_with(lambda tensors, text: text.pop("precision"))),
    case("precision-of-torch", f"{FILL} sst.nc", "precision should be", make=entry("__version__", "precision")),
    case("endless-smoothing", f"{FILL} sst.nc", "smoothing should be less", make=entry(10**12, "smoothing")),
    case("length-nan", f"{FILL} sst.nc", "prior.length", "finite", make=entry(float("nan"), "prior", "length")),
    case("length-infinite", f"{FILL} sst.nc", "prior.length", make=entry(float("inf"), "prior", "length")),
    case("scale-zero", f"{FILL} sst.nc", "standardiser.scale.0 should be greater than 0",
         make=entry([0.0], "standardiser", "scale")),
    case("many-scales", f"{FILL} sst.nc", "standardiser.scale", "10000",
         make=entry([1.0] * 10_001, "standardiser", "scale")),
    case("transform", f"{FILL} sst.nc", DAMAGED, "sqrt", make=entry("sqrt", "standardiser", "transform")),
    case("seed-of-400-digits", f"{FILL} sst.nc", "seed must be at most", make=entry(10**400, "settings", "seed")),
    case("steps-as-text", "info model", "scores.steps should be a valid integer", make=entry("9", "scores", "steps")),
    case("composed-composed", f"{FILL} sst.nc", DAMAGED, "operator",
         make=entry({"name": "compose", "operators": [{"name": "compose", "operators": []}]}, "operator")),
    case("operator-of-a-module", f"{FILL} sst.nc", "no operator is named 'os.system'",
         make=entry({"name": "os.system"}, "operator")),
    case("description-nested", f"{FILL} sst.nc", "model.safetensors is damaged (it is nested too deeply)",
         make=raw_text(DEEP)),
    case("description-twice", f"{FILL} sst.nc", "names 'geogan' twice", make=raw_text('{"geogan": 6, "geogan": 2}')),
    case("format-of-the-future", f"{FILL} sst.nc", "has format 99 and this geogan reads 8",
         make=entry(99, "geogan")),
    case("format-true", f"{FILL} sst.nc", "has format True", make=entry(True, "geogan")),
    case("long-header", f"{FILL} sst.nc", "model.safetensors is damaged (its header would have", make=long_header),
    case("huge-tensor", f"{FILL} sst.nc", "model.safetensors has 4,398,0", "bytes", make=huge_tensor),
    case("hole-at-the-end", f"{FILL} sst.nc", "model.safetensors has 1,099,511,627,776 bytes", make=grown(MODEL)),
    case("weights-not-finite", f"{FILL} sst.nc", "the tensor network.leave.weight of model/model.safetensors holds NaN",
         make=tensor("network.leave.weight", not_finite)),
    case("climatology-not-finite", f"{EVALUATE} sst.nc", "standardiser.coefficients of model/model.safetensors",
         make=tensor("standardiser.coefficients", not_finite)),
    case("weights-of-another-type", f"{FILL} sst.nc", "the tensor network.leave.bias is F64",
         make=tensor("network.leave.bias", lambda weights: weights.double())),
    case("weights-of-another-size", f"{FILL} sst.nc", "the tensor network.leave.bias is F32 [6]",
         make=tensor("network.leave.bias", lambda weights: weights.repeat(2))),
    case("domain-of-another-size", f"{FILL} sst.nc", DAMAGED, "[1, 1, 24, 24]",
         make=tensor("domain", lambda domain: domain[:9])),
    case("dates-beyond", f"{FILL} sst.nc", "withheld.sources names dates beyond",
         make=tensor("withheld.sources", lambda sources: sources + 1000)),
    case("tensor-unknown", f"{FILL} sst.nc", "the tensor extra is not known",
         make=model_with(lambda tensors, text: tensors.update(extra=torch.zeros(3)))),
    case("gaps-without-width", f"{FILL} sst.nc", DAMAGED, make=model_with(
        lambda tensors, text: (text.update(operator={"name": "observed_gaps"}),
                               tensors.update({"operator.packed": torch.zeros(1, 1, 24, 3, dtype=torch.uint8)})))),
    case("text-nested", f"{FILL} sst.nc", "model/model.json is damaged (it is nested too deeply)",
         make=written("model.json", DEEP)),
    case("text-of-a-list", "info model", "model/model.json is damaged", make=written("model.json", "[1]")),
    case("text-too-large", f"{FILL} sst.nc", "model/model.json has", "16,777,216", make=grown("model.json")),
    *(case(f"{kind}-{name}", line, f"model/{name} is {words}", make=make(name))
      for name, line in (("model.json", f"{FILL} sst.nc"), ("run.json", "info model"), ("run.json", RESUME),
                         ("metrics.jsonl", f"{PLOT} model"))
      for kind, make, words in (("pipe", pipe, "a pipe"), ("socket", listening, "a socket"),
                                ("link", link_out, "a link that leads out of its folder"))),
    case("link-model", f"{FILL} sst.nc", "model/model.safetensors is a link that leads out", make=link_out(MODEL)),
    case("link-state", RESUME, "model/state.safetensors is a link that leads out", make=link_out(STATE)),
    case("pipe-model", f"{FILL} sst.nc", "model/model.safetensors is a pipe", make=pipe(MODEL)),
    case("run-nested", RESUME, "model/run.json is damaged (it is nested too deeply)", make=written("run.json", DEEP)),
    case("run-of-numbers", RESUME, "model/run.json is damaged (data.0 should be a valid string",
         make=written("run.json", '{"data": [3], "variable": null, "domain": null, "time": null}')),
    case("run-unknown", RESUME, "code is not known",
         make=written("run.json", '{"data": [], "variable": null, "domain": null, "time": null, "code": 1}')),
    case("state-not-finite", RESUME, "the tensor generator.leave.bias of model/state.safetensors holds NaN",
         make=model_with(lambda tensors, text: tensors.update({"generator.leave.bias": torch.full((3,), np.nan)}),
                         file=STATE)),
    case("state-before-the-start", RESUME, "step should be greater than or equal to 0, got -5",
         make=model_with(lambda tensors, text: text.update(step=-5), file=STATE)),
    case("optimiser-of-nobody", RESUME, "model cannot be resumed",
         make=model_with(lambda tensors, text: tensors.update({"generator_optimiser.9999.step": torch.zeros(())}),
                         file=STATE)),
    case("optimiser-of-another-size", RESUME, "model cannot be resumed", "exp_avg",
         make=model_with(lambda tensors, text: tensors.update({"generator_optimiser.0.exp_avg": torch.zeros(())}),
                         file=STATE)),
]  # fmt: skip


LONG = "a" * 300
SEED, THREADS = f"{FILL} sst.nc --seed", f"{FILL} sst.nc --threads"
OPTIONS = [
    case("time-nan", f"{FILL} sst.nc --time nan", "time 'nan' is not understood"),
    case("time-NaT", f"{CORRUPT} truth.nc --time NaT", "time 'NaT' is not understood"),
    case("time-of-26-digits", f"{FILL} sst.nc --time {'9' * 26}", "is not understood"),
    case("time-backwards", f"{FILL} sst.nc --time 2015-01-09/2015-01-05", "selects nothing"),
    case("date-nan", f"{PLOT} sst.nc --date nan", "nan"),
    case("data-of-300-bytes", f"{FILL} {LONG}.nc", "has 303 bytes, where a file system accepts at most 255", "shorter"),
    case("out-of-300-bytes", f"fill --data sst.nc --model model --out {LONG}.nc", "has 303 bytes"),
    case("model-of-300-bytes", f"fill --data sst.nc --out filled.nc --model {LONG}", "has 300 bytes"),
    case("run-of-300-bytes", f"train --data sst.nc --out {LONG}", "has 300 bytes"),
    case("figure-of-300-bytes", f"plot sst.nc --out {LONG}.png", "has 304 bytes"),
    case("table-of-300-bytes", f"{EVALUATE} sst.nc --json {LONG}", "has 300 bytes"),
    case("path-of-9000-bytes", f"{FILL} {'a/' * 4500}b", "has 9001 bytes, where the system accepts at most 4095"),
    case("home-of-nobody", f"{FILL} ~nobody_at_all/sst.nc", "home folder of an unknown user"),
    case("out-of-nobody", "fill --data sst.nc --model model --out ~nobody_at_all/f.nc", "of an unknown user"),
    case("nul-in-data", f"{FILL} 'a\0b.nc'", "contains a NUL character"),
    case("nul-in-model", "fill --data sst.nc --out filled.nc --model 'a\0b'", "contains a NUL character"),
    case("empty-data", f"{FILL} ''", "empty"),
    case("empty-variable", f"{FILL} sst.nc --variable ''", "'--variable'", "it is empty"),
    case("empty-time", f"{CORRUPT} truth.nc --operator ''", "'--operator'", "it is empty"),
    case("empty-device", f"{FILL} sst.nc --device ''", "it is empty"),
    case("empty-transform", f"{TRAIN} sst.nc --transform ''", "it is empty"),
    case("members-of-26-digits", f"{FILL} sst.nc --members {'9' * 26}", "members must be at most 10000"),
    case("threads-without-end", f"{THREADS} 1000000000", "threads must be at most 4096"),
    case("workers-without-end", f"{FILL} sst.nc --workers 1000000000".replace("--threads 1 ", ""), "workers must be"),
    case("seed-of-65-bits", f"{SEED} {2**64}", "seed must be"),
    case("seed-negative", f"{SEED} -1", "seed must be"),
    case("seed-underscored", f"{SEED} 1_000", "'1_000' is not a valid number"),
    case("seed-of-another-script", f"{SEED} ١٢", "is not a valid number"),
    case("seed-of-5000-digits", f"{SEED} {'1' * 5000}", "is not a valid number"),
    case("minutes-underscored", "train --data sst.nc --minutes 1_0", "'1_0' is not a valid number"),
    case("minutes-nan", "train --data sst.nc --minutes nan", "minutes must be a finite number"),
    case("device-meta", f"{FILL} sst.nc --device meta", "'meta'", "--device cpu"),
    case("address-without-server", f"{FILL} http://", "'http://' is not a valid URL"),
    case("address-of-brackets", f"{FILL} http://[::1", "is not a valid URL"),
    case("address-of-a-port", f"{FILL} http://127.0.0.1:99999999/a.nc", "is not a valid URL"),
    case("missing-data-and-a-run", "train --data nowhere.nc --out model", "'nowhere.nc' does not exist"),
    case("missing-clean", f"{TRAIN} sst.nc --preset paired --clean nowhere.nc", "'nowhere.nc' does not exist"),
    case("misspelt-method", f"{EVALUATE} sst.nc --methods Gausian", "unknown method", "did you mean 'gaussian'"),
    case("misspelt-category", f"{EVALUATE} sst.nc --by sesaon", "did you mean 'season'"),
    case("misspelt-variable", f"{FILL} sst.nc --variable sstt", "did you mean 'sst'"),
    case("misspelt-operator", f"{CORRUPT} truth.nc --operator clod_mask", "did you mean 'cloud_mask'"),
    case("misspelt-preset", f"{TRAIN} sst.nc --preset unri", "did you mean 'unir'"),
    case("misspelt-generator", f"{TRAIN} sst.nc --generator unett", "did you mean 'unet'"),
    case("truth-variable-alone", f"{EVALUATE} sst.nc --truth-variable sst", "needs --truth"),
    case("truth-variable-unknown", f"{EVALUATE} sst.nc --truth truth.nc --truth-variable salt", "no variable 'salt'"),
    case("figures-on-a-file", f"{EVALUATE} sst.nc --figures truth.nc/figures", "truth.nc is a file"),
    case("unknown-option-of-all", "--nonsense", "--nonsense", "geogan --help"),
    case("escapes-in-a-name", f"{FILL} sst.nc --variable '\x1b[31mred'", "\\x1b[31mred"),
    case("line-break-in-a-name", "fill --data sst.nc --out filled.nc --model 'a\nb'", "a b is not a geogan run"),
    case("direction-in-a-name", "fill --data sst.nc --out filled.nc --model '\u202eabc'",
         "\\u202eabc is not a geogan run"),
    case("markup-in-a-name", "fill --data sst.nc --out filled.nc --model '[red]x[/red]'",
         "[red]x[/red] is not a geogan run"),
]  # fmt: skip


def claims(shape, *, coordinate=False, name="bad.nc"):
    """Return a function that writes a file with a declared shape and data for one map only."""

    def make():
        if name.endswith(".zarr"):
            dims = ("time", "lat", "lon")
            group = zarr.open_group(name, mode="w")
            array = group.create_array("sst", shape=shape, chunks=(1, 24, 24), dtype="f4", dimension_names=dims)
            array[0, :24, :24] = 1.0
            return
        with netCDF4.Dataset(name, "w") as file:
            for dim, size in zip(("time", "lat", "lon"), shape):
                file.createDimension(dim, size)
            file.createVariable("sst", "f4", ("time", "lat", "lon"), chunksizes=(1, 24, 24))[0] = 1.0
            if coordinate:
                file.createVariable("time", "f8", ("time",), chunksizes=(1024,)).units = "days since 2000-01-01"

    return make


def with_raw_attribute(name, value):
    """Return a function that writes the packed sea with an attribute that xarray would not write."""

    def make():
        field = xr.load_dataset("sst.nc")[["sst"]].drop_encoding()
        field.to_netcdf("bad.nc", encoding={"sst": {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -999}})
        with netCDF4.Dataset("bad.nc", "a") as file:
            file["sst"].setncattr(name, value)

    return make


def nested_store():
    claims((2, 24, 24), name="bad.zarr")()
    Path("bad.zarr/sst/zarr.json").write_text(DEEP)


DATA = [
    *every_reader("long-time", "bad.nc", "claims 2,147,483,648 entries along 'time'", make=claims((2**31, 24, 24))),
    *every_reader("long-dates", "bad.nc", "entries along 'time'", make=claims((2**31, 24, 24), coordinate=True)),
    *every_reader("long-store", "bad.zarr", "entries along 'time'", make=claims((2**31, 24, 24), name="bad.zarr")),
    *every_reader("wide-store", "bad.zarr", "one map of variable 'sst' of bad.zarr takes",
                  make=claims((2, 2**26, 2**26), name="bad.zarr")),
    *every_reader("scale-as-text", "bad.nc", "scale_factor of variable 'sst'", "one number",
                  make=with_raw_attribute("scale_factor", "0.01x")),
    *every_reader("nested-store", "bad.zarr", "bad.zarr cannot be read", make=nested_store),
]  # fmt: skip


@pytest.mark.parametrize("case", MODELS + OPTIONS + DATA)
def test_one_sentence_and_nothing_written(folder, case):
    refused(case)


def test_a_link_within_the_folder_is_read(folder):
    from geogan.model.model_file import load_model

    Path("model/model.safetensors").rename("model/best.safetensors")
    Path("model/model.safetensors").symlink_to("best.safetensors")
    assert load_model("model").variable == "sst"
