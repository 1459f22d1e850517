"""The compiled stencils do what their matrices do."""

import threading

import numpy as np
import pytest
import torch

from geogan.prior import multigrid, stencils
from geogan.prior.gaussian import GaussianPrior


def system(
    shape: tuple[int, int, int, int], *, tilt: float = 0.0, apart: bool = False, dtype: torch.dtype = torch.float64
) -> multigrid.System:
    """A system with land; ``apart`` gives each entry land and dates of its own."""
    batch, frames, height, width = shape
    random = torch.Generator().manual_seed(0)
    domain = (torch.rand((batch, height, width), generator=random) < 0.8).to(dtype)
    days = torch.cumsum(1 + torch.rand((batch, frames), generator=random, dtype=torch.float64), 1)
    mask = (torch.rand(shape, generator=random) < 0.5).to(dtype)
    prior = GaussianPrior(length=6.0, persistence=4.0, noise=0.3, tilt=tilt, detail=0.5)
    if not apart:
        domain, days = domain[0], days[0]
        return prior._system(mask * domain, domain, days)
    return prior._system(mask * domain[:, None], domain, days)


def fields(like: multigrid.System, count: int = 1) -> list[torch.Tensor]:
    grid = like.grids[0]
    random = torch.Generator().manual_seed(1)
    return [
        torch.randn(grid.weight.shape, generator=random, dtype=grid.weight.dtype) * grid.domain for _ in range(count)
    ]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_the_system_is_applied_in_one_pass(apart: bool, tilt: float) -> None:
    # One pass, on frames held three at a time, is what the parts say one after another.
    one = system((3, 5, 9, 7), apart=apart, tilt=tilt)
    grid, frames = one.grids[0], one.frames
    (x,) = fields(one)
    smooth = multigrid.space_root(grid, multigrid.space_root(grid, x, grid.degree), grid.detail)
    expected = grid.weight * x + frames.diagonal * smooth
    expected[:, :-1] += frames.off * smooth[:, 1:]
    expected[:, 1:] += frames.off * smooth[:, :-1]
    torch.testing.assert_close(multigrid.apply(grid, frames, x), expected)
    left = expected.clone()
    multigrid._subtract_applied(grid, frames, x, left)
    torch.testing.assert_close(left, torch.zeros_like(left), atol=1e-10, rtol=0)


def test_a_single_frame_and_the_smallest_grid() -> None:
    one = system((1, 1, 2, 2))
    (x,) = fields(one)
    grid = one.grids[0]
    smooth = multigrid.space_root(grid, multigrid.space_root(grid, x, grid.degree), grid.detail)
    torch.testing.assert_close(multigrid.apply(grid, one.frames, x), grid.weight * x + one.frames.diagonal * smooth)


@pytest.mark.parametrize("apart", [False, True])
def test_a_cells_frames_are_solved_together(apart: bool) -> None:
    # The tridiagonal system of each cell, written out and solved densely.
    one = system((2, 6, 8, 9), apart=apart)
    grid, frames = one.grids[0], one.frames
    residual, step, x = fields(one, 3)
    space = multigrid._of_a_frame(grid.space).expand(2, 8, 9)
    diagonal, off = (part.reshape(-1, part.shape[-3]).expand(2, -1) for part in (frames.diagonal, frames.off))
    solved = torch.empty_like(residual)
    for b in range(2):
        matrix = torch.diag(diagonal[b]) + torch.diag(off[b], 1) + torch.diag(off[b], -1)
        for i in range(8):
            for j in range(9):
                own = space[b, i, j] * matrix + torch.diag(grid.weight[b, :, i, j])
                solved[b, :, i, j] = torch.linalg.solve(own, residual[b, :, i, j])
    torch.testing.assert_close(multigrid._cells(grid, frames, residual), solved)
    moved, total = step.clone(), x.clone()
    multigrid._relax(grid, frames, residual, moved, total, 0.3, 0.7, first=False)
    torch.testing.assert_close(moved, 0.3 * step + 0.7 * solved)
    torch.testing.assert_close(total, x + moved)
    # At first neither has a value yet: whatever stands there is not read.
    fresh, start = torch.full_like(x, torch.nan), torch.full_like(x, torch.nan)
    multigrid._relax(grid, frames, residual, fresh, start, 0.0, 0.7, first=True)
    torch.testing.assert_close(fresh, 0.7 * solved)
    torch.testing.assert_close(start, fresh)


