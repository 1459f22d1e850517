"""The rivals as a league asks them: what each says of some dates of an archive, in the field's units."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from geogan.archive.archive import IN_MEMORY, Archive
from geogan.compute.threads import side_by_side, torch_threads, workers
from geogan.evaluation.baselines.ambientgan import search_latent, train_ambientgan
from geogan.evaluation.baselines.biharmonic import biharmonic
from geogan.evaluation.baselines.climatology import climatology
from geogan.evaluation.baselines.deep_image_prior import deep_image_prior
from geogan.evaluation.baselines.dineof import dineof
from geogan.evaluation.baselines.linear_time import linear_time
from geogan.evaluation.baselines.total_variation import total_variation
from geogan.model.model import Model
from geogan.operators.errors import InputError

# Dates on either side in which linear interpolation looks for observations.
LOOK = 60
# Images whose latents are searched together.
TOGETHER = 8

Filler = Callable[[slice], np.ndarray]
"""What a method says of some dates, (t, C, H, W), in the field's units; NaN where it says nothing."""


class Contest(NamedTuple):
    """What a rival that takes its time is given."""

    archive: Archive
    model: Model  # its operator, and how long it was trained
    dates: np.ndarray  # those that are scored
    device: torch.device | None
    threads: int | None
    progress: Callable[[float, float], None]  # how much is done, of how much
    message: Callable[[str], None]  # a sentence on what is about to take long

    @property
    def dated(self) -> str:
        """What one entry of the archive is called, in the plural."""
        return "samples" if self.archive.independent else "dates"

    def shown(self, dates: slice | np.ndarray) -> np.ndarray:
        """Standardised anomalies, (t, C, H, W); NaN where unseen, withheld or outside the domain."""
        film = self.archive.read(dates)
        return np.where(film.mask.numpy() > 0, film.values.numpy(), np.float32(np.nan))


def ask(name: str, contest: Contest) -> Filler:
    """What a rival says; one of :data:`FITTED` says it now, for the dates of the contest alone.

    Parameters
    ----------
    name : str
        Of :data:`QUICK` or :data:`FITTED`.
    contest : Contest

    Raises
    ------
    InputError
        Where the record is too long to be held in memory, or the method cannot be used on it.
    """
    archive = contest.archive
    if name in QUICK:
        return partial(QUICK[name], archive)
    if archive.field.size > IN_MEMORY:
        raise InputError(
            f"{name} needs the record in memory, which has {archive.field.size:,} values, more than {IN_MEMORY:,}; "
            "name other methods, or evaluate a part of the record"
        )
    said = np.full((len(contest.dates), archive.bands, *archive.domain.shape), np.nan, np.float32)
    for rows, anomaly in FITTED[name](contest):
        said[rows] = anomaly

    def filler(dates: slice) -> np.ndarray:
        wanted = np.arange(dates.start, dates.stop)
        anomaly = np.full((len(wanted), *said.shape[1:]), np.nan, np.float32)
        asked = np.isin(wanted, contest.dates)
        anomaly[asked] = said[np.searchsorted(contest.dates, wanted[asked])]
        filled = archive.standardiser.inverse(anomaly, _phase(archive, dates))
        if archive.limits is not None:
            filled = np.clip(filled, *archive.limits)
        return np.where(archive.domain, filled, np.nan)

    return filler


# Each band by itself, as measured.


def _climatology(archive: Archive, dates: slice) -> np.ndarray:
    values, own = _measured(archive, dates), archive.standardiser
    background = own.components(own.inverse(np.zeros_like(values, np.float32), _phase(archive, dates)))
    bands = range(archive.bands)
    each = (climatology(values[:, band], domain=archive.domain, background=background[:, band]) for band in bands)
    return own.directions(np.stack(list(each), 1))


def _linear_time(archive: Archive, dates: slice) -> np.ndarray:
    wide = slice(max(0, dates.start - LOOK), min(len(archive.days), dates.stop + LOOK))
    values, days = _measured(archive, wide), archive.days[wide]
    bands = range(archive.bands)
    filled = np.stack([linear_time(values[:, band], domain=archive.domain, days=days) for band in bands], 1)
    return archive.standardiser.directions(filled[dates.start - wide.start : dates.stop - wide.start])


def _biharmonic(archive: Archive, dates: slice) -> np.ndarray:
    return archive.standardiser.directions(biharmonic(_measured(archive, dates), domain=archive.domain))


# On anomalies: rows of the dates asked for, and what is said of them, (t, C, H, W).

