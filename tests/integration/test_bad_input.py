"""Any bad input ends in one sentence with a remedy and exit code 2, and leaves nothing behind."""

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from bad_input import (
    CORRUPT,
    EVALUATE,
    FILL,
    PLOT,
    TRAIN,
    case,
    changed,
    every_reader,
    everything,
    refused,
    run,
    sea,
    with_attrs,
    with_values,
)
from film_product import file_size_limit
from matplotlib.figure import Figure


def depth_of(sea):
    """Return a depth that grows from row to row and column to column."""
    return xr.DataArray(np.arange(24.0 * 24).reshape(24, 24), dims=("lat", "lon"), coords=sea.sea_mask.coords)


def one_infinite(values):
    values = values.copy()
    values[np.isfinite(values).nonzero()[0][0], np.isfinite(values).nonzero()[1][0], :] = np.inf
    return values


def text():
    Path("bad.nc").write_text("sst = 12.5")


def truncated():
    content = Path("sst.nc").read_bytes()
    Path("bad.nc").write_bytes(content[: len(content) // 2])


def truncated_classic():
    sea().to_netcdf("bad.nc", format="NETCDF3_64BIT")
    content = Path("bad.nc").read_bytes()
    Path("bad.nc").write_bytes(content[: len(content) // 2])


def lost_chunk():
    packing = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -999, "chunks": (8, 24, 24)}
    sea()[["sst"]].to_zarr("bad.zarr", encoding={"sst": packing}, consolidated=False)
    shutil.rmtree("bad.zarr/sst/c/1")


def damaged_chunk():
    sea()[["sst"]].to_zarr("bad.zarr", encoding={"sst": {"chunks": (8, 24, 24)}}, consolidated=False)
    chunk = Path("bad.zarr/sst/c/1/0/0")
    chunk.write_bytes(chunk.read_bytes()[:30])


def two_halves_that_overlap():
    field = sea()
    field.isel(time=slice(0, 13)).to_netcdf("a.nc")
    field.isel(time=slice(12, 24)).to_netcdf("b.nc")


def double_dates():
    field = sea()
    xr.concat([field[["sst"]], field[["sst"]].isel(time=slice(3, 5))], "time").to_netcdf("bad.nc")


def damaged_model():
    file = Path("model/model.safetensors")
    file.write_bytes(file.read_bytes()[:5000])


def model_with_other_weights():
    from geogan.files.tensor_file import read_tensors, write_tensors

    tensors, described = read_tensors(Path("model/model.safetensors"))
    tensors.pop(next(name for name in tensors if name.startswith("network.")))
    write_tensors(Path("model/model.safetensors"), tensors, described)


def foreign_safetensors():
    from safetensors.torch import save_file

    Path("other").mkdir()
    save_file({"a": torch.zeros(3)}, "other/model.safetensors")


def damaged_state():
    Path("model/state.safetensors").write_bytes(b"\0" * 99)


def damaged_description():
    Path("model/run.json").write_text("{")


def moved_data():
    Path("sst.nc").rename("elsewhere.nc")


def data_of_another_day():
    xr.load_dataset("sst.nc").isel(time=slice(0, 20)).to_netcdf("shorter.nc")


def foreign_partial():
    Path(".filled.nc.partial").mkdir()
    Path(".filled.nc.partial/thesis.txt").write_text("of three years")


FIELDS = [
    *every_reader("missing", "nowhere.nc", "'nowhere.nc' does not exist", "give a Zarr store, a NetCDF file"),
    *every_reader("empty-glob", "no_*.nc", "'no_*.nc'", "check the folder and the pattern"),
    *every_reader("neither-zarr-nor-netcdf", "bad.nc", "bad.nc is not a Zarr store or a NetCDF file", make=text),
    *every_reader("folder", "notes", "notes is a folder without zarr.json or .zgroup", "zarr.json"),
    *every_reader("truncated", "bad.nc", "bad.nc cannot be read", "copy or write it again", make=truncated),
    *every_reader("truncated-classic", "bad.nc", "bad.nc cannot be read", "copy", make=truncated_classic),
    *every_reader("lost-chunk", "bad.zarr", "bad.zarr lacks 1 of its 3 chunk", "copy the store again", make=lost_chunk),
    *every_reader("damaged-chunk", "bad.zarr", "'sst' of bad.zarr cannot be read", "copy", make=damaged_chunk),
    *every_reader("no-such-variable", "sst.nc --variable salt", "sst.nc has no variable 'salt'", "it has sst"),
    *every_reader(
        "several-variables", "bad.nc", "bad.nc has several gridded variables, a, b", "--variable",
        make=changed(lambda sea: xr.Dataset({"a": sea.sst, "b": sea.sst})), but=("evaluate",),
    ),
    *every_reader(
        "text", "bad.nc --variable note", "'note' of bad.nc", "numbers are expected", "choose another",
        make=changed(lambda sea: sea.assign(note=(("lat", "lon"), np.full((24, 24), "x", dtype=object)))),
    ),
    *every_reader(
        "no-map", "bad.nc --variable row", "'row' of bad.nc", "where a map of y and x is expected",
        make=changed(lambda sea: sea.assign(row=sea.sst.isel(time=0, lat=0, drop=True))),
    ),
    *every_reader(
        "only-rows", "bad.nc", "bad.nc has no numeric variable on a grid of y and x",
        make=changed(lambda sea: sea.sst.isel(lat=0, drop=True).to_dataset()), but=("evaluate",),
    ),
    *every_reader(
        "no-date", "bad.nc", "'sst' of bad.nc has no entry along 'time'", "check how the file was made",
        make=changed(lambda sea: sea[["sst"]].isel(time=slice(0)).drop_encoding()),
    ),
    *every_reader(
        "no-row", "bad.nc", "'sst' of bad.nc has no entry along 'lat'", "check how the file was made",
        make=changed(lambda sea: sea[["sst"]].isel(lat=slice(0)).drop_encoding()),
    ),
    *every_reader(
        "all-gaps", "bad.nc", "'sst' of bad.nc holds no value at all", "check the variable",
        make=with_values(lambda values: np.full_like(values, np.nan)), but=("plot",),
    ),
    *every_reader(
        "infinite", "bad.nc", "'sst' of bad.nc holds infinite values", "set them to NaN",
        make=with_values(one_infinite), but=("plot",),
    ),
    *every_reader("double-dates", "bad.nc", "the times of variable 'sst' of bad.nc", "drop doubles",
                  make=double_dates, but=("evaluate", "plot")),
    *every_reader("no-answer", "http://127.0.0.1:9/sst.zarr", "http://127.0.0.1:9/sst.zarr cannot be read", "check"),
    *every_reader("no-netcdf-answer", "http://127.0.0.1:9/sst.nc", "http://127.0.0.1:9/sst.nc cannot be read", "check"),
    *every_reader("no-dates-then", "sst.nc --time 2031", "'2031' selects nothing", "2015-01-01 to 2015-01-24",
                  but=("evaluate", "plot", "info")),
    *every_reader("no-time-understood", "sst.nc --time soon", "'soon' is not understood", "2001-07-14",
                  but=("evaluate", "plot", "info")),
    case("given-twice", f"{TRAIN} a.nc --data b.nc", "2015-01-13 is found in more than one of the 2 files",
         "leave one of them out", make=two_halves_that_overlap),
    case("same-file-twice", f"{FILL} sst.nc --data sst.nc", "2015-01-01", "leave one of them out"),
    case("date-nowhere", f"{PLOT} sst.nc --date 2031-01-01", "2031-01-01"),
    case("date-unclear", f"{PLOT} sst.nc --date soon", "soon"),
]  # fmt: skip


TRAININGS = [
    case("no-gaps", f"{TRAIN} truth.nc --operator cloud_mask", "sst has no gaps", "geogan corrupt"),
    case("gaps-without-mask", f"{TRAIN} sst.nc --operator convolve_noise", "sst has gaps", "makes none", "--operator"),
    case("constant", f"{TRAIN} bad.nc", "is 5 wherever it is observed", "nothing to learn",
         make=with_values(lambda values: np.where(np.isnan(values), values, 5.0))),
    case("log-of-negative", f"{TRAIN} bad.nc --transform log", "sst", "none", "positive",
         make=with_values(lambda values: values - 12)),
    case("unknown-transform", f"{TRAIN} sst.nc --transform sqrt", "sqrt", "log"),
    case("no-domain", f"{TRAIN} sst.nc --domain soil", "sst.nc has no variable 'soil'", "sea_mask"),
    case("domain-of-another-grid", f"{TRAIN} bad.nc --variable sst --domain half", "'half' of bad.nc is on a grid of",
         "one grid",
         make=changed(lambda sea: sea.assign(
             half=(("lat2", "lon2"), np.ones((12, 12))), lat2=np.arange(12.0), lon2=np.arange(12.0),
         ).assign_coords(lat2=("lat2", np.arange(12.0), {"units": "degrees_north"}),
                         lon2=("lon2", np.arange(12.0), {"units": "degrees_east"})))),
    case("domain-of-other-values", f"{TRAIN} bad.nc --domain depth", "'depth' of bad.nc holds values other than 1",
         make=changed(lambda sea: sea.assign(depth=100.0 * sea.sea_mask))),
    case("domain-of-land", f"{TRAIN} bad.nc --domain sea_mask", "'sea_mask' of bad.nc is 0 everywhere", "invert it",
         make=changed(lambda sea: sea.assign(sea_mask=0 * sea.sea_mask))),
    case("cuda", f"{TRAIN} sst.nc --device cuda", "'cuda'", "--device cpu"),
    case("device", f"{TRAIN} sst.nc --device nonsense", "'nonsense'", "--device cpu"),
    case("device-of-a-fill", f"{FILL} sst.nc --device nonsense", "'nonsense'", "--device cpu"),
    case("device-of-a-league", f"{EVALUATE} sst.nc --device nonsense", "'nonsense'", "--device cpu"),
    case("device-of-a-resume", "train --resume model --steps 9 --device nonsense", "'nonsense'", "--device cpu"),
    case("precision", f"{TRAIN} sst.nc --precision float8", "'float8'", "float32"),
    case("minutes", f"{TRAIN} sst.nc --minutes -1", "minutes must not be negative"),
    case("steps", "train --data sst.nc --steps 0", "--steps must be at least 1"),
    case("threads", f"{TRAIN} sst.nc --threads 0", "threads must be at least 1"),
    case("threads-of-a-fill", f"{FILL} sst.nc --threads 0", "--threads", "1", "geogan fill --help"),
    case("no-number", f"{TRAIN} sst.nc --seed x", "--seed", "integer", "geogan train --help"),
    case("crop", f"{TRAIN} sst.nc --crop 4", "crop must be at least 8, got 4"),
    case("weights", f"{TRAIN} sst.nc --weight-prior 0 --weight-likelihood 0 --weight-withheld 0", "all weights"),
    case("window", f"{TRAIN} sst.nc --window 24", "needs 24 dates before or after", "has 24 in all", "--window 23"),
    case("error-unknown", f"{TRAIN} sst.nc --error-variable sst_error", "has no variable 'sst_error'", "choose one"),
    case("noise-negative", f"{TRAIN} sst.nc --noise -0.1", "got -0.1", "give a positive number"),
    case("covariate-unknown", f"{TRAIN} sst.nc --covariate slope", "'slope'", "hour_of_day, latitude", "sea_mask"),
    case("covariate-is-the-field", f"{TRAIN} sst.nc --variable sst --covariate sst", "'sst' is the field itself"),
    case("covariate-gaps", f"{TRAIN} bad.nc --covariate depth", "'depth' has no value on 1 of", "fill its gaps",
         make=changed(lambda sea: sea.assign(depth=depth_of(sea).where(lambda depth: depth < depth.max())))),
    case("covariate-grid", f"{TRAIN} bad.nc --covariate depth", "'depth' (24 cells along latitude", "another grid",
         make=changed(lambda sea: sea.assign(depth=depth_of(sea).assign_coords(lat=sea.lat.values + 1)
                                             .rename(lat="latitude", lon="longitude")))),
    case("covariate-no-dates", f"{TRAIN} bad.nc --covariate day_of_year", "day_of_year needs dates, but sst has none",
         make=changed(lambda sea: sea.drop_vars("time"))),
    case("covariate-no-coast", f"{TRAIN} bad.nc --covariate distance_to_coast", "needs a coast", "--domain",
         make=changed(lambda sea: sea[["sst"]].where(sea.sea_mask == 1, 9))),
    case("no-data", "train", "DATA or --resume RUN"),
    case("no-option", "fill --data sst.nc", "give --out FILE"),
    case("unknown-option", "fill --data sst.nc --modle model --out filled.nc", "--modle", "geogan fill --help"),
    case("unknown-verb", "fil --data sst.nc", "'fil'", "geogan --help"),
]  # fmt: skip


OPERATORS = [
    case(f"{name}-{verb}", f"{line} sst.nc --operator {operator}", *words)
    for verb, line in (("train", TRAIN), ("corrupt", CORRUPT))
    for name, operator, words in (
        ("operator", "clouds", ("no operator is named 'clouds'", "choose from cloud_mask")),
        ("parameter", "cloud_mask:size=3", ("cloud_mask has no parameter 'size'", "it has coverage")),
        ("range", "cloud_mask:coverage=1.4", ("coverage of cloud_mask must lie in (0, 1), got 1.4",)),
        ("negative", "convolve_noise:sigma=-1", ("sigma", "-1")),
        ("malformed", "cloud_mask:coverage", ("'coverage'", "cloud_mask:coverage=0.4")),
        ("no-number", "cloud_mask:coverage=much", ("coverage of cloud_mask must be a number", "'much'")),
        ("nan", "cloud_mask:scale=nan", ("scale", "nan")),
        ("twice", "cloud_mask:scale=3,scale=4", ("scale", "twice")),
        ("empty", ":scale=3", ("operator", "choose from cloud_mask")),
        ("order", "'cloud_mask + footprint'", ("Footprint blurs and must come before CloudMask",)),
        ("no-length", "footprint:fwhm=-25km", ("fwhm of footprint must be more than 0, got -25km",)),
        ("orbit", "tracks:orbit=sputnik", ("no orbit is named 'sputnik'", "choose from jason")),
    )
]


MODELS = [
    case(f"{name}-{verb}", f"{line} {data}", *words, make=make)
    for verb, line in (("fill", FILL), ("evaluate", EVALUATE))
    for name, data, words, make in (
        ("units", "bad.nc", ("degree_Celsius", "kelvin", "convert it"), with_attrs("sst", units="kelvin")),
        ("no-units", "bad.nc", ("no units", "convert it"), with_attrs("sst", units="")),
        ("other-place", "bad.nc", ("lat of sst", "is not part of the model's grid"),
         changed(lambda sea: sea.assign_coords(lat=sea.lat + 10))),
        ("coarse-step", "bad.nc", ("lat of sst", "is not part of the model's grid", "train on this one"),
         changed(lambda sea: sea.isel(lat=slice(None, None, 2)))),
        ("no-such-run", "sst.nc --model nowhere", ("nowhere is not a geogan run", "made by geogan train"), None),
        ("foreign-folder", "sst.nc --model notes", ("notes is not a geogan run", "made by geogan train"), None),
        ("file-as-model", "sst.nc --model truth.nc", ("truth.nc is not a geogan run", "made by geogan train"), None),
        ("foreign-safetensors", "sst.nc --model other", ("other/model.safetensors was not written by geogan",),
         foreign_safetensors),
        ("damaged", "sst.nc", ("model/model.safetensors is damaged", "train it again"), damaged_model),
        ("other-weights", "sst.nc", ("model is a damaged geogan model", "train it again"), model_with_other_weights),
    )
] + [
    case("shorter", f"{EVALUATE} shorter.nc", "24 dates", "20 dates", "give the archive that it was trained on",
         make=data_of_another_day),
    case("method", f"{EVALUATE} sst.nc --method kriging", "'kriging'", "climatology"),
    case("no-truth", f"{EVALUATE} sst.nc --truth nowhere.nc", "'nowhere.nc' does not exist"),
    case("truth-elsewhere", f"{EVALUATE} sst.nc --truth bad.nc", "the truth has other coordinates along y", "same grid",
         make=changed(lambda sea: sea.assign_coords(lat=sea.lat + 10))),
    case("truth-in-kelvin", f"{EVALUATE} sst.nc --truth bad.nc", "the truth is in kelvin", "convert it",
         make=with_attrs("sst", units="kelvin")),
    case("truth-of-other-dates", f"{EVALUATE} sst.nc --truth bad.nc", "the truth lacks dates", "covers them all",
         make=changed(lambda sea: sea.isel(time=slice(0, 9)))),
    case("truth-without-more", f"{EVALUATE} sst.nc --truth sst.nc", "no cell to score"),
    case("resume-nothing", "train --resume nowhere", "nowhere is not a geogan run", "made by geogan train"),
    case("resume-folder", "train --resume notes", "notes is not a geogan run", "made by geogan train"),
    case("resume-file", "train --resume sst.nc", "sst.nc is not a geogan run", "made by geogan train"),
    case("resume-ignored", "train --resume model --width 8", "--width was given", "leave --width out"),
    case("resume-out", "train --resume model --out new", "--out was given", "leave --out out"),
    case("resume-damaged", "train --resume model --steps 9", "state.safetensors is damaged", "train it again",
         make=damaged_state),
    case("resume-undescribed", "train --resume model", "run.json is damaged", "train it again",
         make=damaged_description),
    case("resume-without-data", "train --resume model", "'sst.nc' does not exist", make=moved_data),
    case("resume-on-others", "train --resume model --steps 9 --data shorter.nc", "24 dates", "20 dates",
         make=data_of_another_day),
    case("run-without-course", f"{PLOT} model", "model holds no metrics.jsonl", "train it again",
         make=lambda: Path("model/metrics.jsonl").unlink()),
    case("run-has-no-date", f"{PLOT} model --date 2015", "date", "leave date out"),
    case("run-has-no-domain", f"{PLOT} model --domain sea_mask", "domain", "leave domain out"),
    case("run-has-one-variable", "info model --variable sst", "leave variable out"),
]  # fmt: skip


OUTPUTS = [
    case(f"{name}-{verb}", f"{line} {data} {out}", *words)
    for verb, line, data in (("fill", FILL, "sst.nc"), ("corrupt", CORRUPT, "truth.nc"))
    for name, out, words in (
        ("exists", "--out product.nc", ("product.nc exists", "--overwrite")),
        ("store-exists", "--out product.zarr", ("product.zarr exists", "--overwrite")),
        ("foreign-stays", "--out sst.nc --overwrite", ("sst.nc exists and was not made by geogan", "another name")),
        ("folder-stays", "--out notes.zarr --overwrite", ("notes.zarr exists and was not made by geogan",)),
        ("no-folder", "--out nowhere/filled.nc", ("nowhere of the output does not exist", "make it first")),
        ("ending", "--out filled.csv", ("'filled.csv' must end in .zarr or .nc",)),
        ("url", "--out s3://bucket/filled.zarr", ("is a URL",)),
    )
] + [
    case("partial-stays", f"{FILL} sst.nc", ".filled.nc.partial is in the way", "move it", make=foreign_partial),
    case("run-exists", "train --data sst.nc --out model", "model holds a run already", "--resume model", "--overwrite"),
    case("thesis-stays", "train --data sst.nc --out notes --overwrite", "notes is a folder with other things", "--out"),
    case("file-stays", "train --data sst.nc --out truth.nc --overwrite", "truth.nc is a file", "--out"),
    case("below-a-file", "train --data sst.nc --out truth.nc/run", "truth.nc is a file", "--out"),
    case("demo-stays", "demo --out notes --minutes 0.01", "notes exists and is no demo", "--out"),
    case("map-exists", "plot sst.nc --out map.png", "'map.png' exists", "--overwrite"),
    case("map-without-folder", "plot sst.nc --out nowhere/map.png", "'nowhere/map.png' does not exist", "make it"),
    case("map-of-another-kind", "plot sst.nc --out map.gif", ".png", "'map.gif'"),
    case("map-on-a-folder", "plot sst.nc --out notes.zarr.png", "is a folder",
         make=lambda: Path("notes.zarr.png").mkdir()),
    case("json-without-folder", f"{EVALUATE} sst.nc --json nowhere/table.json", "nowhere/table.json", "make it first"),
    case("json-on-a-folder", f"{EVALUATE} sst.nc --json notes", "notes is a folder", "--json"),
    case("json-on-data", f"{EVALUATE} sst.nc --json truth.nc", "truth.nc exists and is not a table of geogan"),
    case("json-on-a-run", f"{EVALUATE} sst.nc --json model/run.json", "run.json exists and is not a table of geogan"),
]  # fmt: skip


@pytest.mark.parametrize("case", FIELDS + TRAININGS + OPERATORS + MODELS + OUTPUTS)
def test_one_sentence_and_nothing_written(folder, case):
    shutil.copytree("notes", "notes.zarr")
    if "cuda" in case.line and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    refused(case)


@pytest.mark.parametrize("number, words", [(errno.EROFS, "read-only"), (errno.ENOSPC, "disk is full|No space left")])
@pytest.mark.parametrize(
    "line, name",
    [
        (f"{TRAIN} sst.nc", "new"),
        (f"{FILL} sst.nc", "filled.nc"),
        (f"{CORRUPT} truth.nc --operator remove_pixel", "gappy.nc"),
        ("plot sst.nc --out new.png", "new.png"),
        ("plot model --out new.png", "new.png"),
        (f"{EVALUATE} sst.nc --method climatology --json table.json", "table.json"),
    ],
)
def test_a_disk_that_does_not_take_it(folder, monkeypatch, number, words, line, name):
    real_open, real_mkdir = Path.open, Path.mkdir

    def failure(path):
        return OSError(number, os.strerror(number), str(path))

    def ours(path):
        return name in str(path)

    def opened(path, mode="r", *args, **named):
        if ours(path) and mode[0] in "wax":
            raise failure(path)
        return real_open(path, mode, *args, **named)

    def made(path, *args, **named):
        if ours(path):
            raise failure(path)
        return real_mkdir(path, *args, **named)

    def saved(figure, path, **named):
        raise failure(path)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(Path, "mkdir", made)
    monkeypatch.setattr(Figure, "savefig", saved)
    before = everything()
    result = run(line)
    assert everything() == before
    assert result.exit_code == 2 and result.stdout.startswith(("", "sst: error")), result.exception
    assert isinstance(result.exception, SystemExit), result.exception
    last = result.stderr.splitlines()[-1]
    assert name in last and re.search(words, last, re.IGNORECASE), result.stderr
    assert ";" in last


def test_a_disk_that_fills_up_in_a_training(folder):
    before = everything()
    with file_size_limit(10_000):
        result = run(f"{TRAIN} sst.nc --no-first-guess")
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.exception
    assert "File too large" in result.stderr.splitlines()[-1]
    assert everything() == before


def test_a_variable_of_another_name_is_filled_with_a_warning(folder):
    changed(lambda sea: sea.rename(sst="skin"))()
    result = run(f"{FILL} bad.nc")
    assert result.exit_code == 0, result.output
    assert "the model was trained on sst, and fills skin:" in " ".join(result.stderr.split())
    assert "skin" in xr.open_dataset("filled.nc")
    assert "trained on" not in run(f"{FILL} sst.nc --overwrite").stderr


def test_overwrite_replaces_what_geogan_made(folder):
    assert run("corrupt --data truth.nc --operator remove_pixel --out product.nc --overwrite").exit_code == 0
    assert run("plot sst.nc --out map.png --overwrite").exit_code == 0
    line = f"{EVALUATE} sst.nc --method climatology --json table.json"
    assert run(line).exit_code == 0
    assert run(line).exit_code == 0
