"""Observed gaps: masks of other dates of the same archive."""

from dataclasses import InitVar, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, dated_generator, masked
from geogan.operators.parameters import check_parameters

_FRAMES = 512  # most frames that a library keeps
_RUN = 16  # consecutive frames that are kept together where an archive has more than _FRAMES
_EPISODE = 8  # consecutive dates that take consecutive frames in `at`


@dataclass(frozen=True)
class GapLibrary:
    """Masks of an archive, packed eight cells to a byte.

    Attributes
    ----------
    packed : Tensor of uint8, shape (N, C, H, ceil(W / 8))
        True where observed or land; the highest bit is the westernmost column.
    runs : Tensor of int64, shape (N,)
        Frames with the same number are consecutive in the archive.
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
        """Number of channels with different gaps; 1 if they share gaps."""
        return self.packed.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame, in cells."""
        return self.packed.shape[2], self.width

    def crop(self, frames: list[int], rows: np.ndarray, columns: np.ndarray) -> Tensor:
        """Return cells of some frames: a boolean tensor (len(frames), C, len(rows), len(columns))."""
        packed = self.packed.numpy()[np.ix_(np.asarray(frames), np.arange(self.channels), rows, columns // 8)]
        return torch.from_numpy((packed >> (7 - columns % 8).astype(np.uint8)) & 1 > 0)


@dataclass(frozen=True)
class ObservedGaps(Operator):
    """Hide cells with gaps that were observed on other dates of the archive.

    The operator must be fitted before it can draw. Its library holds at most 512 frames: all frames, or runs of 16
    spread over the archive. Frames without any observation are left out, since nothing can be learned from them; so are
    frames without any gap. A film consists of consecutive frames of the library. Fitted to gaps that differ between
    channels, the operator draws all channels from the same date and crop.

    Parameters
    ----------
    flip : bool
        Mirror the gaps east-west and north-south at random.
    shift : bool
        Take the gaps from a random position in the frame. False: from its first row and column, so that a crop as large
        as the archive keeps its position (swath edges, glint).
    library : GapLibrary, optional
        The fitted gaps. It is not a parameter, and ``asdict`` leaves it out: see ``state`` and ``with_state``.

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

    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False
    # InitVar, not a field: describe() writes and asdict() copies all fields, and the library has megabytes.
    library: InitVar[GapLibrary | None] = None

    def __post_init__(self, library: GapLibrary | None) -> None:
        check_parameters(self, "observed_gaps")
        # On the instance, where dataclasses.replace() finds it.
        object.__setattr__(self, "library", library)

    @property
    def gaps(self) -> GapLibrary:
        """The fitted library.

        Raises
        ------
        InputError
            If the operator is not fitted.
        """
        library: GapLibrary | None = self.__dict__["library"]
        if library is None:
            raise InputError(
                "observed_gaps draws gaps from an archive, but is not fitted to one; call fitted(observed, domain) "
                "first"
            )
        return library

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> Self:
        """Return the operator with a library of the gaps of an archive; itself if it has a library.

        Parameters
        ----------
        observed : ndarray of bool, shape (N, H, W) or (N, C, H, W)
            True where measured; consecutive rows are consecutive dates. With C channels, drawn gaps have C channels.
        domain : ndarray of bool, shape (H, W)
            True where the quantity exists. Other cells (land) count as observed.
        seed : int
            Seed of the choice of runs from an archive with more than 512 frames with gaps.

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
                "either complete or empty; use another operator, such as cloud_mask:coverage=0.5"
            )
        runs = np.zeros(len(kept), dtype=np.int64)
        if len(kept) > _FRAMES:
            # One run at a random position in each of `count` equal parts of the archive, to cover all seasons.
            count = _FRAMES // _RUN
            edges = np.linspace(0, len(kept), count + 1).astype(int)
            free = np.maximum(np.diff(edges) - _RUN, 0)
            starts = edges[:-1] + np.random.default_rng(seed).integers(0, free + 1)
            kept = kept[(starts[:, None] + np.arange(_RUN)).ravel()]
            runs = np.repeat(np.arange(count), _RUN)
        return replace(self, library=GapLibrary.of(observed[kept] | ~domain, runs=runs))

    @property
    def channelwise(self) -> bool:
        """Whether the library has gaps that differ between channels."""
        return self.__dict__["library"] is not None and self.gaps.channels > 1

    def check_shape(self, shape: tuple[int, int, int, int, int]) -> None:
        """Refuse a number of channels that the library does not have."""
        if self.gaps.channels not in (1, shape[2]):
            raise InputError(
                f"observed_gaps was fitted to {self.gaps.channels} channels, each with gaps of its own, but {shape[2]} "
                "are to be measured; fit it to a field with that number of bands"
            )

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw gaps: a boolean tensor (B, T, 1, H, W), or (B, T, C, H, W) if channels differ; True where observed.

        Crops larger than the frames of the library continue with their mirror image; films longer than its runs are
        reversed at the end.
        """
        self.check_shape(shape)
        batch, frames, _, height, width = shape
        library = self.gaps
        starts = _starts(library.runs.numpy(), frames)
        # One call draws all integers, since each call waits for the device.
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
        """Return ``x`` with the borrowed gaps set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the gaps of one date; eight consecutive dates take consecutive frames of the library."""
        episode, position = divmod(np.floor(step), _EPISODE)
        film = self.sample((1, _EPISODE, channels, *size), generator=dated_generator(seed, episode))
        assert isinstance(film, Tensor)
        return film[:, int(position), None]

    def state(self) -> dict[str, Tensor]:
        """Return the library as tensors ``packed``, ``runs`` and ``width``; empty before fitting."""
        if self.__dict__["library"] is None:
            return {}
        library = self.gaps
        return {"packed": library.packed, "runs": library.runs, "width": torch.tensor(library.width)}

    def with_state(self, state: dict[str, Tensor]) -> Self:
        """Return the operator with the library from ``state``; itself if that is empty."""
        if not state:
            return self
        # State may be on a GPU, but crops are taken with NumPy. Older state has no channel dimension.
        packed = state["packed"].cpu()
        packed = packed.reshape(len(packed), -1, *packed.shape[-2:])
        library = GapLibrary(packed, state["runs"].cpu(), int(state["width"]))
        return replace(self, library=library)

    def around(self, is_periodic: bool) -> Self:
        """Return the operator for frames that go once round the globe, or do not.

        On such frames, gaps with ``shift`` start at a random meridian and cross the seam.
        """
        kind: Any = RoundObservedGaps if is_periodic else ObservedGaps
        if self.is_periodic == is_periodic:
            return self
        return kind(self.flip, self.shift, library=self.__dict__["library"])

    def _cells(self, count: int, side: int, offset: int, mirror: int, *, is_periodic: bool = False) -> np.ndarray:
        """Return the ``count`` rows (or columns) of a crop from library frames with ``side`` rows (or columns)."""
        if is_periodic and count == side:
            # A full turn that starts at another meridian.
            cells = (np.arange(count) + (offset % side if self.shift else 0)) % side
            return cells[::-1] if self.flip and mirror % 2 else cells
        # A smaller crop lies inside the frame; a larger one starts anywhere in the periodic mirror pattern.
        starts = side - count + 1 if count < side else 2 * side
        cells = _mirrored(np.arange(count) + (offset % starts if self.shift else 0), side)
        return cells[::-1] if self.flip and mirror % 2 else cells


@dataclass(frozen=True)
class RoundObservedGaps(ObservedGaps):
    """:class:`ObservedGaps` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> ObservedGaps(flip=False).around(True).around(False)
    ObservedGaps(flip=False, shift=True)
    """

    is_periodic: ClassVar[bool] = True


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Return indices folded into ``range(length)``, forwards and backwards in turn.

    Examples
    --------
    >>> _mirrored(np.arange(8), 3).tolist()
    [0, 1, 2, 2, 1, 0, 0, 1]
    """
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def _starts(runs: np.ndarray, frames: int) -> np.ndarray:
    """Return the indices at which a film of ``frames`` frames stays in one run; all indices if no run is that long.

    Examples
    --------
    >>> _starts(np.array([0, 0, 0, 1, 1]), 2).tolist()
    [0, 1, 3]
    """
    ends = np.arange(len(runs)) + frames - 1
    inside = np.flatnonzero(ends < len(runs))
    starts = inside[runs[inside] == runs[ends[inside]]]
    return starts if len(starts) else np.arange(len(runs))