Said = Iterator[tuple[slice | int, np.ndarray]]


def _total_variation(contest: Contest) -> Said:
    noisy = not contest.model.operator.exact

    def fill(date: int) -> np.ndarray:
        return total_variation(contest.shown(np.array([date])), domain=contest.archive.domain, noisy=noisy)[0]

    yield from _date_by_date("total_variation", fill, contest)


def _deep_image_prior(contest: Contest) -> Said:
    operator = contest.model.operator

    def fill(date: int) -> np.ndarray:
        return deep_image_prior(
            contest.shown(np.array([date])),
            domain=contest.archive.domain,
            measure=None if operator.exact else operator.blur,
            # What is said of a date must not depend on which others are asked for.
            seed=date,
            threads=1,
            device=contest.device,
        )[0]

    yield from _date_by_date("deep_image_prior", fill, contest)


def _date_by_date(name: str, fill: Callable[[int], np.ndarray], contest: Contest) -> Said:
    contest.message(f"{name} is fitted to {len(contest.dates)} {contest.dated}, one by one")
    for row, filled in enumerate(side_by_side(fill, contest.dates.tolist(), threads=contest.threads)):
        yield row, filled
        contest.progress(row + 1, len(contest.dates))


def _dineof(contest: Contest) -> Said:
    """Of the whole record, band by band."""
    archive = contest.archive
    values, days = contest.shown(slice(None)), None if archive.independent else archive.days
    contest.message(f"dineof looks for the modes of {len(values)} {contest.dated}")
    said = np.empty((len(contest.dates), *values.shape[1:]), np.float32)
    for band in range(archive.bands):
        said[:, band] = dineof(values[:, band], domain=archive.domain, days=days)[contest.dates]
        contest.progress(band + 1, archive.bands)
    yield slice(None), said


def _ambientgan(contest: Contest) -> Said:
    """Trained on the whole record for as long as the model was, then searched for each date."""
    archive, model, device = contest.archive, contest.model, contest.device
    film = archive.read(slice(None))
    values, mask = (film.values * film.mask)[:, None], film.mask[:, None]
    budget = max(1.0, float(model.scores.get("seconds") or 0.0))
    contest.message(
        f"training ambientgan on {len(archive.days)} {contest.dated} for {budget:.0f} s, then searching the latents of "
        f"{len(contest.dates)}"
    )
    # Nobody knows how long a search takes; its share of the bar is a guess.
    whole, began = 2 * budget, time.perf_counter()
    with torch_threads(contest.threads or max(1, workers(None) - 1)):
        generator = train_ambientgan(
            values,
            mask,
            model.operator,
            domain=film.domain,
            bounded=archive.is_image,
            minutes=budget / 60,
            precision=getattr(torch, model.precision),
            device=device,
            progress=lambda step, losses: contest.progress(min(budget, time.perf_counter() - began), whole),
        )

    def search(rows: slice) -> np.ndarray:
        dates = contest.dates[rows]
        found = search_latent(generator, values[dates], mask[dates], model.operator, seed=int(dates[0]), device=device)
        return found[:, 0].cpu().numpy()

    count = len(contest.dates)
    parts = [slice(start, min(start + TOGETHER, count)) for start in range(0, count, TOGETHER)]
    for rows, found in zip(parts, side_by_side(search, parts, threads=contest.threads)):
        yield rows, found
        contest.progress(budget + budget * rows.stop / count, whole)


QUICK: dict[str, Callable[[Archive, slice], np.ndarray]] = {
    "climatology": _climatology,
    "linear_time": _linear_time,
    "biharmonic": _biharmonic,
}
FITTED: dict[str, Callable[[Contest], Said]] = {
    "total_variation": _total_variation,
    "deep_image_prior": _deep_image_prior,
    "dineof": _dineof,
    "ambientgan": _ambientgan,
}


def _measured(archive: Archive, dates: slice) -> np.ndarray:
    """Raw values, (t, C, H, W), of directions sine and cosine; NaN where unseen, withheld or outside the domain."""
    shown = []
    for date in range(dates.start, dates.stop):
        raw = np.asarray(archive.field[date].values, np.float64)
        hidden = None if archive.withheld is None else archive.withheld.hidden(date, archive.seen)
        shown.append(np.where(archive.domain if hidden is None else archive.domain & ~hidden, raw, np.nan))
    return archive.standardiser.components(np.stack(shown))


def _phase(archive: Archive, dates: slice) -> np.ndarray | None:
    return None if archive.phase is None else archive.phase[dates]
