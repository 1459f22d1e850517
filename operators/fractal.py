"""Fractal random fields: Gaussian, with a power-law spectrum below their correlation length."""

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.fft import fft2, next_fast_len
from scipy.optimize import brentq
from scipy.special import gamma, kv
from torch import Tensor


def correlation(distance: np.ndarray, *, slope: float) -> np.ndarray:
    """Return the Matern correlation of a field whose power spectrum falls as ``k**-slope``.

    Parameters
    ----------
    distance : ndarray
        Distance in correlation lengths, 0 or more.
    slope : float
        Exponent of the two-dimensional power spectrum at short waves, more than 2.

    Returns
    -------
    ndarray
        From 1 at distance 0 down to 0.

    Examples
    --------
    A slope of 3 is the exponential correlation:

    >>> bool(np.allclose(correlation(np.array([0.0, 1.0, 2.5]), slope=3.0), np.exp([0.0, -1.0, -2.5])))
    True
    """
    smoothness = slope / 2 - 1
    clipped = np.clip(np.asarray(distance, dtype=np.float64), 1e-9, 500.0)
    value = 2 ** (1 - smoothness) / gamma(smoothness) * clipped**smoothness * kv(smoothness, clipped)
    return np.where(np.asarray(distance) <= 1e-9, 1.0, np.clip(value, 0.0, 1.0))


@lru_cache(maxsize=64)
def half_distance(slope: float) -> float:
    """Return the distance, in correlation lengths, at which the sign of the field has autocorrelation one half.

    Signs of two normal variables with correlation rho have the correlation ``2 / pi * arcsin(rho)``, which is one half
    for rho = sin(pi / 4).

    Examples
    --------
    >>> round(half_distance(3.0), 4)
    0.3466
    """
    target = math.sin(math.pi / 4)
    return float(brentq(lambda d: float(correlation(np.array(d), slope=slope)) - target, 1e-9, 10.0))


def stretched_distance(rows: np.ndarray, columns: np.ndarray, *, aspect: float) -> np.ndarray:
    """Return the distance of cells in a metric in which stretched clouds are round.

    Parameters
    ----------
    rows, columns : ndarray
        Displacement, in cells.
    aspect : float
        Ratio of the length of a cloud along a row to that along a column; the geometric mean of both is unchanged.

    Examples
    --------
    >>> stretched_distance(np.array([0.0, 2.0]), np.array([2.0, 0.0]), aspect=4.0).tolist()
    [1.0, 4.0]
    """
    return np.hypot(columns / math.sqrt(aspect), rows * math.sqrt(aspect))


@lru_cache(maxsize=32)
def amplitudes(
    size: tuple[int, int],
    *,
    length: float,
    slope: float,
    aspect: float = 1.0,
    is_periodic: bool = False,
) -> Tensor:
    """Return the square roots of the spectrum of a periodic box that contains the frame.

    Circulant embedding (Dietrich and Newsam, 1997): in a box at least twice as wide as the frame, the direct distance
    between two cells of the frame is the shorter one, so fields on the frame have exactly the requested correlation.
    A smaller box suffices where the correlation vanishes earlier. A frame that goes once round the globe is periodic
    itself, so its box has the same width.

    Parameters
    ----------
    size : (int, int)
        Height and width of the frame, in cells.
    length : float
        Correlation length, in cells.
    slope : float
        Exponent of the power spectrum, more than 2.
    aspect : float
        As of `stretched_distance`.
    is_periodic : bool
        Whether the last column of the frame is the neighbour of the first.

    Returns
    -------
    Tensor of float32, shape (box height, box width)
        For `fields`. Callers share this tensor and must not change it.

    Examples
    --------
    >>> amplitudes((20, 30), length=4.0, slope=3.0).shape
    torch.Size([40, 50])
    """
    lengths = length / math.sqrt(aspect), length * math.sqrt(aspect)
    box = [next_fast_len(max(2, min(2 * side, side + math.ceil(5 * own)))) for side, own in zip(size, lengths)]
    if is_periodic:
        box[1] = size[1]
    rows, columns = (np.minimum(np.arange(side), side - np.arange(side)) for side in box)
    distance = stretched_distance(rows[:, None], columns[None, :], aspect=aspect)
    covariance = correlation(distance / length, slope=slope)
    # A long smooth correlation that is truncated at the edge of the box has a few negative eigenvalues. Dropping them
    # adds variance; the scaling restores a variance of 1.
    spectrum = np.clip(np.asarray(fft2(covariance)).real, 0.0, None)
    spectrum *= spectrum.size / spectrum.sum()
    return torch.from_numpy(np.sqrt(spectrum).astype(np.float32))


def fields(noise: Tensor, spectrum: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Return fractal fields made from white noise.

    Parameters
    ----------
    noise : Tensor of complex64, shape (N, box height, box width)
        White noise; real and imaginary part have variance 1.
    spectrum : Tensor, shape (box height, box width)
        From `amplitudes` for the same size.
    size : (int, int)
        Height H and width W of the frame, in cells.

    Returns
    -------
    Tensor of complex64, shape (N, H, W)
        Real and imaginary part are independent fields with mean 0 and variance 1.

    Examples
    --------
    >>> spectrum = amplitudes((20, 30), length=4.0, slope=3.0)
    >>> fields(white(1, spectrum, generator=torch.Generator()), spectrum, size=(20, 30)).shape
    torch.Size([1, 20, 30])
    """
    shaped = noise * spectrum.to(noise.device)
    # Dropping the columns outside the frame before the second transform saves a third of the time.
    wide = torch.fft.ifft(shaped, dim=-1, norm="ortho")[..., : size[1]]
    return torch.fft.ifft(wide, dim=-2, norm="ortho")[..., : size[0], :]


def white(count: int, spectrum: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw white noise for ``count`` fields of `fields`.

    Returns
    -------
    Tensor of complex64, shape (count, box height, box width)
        On the generator's device.

    Examples
    --------
    >>> white(2, amplitudes((20, 30), length=4.0, slope=3.0), generator=torch.Generator()).shape
    torch.Size([2, 40, 50])
    """
    noise = torch.randn((count, *spectrum.shape, 2), generator=generator, device=generator.device)
    return torch.view_as_complex(noise)


def shift_phases(spectrum: Tensor, shift: tuple[float, float]) -> Tensor:
    """Return factors of white noise that move its field down and to the right.

    Parameters
    ----------
    spectrum : Tensor, shape (box height, box width)
    shift : (float, float)
        Rows and columns, also fractions.

    Returns
    -------
    Tensor of complex64, shape (box height, box width)

    Examples
    --------
    >>> spectrum = amplitudes((20, 30), length=4.0, slope=3.0)
    >>> noise = white(1, spectrum, generator=torch.Generator())
    >>> field = fields(noise, spectrum, size=(20, 30))
    >>> moved = fields(noise * shift_phases(spectrum, (2, 3)), spectrum, size=(20, 30))
    >>> torch.allclose(moved[:, 2:, 3:], field[:, :-2, :-3], atol=1e-4)
    True
    """
    rows, columns = (torch.fft.fftfreq(side, dtype=torch.float64) * by for side, by in zip(spectrum.shape, shift))
    return torch.exp(-2j * math.pi * (rows[:, None] + columns)).to(torch.complex64)
