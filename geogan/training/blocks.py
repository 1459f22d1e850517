"""Blocks: parts of the archive in memory, with more observations hidden and the first guess solved.

A solve for the first guess in every step would be too slow, so blocks of some weeks and some hundred cells a side are
prepared by a thread while the networks train, and many windows are drawn from each. Block ``n`` depends only on the
seed and ``n``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from geogan.archive import Archive, Loaded
from geogan.compute.chunk_groups import ChunkGroups, ShuffleBuffer, decoding_ratio
from geogan.compute.extent import Extent
from geogan.compute.streaming import stored_chunks
from geogan.operators.operator import Operator
from geogan.prior import Film, Prior, nearness
from geogan.training.recorruption import RECORRUPTION, SHOWN_ERROR, completed, total_noise

# Side of a block, in cells.
BLOCK_SIDE = 128

Place = tuple[slice | np.ndarray, slice, slice]
"""Dates (or numbers of samples), rows and columns."""


@dataclass(frozen=True)
class BlockContent:
    """Parts of a block that the terms of the objective need besides the measurements.

    Attributes
    ----------
    has_hidden : bool
        Whether more observations are hidden, or, where nothing is hidden, noise is added. Without it the first guess
        is solved from all observations.
    members : int
        Draws of what makes members differ; 1 for none.
    has_deviation : bool
        Whether blocks hold a draw of the posterior of the first guess.
    clean : Archive or None
        Fields without gaps.
    is_paired : bool
        Whether the clean fields are those that were measured, date by date; otherwise any of them are read.
    set_aside : sequence of int
        Dates, or numbers of samples, that blocks leave out: those by which the best weights are chosen, whose
        measurements have lost cells. Only for blocks whose dates do without each other.
    """

    has_hidden: bool = True
    members: int = 1
    has_deviation: bool = False
    clean: Archive | None = None
    is_paired: bool = True
    set_aside: Sequence[int] = ()


class BlockMaker:
    """Prepares the blocks of an archive: ``maker(number)`` returns one.

    Blocks of an archive on disk are read from regions that are in memory for a while.

    Parameters
    ----------
    archive : Archive
    operator : Operator
        More observations are hidden by its gaps; an operator without gaps hides nothing.
    prior : Prior or None
        Solved for the first guess; None for a first guess of 0.
    share_seen : ndarray, shape (T,)
        Share of the domain seen on each date.
    dates, side : int
        Dates, and cells each way, of a block at most; see :func:`block_dates`. A block of independent samples holds
        random ones, see :func:`samples_in_block`.
    seed : int
    content : BlockContent
    """

    def __init__(
        self,
        archive: Archive,
        operator: Operator,
        prior: Prior | None,
        share_seen: np.ndarray,
        *,
        dates: int,
        side: int = BLOCK_SIDE,
        seed: int = 0,
        content: BlockContent = BlockContent(),
    ) -> None:
        self.archive, self.operator, self.prior, self.share_seen = archive, operator, prior, share_seen
        self.dates, self.side, self.seed, self.content = dates, side, seed, content
        self.samples = samples_in_block(archive, is_prepared=content.has_hidden or prior is not None)
        least = self.samples if archive.independent else dates
        self.groups = archive.chunk_groups((least, side, side))
        self._buffer: ShuffleBuffer[Loaded] | None = None
        if self.groups is not None:
            archive.find_hidden()
            self._buffer = ShuffleBuffer(self._draw_extent, lambda extent: archive.load(*extent), seed=seed)

    def __call__(self, number: int) -> Film:
        """Return block ``number``."""
        numpy_random = np.random.default_rng([self.seed, 0xB10C, number])
        random = torch.Generator().manual_seed(int(numpy_random.integers(2**62)))
        (t, y, x), film = self._read(number, numpy_random)
        is_periodic = self.archive.spans(x)
        film = Film(
            values=film.values * film.mask,
            mask=film.mask,
            domain=film.domain,
            days=film.days,
            uncertainty=film.uncertainty,
            covariates=film.covariates,
            place=film.place,
        )
        film = replace(film, kept=self._kept(film, self.operator.around(is_periodic), random))
        film = self._with_noise(film, random)
        film = self._with_first_guess(
            film, None if self.prior is None else film.prior(self.prior.around(is_periodic)), random
        )
        film = replace(film, near=nearness(film.kept, film.days, self.prior, is_periodic=is_periodic))
        if self.content.clean is None:
            return film
        dates = t if self.content.is_paired else _clean_dates(self.content.clean, len(film.values), numpy_random)
        return replace(film, clean=self.content.clean.read(dates, y, x).values)

    @property
    def reading(self) -> str:
        """A sentence about how the archive is read; empty if it is in memory."""
        return "" if self.groups is None else describe_reading(self.groups, stored_chunks(self.archive.field))

    def _draw_extent(self, random: np.random.Generator) -> Extent:
        """Return the extent of a chunk group in which something was seen."""
        assert self.groups is not None
        for _ in range(100):
            extent = self.groups.draw(random)
            if is_worth_reading(self.archive, self.share_seen, *extent):
                break
        return extent

    def _read(self, number: int, random: np.random.Generator) -> tuple[Place, Film]:
        """Return a random extent with observations, and its film."""
        archive = self.archive
        within = None if self._buffer is None else self._buffer.at(number)
        whole = Extent(*(slice(0, length) for length in (len(archive.days), *archive.domain.shape)))
        bounds = whole if within is None else within.extent

        def part(axis: slice, size: int, *, is_periodic: bool = False) -> slice:
            return random_slice(axis.stop - axis.start, size, random, first=axis.start, is_periodic=is_periodic)

        for _ in range(20):
            t: slice | np.ndarray = part(bounds.t, self.dates)
            if archive.independent:
                t = random_samples(archive, random, self.samples, bounds.t, without=self.content.set_aside)
            elif self.content.set_aside:
                t = np.setdiff1d(np.arange(len(archive.days))[t], self.content.set_aside)
            if isinstance(t, np.ndarray) and not len(t):
                continue
            # A region that does not span the globe may lie across the seam.
            y, x = part(bounds.y, self.side), part(bounds.x, self.side, is_periodic=archive.spans(bounds.x))
            if is_worth_reading(archive, self.share_seen, t, y, x):
                film = archive.read(t, y, x, within=within)
                if film.mask.any():
                    return (t, y, x), film
        return (t, y, x), archive.read(t, y, x, within=within)

    def _kept(self, film: Film, operator: Operator, random: torch.Generator) -> Tensor:
        """Return 1 where an observation is still shown, (T, C, H, W)."""
        # Share of the remaining observations that are hidden one by one: gaps of single cells are learned too.
        share_single = 0.02
        if not (operator.masks and self.content.has_hidden):
            return film.mask
        coverage = 1 - float(self.share_seen[self.share_seen > 0].mean())
        # Samples are independent, so the gaps of one do not continue in the next.
        mask = film.mask[:, None] if self.archive.independent else film.mask[None]
        pattern = added_gaps(operator, tuple(mask.shape), coverage, generator=random)  # type: ignore[arg-type]
        single = torch.rand(mask[:, :, :1].shape, generator=random) < share_single
        return (mask * pattern * ~single).view_as(film.mask)

    def _with_noise(self, film: Film, random: torch.Generator) -> Film:
        """Return a film with known errors everywhere, and with noise to be added where errors are known."""
        error = None if film.uncertainty is None else completed(film.uncertainty, film.mask)
        noise = None
        if self.content.has_hidden and (self.operator.noise > 0 or error is not None):
            spread = total_noise(self.operator, error)
            noise = spread * torch.randn(film.values.shape, generator=random) * film.mask
        return replace(film, uncertainty=error, noise=noise)

    def _with_first_guess(self, film: Film, prior: Prior | None, random: torch.Generator) -> Film:
        """Return a film with its first guess, and with draws of the posterior where they are needed."""
        # Relative residual of the draw that the spread is learned from: its square scatters far more.
        tolerance = 0.05
        members, shape = self.content.members, film.values.shape
        shown, error = film.values * film.kept, film.uncertainty
        if film.noise is not None:
            shown = shown + RECORRUPTION * film.noise * film.kept
            error = None if error is None else SHOWN_ERROR * error
        error = None if error is None else error[None]
        observed = (shown[None], film.kept[None], film.domain, film.days)
        draws = torch.randn((2, members, *shape), generator=random) if members > 1 else None
        if prior is None:
            white = None if draws is None else draws[0] * film.domain
            return replace(film, guess=torch.zeros_like(film.values), members=white)
        if draws is not None:
            guess, deviations = prior.members(*observed, noise=draws[:, :, None], uncertainty=error)
            return replace(film, guess=guess[0], members=deviations[:, 0], deviation=deviations[0, 0])
        if self.content.has_deviation:
            draws = torch.randn((2, 1, 1, *shape), generator=random)
            guess, deviations = prior.members(*observed, noise=draws, loose=tolerance, uncertainty=error)
            return replace(film, guess=guess[0], deviation=deviations[0, 0])
        return replace(film, guess=prior.map(*observed, uncertainty=error)[0])


def block_dates(archive: Archive, frames: int, side: int = BLOCK_SIDE) -> int:
    """Return the dates of a block, at least those of a window.

    Blocks of small grids are longer: if the windows of a few weeks came again and again, the networks would learn
    those weeks.
    """
    least, most, values = 16, 64, 65_536
    height, width = archive.domain.shape
    cells = archive.bands * min(side, height) * min(side, width)
    return min(max(int(np.clip(values // cells, least, most)), frames), len(archive.days))


def samples_in_block(archive: Archive, *, is_prepared: bool = True) -> int:
    """Return the number of independent samples of a block, where the archive has as many.

    Parameters
    ----------
    archive : Archive
    is_prepared : bool
        Whether observations are hidden in each sample, or a first guess is solved for it, which takes time and memory.
        Otherwise samples are only read, and blocks are larger: a discriminator that sees few images at a time learns
        them (docs/experiments.md).
    """
    least, most, values = (16, 64, 130_000) if is_prepared else (16, 512, 520_000)
    return int(np.clip(values // (archive.bands * archive.domain.size), least, most))


def random_slice(
    length: int, size: int, random: np.random.Generator, *, first: int = 0, is_periodic: bool = False
) -> slice:
    """Return a random slice of ``size`` of an axis, or of the ``length`` from ``first`` on.

    Along an axis that goes round the globe it may lie across the seam, with columns as in :mod:`geogan.fields.circle`.
    """
    size = min(size, length)
    if is_periodic and size < length:
        start = int(random.integers(0, length))
        return slice(start, start + size)
    start = first + int(random.integers(0, length - size + 1))
    return slice(start, start + size)


def random_samples(
    archive: Archive,
    random: np.random.Generator,
    count: int,
    among: slice = slice(None),
    *,
    without: Sequence[int] = (),
) -> np.ndarray:
    """Return the numbers of at most ``count`` random samples of an archive, in increasing order."""
    candidates = np.arange(len(archive.days))[among]
    if len(without):
        candidates = np.setdiff1d(candidates, without)
    count = min(count, len(candidates))
    return candidates[np.sort(random.choice(len(candidates), count, replace=False))] if count else candidates


def is_worth_reading(archive: Archive, share_seen: np.ndarray, t: slice | np.ndarray, y: slice, x: slice) -> bool:
    """Return whether something was seen on the dates, and enough of the cells are in the domain.

    A tenth of the cells is enough; in a narrow domain, such as a strait, half of the share of the whole grid.
    """
    return share_seen[t].sum() > 0 and archive.sea(y, x).mean() > min(0.1, 0.5 * archive.domain.mean())


def added_gaps(
    operator: Operator, shape: tuple[int, int, int, int, int], coverage: float, *, generator: torch.Generator
) -> Tensor:
    """Return a mask with additional hidden observations: 1 where still shown, shape (B, T, C, H, W).

    Windows must resemble those that are filled later, which keep all their observations. So where gaps cover much,
    only cells are hidden that are under the gaps of several draws of theta.
    """
    # Share of the cells hidden on average, at most.
    most = 0.35
    draws = 1 if coverage <= most else min(32, int(np.ceil(np.log(most) / np.log(min(coverage, 0.99)))))
    ones = torch.ones(shape)
    hidden = ones
    for _ in range(draws):
        hidden = hidden * (1 - operator.apply(ones, operator.sample(shape, generator=generator)).mask)
    return 1 - hidden


def describe_reading(groups: ChunkGroups, stored: Sequence[Sequence[int]]) -> str:
    """Return a sentence about the regions of an archive that stays on disk, with a hint where chunks are too large.

    Parameters
    ----------
    groups : ChunkGroups
    stored : sequence of sequence of int
        Lengths of the stored chunks along each axis.
    """
    shape = " x ".join(str(max(stop - start for start, stop in axis)) for axis in groups)
    sentence = f"the archive is read from disk during training, in regions of {shape} values"
    times = decoding_ratio(groups, stored)
    if times < 1.5:
        return sentence
    chunks = " x ".join(str(max(axis)) for axis in stored)
    return (
        f"{sentence}; its chunks have {chunks} values, so each value is decoded {times:.1f} times: rechunk it to "
        "regions of that size or smaller"
    )


def _clean_dates(clean: Archive, count: int, random: np.random.Generator) -> slice | np.ndarray:
    """Return dates of clean fields that are unrelated to the measurements."""
    if clean.independent:
        return np.sort(random.choice(len(clean.days), count, replace=len(clean.days) < count))
    if len(clean.days) < count:
        return np.resize(np.arange(len(clean.days)), count)
    return random_slice(len(clean.days), count, random)
