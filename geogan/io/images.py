"""Open images as fields: PNG or JPEG files, or NumPy arrays, scaled to [-1, 1]."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import xarray as xr

from geogan.files.user_path import user_path
from geogan.operators.choices import matching
from geogan.operators.errors import InputError

NAME = "image"
"""Name of images that have none."""

_FILES, _ARRAYS = (".png", ".jpg", ".jpeg"), (".npy", ".npz")
_FIELD_FILES = (".nc", ".nc4", ".cdf", ".h5", ".hdf", ".tif", ".tiff", *_ARRAYS)
_GREY, _COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "CMYK", "YCbCr")
_BANDS = ("red", "green", "blue")
_CHUNK_VALUES = 2_000_000  # largest number of values in a dask chunk


def are_images(paths: Sequence[str]) -> bool:
    """Return whether one of the paths is an image file, a folder of images or a NumPy array.

    Examples
    --------
    >>> are_images(["faces.npz"]), are_images(["sst.nc"])
    (True, False)
    """
    return any(Path(path).suffix.lower() in _FILES + _ARRAYS or _listed(path) for path in paths if "://" not in path)


def open_images(paths: Sequence[str], variable: str | None = None) -> xr.DataArray:
    """Open images as a field of independent samples; only headers are read.

    Parameters
    ----------
    paths : sequence of str
        PNG and JPEG files, or folders of them, in the order of their names; or one ``.npy`` or ``.npz`` file with an
        array (N, H, W) or (N, H, W, 3) of uint8, or of floats within [-1, 1] or [0, 1]. Floats are read once to find
        their range. NaN marks a gap.
    variable : str, optional
        Name of the array in an ``.npz`` file; by default the first with three or four dimensions.

    Returns
    -------
    image : DataArray of float32, shape (sample, [band,] y, x)
        Lazy; values from 0 to 255 or from 0 to 1 are scaled to [-1, 1]. Its name is ``variable``, else ``image``.

    Raises
    ------
    InputError
        If a file cannot be read, sizes differ, grey and coloured images are mixed, or the shape or range of
        an array does not match.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> np.save(f"{folder.name}/grey.npy", np.full((5, 8, 9), 255, np.uint8))
    >>> image = open_images([f"{folder.name}/grey.npy"])
    >>> dict(image.sizes), float(image.max())
    ({'sample': 5, 'y': 8, 'x': 9}, 1.0)
    """
    arrays = [path for path in paths if Path(path).suffix.lower() in _ARRAYS]
    if arrays:
        if len(paths) > 1:
            raise InputError(
                f"{len(paths)} paths are given, one of them the array {arrays[0]}, where an array alone is expected; "
                "join them in one file"
            )
        array = _array(arrays[0], variable)
        names, shape, read = None, array.shape, _reader(array, f"the array of {arrays[0]}")
    else:
        if variable not in (None, NAME):
            raise InputError(f"{paths[0]} holds images, which have no variable {variable!r}; leave variable out")
        files = [file for path in paths for file in _listed(path) or [Path(path)]]
        names, shape = [file.name for file in files], (len(files), *_common_shape(files))

        def read(start: int, stop: int) -> np.ndarray:
            return np.stack([_scaled(_pixels(file, colour=len(shape) == 4)) for file in files[start:stop]])

    coloured = len(shape) == 4
    dims = ("sample", "band", "y", "x") if coloured else ("sample", "y", "x")
    frame = (shape[3], *shape[1:3]) if coloured else shape[1:]
    image = xr.DataArray(_lazy(read, shape[0], frame, coloured), dims=dims, name=variable or NAME)
    if coloured:
        image = image.assign_coords(band=list(_BANDS))
    if names is not None:
        image = image.assign_coords(file=("sample", names))
    image.attrs = {"long_name": "image", "units": "1", "valid_min": -1.0, "valid_max": 1.0}
    image.encoding["source"] = paths[0]
    return image


def _listed(path: str) -> list[Path]:
    """Return the images of a folder, sorted by name; none if the folder also holds folders or files of fields.

    A working folder with a figure beside stores and runs is no set of images.
    """
    folder = user_path(path)
    visible = [file for file in folder.iterdir() if not file.name.startswith(".")] if folder.is_dir() else []
    if any(file.is_dir() or file.suffix.lower() in _FIELD_FILES for file in visible):
        return []
    return sorted(file for file in visible if file.suffix.lower() in _FILES)


def _array(path: str, variable: str | None) -> np.ndarray:
    """Return the array of a file; an ``.npy`` array stays on disk."""
    try:
        # Loading a pickle would execute code from the file.
        opened = np.load(path, mmap_mode="r" if path.lower().endswith(".npy") else None, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            if variable not in (None, NAME):
                raise InputError(
                    f"{path} holds one array without a name, where {variable!r} is asked for; leave out the variable"
                )
            array = opened
        else:
            with opened:
                array = opened[_choose(opened, variable, path)]
    except InputError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:150]
        raise InputError(
            f"{path} cannot be read: it is damaged or holds Python objects ({text}); save a plain array"
        ) from error
    if array.ndim not in (3, 4) or 0 in array.shape or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise InputError(
            f"the array of {path} has shape {array.shape}, where images (N, H, W) or (N, H, W, 3) are expected; "
            "transpose the array, or select a part"
        )
    return array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array


def _choose(opened: Any, variable: str | None, path: str) -> str:
    """Return the name of the array to read from an ``.npz`` file."""
    names = list(opened.files)
    match = None if variable is None else matching(variable, names)
    if match is not None:
        return match
    # A run stores the name of its images, which is NAME if they had none.
    if variable in (None, NAME):
        for name in names:
            if opened[name].ndim in (3, 4):
                return name
    raise InputError(
        f"{path} has no {f'array {variable!r}' if variable else 'array of images'}; its arrays are "
        f"{', '.join(names) or 'none'}: choose one with --variable (variable= in Python)"
    )


def _reader(array: np.ndarray, label: str) -> Callable[[int, int], np.ndarray]:
    """Return a function that reads a range of images as float32 within [-1, 1]."""
    if array.dtype == np.uint8:
        return lambda start, stop: _scaled(array[start:stop])
    if array.dtype.kind != "f":
        raise InputError(
            f"{label} has the type {array.dtype}, where uint8 or floats within [-1, 1] are expected; convert it"
        )
    step = max(1, _CHUNK_VALUES // int(np.prod(array.shape[1:])))
    # fmin and fmax ignore NaN, unlike min and max.
    lows, highs = (
        [float(extreme.reduce(array[start : start + step], axis=None)) for start in range(0, len(array), step)]
        for extreme in (np.fmin, np.fmax)
    )
    low, high = float(np.nanmin(lows)), float(np.nanmax(highs))
    if low < -1 or high > 1:
        raise InputError(
            f"{label} has floats from {low:g} to {high:g}, where [-1, 1] or [0, 1] is expected; scale them, or give "
            "uint8 from 0 to 255"
        )
    if low >= 0:
        return lambda start, stop: 2 * array[start:stop].astype(np.float32) - 1
    return lambda start, stop: array[start:stop].astype(np.float32)


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """Scale values from 0 to 255 to [-1, 1]."""
    return pixels.astype(np.float32) / np.float32(127.5) - 1


def _common_shape(files: Sequence[Path]) -> tuple[int, ...]:
    """Return height and width, and 3 for coloured images; all files must agree."""
    first: tuple[int, int, bool] | None = None
    for file in files:
        with _opened(file) as image:
            if image.mode not in _GREY + _COLOUR:
                raise InputError(
                    f"{file} has pixels of the mode {image.mode}, where 8 bits a colour are expected; convert it"
                )
            shape = (image.height, image.width, image.mode in _COLOUR)
        first = first or shape
        if shape[:2] != first[:2]:
            raise InputError(
                f"{file} has {shape[1]} x {shape[0]} pixels, where {files[0].name} has {first[1]} x {first[0]}; "
                "bring all images to one size"
            )
        if shape[2] != first[2]:
            kinds = ("grey", "coloured")
            raise InputError(
                f"{file} is {kinds[shape[2]]}, where {files[0].name} is {kinds[first[2]]}; convert one of them"
            )
    assert first is not None
    return (*first[:2], 3) if first[2] else first[:2]


def _pixels(file: Path, *, colour: bool) -> np.ndarray:
    """Decode an image: uint8, shape (H, W), or (H, W, 3) in colour."""
    with _opened(file) as image:
        try:
            return np.asarray(image.convert("RGB" if colour else "L"))
        except Exception as error:
            raise _unreadable(file, error) from error


def _opened(file: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(file)
    except Exception as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> InputError:
    # Decoders raise many kinds of exceptions for a damaged file.
    text = " ".join(str(error).split())[:150]
    return InputError(f"{file} cannot be read as an image ({text}); save it again, or leave it out")


def _lazy(read: Callable[[int, int], np.ndarray], count: int, frame: tuple[int, ...], coloured: bool) -> Any:
    """Return a dask array that reads images chunk by chunk, with bands before rows."""
    step = min(count, max(1, _CHUNK_VALUES // int(np.prod(frame))))

    def chunk(start: int, stop: int) -> np.ndarray:
        images = read(start, stop)
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if coloured else images

    delayed = dask.delayed(chunk, pure=False)
    chunks = [
        dask.array.from_delayed(
            delayed(start, min(start + step, count)), (min(step, count - start), *frame), np.float32
        )
        for start in range(0, count, step)
    ]
    return dask.array.concatenate(chunks)