def test_cells_beyond_one_stretch() -> None:
    # Cells are solved some at a time: each is on its own, so it does not matter where a stretch ends.
    one = system((1, 3, 50, 43), dtype=torch.float32)
    assert 2 * stencils.CELLS < 50 * 43
    grid, frames = one.grids[0], one.frames
    (residual,) = fields(one)
    step, x = torch.empty_like(residual), torch.empty_like(residual)
    multigrid._relax(grid, frames, residual, step, x, 0.0, 1.0, first=True)
    torch.testing.assert_close(step, multigrid._cells(grid, frames, residual))


@pytest.mark.parametrize("height, width", [(12, 16), (13, 15), (7, 6)])
def test_between_grids_it_is_bilinear_and_its_transpose(height: int, width: int) -> None:
    one = system((2, 3, height, width))
    grid, coarser = one.grids[:2]
    (fine,) = fields(one)
    coarse = fine.new_empty(*fine.shape[:2], *coarser.domain.shape[-2:])
    multigrid._restrict(grid, coarser, fine, coarse)
    torch.testing.assert_close(coarse, multigrid._down(fine * grid.reach) * coarser.domain)
    there = torch.randn(coarse.shape, dtype=coarse.dtype, generator=torch.Generator().manual_seed(2)) * coarser.domain
    total = fine.clone()
    multigrid._correct(grid, there, total)
    torch.testing.assert_close(total, fine + grid.reach * multigrid._up(there, fine.shape))
    # <coarse(f), c> = <f, fine(c)>: without it one cycle could not precondition conjugate gradients.
    torch.testing.assert_close((coarse * there).sum(), (fine * (total - fine)).sum())


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_torch_does_the_same_elsewhere(apart: bool, tilt: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # What an accelerator runs, run here.
    one = system((2, 5, 25, 22), apart=apart, tilt=tilt)
    (right,) = fields(one)
    right *= one.grids[0].weight
    compiled = multigrid.solve(one, right.clone(), start=None, tolerance=0.0, rounds=4)
    monkeypatch.setattr(multigrid, "_compiled", lambda x: False)
    torch.testing.assert_close(multigrid.solve(one, right, start=None, tolerance=0.0, rounds=4), compiled)


def test_another_shape_is_refused() -> None:
    one = system((2, 3, 8, 8))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 8, 8\), got \(1, 3, 8, 8\)"):
        multigrid.apply(one.grids[0], one.frames, fields(one)[0][:1])


def test_with_no_place_to_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Numba refuses then, when a function is decorated: geogan could not even be imported.
    compiled = stencils.njit

    def nowhere(cache: bool = False, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compiled(**options)

    monkeypatch.setattr(stencils, "njit", nowhere)
    restrict = stencils._compiled(stencils.restrict.py_func)  # type: ignore[attr-defined]
    ones, coarse = np.ones((1, 1, 4, 4), np.float32), np.empty((1, 1, 2, 2), np.float32)
    restrict(ones, ones[0], np.ones((1, 2, 2), np.float32), coarse)
    # Away from the border each coarse cell would get four cells; at a corner it gets 1.75 of each side's 2.
    np.testing.assert_allclose(coarse, 1.75**2)


def test_not_a_number_stays_one() -> None:
    # The compiler may not assume that there is none.
    one = system((1, 3, 8, 8), dtype=torch.float32)
    (x,) = fields(one)
    x[0, 1, 4, 4] = torch.nan
    found = multigrid.apply(one.grids[0], one.frames, x)
    assert bool(found[0, :, 4, 4].isnan().all())
    assert bool(found[0, 0, 0].isfinite().all())


def test_threads_do_not_wait_for_each_other() -> None:
    # A thread in the stencils holds no lock: the main one counts on.
    one = system((1, 40, 96, 96), dtype=torch.float32)
    grid, frames = one.grids[0], one.frames
    (x,) = fields(one)
    multigrid.apply(grid, frames, x)
    arrays = [multigrid._places(part) for part in (grid.degree, grid.detail, grid.edge_y, grid.edge_x)]
    none = np.empty((1, 0, 0), np.float32)
    times = multigrid._times(frames.diagonal), multigrid._times(frames.off)
    big = x.numpy().repeat(60, 0)
    given = (np.float32(0), np.float32(1), big, *arrays, none, grid.weight.numpy().repeat(60, 0), *times)
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        stencils.add_applied(*given, np.empty_like(big))
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    counted = 0
    while not ended.is_set():
        counted += 1
    thread.join()
    # One who waited for the lock would have counted a few times, at the hand-overs.
    assert counted > 1000
