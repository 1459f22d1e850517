"""Windows are crops of blocks, all their parts from one place."""

import math
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from geogan.prior import Film
from geogan.prior.archive_covariance import ArchivePrior
from geogan.prior.local import LocalPrior
from geogan.training.windows import WindowSampler


def block(first, frames=6, height=11, width=14):
    """Return a block in which values encode positions, and other parts are functions of the values."""
    values = first + torch.arange(frames * height * width, dtype=torch.float32).view(frames, 1, height, width)
    place = torch.arange(height * width, dtype=torch.float32).view(height, width)
    days = first + torch.arange(frames, dtype=torch.float64)
    return Film(values=values, mask=values % 7, kept=values % 5, guess=-values, domain=place, days=days)


BLOCKS = [block(0.0), block(10_000.0), block(20_000.0, frames=9)]


def draw(seed=0, *, batch=200, frames=3, crop=(4, 6)):
    return WindowSampler(frames, crop).draw(BLOCKS, batch, torch.Generator().manual_seed(seed))


def test_all_parts_come_from_one_place():
    windows = draw()
    assert windows.values.shape == (200, 3, 1, 4, 6) and windows.domain.shape == (200, 1, 1, 4, 6)
    assert torch.equal(windows.mask, windows.values % 7) and torch.equal(windows.kept, windows.values % 5)
    assert torch.equal(windows.guess, -windows.values)
    first = windows.values // 10_000 * 10_000
    cell = windows.values - first
    assert torch.equal(cell % (11 * 14), windows.domain.expand_as(cell))
    assert torch.equal(first[:, :, 0, 0, 0] + cell[:, :, 0, 0, 0] // (11 * 14), windows.days.float())


def test_windows_are_whole_crops_turned_over_or_not():
    cells = draw().domain[:, 0, 0]
    down, right = cells[:, 1, 0] - cells[:, 0, 0], cells[:, 0, 1] - cells[:, 0, 0]
    assert set(down.tolist()) == {14.0, -14.0} and set(right.tolist()) == {1.0, -1.0}
    rows, columns = down[:, None, None] * torch.arange(4)[:, None], right[:, None, None] * torch.arange(6)
    assert torch.equal(cells - cells[:, :1, :1], rows + columns)


def test_every_place_is_reached():
    windows = draw(batch=800)
    starts = windows.domain.amin((1, 2, 3, 4)).long()
    assert set((starts // 14).tolist()) == set(range(8)) and set((starts % 14).tolist()) == set(range(9))
    assert {day for window in windows.days.tolist() for day in window} == {
        *map(float, range(6)), *(10_000.0 + day for day in range(6)), *(20_000.0 + day for day in range(9))
    }  # fmt: skip


def test_the_generator_decides():
    first, again = draw(3).parts(), draw(3).parts()
    assert len(first) == 6 and all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(draw(3).values, draw(4).values)


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 4), st.integers(0, 100))
def test_shares_of_a_batch_are_the_batch(count, size, ranks, seed):
    """Blocks from which a process draws no window may be absent."""
    batch, dealt = ranks * count, math.gcd(ranks * count, size)
    blocks = [block(10_000.0 * number) for number in range(size)]

    def cut(blocks, share=slice(None)):
        generator = torch.Generator().manual_seed(seed)
        found = WindowSampler(2, (3, 4)).draw(blocks, batch, generator, share)
        return found, torch.rand(1, generator=generator)

    whole, after = cut(blocks)
    apart = math.gcd(ranks, dealt)
    for rank in range(ranks):
        part, then = cut(
            [each if number % apart == rank % apart else None for number, each in enumerate(blocks)],
            slice(rank, None, ranks),
        )
        assert torch.equal(part.values, whole.values[rank::ranks]) and torch.equal(part.days, whole.days[rank::ranks])
        assert torch.equal(then, after)


def test_blocks_are_dealt_out_evenly():
    windows = draw(batch=9)
    assert (windows.days[:, 0] // 10_000).tolist() == [0, 1, 2] * 3


def test_a_crop_as_large_as_the_block():
    windows = draw(crop=(11, 14), frames=6, batch=5)
    assert windows.values.shape == (5, 6, 1, 11, 14)
    assert windows.clean is None and windows.noise is None


def test_clean_fields_and_noise_are_cut_and_turned_with_the_values():
    one = replace(BLOCKS[0], clean=BLOCKS[0].values + 1, noise=-BLOCKS[0].values)
    windows = WindowSampler(3, (4, 6)).draw([one], 30, torch.Generator().manual_seed(0))
    moved = windows.to(torch.device("cpu"))
    assert torch.equal(moved.clean, windows.values + 1) and torch.equal(moved.noise, -windows.values)


def test_windows_that_lean_are_turned_along_both_axes_or_none():
    generator = torch.Generator().manual_seed(0)
    cells = WindowSampler(3, (4, 6), "both").draw(BLOCKS, 50, generator).domain[:, 0, 0]
    down, right = (cells[:, 1, 0] - cells[:, 0, 0]).sign(), (cells[:, 0, 1] - cells[:, 0, 0]).sign()
    assert torch.equal(down, right) and set(down.tolist()) == {1.0, -1.0}


def test_windows_of_a_grid_that_is_known_by_cell_are_not_turned():
    generator = torch.Generator().manual_seed(0)
    windows = WindowSampler(3, (11, 14), "none").draw(BLOCKS, 50, generator)
    assert (windows.domain[:, 0, 0] == BLOCKS[0].domain).all()


def test_images_are_never_upside_down(prior):
    """They are mirrored left to right, unless the covariance of the first guess is tilted."""
    of = {"frames": 3, "crop": (4, 6), "is_image": True}
    sampler = WindowSampler.of(None, **of)
    cells = sampler.draw(BLOCKS, 60, torch.Generator().manual_seed(0)).domain[:, 0, 0]
    assert (cells[:, 1, 0] > cells[:, 0, 0]).all()
    assert set((cells[:, 0, 1] - cells[:, 0, 0]).sign().tolist()) == {1.0, -1.0}
    assert WindowSampler.of(prior, **of).mirrored == "columns"
    assert WindowSampler.of(replace(prior, tilt=0.5), **of).mirrored == "none"


def test_windows_lie_across_the_seam():
    block = BLOCKS[0]
    height, width = block.values.shape[-2:]
    generator = torch.Generator().manual_seed(0)
    found = WindowSampler(2, (height, width), circle=width).draw([block], 400, generator)
    turned = {tuple(block.values[:2, :, :, :].roll(-by, -1).flatten()[:5].tolist()): by for by in range(width)}
    unflipped = [turned.get(tuple(each.flatten()[:5].tolist())) for each in found.values]
    assert len({by for by in unflipped if by is not None}) > width // 2
    # A first guess that knows the cells is left as it is.
    still = WindowSampler(2, (height, width), "none", circle=width).draw([block], 5, generator)
    assert all(
        any(torch.equal(each, block.values[t : t + 2]) for t in range(len(block.values))) for each in still.values
    )


def test_windows_are_mirrored_as_far_as_the_first_guess_allows(prior):
    of = {"frames": 3, "crop": (4, 6)}
    assert WindowSampler.of(None, **of).mirrored == WindowSampler.of(prior, **of).mirrored == "each"
    assert WindowSampler.of(replace(prior, tilt=0.5), **of).mirrored == "both"
    assert WindowSampler.of(replace(prior, drift_x=-2.0), **of).mirrored == "none"
    whole_grid = ArchivePrior(
        torch.eye(4), persistence=1.0, steady=0.5, noise=0.1, length=4.0, aspect=1.0, amplitude=1.0
    )
    assert WindowSampler.of(whole_grid, **of).mirrored == "none"


def test_the_numbers_of_a_step_depend_on_the_seed_and_the_step():
    def numbers(seed, step):
        return torch.rand(3, generator=WindowSampler(3, (4, 6), seed=seed).generator(step)).tolist()

    assert numbers(1, 5) == numbers(1, 5) != numbers(1, 6) != numbers(2, 6)


def test_windows_get_their_part_of_a_prior_that_knows_its_place():
    height, width = 20, 30
    maps = torch.ones(1, 3, height, width)
    maps[0, 2] = 1 + torch.arange(height * width, dtype=torch.float32).view(height, width)
    grid = LocalPrior(maps, maps[:, :0], 1.0, length=4.0, persistence=1.0, noise=0.1)
    # A block across the seam: its values are the numbers of its cells.
    columns = torch.arange(22, 36) % width
    cells = maps[0, 2, 5:16][:, columns] - 1
    values = cells.expand(6, 1, 11, 14).contiguous()
    part = replace(BLOCKS[0], values=values, place=torch.tensor([5, 22]))
    windows = WindowSampler.of(grid, frames=2, crop=(4, 6)).draw([part], 40, torch.Generator().manual_seed(0))
    assert len({tuple(place) for place in windows.place.tolist()}) > 20
    assert torch.equal(windows.prior(grid).maps[:, 0, 2] - 1, windows.values[:, 0, 0])
    assert torch.equal(part.prior(grid).maps[0, 0, 2] - 1, cells)
