"""Images open lazily as samples within [-1, 1]; other files are refused in one sentence."""

import numpy as np
import pytest
from PIL import Image

from geogan.archive import check_field
from geogan.fields.axes import find_axes
from geogan.fields.field import Field
from geogan.io import open_field, open_masks, variable_names
from geogan.io.images import are_images
from geogan.operators.errors import InputError


def pictures(count=5, size=(9, 12), bands=3, seed=0):
    shape = (count, *size, bands) if bands == 3 else (count, *size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def folder_of(images, folder, ending="png"):
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.{ending}")
    return folder


@pytest.mark.parametrize("bands", [1, 3])
def test_the_same_images_however_they_are_stored(tmp_path, bands):
    images = pictures(bands=bands)
    np.save(tmp_path / "a.npy", images)
    np.savez_compressed(tmp_path / "a.npz", label=np.arange(5), images=images)
    np.save(tmp_path / "unity.npy", images / 127.5 - 1)
    np.save(tmp_path / "half.npy", (images / 255).astype(np.float32))
    folder = folder_of(images, tmp_path / "pngs")
    expected = (images if bands == 1 else images.transpose(0, 3, 1, 2)) / 127.5 - 1
    for data in ("a.npy", "a.npz", "unity.npy", "half.npy", "pngs", "pngs/*.png"):
        field = open_field(tmp_path / data)
        assert field.chunks is not None and field.dtype == np.float32 and field.name == "image"
        assert field.dims == (("sample", "band", "y", "x") if bands == 3 else ("sample", "y", "x"))
        np.testing.assert_allclose(field.values, expected, atol=1e-6)
        assert abs(field).max() <= 1 and find_axes(field).independent
        assert bands == 1 or field.band.values.tolist() == ["red", "green", "blue"]
        assert field.attrs["valid_min"] == -1 and field.attrs["valid_max"] == 1 and field.attrs["units"] == "1"
    assert open_field(folder).file.values.tolist()[:2] == ["000.png", "001.png"]
    assert open_field([folder / "003.png", folder / "001.png"]).file.values.tolist() == ["003.png", "001.png"]
    assert check_field(Field.of(field)).gap_free
    assert variable_names(folder) == ["image"] and not open_masks(folder, Field.of(field)).data_vars


def test_every_kind_of_eight_bits(tmp_path):
    colour = pictures(1)[0]
    Image.fromarray(colour).save(tmp_path / "a.jpg", quality=100)
    Image.fromarray(colour).convert("RGBA").save(tmp_path / "b.png")
    Image.fromarray(colour).quantize(256).save(tmp_path / "c.png")
    found = open_field(tmp_path)
    assert found.shape == (3, 3, 9, 12)
    np.testing.assert_allclose(found[1], colour.transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)


def test_an_array_is_chosen_by_its_name(tmp_path):
    first, second = pictures(4), pictures(6, bands=1)
    np.savez(tmp_path / "a.npz", first=first, second=second)
    chosen = open_field(tmp_path / "a.npz", variable="second")
    assert chosen.shape == (6, 9, 12) and chosen.name == "second"
    assert open_field(tmp_path / "a.npz", variable="image").shape == (4, 3, 9, 12)


def test_gaps_of_floats_stay_gaps(tmp_path):
    values = pictures(3, bands=1) / 127.5 - 1
    values[1, 2:5] = np.nan
    np.save(tmp_path / "gappy.npy", values)
    np.testing.assert_allclose(open_field(tmp_path / "gappy.npy").values, values, atol=1e-6)


def test_pixels_are_read_when_they_are_asked_for(tmp_path):
    folder = folder_of(pictures(), tmp_path / "pngs")
    whole = (folder / "002.png").read_bytes()
    (folder / "002.png").write_bytes(whole[: len(whole) // 2])
    field = open_field(folder)
    with pytest.raises(InputError, match=r"002.png cannot be read as an image \(.*\); save it again, or leave it out$"):
        check_field(Field.of(field))


def test_what_are_images(tmp_path):
    (tmp_path / "empty").mkdir()
    assert not are_images([str(tmp_path / "empty")]) and not are_images(["https://example.org/a.png"])
    assert are_images([str(folder_of(pictures(1), tmp_path / "pngs"))]) and are_images(["a.JPG"])


def broken(tmp_path):
    """Write files that are not a set of images, by name."""
    for name in ("empty", "sizes", "kinds", "deep", "text"):
        (tmp_path / name).mkdir()
    grey, colour = Image.fromarray(pictures(1, bands=1)[0]), Image.fromarray(pictures(1)[0])
    colour.save(tmp_path / "sizes" / "a.png")
    colour.resize((10, 10)).save(tmp_path / "sizes" / "b.png")
    grey.save(tmp_path / "kinds" / "a.png")
    colour.save(tmp_path / "kinds" / "b.png")
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep" / "a.png")
    (tmp_path / "text" / "a.png").write_text("no image")
    np.save(tmp_path / "flat.npy", np.zeros((9, 9), np.uint8))
    np.save(tmp_path / "torch.npy", np.zeros((4, 3, 9, 9), np.uint8))
    np.save(tmp_path / "wide.npy", np.full((4, 9, 9), 200.0))
    np.save(tmp_path / "long.npy", np.zeros((4, 9, 9), np.int64))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 3), allow_pickle=True)
    np.savez(tmp_path / "labels.npz", labels=np.arange(4))
    np.savez(tmp_path / "named.npz", pictures=pictures())
    (tmp_path / "cut.npz").write_bytes((tmp_path / "named.npz").read_bytes()[:300])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "flat.npy").read_bytes()[:40])


