"""The cells of Table 1: systems, measurement processes, images, and the settings on which a number depends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr

from geogan.io import open_field
from geogan.operators.errors import InputError

ROWS = (
    "paired",
    "unpaired",
    "model",
    "unir",
    "unir_light",
    "gaussian",
    "ambientgan",
    "ambientgan_measured",
    "deep_image_prior",
    "total_variation",
    "biharmonic",
    "zeros",
    "mean",
)
"""Systems that are compared: ``zeros`` is the measurement itself with 0 in gaps, ``mean`` the mean of each pixel."""

TRAINED = ("paired", "unpaired", "model", "unir", "unir_light", "ambientgan", "ambientgan_measured")
"""Systems with a training budget."""

PUBLISHED = ("remove_pixel", "remove_pixel_channel", "patch_band", "convolve_noise")
"""Measurement processes of the paper."""

COLUMNS = (*PUBLISHED, "remove_pixel_half")
"""Measurement processes: those of the paper, and Remove-Pixel with p = 0.5."""

PAPER: dict[str, tuple[float, float, float, float]] = {
    "ambientgan": (0.292, 0.2829, 0.1421, 0.0814),
    "model": (0.0414, 0.0409, 0.0165, 0.0088),
    "unpaired": (0.037, 0.0336, 0.034, 0.0103),
    "paired": (0.0383, 0.0401, 0.0147, 0.0084),
}
"""The paper's numbers by row, in the order of :data:`PUBLISHED` (CelebA, 64 x 64, three bands)."""

# The paper's number stands beside the row that has its method.
METHOD = {"unir": "model", "unir_light": "model"}


def published(row: str, column: str) -> float | None:
    """Return the paper's number of a cell, or None.

    Examples
    --------
    >>> published("unir_light", "patch_band"), published("paired", "patch_band"), published("zeros", "patch_band")
    (0.0165, 0.0147, None)
    """
    name = METHOD.get(row, row)
    if column not in PUBLISHED or name not in PAPER:
        return None
    return PAPER[name][PUBLISHED.index(column)]


FEW = 40
"""Number of test images on which every system is scored; the slowest systems are scored only on these."""


@dataclass(frozen=True)
class TableSettings:
    """Settings of a table.

    Attributes
    ----------
    variable : str, optional
        Array of an ``.npz`` file.
    size : int
        Side to which images are reduced, by the mean of whole cells.
    images : int, optional
        Use only this number of images, the first ones; by default all.
    generator : {"unet", "sagan"}
    width : int, optional
        Channels of the generator's first layer; by default those of the row.
    minutes : float, optional
        Training of each cell; 2 by default if there are no steps.
    steps : int, optional
        Training of each cell.
    seed : int
        The first one.
    device : str
    seeds : int
        Each cell is trained and scored with this number of seeds.
    """

    variable: str | None = None
    size: int = 32
    images: int | None = None
    generator: str = "unet"
    width: int | None = None
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    seeds: int = 1


@dataclass(frozen=True)
class Cell:
    """One cell of the table, with everything on which its number depends.

    Attributes
    ----------
    row, column, operator : str
        System, measurement process, and the process with its parameters.
    data : str
        Path of the images.
    content : str
        Digest of the images: a cell belongs to the images, not to their path.
    images : int
        Number of images.
    minutes, steps : optional
        Budget; None for a system without training.

    The others are those of :class:`TableSettings`.
    """

    row: str
    column: str
    operator: str
    data: str
    variable: str | None
    content: str
    size: int
    images: int
    generator: str
    width: int | None
    minutes: float | None
    steps: int | None
    seed: int
    device: str

    @property
    def name(self) -> str:
        """Name of its files; other settings or images give another name."""
        text = json.dumps(asdict(self) | {"data": None, "variable": None}, sort_keys=True)
        return f"{self.row}-{self.column}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def table_cells(
    data: str, images: xr.DataArray, rows: list[str], columns: list[str], settings: TableSettings
) -> list[Cell]:
    """Return the cells of a table, seed by seed and row by row.

    Parameters
    ----------
    data : str
        Path of the images.
    images : DataArray
        The reduced images.
    rows, columns : list of str
    settings : TableSettings
    """
    content, count = digest(images), images.sizes["sample"]
    minutes = 2.0 if settings.minutes is None and settings.steps is None else settings.minutes
    return [
        Cell(
            row,
            column,
            process(column, settings.size),
            data,
            settings.variable,
            content,
            settings.size,
            count,
            settings.generator,
            settings.width,
            minutes if row in TRAINED else None,
            settings.steps if row in TRAINED else None,
            seed,
            settings.device,
        )
        for seed in range(settings.seed, settings.seed + settings.seeds)
        for row in rows
        for column in columns
    ]


def reduced(data: str, variable: str | None, size: int, images: int | None) -> xr.DataArray:
    """Return images reduced to ``size`` cells a side, in memory, (sample, [band,] y, x).

    Raises
    ------
    InputError
        If the data are not images, or the images are not square, or their sides are not multiples of ``size``.
    """
    image = open_field(data, variable=variable)
    if "sample" not in image.dims:
        raise InputError(f"{data} holds no images; give a folder of PNG or JPEG files, or a NumPy array of images")
    image = image.isel(sample=slice(images)).astype(np.float32)
    factors = image.sizes["y"] / size, image.sizes["x"] / size
    if size < 16 or factors[0] != factors[1] or factors[0] != int(factors[0]) or factors[0] < 1:
        raise InputError(
            f"images of {image.sizes['y']} x {image.sizes['x']} cells cannot be reduced to {size} x {size}; give a "
            "--size of at least 16 that divides both sides of square images"
        )
    factor = int(factors[0])
    if factor > 1:
        image = image.coarsen(y=factor, x=factor).mean(keep_attrs=True)
    return image.compute()


def digest(images: xr.DataArray) -> str:
    """Return a digest of the values of images.

    Examples
    --------
    >>> digest(xr.DataArray(np.zeros((2, 3)))) == digest(xr.DataArray(np.zeros((3, 2))))
    False
    """
    values = np.ascontiguousarray(images.values)
    return hashlib.sha256(f"{values.dtype} {values.shape}".encode() + values.tobytes()).hexdigest()[:16]


def process(column: str, size: int) -> str:
    """Return the measurement process of a column with the paper's parameters; a band is 20 rows of 64.

    Examples
    --------
    >>> process("patch_band", 32)
    'patch_band:h=10'
    """
    return {
        "remove_pixel": "remove_pixel:p=0.9",
        "remove_pixel_channel": "remove_pixel_channel:p=0.9",
        "patch_band": f"patch_band:h={max(1, round(size * 20 / 64))}",
        "convolve_noise": "convolve_noise:l=3,sigma=0.15",
        "remove_pixel_half": "remove_pixel:p=0.5",
    }[column]


def split(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the images for training, and of the 15 % for the test, as in the paper.

    Examples
    --------
    >>> [part.size for part in split(100, 0)]
    [85, 15]
    """
    order = np.random.default_rng([seed, 0x7AB1]).permutation(count)
    tested = max(1, round(0.15 * count))
    return np.sort(order[tested:]), np.sort(order[:tested])
