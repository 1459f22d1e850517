"""Total variation: fill gaps and remove noise with the least total variation that fits the observations."""

from __future__ import annotations

import numpy as np

from geogan.evaluation.baselines.arguments import check_maps
from geogan.evaluation.baselines.interface import BaselineInput, DateFiller, fill_each_date
from geogan.operators.errors import InputError


def total_variation(
    values: np.ndarray,
    *,
    domain: np.ndarray,
    weight: float = 0.1,
    iterations: int = 200,
    inner: int = 10,
    noisy: bool = False,
) -> np.ndarray:
    """Denoise or fill each band of each map separately with Chambolle's algorithm (2004).

    A map without gaps is one call of :func:`skimage.restoration.denoise_tv_chambolle`. A gap starts as the nearest
    observed value. Two steps then alternate: the map is denoised, and the observed values are put back. This is
    proximal gradient descent on ``|M (x - y)|^2 / 2 + weight * TV(x)`` (M: the observed cells). It ends when the gaps
    change by less than a thousandth of the standard deviation of the map. Land is treated as a gap and masked
    afterwards. A blur is not undone.

    Few inner iterations are faster and more accurate (``docs/experiments.md``).

    Parameters
    ----------
    values : ndarray, shape (T, C, H, W)
        Measured maps, NaN in gaps; the gaps of the bands may differ.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    weight : float
        Weight of the total variation, in standard deviations of the observed values of each map and band; a
        larger weight gives a flatter map.
    iterations : int
        Maximum number of rounds.
    inner : int
        Chambolle iterations in each round; a map without gaps takes 200.
    noisy : bool
        Whether observed values have noise, so that they are denoised as well.

    Returns
    -------
    filled : ndarray, shape (T, C, H, W)
        ``values`` where observed, bit for bit, unless ``noisy``; NaN outside the domain and in maps without any
        observation. The dtype is that of ``values``.

    Raises
    ------
    InputError
        If the shapes do not fit, the weight is not positive or there is less than one iteration.

    Examples
    --------
    >>> values = np.where(np.arange(12.0) < 6, 1.0, 2.0) * np.ones((1, 1, 12, 1))
    >>> gappy = values.copy()
    >>> gappy[..., 3:6, 1:4] = np.nan
    >>> bool(np.allclose(total_variation(gappy, domain=np.ones((12, 12), bool)), values, atol=0.02))
    True
    """
    check_maps(values, domain, "T, C, H, W")
    if not 0 < weight < float("inf"):
        raise InputError(f"weight must be more than 0, got {weight}; give a number of standard deviations, such as 0.1")
    if min(iterations, inner) < 1:
        raise InputError(f"iterations and inner must be at least 1, got {iterations} and {inner}; give 200 and 10")
    filled = np.full_like(values, np.nan)
    for position in np.ndindex(values.shape[:2]):
        frame, out = values[position], filled[position]
        observed = np.isfinite(frame) & domain
        if not observed.any():
            continue
        known = frame[observed].astype("float64")
        level, scale = known.mean(), known.std()
        anomaly = np.where(observed, frame - level, 0.0) / (scale or 1.0)
        smooth = _alternate(anomaly, observed, weight=weight, iterations=iterations, inner=inner, noisy=noisy)
        out[domain] = (smooth * scale + level)[domain]
        if not noisy:
            out[observed] = frame[observed]
    return filled


def _alternate(
    y: np.ndarray, observed: np.ndarray, *, weight: float, iterations: int, inner: int, noisy: bool
) -> np.ndarray:
    """Return the filled or denoised map, (H, W), of standardised values."""
    from scipy.ndimage import distance_transform_edt
    from skimage.restoration import denoise_tv_chambolle

    if observed.all():
        return denoise_tv_chambolle(y, weight=weight) if noisy else y
    # Rounds end when the gaps change by less than this, in standard deviations of the map.
    tolerance = 1e-3
    nearest = distance_transform_edt(~observed, return_distances=False, return_indices=True)
    x = y[tuple(nearest)]
    for _ in range(iterations):
        before = x
        x = denoise_tv_chambolle(np.where(observed, y, x), weight=weight, eps=1e-5, max_num_iter=inner)
        if np.sqrt(np.square(x - before)[~observed].mean()) < tolerance:
            break
    return x


def prepare(given: BaselineInput) -> DateFiller:
    """Fit the dates to score, and return the function that fills them."""
    domain, noisy = given.archive.domain, not given.model.operator.exact

    def fill(date: int) -> np.ndarray:
        return total_variation(given.anomalies(np.array([date])), domain=domain, noisy=noisy)[0]

    return fill_each_date("total_variation", fill, given)
