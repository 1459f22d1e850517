"""For any packing of the source, observed values come back bit for bit, and no value is clipped."""

import io
import json
import warnings

import netCDF4
import numpy as np
import pytest
import xarray as xr
from fill_files import fill
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

import geogan
from geogan.archive import Standardiser
from geogan.fields.codes import Codes
from geogan.fields.storage import PACKING_COUNT, choose_storage, shared_storage, value_type
from geogan.fields.valid_range import valid_limits
from geogan.io.missing import MissingRules
from geogan.model import save_model
from geogan.operators.errors import InputError

DIMS = ("time", "y", "x")
WHOLE = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
EXAMPLES = settings(
    max_examples=400, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@st.composite
def encodings(draw):
    """Draw a packing: any type, scale and offset, with or without ``_Unsigned`` and fill values."""
    dtype = np.dtype(draw(st.sampled_from(WHOLE)))
    scales = [None, 1, 1.0, 0.01, 0.1, 3e-5, -0.002, 0.0005, np.float32(0.01), np.float32(1e-4), np.float64(0.25)]
    offsets = [None, 0.0, 273.15, -5, np.float32(20.5), np.float32(0), np.float64(15.0), 1e6]
    any_scale = st.floats(1e-6, 1e3).map(np.float64) | st.floats(2**-20, 2**10, width=32).map(np.float32)
    attrs = {
        "scale_factor": draw(st.sampled_from(scales) | any_scale),
        "add_offset": draw(st.sampled_from(offsets)),
        "_Unsigned": draw(st.sampled_from([None, None, "true" if dtype.kind == "i" else "false"])),
    }
    info = np.iinfo(dtype)
    a_code = st.sampled_from([info.min, info.max, 0, 1, info.max - 1]) | st.integers(info.min, info.max)
    attrs["_FillValue"] = dtype.type(draw(a_code)) if draw(st.integers(0, 4)) else None
    attrs["missing_value"] = dtype.type(draw(a_code)) if draw(st.booleans()) else None
    return {"dtype": dtype} | {key: value for key, value in attrs.items() if value is not None}


def opened(codes, encoding, **attrs):
    """Return a field as geogan decodes it from a file."""
    stored = {key: value for key, value in encoding.items() if key != "dtype"}
    values = MissingRules.of(codes.dtype, stored | attrs, name="sst").decode(codes)
    field = xr.DataArray(values, dims=DIMS, name="sst", attrs=attrs)
    field.encoding = dict(encoding)
    return field


def read_back(values, storage, container):
    """Return the values that xarray and netCDF4-python read after values were stored."""
    codes = storage.codes
    if codes is None:
        kept = values.astype(storage.encoding["dtype"])
        return kept, kept
    packed = codes.pack(values, "sst")
    by_netcdf4 = np.where(packed == codes.fill, np.nan, codes.read_by_netcdf4(packed).astype("f8"))
    return codes.read(packed, container), by_netcdf4


def same_bits(first, second):
    return first.dtype == second.dtype and first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("fill", "plausible", "room"),
    [
        (-1, (10.0, 30.0), (0.0, 63.5)),
        (100, (10.0, 49.5), (-64.0, 49.5)),
        (100, (10.0, 50.0), None),
        (-128, (-63.5, 63.5), (-63.5, 63.5)),
        (127, (-64.0, 63.0), (-64.0, 63.0)),
        (127, (-64.0, 63.5), None),
    ],
)
def test_predictions_stay_on_one_side_of_the_fill_code(fill, plausible, room):
    """Bytes in steps of 0.5 hold -64 to 63.5; the code for a gap ends what may be predicted."""
    field = opened(np.int8([[[20, 40]]]), {"dtype": np.dtype("int8"), "scale_factor": 0.5, "_FillValue": np.int8(fill)})
    assert choose_storage(field, plausible, is_proven=True).room == room


