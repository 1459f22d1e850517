"""What a baseline receives from the league table, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch

from geogan.archive import Archive
from geogan.compute.threads import side_by_side
from geogan.evaluation.baselines import BASELINES
from geogan.model import Model
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

DateFiller = Callable[[slice], np.ndarray]
"""Function that fills some dates: (t, C, H, W) in the field's units, NaN where the method has no estimate."""


@dataclass(frozen=True)
class BaselineInput:
    """A gappy record and the dates to fill.

    Attributes
    ----------
    archive : Archive
        The record; its withheld observations must stay hidden.
    model : Model
        The model to compare with: a baseline uses its operator, and may train for as long as the model did.
    dates : ndarray of int
        Dates to score, in order; a slow baseline fills only these.
    device : torch.device, optional
    threads : int, optional
    progress : callable
        Called with how much is done, and of how much.
    message : callable
        Called with a sentence before a long computation.
    """

    archive: Archive
    model: Model
    dates: np.ndarray
    device: torch.device | None
    threads: int | None
    progress: Callable[[float, float], None]
    message: Callable[[str], None]

    @property
    def entry(self) -> str:
        """Noun for an entry of the archive."""
        return "sample" if self.archive.independent else "date"

    def anomalies(self, dates: slice | np.ndarray) -> np.ndarray:
        """Return standardised anomalies, (t, C, H, W); NaN where not observed, withheld or outside the domain."""
        film = self.archive.read(dates)
        return np.where(film.mask.numpy() > 0, film.values.numpy(), np.float32(np.nan))

    def measured(self, dates: slice) -> np.ndarray:
        """Return values in the field's units, (t, C, H, W); NaN where not observed, withheld or outside the domain.

        Directions are given as sine and cosine, in two bands.
        """
        archive, maps = self.archive, []
        for date in range(dates.start, dates.stop):
            raw = np.asarray(archive.field[date].values, np.float64)
            hidden = None if archive.withheld is None else archive.withheld.hidden(date, archive.seen)
            maps.append(np.where(archive.domain if hidden is None else archive.domain & ~hidden, raw, np.nan))
        return archive.standardiser.components(np.stack(maps))


def prepare_baseline(name: str, given: BaselineInput) -> DateFiller:
    """Return the function by which a baseline fills dates; a slow baseline is fitted now.

    Parameters
    ----------
    name : str
        One of :data:`~geogan.evaluation.baselines.BASELINES`.
    given : BaselineInput
        Its archive says how many values a slow baseline may hold in memory.

    Raises
    ------
    InputError
        If the record is too large for memory, or the method cannot be used on it.
    """
    size, most = given.archive.field.size, given.archive.most_values
    if BASELINES[name].is_slow and size > most:
        raise InputError(
            f"{name} needs the record in memory, which has {size:,} values, more than {most:,}; name other "
            "methods, or evaluate a part of the record"
        )
    return import_module(f"geogan.evaluation.baselines.{name}").prepare(given)


def filler_from_anomalies(given: BaselineInput, anomalies: Iterable[tuple[slice | int, np.ndarray]]) -> DateFiller:
    """Return the function that looks up dates among computed anomalies, in the field's units.

    Parameters
    ----------
    given : BaselineInput
    anomalies : iterable of (rows, ndarray)
        Rows of ``given.dates``, and their standardised anomalies, ([t,] C, H, W).
    """
    archive = given.archive
    computed = np.full((len(given.dates), archive.bands, *archive.domain.shape), np.nan, np.float32)
    for rows, anomaly in anomalies:
        computed[rows] = anomaly

    def fill(dates: slice) -> np.ndarray:
        wanted = np.arange(dates.start, dates.stop)
        anomaly = np.full((len(wanted), *computed.shape[1:]), np.nan, np.float32)
        is_computed = np.isin(wanted, given.dates)
        anomaly[is_computed] = computed[np.searchsorted(given.dates, wanted[is_computed])]
        filled = archive.in_units(anomaly, dates)
        if archive.limits is not None:
            filled = np.clip(filled, *archive.limits)
        return np.where(archive.domain, filled, np.nan)

    return fill


def fill_each_date(name: str, fill: Callable[[int], np.ndarray], given: BaselineInput) -> DateFiller:
    """Fit a method to each date separately, several side by side, and return the filler.

    Parameters
    ----------
    name : str
        Name of the method, for the message.
    fill : callable
        Takes a date, returns its standardised anomalies, (C, H, W).
    given : BaselineInput
    """

    def computed() -> Iterable[tuple[int, np.ndarray]]:
        given.message(f"fitting {name} to {counted(len(given.dates), given.entry)}, one at a time")
        for row, filled in enumerate(side_by_side(fill, given.dates.tolist(), threads=given.threads)):
            yield row, filled
            given.progress(row + 1, len(given.dates))

    return filler_from_anomalies(given, computed())
