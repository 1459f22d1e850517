"""Films: consecutive dates of a gappy field as tensors, with masks, errors and other companions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor


class HasPlace(Protocol):
    """A prior that may know the place of a film."""

    def at(self, place: Tensor, size: tuple[int, ...]) -> Self:
        """Return the prior on windows of ``size`` rows and columns, whose first ones are ``place`` (B, 2)."""


Placed = TypeVar("Placed", bound=HasPlace)
# The value of a part that a film does not have.
ABSENT: Any = None


class Scales(Protocol):
    """Distances in time and space over which a field is correlated, such as those of a prior."""

    @property
    def length(self) -> float: ...
    @property
    def persistence(self) -> float: ...
    @property
    def aspect(self) -> float: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Film:
    """Frames of a gappy field on consecutive dates, or independent samples.

    The archive reads films, the first guess is fitted to films, training blocks and withheld clouds are films, and a
    training batch is a stack of them. Only the first four parts are always present; an absent part is None. Shapes
    are those of one film; a batch has a leading axis B.

    Attributes
    ----------
    values : Tensor, shape (T, C, H, W)
        Unitless anomalies; 0 where nothing was observed.
    mask : Tensor, shape (T, C, H, W)
        1 where observed and available to training; withheld observations are excluded.
    domain : Tensor, shape (H, W), in a batch (B, 1, 1, H, W)
        1 where the field exists.
    days : Tensor of float64, shape (T,)
        Dates in days. They stay in the host's memory, see :meth:`to`.
    kept : Tensor, shape (T, C, H, W)
        1 where the reconstruction is shown the observation; the rest of ``mask`` is hidden, to be predicted.
    single : Tensor, shape (T, C, H, W)
        1 where an isolated observation is hidden; the first guess is fitted to those apart from hidden clouds.
    withheld : Tensor, shape (T, C, H, W)
        1 where observed but withheld from training, for validation.
    guess : Tensor, shape (T, C, H, W)
        First guess from the observations shown; 0 if there is no prior.
    target : Tensor, shape (T, C, H, W)
        What a reconstruction is compared with in validation: ``values``, or the measurement with independent noise.
    uncertainty : Tensor, shape (T, C, H, W)
        Known standard deviation of the errors of ``values``, in anomalies.
    target_uncertainty : Tensor, shape (T, C, H, W)
        That of ``target``.
    covariates : Tensor, shape (T, K, H, W), in a batch (B, K, H, W)
        Channels shown to the networks beside the field; in a batch, those of the middle frame.
    near : Tensor, shape (T, 3 C, H, W)
        Proximity to observations shown, see :func:`geogan.prior.nearness.nearness`.
    noise : Tensor, shape (T, C, H, W)
        A draw of the measurement noise, to be added to ``values``.
    members : Tensor, shape (M, T, C, H, W)
        What makes ensemble members differ: draws of the first guess's posterior minus ``guess``, or white noise.
    deviation : Tensor, shape (T, C, H, W)
        One draw of the first guess's posterior minus ``guess``, for the error network.
    clean : Tensor, shape (T, C, H, W)
        Anomalies without gaps, of the same place and dates or unrelated.
    place : Tensor of int64, shape (2,)
        First row and column on the grid of the archive; in the host's memory, as the days.

    Examples
    --------
    >>> mask = torch.ones(3, 1, 4, 5)
    >>> film = Film(values=mask, mask=mask, kept=0 * mask, domain=torch.ones(4, 5), days=torch.arange(3.0))
    >>> film.dates(slice(1, 3)).values.shape, float(film.hidden.sum())
    (torch.Size([2, 1, 4, 5]), 60.0)
    >>> Film.stack([film, film]).domain.shape
    torch.Size([2, 1, 1, 4, 5])
    """

    values: Tensor
    mask: Tensor
    domain: Tensor
    days: Tensor
    kept: Tensor = ABSENT
    single: Tensor | None = None
    withheld: Tensor = ABSENT
    guess: Tensor = ABSENT
    target: Tensor = ABSENT
    uncertainty: Tensor | None = None
    target_uncertainty: Tensor | None = None
    covariates: Tensor | None = None
    near: Tensor | None = None
    noise: Tensor | None = None
    members: Tensor | None = None
    deviation: Tensor | None = None
    clean: Tensor | None = None
    place: Tensor | None = None

    @property
    def hidden(self) -> Tensor:
        """1 where an observation is hidden under an added gap; isolated hidden observations are excluded."""
        hidden = self.mask - self.kept
        return hidden if self.single is None else hidden - self.single

    @property
    def cells(self) -> Tensor:
        """The domain of a batch as a prior expects it, (B, H, W)."""
        return self.domain[:, 0, 0]

    def parts(self) -> dict[str, Tensor]:
        """Return the parts that are present, by name."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: part for name, part in parts.items() if part is not None}

    def apply(self, function: Callable[[Tensor], Tensor]) -> Film:
        """Return the film with a function applied to each part."""
        return Film(**{name: function(part) for name, part in self.parts().items()})

    def to(self, device: torch.device) -> Film:
        """Return the film on a device, except for days and place: solvers read them on the host."""
        return replace(self.apply(lambda part: part.to(device, non_blocking=True)), days=self.days, place=self.place)

    def dates(self, t: slice) -> Film:
        """Return some dates of one film."""
        selected = {
            name: part[..., t, :, :, :]
            for name, part in self.parts().items()
            if name not in ("domain", "days", "place")
        }
        return Film(**selected, domain=self.domain, days=self.days[t], place=self.place)

    def window(self, t: slice, y: slice, x: slice | Tensor, flips: tuple[int, ...] = ()) -> Film:
        """Return a window of one film, mirrored along the axes ``flips``, with the covariates of its middle frame."""
        place, frames = (slice(None), y, x), {}
        for name, part in self.parts().items():
            if name not in ("domain", "days", "covariates", "place"):
                frames[name] = part[..., t, *place].flip(flips)
        if self.covariates is not None:
            frames["covariates"] = self.covariates[(t.start + t.stop) // 2, *place].flip(flips)
        if self.place is not None:
            frames["place"] = self.place + torch.tensor([y.start, x.start if isinstance(x, slice) else int(x[0])])
        return Film(**frames, domain=self.domain[y, x].flip(flips), days=self.days[t])

    def patches(self, where: Tensor, scales: Scales) -> np.ndarray:
        """Return numbers of the patches in which some cells lie; errors in different patches are nearly independent.

        A patch is one band of a box of one length and one persistence.

        Parameters
        ----------
        where : Tensor, shape (T, C, H, W)
            Positive in the cells.
        scales : GaussianPrior or ArchivePrior
            Length and persistence.

        Returns
        -------
        ndarray of int, shape (N,)

        Examples
        --------
        >>> from geogan.prior.gaussian import GaussianPrior
        >>> mask = torch.ones(2, 1, 1, 10)
        >>> film = Film(values=mask, mask=mask, domain=torch.ones(1, 10), days=torch.tensor([0.0, 30.0]))
        >>> film.patches(mask, GaussianPrior(length=5.0, persistence=10.0)).tolist()
        [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7]
        """
        t, band, row, column = (part.cpu().numpy() for part in torch.nonzero(where > 0, as_tuple=True))
        date = ((self.days - self.days[0]).numpy() / scales.persistence).astype(np.int64)[t]
        across = scales.length * scales.aspect**0.5
        along = scales.length / scales.aspect**0.5
        box = (date, band, (row / along).astype(np.int64), (column / across).astype(np.int64))
        shape = tuple(int(part.max(initial=0)) + 1 for part in box)
        numbers: np.ndarray = np.ravel_multi_index(box, shape)
        return numbers

    def prior(self, prior: Placed) -> Placed:
        """Return a prior on the cells of a film, or of each film of a batch."""
        if self.place is None:
            return prior
        return prior.at(self.place if self.place.ndim == 2 else self.place[None], tuple(self.values.shape[-2:]))

    def first(self, count: int) -> Film:
        """Return the first films of a batch."""
        return self.apply(lambda part: part[:count])

    @staticmethod
    def stack(films: Sequence[Film]) -> Film:
        """Return a batch of films that have equal shapes and the same parts."""
        each = [film.parts() for film in films]
        parts = {name: torch.stack([parts[name] for parts in each]) for name in each[0]}
        return Film(**parts | {"domain": parts["domain"][:, None, None]})