@EXAMPLES
@given(encodings(), st.data(), st.sampled_from(["zarr", "netcdf"]))
def test_observed_values_come_back_and_predictions_within_half_a_step(encoding, data, container):
    info = np.iinfo(encoding["dtype"])
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    numbers = random.integers(info.min, info.max, (2, 3, 4), encoding["dtype"], endpoint=True)
    if data.draw(st.booleans()):
        numbers[0, 0, :2] = [info.min, info.max]
    try:
        field = opened(numbers, encoding)
    except InputError:
        return
    if field.dtype.kind != "f":
        return
    middle = float(data.draw(st.sampled_from(field.values[np.isfinite(field.values)].tolist() or [0.0])))
    reach = data.draw(st.sampled_from([0.0, 0.5, 3.0, 100.0, 1e5])) * abs(float(encoding.get("scale_factor", 1)))
    storage = choose_storage(field, (middle - reach, middle + reach), container=container, is_proven=True)
    predicted = middle + reach * random.uniform(-1, 1, (2, 3, 4))
    gaps, land = np.isnan(field.values), random.random((2, 3, 4)) < 0.2
    values = np.where(gaps, np.where(land, np.nan, predicted), field.values).astype(field.dtype)
    if storage.room is not None:
        assert storage.room[0] <= middle - reach or np.isclose(storage.room[0], middle - reach)
        assert storage.encoding["dtype"].kind in "iu"
    for back in read_back(values, storage, container):
        np.testing.assert_array_equal(back[~gaps], field.values[~gaps])
        assert np.isnan(back[gaps & land]).all()
        filled = gaps & ~land
        step = 0 if storage.codes is None else abs(storage.codes.slope[0])
        room = 0.5 * step + 4 * np.finfo(field.dtype).eps * np.abs(values[filled])
        assert (np.abs(back[filled] - values[filled]) <= room).all()
    assert same_bits(read_back(values, storage, container)[0][~gaps], field.values[~gaps])


@settings(EXAMPLES, max_examples=150)
@given(encodings(), st.data())
def test_an_array_that_xarray_writes_comes_back(encoding, data):
    """`Dataset.to_netcdf` and `to_zarr` use the encoding; also for values that were changed after they were read."""
    info = np.iinfo(encoding["dtype"])
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    numbers = random.integers(info.min, info.max, (2, 3, 4), encoding["dtype"], endpoint=True)
    try:
        field = opened(numbers, encoding)
    except InputError:
        return
    if field.dtype.kind != "f" or np.isnan(field.values).all():
        return
    if data.draw(st.booleans()):
        field = field.copy(data=field.values + field.dtype.type(data.draw(st.sampled_from([1e-3, 7.0]))))
    middle = float(np.nanmedian(field.values))
    reach = data.draw(st.sampled_from([0.0, 3.0, 100.0])) * abs(float(encoding.get("scale_factor", 1)))
    storage = choose_storage(field, (middle - reach, middle + reach))
    gaps = np.isnan(field.values)
    predicted = middle + reach * random.uniform(-1, 1, gaps.shape)
    values = np.where(gaps, predicted, field.values).astype(field.dtype)
    values[0, 0, 0] = np.nan if gaps[0, 0, 0] else values[0, 0, 0]
    written = xr.conventions.encode_cf_variable(xr.Variable(DIMS, values, encoding=dict(storage.encoding)), name="sst")
    assert written.dtype == storage.encoding["dtype"]
    as_json = json.loads(json.dumps({key: np.asarray(value).item() for key, value in written.attrs.items()}))
    for attrs in (written.attrs, as_json):
        back = xr.conventions.decode_cf_variable("sst", xr.Variable(DIMS, written.values, attrs)).values
        assert same_bits(back[~gaps], field.values[~gaps])
        step = 0 if storage.codes is None else abs(storage.codes.slope[0])
        room = 0.5 * step + 8 * np.finfo(field.dtype).eps * np.abs(values)
        filled = gaps & ~np.isnan(values)
        assert (np.abs(back - values) <= room)[filled].all() and np.isnan(back[gaps & ~filled]).all()


@settings(EXAMPLES, max_examples=150)
@given(st.lists(encodings(), min_size=2, max_size=3), st.booleans(), st.data(), st.sampled_from(["zarr", "netcdf"]))
def test_several_files_come_back_with_any_packings(packings, is_one, data, container):
    packings = [packings[0]] * len(packings) if is_one else packings
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    fields = []
    for encoding in packings:
        info = np.iinfo(encoding["dtype"])
        numbers = random.integers(info.min, info.max, (1, 3, 4), encoding["dtype"], endpoint=True)
        try:
            fields.append(opened(numbers, encoding))
        except InputError:
            return
    if data.draw(st.booleans()):
        fields.append(xr.DataArray(random.normal(size=(1, 3, 4)).astype("f4"), dims=DIMS, name="sst"))
    whole = xr.concat(fields, dim="time", combine_attrs="override")
    if whole.dtype.kind != "f":
        return
    whole.encoding, whole.attrs = shared_storage(fields)
    middle = float(np.nanmedian(whole.values)) if whole.notnull().any() else 0.0
    storage = choose_storage(whole, (middle - 1, middle + 1), container=container, is_proven=True)
    seen = whole.notnull().values
    back, by_netcdf4 = read_back(whole.values, storage, container)
    assert same_bits(back[seen], whole.values[seen]) and np.isnan(back[~seen]).all()
    np.testing.assert_array_equal(by_netcdf4[seen], whole.values[seen])
    if PACKING_COUNT in whole.encoding:
        assert storage.codes is None and f"in {whole.encoding[PACKING_COUNT]} different ways" in storage.sentence("sst")


