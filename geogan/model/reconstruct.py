"""Reconstruct a film in memory: the first guess, then the networks over every window of frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from geogan.fields.circle import around as seen_around
from geogan.fields.circle import rim_of
from geogan.fields.trust import trust
from geogan.model.member_smoothing import REACH, smoothed
from geogan.model.networks import ErrorModel, Generator
from geogan.prior import Film, Prior, nearness


@dataclass(frozen=True, eq=False)
class Networks:
    """Trained networks and how they are applied.

    Attributes
    ----------
    generator : Generator or None
        None returns the first guess.
    error : ErrorNet, SpreadTable or None
        Predicts the standard deviation of the error; None for no prediction.
    smoothing : int
        Smoothing steps of the members' deviations, see :func:`geogan.model.member_smoothing.smoothed`.
    precision : torch.dtype
        Arithmetic of the networks.
    batch_cells : int, optional
        Cells that go through a network at a time; by default as many as are efficient on its device.
    """

    generator: Generator | None
    error: ErrorModel | None = None
    smoothing: int = 0
    precision: torch.dtype = torch.float32
    batch_cells: int | None = None


class Reconstruction(NamedTuple):
    """A reconstructed film, (T, C, H, W)."""

    field: Tensor
    std: Tensor | None = None  # standard deviation of the error of the field, if a network predicts it
    members: Tensor | None = None  # (M, T, C, H, W)


def reconstruct(
    networks: Networks,
    film: Film,
    *,
    noise: Tensor | None = None,
    dates: slice = slice(None),
    is_periodic: bool = False,
) -> Reconstruction:
    """Reconstruct the frames of a film with its first guess from the windows around them.

    Parameters
    ----------
    networks : Networks
    film : Film
        With ``guess``; ``values`` are 0 where ``mask`` is. ``near`` is used by the error network.
    noise : Tensor, shape (M, T, C, H, W), optional
        Noise of the members. The mean of the members is shifted to the field, which it would be for infinitely many.
    dates : slice
        Frames to reconstruct, by default all; windows without any of them are skipped.
    is_periodic : bool
        Whether the last column touches the first: networks then see as many columns across the seam as they reach.

    Returns
    -------
    Reconstruction
        Of those frames. A frame is the mean over the windows that hold it, a variance the mean of their variances.

    Raises
    ------
    ValueError
        If the film has fewer frames than a window.
    """
    generator, error = networks.generator, networks.error
    over_windows = partial(_over_windows, film=film, networks=networks, is_periodic=is_periodic)
    # An input of the error network is the reconstruction of all frames of a window.
    needed = dates if error is None else frames_of_windows(dates, len(film.values), error.frames)
    whole = film.guess if generator is None else over_windows(generator, dates=needed)
    field, members, std = whole[dates], None, None
    if noise is not None:
        # Without an input of noise, the members of a network are those of the first guess, about its own mean.
        members = field + noise[:, dates]
        if generator is not None and generator.noise != "none":
            members = torch.stack(
                [over_windows(generator, beside=draw, dates=dates)[dates] for draw in noise.unbind(0)]
            )
        members = members + (field - members.mean(0))
        smoother: Callable[..., Tensor] = partial(smoothed, steps=networks.smoothing)
        if is_periodic:
            smoother = seen_around(smoother, REACH * networks.smoothing)
        for member in members if networks.smoothing else ():
            member.copy_(field + smoother(member - field, film.domain))
    if error is not None:
        std = over_windows(error, beside=whole, dates=dates)[dates].sqrt()
    return Reconstruction(field, std, members)


def frames_of_windows(dates: slice, count: int, frames: int) -> slice:
    """Return the frames of all windows that hold one of some dates.

    Parameters
    ----------
    dates : slice
    count : int
        Frames of the film, at least those of a window.
    frames : int
        Frames of a window.

    Examples
    --------
    >>> frames_of_windows(slice(8, 32), 40, 5), frames_of_windows(slice(None), 40, 5)
    (slice(4, 36, None), slice(0, 40, None))
    """
    first, last, _ = dates.indices(count)
    return slice(max(0, first - (frames - 1)), min(count, last + frames - 1))


def _over_windows(
    network: Generator | ErrorModel,
    film: Film,
    *,
    beside: Tensor | None = None,
    networks: Networks,
    dates: slice,
    is_periodic: bool,
) -> Tensor:
    """Apply a network to every window that holds one of some dates, and return the mean over windows of each frame.

    Frames in no such window are 0; frames beside the dates are not the mean over all their windows.

    Parameters
    ----------
    network : Generator, ErrorNet or SpreadTable
        The result of an error network is squared: variances are averaged.
    film : Film
    beside : Tensor, shape (T, C, H, W), optional
        Noise of a member for a generator, the reconstruction for an error network.
    networks : Networks
        Precision and size of a batch.
    dates : slice
    is_periodic : bool
    """
    frames, length = network.frames, len(film.values)
    apply: Callable[..., Tensor] = seen_around(network, rim_of(network.reach)) if is_periodic else network
    if length < frames:
        raise ValueError(f"a film needs at least the {frames} frames of a window, got {length}")
    mask = film.mask if film.uncertainty is None else trust(film.mask, film.uncertainty, network.scale)
    guess = film.guess
    needed = frames_of_windows(dates, length, int(frames))
    starts = torch.arange(needed.start, needed.stop - int(frames) + 1)
    rows = starts[:, None] + torch.arange(frames)
    total = torch.zeros_like(guess)
    count = torch.bincount(rows.flatten(), minlength=length).clamp_min(1).view(-1, 1, 1, 1).to(guess)
    # An accelerator finishes small batches before the host can launch the next one.
    cells = networks.batch_cells or (400_000 if guess.device.type == "cpu" else 16_000_000)
    batch = max(1, cells // (film.values[0].numel() * frames))
    domain = film.domain.expand(1, 1, 1, *film.domain.shape)
    precision = networks.precision
    with torch.no_grad(), torch.autocast(guess.device.type, precision, enabled=precision != torch.float32):
        for part in rows.split(batch):
            first, windows = int(part[0, 0]), len(part)
            part = part.to(guess.device)
            place = domain.expand(len(part), -1, -1, -1, -1)
            inputs = (film.values[part], mask[part], guess[part])
            extra = None if film.covariates is None else film.covariates[part[:, network.frames // 2]]
            if isinstance(network, ErrorModel):
                assert beside is not None
                near = None if film.near is None else film.near[part]
                result = apply(*inputs, beside[part], place, extra, near).float().square()
            else:
                result = apply(*inputs, place, None if beside is None else beside[part], extra).float()
            for frame in reversed(range(frames)):
                # The windows of a frame are added in their order for any batch size, so sums do not depend on it.
                total[first + frame : first + frame + windows] += result[:, frame].to(total.dtype)
    return total / count


def fill_film(
    networks: Networks,
    prior: Prior | None,
    film: Film,
    *,
    noise: Tensor | None = None,
    device: torch.device | None = None,
    dates: slice = slice(None),
    is_periodic: bool = False,
    tolerance: float = 1e-3,
) -> Reconstruction:
    """Fill a film: solve for the first guess on the CPU, then apply the networks on a device.

    Parameters
    ----------
    networks : Networks
    prior : Prior or None
        None for a first guess of zeros.
    film : Film
        On the CPU; ``values`` are 0 where ``mask`` is.
    noise : Tensor of float32, shape (2, M, T, C, H, W), optional
        Standard normal noise of M pairs of members, whose deviations are opposite.
    device : torch.device, optional
        Device of the networks; by default the CPU.
    dates : slice
        Frames to fill. The first guess uses all frames, the networks the windows that hold one of these.
    is_periodic : bool
        Whether the last column touches the first; ``prior`` must agree, see
        :meth:`geogan.prior.gaussian.GaussianPrior.around`.
    tolerance : float
        Tolerance of the first guess.

    Returns
    -------
    Reconstruction
        (t, C, H, W) on the CPU, float32; (2 M, t, C, H, W) for members.

    Raises
    ------
    ValueError
        If the film has fewer frames than a window.
    """
    device = device or torch.device("cpu")
    # The first guess is solved on the CPU for any device: the solver is compiled there, and elsewhere it would be a
    # sequence of many small steps.
    observed = (film.values[None], film.mask[None], film.domain, film.days)
    uncertainty = None if film.uncertainty is None else film.uncertainty[None]
    guess, draws = torch.zeros_like(film.values), None
    with torch.no_grad():
        if prior is not None and noise is not None:
            mean, deviations = prior.members(
                *observed, noise=noise[:, :, None], tolerance=tolerance, uncertainty=uncertainty
            )
            guess, draws = mean[0], deviations[:, 0]
        elif prior is not None:
            guess = prior.map(*observed, tolerance=tolerance, uncertainty=uncertainty)[0]
        elif noise is not None:
            draws = noise[0] * film.domain
        if draws is not None:
            draws = torch.cat([draws, -draws]).to(device)
        near = None if networks.error is None else nearness(film.mask, film.days, prior, is_periodic=is_periodic)
        film = replace(film, guess=guess, near=near).to(device)
        result = reconstruct(networks, film, noise=draws, dates=dates, is_periodic=is_periodic)
        return Reconstruction(*(None if part is None else part.cpu() for part in result))  # type: ignore[arg-type]
