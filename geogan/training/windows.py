"""Training windows: random crops in space and time, drawn from blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from geogan.fields.circle import columns
from geogan.prior import Film


def draw_windows(
    blocks: Sequence[Film | None],
    *,
    batch: int,
    frames: int,
    crop: tuple[int, int],
    generator: torch.Generator,
    share: slice = slice(None),
    turned: bool = True,
    tilted: bool = False,
    is_periodic: bool = False,
) -> Film:
    """Draw a batch of windows, turned over at random.

    The blocks are dealt out among the windows, as evenly as their numbers allow: window ``i`` comes from one of every
    so many blocks. Of several processes that share a batch, each then needs its own blocks only.

    Parameters
    ----------
    blocks : sequence of Film or None
        At least ``frames`` dates and ``crop`` cells large; None where another process has it.
    batch, frames : int
        Windows to draw, dates of each.
    crop : (int, int)
        Height and width of a window, in cells.
    generator : torch.Generator
    share : slice
        Which windows of the batch to cut. All are drawn: whoever cuts some of them cuts what the one who cuts all does.
    turned : bool
        False to leave them as they are: a first guess that knows the grid's cells cannot be turned over.
    tilted : bool
        Along both axes or along none: a covariance that leans to one side leans to the other in a mirror.
    is_periodic : bool
        Whether blocks go once round the globe: windows then lie across the seam too, unless they are to be left as they
        are.
    """
    places = torch.rand((batch, 6), generator=generator, dtype=torch.float64).tolist()
    dealt = math.gcd(batch, len(blocks))
    drawn = []
    for number in range(batch)[share]:
        which, when, down, right, *turns = places[number]
        among = blocks[number % dealt :: dealt]
        block = among[int(which * len(among))]
        assert block is not None, f"window {number} is cut from a block of another process"
        t = int(when * (block.values.shape[0] - frames + 1))
        y = int(down * (block.values.shape[-2] - crop[0] + 1))
        width = block.values.shape[-1]
        x = int(right * (width if is_periodic and turned else width - crop[1] + 1))
        turns = turns[:1] * 2 if tilted else turns
        flips = tuple(axis for axis, turn in zip((-2, -1), turns, strict=True) if turned and turn < 0.5)
        place = columns(slice(x, x + crop[1]), width)
        drawn.append(
            block.window(
                slice(t, t + frames),
                slice(y, y + crop[0]),
                place if isinstance(place, slice) else torch.from_numpy(place),
                flips,
            )
        )
    return Film.stack(drawn)