@settings(EXAMPLES, max_examples=60)
@given(
    st.sampled_from(["float16", "float32", "float64"]),
    st.sampled_from([None, np.nan, 1e20, -999.0, 0.0, 15.0]),
    st.sampled_from([None, 0.01, np.float32(0.1)]),
    st.integers(0, 2**32 - 1),
)
def test_floats_stay_floats_that_hold_every_value(dtype, fill, scale, seed):
    values = np.random.default_rng(seed).normal(15, 3, (2, 3, 4)).astype(dtype)
    attrs = {"_FillValue": fill, "scale_factor": scale}
    field = opened(
        values, {"dtype": np.dtype(dtype)} | {key: value for key, value in attrs.items() if value is not None}
    )
    storage = choose_storage(field, (0.0, 30.0), is_proven=True)
    kind = storage.encoding["dtype"]
    assert kind == value_type(field.dtype) and storage.codes is None and "scale_factor" not in storage.encoding
    np.testing.assert_array_equal(field.values.astype(kind), field.values)
    stated = storage.encoding["_FillValue"]
    # A fill value among what may be predicted would turn a prediction into a gap.
    assert np.isnan(stated) or not 0 <= stated <= 30
    if fill in (1e20, -999.0) and scale is None and dtype != "float16":
        assert stated == kind.type(fill)


SOURCES = {
    "float32": {"dtype": "f4", "_FillValue": np.float32(np.nan)},
    "float64": {"dtype": "f8", "_FillValue": 1e20},
    "float16": {"dtype": "f2"},
    "fill among floats": {"dtype": "f4", "_FillValue": np.float32(15.0)},
    "packed": {"dtype": "i2", "scale_factor": 0.001, "add_offset": 15.0, "_FillValue": np.int16(-32768)},
    "in single precision": {
        "dtype": "i2", "scale_factor": np.float32(0.01), "add_offset": np.float32(10), "_FillValue": np.int16(-32768),
    },
    "unsigned by its mark": {"dtype": "i2", "scale_factor": 0.0005, "_FillValue": np.int16(-1), "_Unsigned": "true"},
    "signed by its mark": {
        "dtype": "u2", "scale_factor": 0.001, "add_offset": 15.0, "_FillValue": np.uint16(32768), "_Unsigned": "false",
    },
    "unsigned": {"dtype": "u2", "scale_factor": 0.001, "_FillValue": np.uint16(65535)},
    "bytes": {"dtype": "u1", "scale_factor": 0.1, "add_offset": 2.0, "_FillValue": np.uint8(255)},
    "missing_value only": {"dtype": "i2", "scale_factor": 0.01, "missing_value": np.int16(-9999)},
    "fill among predictions": {"dtype": "i2", "scale_factor": 0.01, "_FillValue": np.int16(1500)},
    "too tight": {"dtype": "i2", "scale_factor": 0.0001, "add_offset": 15.0, "_FillValue": np.int16(-32768)},
    "wide": {"dtype": "i4", "scale_factor": 1e-6, "add_offset": 5.0, "_FillValue": np.int32(-2147483648)},
    "whole degrees": {"dtype": "i2", "_FillValue": np.int16(-999)},
}  # fmt: skip
# Sources whose packing the product keeps.
PACKED = {"packed", "unsigned by its mark", "signed by its mark", "unsigned", "bytes", "wide", "missing_value only"}
PACKED |= {"whole degrees", "in single precision"}


