"""Fill a block in memory: the first guess, then the networks over every window of frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.fields.circle import around as seen_around
from geogan.fields.circle import rim_of
from geogan.model.member_smoothing import STEP, smoothed
from geogan.model.networks import ErrorNet, Generator
from geogan.prior.archive_covariance import Prior, reach
from geogan.prior.nearness import nearness
from geogan.prior.trust import trust

# Cells that go through a network at a time; more of them where a pass of few is over before the next is handed over.
CELLS, ACCELERATED = 400_000, 16_000_000


class Reconstruction(NamedTuple):
    """What is said of a block, (T, C, H, W)."""

    field: Tensor
    std: Tensor | None = None  # standard deviation of the field's error, where a network predicts it
    members: Tensor | None = None  # (M, T, C, H, W)


def reconstruct(
    network: Generator | None,
    values: Tensor,
    mask: Tensor,
    guess: Tensor,
    domain: Tensor,
    *,
    error: ErrorNet | None = None,
    noise: Tensor | None = None,
    covariates: Tensor | None = None,
    near: Tensor | None = None,
    uncertainty: Tensor | None = None,
    smoothing: int = 0,
    precision: torch.dtype = torch.float32,
    dates: slice = slice(None),
    is_periodic: bool = False,
) -> Reconstruction:
    """Reconstruct the frames of a block from the windows around them.

    Parameters
    ----------
    network : Generator or None
        The generator; None returns the first guess.
    values, mask, guess : Tensor, shape (T, C, H, W)
        What was seen, where, and the first guess.
    domain : Tensor, shape (H, W)
    error : ErrorNet, optional
        Predicts the error.
    noise : Tensor, shape (M, T, C, H, W), optional
        What makes members differ; their mean is made the field, which is what they would have in common if there were
        endlessly many.
    covariates : Tensor, shape (T, K, H, W), optional
        A window is shown those of its middle frame.
    near : Tensor, shape (T, 3 C, H, W), optional
        :func:`geogan.prior.nearness.nearness` of the mask, for ``error``.
    uncertainty : Tensor, shape (T, C, H, W), optional
        Standard deviation of what the values are off by, where it is known.
    smoothing : int
        Steps by which members' deviations from the field are smoothed, as in
        :func:`geogan.model.member_smoothing.smoothed`.
    precision : torch.dtype
        Of the networks' arithmetic.
    dates : slice
        Frames that are asked for, by default all; no window is looked at that holds none of them.
    is_periodic : bool
        Whether the last column touches the first: networks then see as many columns across the seam as they reach.

    Returns
    -------
    Reconstruction
        Of those frames. One is the mean of what the windows that hold it say of it, a variance the mean of their
        variances.
    """
    # What predicts the error is shown the whole reconstruction in every window.
    needed = dates if error is None else looked_at(dates, len(values), error.frames)
    films = partial(
        _films,
        values=values,
        mask=mask,
        guess=guess,
        domain=domain,
        covariates=covariates,
        uncertainty=uncertainty,
        is_periodic=is_periodic,
    )
    whole = guess if network is None else films(network, precision=precision, dates=needed)
    field, members, std = whole[dates], None, None
    if noise is not None:
        # Without noise of its own, the network's members are those of the first guess, about its own mean.
        members = field + noise[:, dates]
        if network is not None and network.noise != "none":
            drawn = (films(network, beside=one, precision=precision, dates=dates) for one in noise.unbind(0))
            members = torch.stack([one[dates] for one in drawn])
        members = members + (field - members.mean(0))
        smoother: Callable[..., Tensor] = partial(smoothed, steps=smoothing)
        if is_periodic:
            smoother = seen_around(smoother, STEP * smoothing)
        for one in members if smoothing else ():
            one.copy_(field + smoother(one - field, domain))
    if error is not None:
        squares = films(error, beside=whole, near=near, precision=precision, dates=dates, squared=True)
        std = squares[dates].sqrt()
    return Reconstruction(field, std, members)


def looked_at(dates: slice, count: int, frames: int) -> slice:
    """Frames of all windows that hold one of some dates.

    Parameters
    ----------
    dates : slice
    count : int
        Frames of the block; at least those of a window.
    frames : int
        Of a window.

    Examples
    --------
    >>> looked_at(slice(8, 32), 40, 5), looked_at(slice(None), 40, 5)
    (slice(4, 36, None), slice(0, 40, None))
    """
    first, last, _ = dates.indices(count)
    return slice(max(0, first - (frames - 1)), min(count, last + frames - 1))


def _films(
    network: Generator | ErrorNet,
    values: Tensor,
    mask: Tensor,
    guess: Tensor,
    domain: Tensor,
    covariates: Tensor | None,
    uncertainty: Tensor | None,
    *,
    beside: Tensor | None = None,
    near: Tensor | None = None,
    precision: torch.dtype,
    dates: slice,
    squared: bool = False,
    is_periodic: bool = False,
) -> Tensor:
    """A network over every window that holds one of some dates, the mean of what windows say of a frame.

    Frames that no such window holds are 0; of those beside the dates not all windows were asked.
    """
    frames, length = network.frames, len(values)
    look: Callable[..., Tensor] = network
    if is_periodic:
        look = seen_around(network, rim_of(network.reach))
    if length < frames:
        raise ValueError(f"a block needs at least the {frames} frames of a window, got {length}")
    if uncertainty is not None:
        mask = trust(mask, uncertainty, network.scale)
    around = looked_at(dates, length, int(frames))
    starts = torch.arange(around.start, around.stop - int(frames) + 1)
    rows = starts[:, None] + torch.arange(frames)
    total = torch.zeros_like(guess)
    count = torch.bincount(rows.flatten(), minlength=length).clamp_min(1).view(-1, 1, 1, 1).to(guess)
    cells = values[0].numel() * frames
    batch = max(1, (CELLS if guess.device.type == "cpu" else ACCELERATED) // cells)
    place = domain.expand(1, 1, 1, *domain.shape)
    with torch.no_grad(), torch.autocast(guess.device.type, precision, enabled=precision != torch.float32):
        for part in rows.split(batch):
            first, windows = int(part[0, 0]), len(part)
            part = part.to(guess.device)
            here = place.expand(len(part), -1, -1, -1, -1)
            films = (values[part], mask[part], guess[part])
            extra = None if covariates is None else covariates[part[:, network.frames // 2]]
            if isinstance(network, ErrorNet):
                assert beside is not None
                said = look(*films, beside[part], here, extra, None if near is None else near[part])
            else:
                said = look(*films, here, None if beside is None else beside[part], extra)
            said = said.float().square() if squared else said.float()
            for frame in reversed(range(frames)):
                # The windows of a date in their order, whatever the batch: sums are the same to the last bit.
                total[first + frame : first + frame + windows] += said[:, frame].to(total.dtype)
    return total / count


def fill_block(
    network: Generator | None,
    prior: Prior | None,
    values: np.ndarray,
    observed: np.ndarray,
    domain: np.ndarray,
    days: np.ndarray,
    *,
    error: ErrorNet | None = None,
    noise: np.ndarray | None = None,
    covariates: np.ndarray | None = None,
    uncertainty: np.ndarray | None = None,
    smoothing: int = 0,
    device: torch.device | None = None,
    precision: torch.dtype = torch.float32,
    tolerance: float = 1e-3,
    dates: slice = slice(None),
    is_periodic: bool = False,
) -> Reconstruction:
    """Fill a block of anomalies, NumPy in, tensors on the CPU out.

    Parameters
    ----------
    network : Generator or None
        The generator; None for the first guess alone.
    prior : Prior or None
        None for no first guess (zeros).
    values, observed : ndarray of float32, shape (T, C, H, W)
    domain : ndarray of float32, shape (H, W)
    days : ndarray of float64, shape (T,)
    error : ErrorNet, optional
        Predicts the error.
    noise : ndarray of float32, shape (2, M, T, C, H, W), optional
        Standard normal: draws as many pairs of members, either of which is as far from the middle as the other, on
        opposite sides.
    covariates : ndarray of float32, shape (T, K, H, W), optional
    uncertainty : ndarray of float32, shape (T, C, H, W), optional
        Standard deviation of the values' errors, in anomalies, where it is known.
    smoothing : int
        Steps by which members' deviations are smoothed.
    dates : slice
        Those that are asked for. The first guess looks at all, the networks at the windows that hold one of these.
    is_periodic : bool
        Whether the last column touches the first; ``prior`` must be of the same kind, see
        :meth:`geogan.prior.gaussian.GaussianPrior.around`.

    Returns
    -------
    Reconstruction
        (t, C, H, W) of the dates asked for, float32; of 2 M members, (2 M, t, C, H, W).
    """
    device = device or torch.device("cpu")
    # Solved on the CPU whatever the device: the solver is compiled there, and elsewhere a pass of many small steps.
    y, mask, sea = (torch.from_numpy(np.ascontiguousarray(part)) for part in (values, observed, domain))
    moments = torch.from_numpy(days)
    guess, draws = torch.zeros_like(y), None if noise is None else torch.from_numpy(noise)
    known = None if uncertainty is None else torch.from_numpy(np.ascontiguousarray(uncertainty))
    batched = None if known is None else known[None]
    with torch.no_grad():
        if prior is not None and draws is not None:
            found = prior.members(
                y[None], mask[None], sea, moments, noise=draws[:, :, None], tolerance=tolerance, uncertainty=batched
            )
            guess, draws = found[0][0], found[1][:, 0]
        elif prior is not None:
            guess = prior.map(y[None], mask[None], sea, moments, tolerance=tolerance, uncertainty=batched)[0]
        elif draws is not None:
            draws = draws[0] * sea
        if draws is not None:
            draws = torch.cat([draws, -draws])
        beside = None if covariates is None else torch.from_numpy(covariates)
        near = None if error is None else nearness(mask, moments, is_periodic=is_periodic, **reach(prior))
        y, mask, guess, sea = (part.to(device) for part in (y, mask, guess, sea))
        draws, beside, near, known = (
            None if part is None else part.to(device) for part in (draws, beside, near, known)
        )
        made = reconstruct(
            network,
            y,
            mask,
            guess,
            sea,
            error=error,
            noise=draws,
            covariates=beside,
            near=near,
            uncertainty=known,
            smoothing=smoothing,
            precision=precision,
            dates=dates,
            is_periodic=is_periodic,
        )
        return Reconstruction(*(None if part is None else part.cpu() for part in made))  # type: ignore[arg-type]