@pytest.mark.parametrize(
    ("data", "variable", "words"),
    [
        (
            "empty",
            None,
            "is a folder without zarr.json or .zgroup",
        ),
        ("sizes", None, r"b.png has 10 x 10 pixels, where a.png has 12 x 9; bring all images to one size"),
        ("kinds", None, "b.png is coloured, where a.png is grey; convert one of them"),
        ("deep", None, "a.png has pixels of the mode I(;16)?, where 8 bits a colour are expected"),
        ("text", None, "a.png cannot be read as an image"),
        ("sizes", "red", "which have no variable 'red'; leave variable out"),
        ("flat.npy", None, r"has shape \(9, 9\), where images \(N, H, W\) or \(N, H, W, 3\) are expected"),
        ("torch.npy", None, r"has shape \(4, 3, 9, 9\)"),
        ("wide.npy", None, r"floats from 200 to 200, where \[-1, 1\] or \[0, 1\] is expected"),
        ("long.npy", None, "the type int64"),
        ("long.npy", "red", "holds one array without a name, where 'red' is asked for"),
        ("objects.npy", None, "it is damaged or holds Python objects"),
        ("labels.npz", None, "has no array of images; its arrays are labels: choose one with --variable"),
        ("named.npz", "faces", "has no array 'faces'; its arrays are pictures"),
        ("cut.npz", None, "cannot be read"),
        ("cut.npy", None, "cannot be read"),
        (["flat.npy", "wide.npy"], None, "2 paths are given, one of them the array"),
    ],
)
def test_what_is_no_set_of_images(tmp_path, data, variable, words):
    broken(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        open_field([tmp_path / part for part in ([data] if isinstance(data, str) else data)], variable=variable)
    assert "\n" not in str(caught.value)


def test_dates_of_images_cannot_be_chosen(tmp_path):
    np.save(tmp_path / "a.npy", pictures())
    with pytest.raises(InputError, match="has no dates; leave time out"):
        open_field(tmp_path / "a.npy", time="2001")


def test_a_figure_beside_other_data_is_no_set_of_images(tmp_path):
    folder_of(pictures(1), tmp_path)
    (tmp_path / "labels.csv").touch()
    assert are_images([str(tmp_path)])
    (tmp_path / "sst.nc").touch()
    assert not are_images([str(tmp_path)])
    with pytest.raises(InputError, match="PNG or JPEG images alone is expected; to read the NetCDF files in it, give"):
        open_field(tmp_path)
