"""Gaps borrowed from other dates of the same archive."""

from dataclasses import InitVar, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, dated_generator, masked
from geogan.operators.parameters import check_parameters

# Frames kept, and how many successive ones are kept together where an archive has more.
_FRAMES = 512
_RUN = 16


@dataclass(frozen=True)
class GapLibrary:
    """Masks of an archive, eight cells a byte.

    Attributes
    ----------
    packed : Tensor of uint8, shape (N, C, H, ceil(W / 8))
        Rows of cells, True where observed or land; the highest bit is the westernmost column.
    runs : Tensor of int64, shape (N,)
        Frames with the same number follow one another in the archive.
    width : int
        W, in cells.

    Examples
    --------
    >>> import numpy as np
    >>> library = GapLibrary.of(np.eye(5, 11, dtype=bool)[None], runs=np.array([0]))
    >>> library.packed.shape, library.size
    (torch.Size([1, 1, 5, 2]), (5, 11))
    """

    packed: Tensor
    runs: Tensor
    width: int

    @classmethod
    def of(cls, frames: np.ndarray, *, runs: np.ndarray) -> Self:
        """Pack boolean frames (N, H, W) or (N, C, H, W)."""
        frames = frames.reshape(len(frames), -1, *frames.shape[-2:])
        return cls(torch.from_numpy(np.packbits(frames, axis=-1)), torch.from_numpy(runs), frames.shape[-1])

    @property
    def channels(self) -> int:
        """Number of channels that have gaps of their own; 1 where they share them."""
        return self.packed.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame, in cells."""
        return self.packed.shape[2], self.width

    def crop(self, frames: list[int], rows: np.ndarray, columns: np.ndarray) -> Tensor:
        """Cells of some frames: a boolean tensor (len(frames), C, len(rows), len(columns))."""
        packed = self.packed.numpy()[np.ix_(np.asarray(frames), np.arange(self.channels), rows, columns // 8)]
        return torch.from_numpy((packed >> (7 - columns % 8).astype(np.uint8)) & 1 > 0)


@dataclass(frozen=True)
class ObservedGaps(Operator):
    """Hide what was hidden on other dates: the archive's own gaps, in their own shapes.

    The gaps must be fitted before any can be drawn. The library then holds at most 512 frames: all of
    them, or runs of 16 spread over the archive. Frames of which nothing was seen are left out, for a
    measurement without a value teaches nothing; so are frames without any gap, for they hide nothing to
    be reconstructed. A film is made of frames that follow one another among those kept. Fitted to gaps that
    differ between channels, it draws such gaps, all channels from one date and place.

    Parameters
    ----------
    flip : bool
        Mirror the gaps east-west and north-south at random.
    shift : bool
        Take the gaps from anywhere in the frame. False: from its first row and column on, so that a crop
        as large as the archive stays where it was (swath edges, glint).
    library : GapLibrary, optional
        The fitted gaps; no parameter, and left out of ``asdict``: see ``state`` and ``with_state``.

    Examples
    --------
    >>> import numpy as np, torch
    >>> observed = np.random.default_rng(0).random((20, 30, 40)) > 0.3
    >>> gaps = ObservedGaps().fitted(observed, np.ones((30, 40), dtype=bool))
    >>> theta = gaps.sample((4, 3, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    >>> theta.shape, theta.dtype
    (torch.Size([4, 3, 1, 16, 16]), torch.bool)
    """

    flip: bool = True
    shift: bool = True

    # Whether frames go once round the globe: a fact of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False
    # InitVar, not a field: parameters are what describe() writes and asdict() copies, not megabytes.
    library: InitVar[GapLibrary | None] = None

    def __post_init__(self, library: GapLibrary | None) -> None:
        check_parameters(self, "observed_gaps")
        # On the instance, where replace() finds it again.
        object.__setattr__(self, "library", library)

    @property
    def gaps(self) -> GapLibrary:
        """The fitted library.

        Raises
        ------
        InputError
            Before fitting.
        """
        library: GapLibrary | None = self.__dict__["library"]
        if library is None:
            raise InputError(
                "observed_gaps draws gaps from an archive, but has seen none yet; call fitted(observed, domain) first"
            )
        return library

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> Self:
        """Take the gaps of an archive into the library, unless it holds some already.

        Parameters
        ----------
        observed : ndarray of bool, shape (N, H, W) or (N, C, H, W)
            True where measured; consecutive rows are consecutive dates. With C channels, what is drawn has C.
        domain : ndarray of bool, shape (H, W)
            True where the quantity exists. The other cells count as observed: land is no gap.
        seed : int
            Which runs are kept of an archive that has more than 512 frames with gaps.

        Returns
        -------
        ObservedGaps

        Raises
        ------
        InputError
            If no frame is partly observed.
        """
        if self.__dict__["library"] is not None:
            return self
        observed, domain = np.asarray(observed, dtype=bool), np.asarray(domain, dtype=bool)
        cells = int(domain.sum()) * (observed.shape[1] if observed.ndim == 4 else 1)
        gaps = np.array([int((domain & ~frame).sum()) for frame in observed])
        kept = np.flatnonzero((gaps > 0) & (gaps < cells))
        if not len(kept):
            raise InputError(
                f"observed_gaps needs dates that are partly observed, but each of the {len(observed)} is "
                "either "
                "complete or empty; use another operator, such as cloud_mask:coverage=0.5"
            )
        runs = np.zeros(len(kept), dtype=np.int64)
        if len(kept) > _FRAMES:
            # Evenly spread over the archive, shifted at random within their share of it: all seasons.
            count = _FRAMES // _RUN
            edges = np.linspace(0, len(kept), count + 1).astype(int)
            free = np.maximum(np.diff(edges) - _RUN, 0)
            starts = edges[:-1] + np.random.default_rng(seed).integers(0, free + 1)
            kept = kept[(starts[:, None] + np.arange(_RUN)).ravel()]
            runs = np.repeat(np.arange(count), _RUN)
        return replace(self, library=GapLibrary.of(observed[kept] | ~domain, runs=runs))

    @property
    def channelwise(self) -> bool:
        """Whether it was fitted to channels with gaps of their own."""
        return self.__dict__["library"] is not None and self.gaps.channels > 1

    def check_shape(self, shape: tuple[int, int, int, int, int]) -> None:
        """Refuse another number of channels than the library has."""
        if self.gaps.channels not in (1, shape[2]):
            raise InputError(
                f"observed_gaps was fitted to {self.gaps.channels} channels, each with gaps of its own, but {shape[2]} "
                "are to be measured; fit it to a field of as many"
            )

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw gaps: a boolean tensor (B, T, 1, H, W), or (B, T, C, H, W) where channels differ; True = observed.

        Crops larger than the library's frames go on in its mirror image; films longer than its runs turn
        round at the end.
        """
        self.check_shape(shape)
        batch, frames, _, height, width = shape
        library = self.gaps
        starts = _starts(library.runs.numpy(), frames)
        # All whole numbers are drawn in one call: one wait for the device.
        drawn = torch.randint(0, 2**31 - 1, (batch, 5), generator=generator, device=generator.device).tolist()
        films = []
        for start, top, left, north, east in drawn:
            first = int(starts[start % len(starts)])
            dates = _mirrored(np.arange(first, first + frames), len(library.runs)).tolist()
            rows = self._cells(height, library.size[0], top, north)
            columns = self._cells(width, library.size[1], left, east, is_periodic=self.is_periodic)
            films.append(library.crop(dates, rows, columns))
        return torch.stack(films).to(generator.device)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """``x`` with the borrowed gaps set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """The gaps of one date: successive dates take successive frames, for eight frames on end."""
        episode, position = divmod(np.floor(step), 8)
        film = self.sample((1, 8, channels, *size), generator=dated_generator(seed, episode))
        assert isinstance(film, Tensor)
        return film[:, int(position), None]

    def state(self) -> dict[str, Tensor]:
        """The library as tensors: ``packed``, ``runs`` and ``width``; empty before fitting."""
        if self.__dict__["library"] is None:
            return {}
        library = self.gaps
        return {"packed": library.packed, "runs": library.runs, "width": torch.tensor(library.width)}

    def with_state(self, state: dict[str, Tensor]) -> Self:
        """The operator with the library that ``state`` gave; itself where that is empty."""
        if not state:
            return self
        # Checkpoints may come back on a GPU; the library is cropped with NumPy. Some have no dimension of channels.
        packed = state["packed"].cpu()
        packed = packed.reshape(len(packed), -1, *packed.shape[-2:])
        library = GapLibrary(packed, state["runs"].cpu(), int(state["width"]))
        return replace(self, library=library)

    def around(self, is_periodic: bool) -> Self:
        """The same gaps on frames that go once round the globe, or do not.

        On such frames gaps that are taken from anywhere begin at any meridian and go on across the seam.
        """
        kind: Any = RoundObservedGaps if is_periodic else ObservedGaps
        same = self.is_periodic == is_periodic
        return self if same else kind(self.flip, self.shift, library=self.__dict__["library"])

    def _cells(self, wanted: int, there: int, offset: int, mirror: int, *, is_periodic: bool = False) -> np.ndarray:
        """Rows (or columns) of the library under a crop."""
        if is_periodic and wanted == there:
            # The same whole turn, from another meridian on.
            cells = (np.arange(wanted) + (offset % there if self.shift else 0)) % there
            return cells[::-1] if self.flip and mirror % 2 else cells
        # A smaller crop lies inside the frame; a larger one starts anywhere in the endless mirror pattern.
        places = there - wanted + 1 if wanted < there else 2 * there
        cells = _mirrored(np.arange(wanted) + (offset % places if self.shift else 0), there)
        return cells[::-1] if self.flip and mirror % 2 else cells


@dataclass(frozen=True)
class RoundObservedGaps(ObservedGaps):
    """:class:`ObservedGaps` on frames whose last column touches the first.

    Examples
    --------
    >>> ObservedGaps(flip=False).around(True).around(False)
    ObservedGaps(flip=False, shift=True)
    """

    is_periodic: ClassVar[bool] = True


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Fold an index into ``range(length)``, forth and back.

    Examples
    --------
    >>> _mirrored(np.arange(8), 3).tolist()
    [0, 1, 2, 2, 1, 0, 0, 1]
    """
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def _starts(runs: np.ndarray, frames: int) -> np.ndarray:
    """Where a film of so many frames can start without leaving its run; anywhere if there is none so long.

    Examples
    --------
    >>> _starts(np.array([0, 0, 0, 1, 1]), 2).tolist()
    [0, 1, 3]
    """
    ends = np.arange(len(runs)) + frames - 1
    inside = np.flatnonzero(ends < len(runs))
    starts = inside[runs[inside] == runs[ends[inside]]]
    return starts if len(starts) else np.arange(len(runs))