def stored(field, encoding):
    """Return a raw dataset of a file with this encoding, and a mask of the numbers that are values."""
    attrs = {key: value for key, value in encoding.items() if key != "dtype"}
    dtype = np.dtype(encoding["dtype"])
    fill = attrs.get("_FillValue", attrs.get("missing_value", np.nan))
    scaled = (field.values.astype("f8") - attrs.get("add_offset", 0)) / attrs.get("scale_factor", 1)
    seen = field.notnull().values
    if dtype.kind in "iu":
        seen &= np.rint(np.nan_to_num(scaled)) != int(fill)
        low, high = (-32768, 65535) if dtype.itemsize == 2 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        seen &= (scaled > low) & (scaled < high)
        whole = np.rint(np.where(seen, scaled, 0)).astype("i8")
        numbers = np.where(seen, whole, int(fill)).astype(dtype)
    else:
        numbers = np.where(seen, scaled, fill).astype(dtype)
        seen &= numbers != dtype.type(fill)
    return xr.Dataset({"sst": (field.dims, numbers, dict(field.attrs) | attrs)}, field.coords), seen


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "run", model)


def written(dataset, path, kind):
    if kind == "netcdf":
        for array in dataset.variables.values():
            array.encoding.setdefault("_FillValue", None)
        dataset.to_netcdf(path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.to_zarr(path, zarr_format=int(kind[-1]), consolidated=False)
    return path


def netcdf4_values(path):
    with netCDF4.Dataset(path) as file:
        values = file["sst"][:]
        return np.ma.getdata(values).astype("f8"), np.ma.getmaskarray(values)


@pytest.mark.parametrize(
    ("kind", "files", "endings"),
    [("netcdf", 1, ["zarr", "nc"]), ("netcdf", 2, ["zarr"]), ("zarr2", 1, ["nc"]), ("zarr3", 2, ["nc"])],
)
@pytest.mark.parametrize("name", SOURCES)
def test_observed_cells_of_files_come_back_bit_for_bit(run, gappy, domain, tmp_path, name, kind, files, endings):
    """As xarray and netCDF4-python read them; from one file and from several."""
    if name == "float16" and kind == "netcdf":
        pytest.skip("NetCDF has no half precision")
    field, expected, cells = gappy[:6], [], []
    for number in range(files):
        part = field[number * 6 // files : (number + 1) * 6 // files]
        dataset, seen = stored(part, SOURCES[name])
        path = written(dataset, tmp_path / f"in{number}.{kind}", kind)
        expected.append(geogan.open_field(path).values)
        cells.append(seen)
        np.testing.assert_array_equal(np.isfinite(expected[-1]), seen)
    source, seen = np.concatenate(expected), np.concatenate(cells)
    paths = sorted(tmp_path.iterdir())
    for ending in endings:
        out = fill(paths, run, tmp_path / f"out.{ending}")
        with xr.open_dataset(out, engine="zarr" if ending == "zarr" else None) as product:
            values, flags, dtype = product.sst.values, product.sst_source.values, product.sst.encoding["dtype"]
        assert values.dtype == value_type(source.dtype)
        assert same_bits(values[seen], source[seen].astype(values.dtype))
        np.testing.assert_array_equal(flags, np.where(seen, 0, np.where(domain, 1, 2)))
        assert np.isfinite(values[flags == 1]).all() and np.isnan(values[flags == 2]).all()
        is_packed = np.dtype(dtype).kind in "iu"
        # JSON does not distinguish float32 from float64: a store would be decoded to other values.
        is_lost = name == "in single precision" and kind == "netcdf" and ending == "zarr"
        assert is_packed == (name in PACKED and not is_lost)
        if ending == "nc":
            numbers, masked = netcdf4_values(out)
            np.testing.assert_array_equal(masked, flags == 2)
            np.testing.assert_array_equal(numbers[seen], source[seen])


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_files_with_different_packings_make_a_product_of_floats(run, gappy, tmp_path, ending):
    """With a message; reanalyses pack each file by its own range."""
    parts, expected = [SOURCES["packed"], SOURCES["unsigned by its mark"], SOURCES["float32"]], []
    for number, encoding in enumerate(parts):
        dataset, _ = stored(gappy[number * 2 : number * 2 + 2] + number, encoding)
        path = written(dataset.assign_attrs(), tmp_path / f"in{number}.nc", "netcdf")
        expected.append(geogan.open_field(path).values.astype("f8"))
    for path in tmp_path.glob("in*.nc"):
        with netCDF4.Dataset(path, "a") as file:
            file["sst"].units = gappy.attrs["units"]
    said = Console(file=io.StringIO(), width=400)
    out = fill(str(tmp_path / "in*.nc"), run, tmp_path / f"out.{ending}", console=said)
    assert "sst is stored as float64 instead of packed numbers: its files are packed in 3 different ways" in (
        said.file.getvalue()
    )
    with xr.open_dataset(out, engine="zarr" if ending == "zarr" else None) as product:
        seen = np.isfinite(np.concatenate(expected))
        np.testing.assert_array_equal(product.sst.values[seen], np.concatenate(expected)[seen])
        assert (product.sst_source.values[seen] == 0).all() and product.sst.dtype == np.float64


@pytest.mark.parametrize("name", ["packed", "float64", "in single precision", "unsigned by its mark", "too tight"])
@pytest.mark.parametrize("way", ["in memory", "lazy", "of dask", "open_field", "several"])
def test_a_filled_dataset_is_written_bit_for_bit(reconstructor, gappy, tmp_path, name, way):
    """By `Dataset.to_netcdf` and `to_zarr`."""
    paths = [
        written(stored(gappy[part] + at, SOURCES[name])[0].assign_attrs(), tmp_path / f"in{at}.nc", "netcdf")
        for at, part in enumerate((slice(0, 3), slice(3, 6)))
    ]
    if way == "several":
        with netCDF4.Dataset(paths[1], "a") as file:
            if "scale_factor" in SOURCES[name]:
                file["sst"].scale_factor = file["sst"].scale_factor * 1.01
        field = xr.open_mfdataset(paths, data_vars="all", join="outer").sst
    elif way == "open_field":
        field = geogan.open_field(paths[0])
    else:
        field = xr.open_dataset(paths[0], chunks={} if way == "of dask" else None).sst
        field = field.load() if way == "in memory" else field
    field.attrs |= gappy.attrs
    filled = reconstructor.fill(field)
    seen, values = field.notnull().values, field.values
    assert same_bits(filled.sst.values[seen], values[seen])
    filled.to_netcdf(tmp_path / "out.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled.drop_encoding().assign(sst=filled.sst).to_zarr(tmp_path / "out.zarr", consolidated=False)
    for ending in ("nc", "zarr"):
        with xr.open_dataset(tmp_path / f"out.{ending}", engine="zarr" if ending == "zarr" else None) as back:
            assert same_bits(back.sst.values[seen], values[seen])
            np.testing.assert_array_equal(np.isnan(back.sst.values), np.isnan(filled.sst.values))
            if way in ("in memory", "lazy"):
                is_packed = name in ("packed", "unsigned by its mark")
                assert (back.sst.encoding["dtype"].kind in "iu") == is_packed


def test_an_array_that_was_changed_after_it_was_read_is_not_packed(reconstructor, gappy, tmp_path):
    """xarray keeps the encoding of an array whose values it no longer holds."""
    dataset, _ = stored(gappy[:4], SOURCES["packed"])
    field = xr.open_dataset(written(dataset, tmp_path / "in.nc", "netcdf")).sst.load()
    field.values[:, ::2] += 0.0004
    said = []
    filled = reconstructor.fill(field, message=said.append)
    assert said == ["sst is stored as float64 instead of int16: its packing does not hold its values"]
    filled.to_netcdf(tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc") as back:
        seen = field.notnull().values
        assert same_bits(back.sst.values[seen], field.values[seen])


@pytest.mark.parametrize("ending", ["zarr", "nc"])
@pytest.mark.parametrize("name", ["packed", "unsigned by its mark", "float32", "float64", "fill among predictions"])
def test_filled_values_lie_in_the_valid_range_of_the_product(run, gappy, tmp_path, name, ending):
    """Otherwise readers would mask filled values. The range has the type and the units of the stored numbers."""
    low, high = np.nanquantile(gappy, [0.3, 0.7])
    dataset, _ = stored(gappy[:6].where((gappy > low) & (gappy < high)), SOURCES[name])
    attrs = dataset.sst.attrs
    ends = (np.array([low, high]) - attrs.get("add_offset", 0)) / attrs.get("scale_factor", 1)
    if dataset.sst.dtype.kind == "i":
        ends = np.rint(ends).astype("u2").view("i2")
    attrs["valid_min"], attrs["valid_max"] = ends.astype(dataset.sst.dtype)
    source = written(dataset, tmp_path / "in.nc", "netcdf")
    before = geogan.open_field(source).values
    seen = np.isfinite(before)
    out = fill(source, run, tmp_path / f"out.{ending}")
    with xr.open_dataset(out, engine="zarr" if ending == "zarr" else None) as product:
        values, flags = product.sst.values, product.sst_source.values
        least, most = (product.sst.attrs[key] for key in ("valid_min", "valid_max"))
        codes = Codes.of({"dtype": float} | product.sst.encoding)
        if isinstance(codes, Codes):
            least, most = np.array([least, most]) * codes.slope[0] + codes.slope[1]
        filled = values[flags == 1].astype("f8")
        assert filled.size and filled.min() >= least - 1e-9 and filled.max() <= most + 1e-9
        # Without the range, filled values would lie outside it.
        assert (filled < low + 1e-3).any() or (filled > high - 1e-3).any()
        assert least == pytest.approx(low, abs=0.01) and most == pytest.approx(high, abs=0.01)
        assert same_bits(values[seen], before[seen])
    if ending == "nc":
        _, masked = netcdf4_values(out)
        np.testing.assert_array_equal(masked, flags == 2)
        with netCDF4.Dataset(out) as file:
            assert file["sst"].valid_min.dtype == file["sst"].valid_max.dtype == file["sst"].dtype
    again = geogan.open_field(out, variable="sst").values
    np.testing.assert_array_equal(again, values)


@pytest.mark.parametrize("ending", ["zarr", "nc"])
@pytest.mark.parametrize("threads", [1, 2])
def test_predictions_that_a_packing_cannot_hold_are_left_empty_and_counted(
    run, gappy, domain, tmp_path, monkeypatch, ending, threads
):
    """If predictions exceed the range that the climatology lets expect."""
    middle = float(gappy.median())
    monkeypatch.setattr(Standardiser, "extremes", lambda *_: (np.array([middle]), np.array([middle])))
    tight = {"dtype": "u1", "scale_factor": 0.002, "add_offset": middle - 0.25, "_FillValue": np.uint8(255)}
    dataset, seen = stored(gappy[:6], tight)
    source = written(dataset, tmp_path / "in.nc", "netcdf")
    before = geogan.open_field(source).values
    said = Console(file=io.StringIO(), width=500)
    out = fill(source, run, tmp_path / f"out.{ending}", threads=threads, console=said)
    with xr.open_dataset(out, engine="zarr" if ending == "zarr" else None) as product:
        values, flags = product.sst.values, product.sst_source.values
        assert product.sst.encoding["dtype"] == np.uint8
    refused = flags == 3
    assert refused.any() and np.isnan(values[refused]).all() and np.isfinite(values[flags == 1]).all()
    assert same_bits(values[seen], before[seen]) and (flags[seen] == 0).all()
    assert (np.isin(flags, (0, 1, 3)) == domain).all()
    text = " ".join(said.file.getvalue().split())
    assert f"{refused.sum():,} cells left empty and flagged as refused, because predictions lie outside" in text
    assert "the range of uint8 here" in text


def test_attributes_in_packed_units_follow_the_packing():
    """They are converted, or left out if they name values that a product of floats does not hold."""
    field = xr.DataArray(np.array([[[0.5, np.nan]]]), dims=DIMS, name="ice")
    field.attrs = {
        "units": "1",
        "valid_range": np.array([0, 250], "u1"),
        "flag_values": np.array([251, 254], "u1"),
        "flag_meanings": "pole_hole land",
        "actual_range": np.array([0.0, 1.0]),
        "_FillValue": 255,
        "grid_mapping": "crs",
    }
    field.encoding = {"dtype": "uint8", "scale_factor": 0.004, "_FillValue": np.uint8(255)}
    assert valid_limits(field) == (0.0, 1.0)
    packed = choose_storage(field, (-3.0, 3.0), is_proven=True)
    assert packed.encoding == {"dtype": np.uint8, "scale_factor": 0.004, "_FillValue": 255}
    assert packed.room == (0, 1)
    assert packed.attrs["valid_range"].tolist() == [0, 250] and packed.attrs["valid_range"].dtype == np.uint8
    assert packed.attrs["flag_values"].tolist() == [251, 254]
    floats = choose_storage(field, (-3.0, 3.0), is_proven=True, as_floats="as asked")
    assert floats.encoding["dtype"] == np.float64 and np.isnan(floats.encoding["_FillValue"])
    assert floats.attrs["valid_range"].tolist() == [0.0, 1.0] and floats.attrs["valid_range"].dtype == np.float64
    for storage, extra in ((packed, {"flag_values", "flag_meanings"}), (floats, set())):
        assert storage.attrs.keys() == {"units", "valid_range"} | extra
    with_mapping = field.assign_coords(crs=0)
    assert choose_storage(with_mapping, None, is_proven=True).encoding["grid_mapping"] == "crs"
