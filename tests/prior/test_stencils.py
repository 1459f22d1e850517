"""The compiled kernels agree with dense matrices and with torch."""

import threading

import numpy as np
import pytest
import torch

from geogan.prior import multigrid, stencils
from geogan.prior.gaussian import GaussianPrior


def system(
    shape: tuple[int, int, int, int], *, tilt: float = 0.0, is_batched: bool = False, dtype: torch.dtype = torch.float64
) -> multigrid.System:
    """Return a system with land; if batched, each entry has land and dates of its own."""
    batch, frames, height, width = shape
    random = torch.Generator().manual_seed(0)
    domain = (torch.rand((batch, height, width), generator=random) < 0.8).to(dtype)
    days = torch.cumsum(1 + torch.rand((batch, frames), generator=random, dtype=torch.float64), 1)
    mask = (torch.rand(shape, generator=random) < 0.5).to(dtype)
    prior = GaussianPrior(length=6.0, persistence=4.0, noise=0.3, tilt=tilt, detail=0.5)
    if not is_batched:
        domain, days = domain[0], days[0]
        return prior.system(mask * domain, domain, days)
    return prior.system(mask * domain[:, None], domain, days)


def fields(like: multigrid.System, count: int = 1) -> list[torch.Tensor]:
    """Draw fields of the system's shape, 0 on land."""
    grid = like.grids[0]
    random = torch.Generator().manual_seed(1)
    return [
        torch.randn(grid.weight.shape, generator=random, dtype=grid.weight.dtype) * grid.domain for _ in range(count)
    ]


@pytest.mark.parametrize("is_batched", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_one_pass_applies_the_whole_system(is_batched: bool, tilt: float) -> None:
    solver = system((3, 5, 9, 7), is_batched=is_batched, tilt=tilt)
    grid, frames = solver.grids[0], solver.frames
    (x,) = fields(solver)
    smooth = multigrid.apply_root(grid, multigrid.apply_root(grid, x, grid.diagonal), grid.rough_diagonal)
    expected = grid.weight * x + frames.diagonal * smooth
    expected[:, :-1] += frames.off * smooth[:, 1:]
    expected[:, 1:] += frames.off * smooth[:, :-1]
    torch.testing.assert_close(multigrid.apply(grid, frames, x), expected)
    residual = expected.clone()
    multigrid._subtract_applied(grid, frames, x, residual)
    torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-10, rtol=0)


def test_a_single_frame_on_the_smallest_grid() -> None:
    solver = system((1, 1, 2, 2))
    (x,) = fields(solver)
    grid = solver.grids[0]
    smooth = multigrid.apply_root(grid, multigrid.apply_root(grid, x, grid.diagonal), grid.rough_diagonal)
    expected = grid.weight * x + solver.frames.diagonal * smooth
    torch.testing.assert_close(multigrid.apply(grid, solver.frames, x), expected)


def relaxed(
    grid: multigrid.Grid, frames: multigrid.Frames, parts: tuple[torch.Tensor, ...], *factors: float, is_first: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return step and solution after one relaxation from residual, step and solution."""
    residual, step, solution = (part.clone() for part in parts)
    space = multigrid.Workspace(residual, residual, step, solution)
    multigrid._relax(grid, frames, space, *factors, is_first=is_first)
    return space.step, space.solution


@pytest.mark.parametrize("is_batched", [False, True])
def test_the_frames_of_a_cell_are_solved_together(is_batched: bool) -> None:
    """Against the tridiagonal system of each cell, written out and solved densely."""
    solver = system((2, 6, 8, 9), is_batched=is_batched)
    grid, frames = solver.grids[0], solver.frames
    residual, step, x = fields(solver, 3)
    space = multigrid._beside_one_frame(grid.space).expand(2, 8, 9)
    diagonal, off = (part.reshape(-1, part.shape[-3]).expand(2, -1) for part in (frames.diagonal, frames.off))
    solved = torch.empty_like(residual)
    for b in range(2):
        matrix = torch.diag(diagonal[b]) + torch.diag(off[b], 1) + torch.diag(off[b], -1)
        for i in range(8):
            for j in range(9):
                cell = space[b, i, j] * matrix + torch.diag(grid.weight[b, :, i, j])
                solved[b, :, i, j] = torch.linalg.solve(cell, residual[b, :, i, j])
    torch.testing.assert_close(multigrid._solve_cells(grid, frames, residual), solved)
    moved, total = relaxed(grid, frames, (residual, step, x), 0.3, 0.7, is_first=False)
    torch.testing.assert_close(moved, 0.3 * step + 0.7 * solved)
    torch.testing.assert_close(total, x + moved)
    # In the first round step and solution are not initialised and must not be read.
    nothing = torch.full_like(x, torch.nan)
    moved, total = relaxed(grid, frames, (residual, nothing, nothing), 0.0, 0.7, is_first=True)
    torch.testing.assert_close(moved, 0.7 * solved)
    torch.testing.assert_close(total, moved)


def test_more_cells_than_are_solved_at_a_time() -> None:
    solver = system((1, 3, 50, 43), dtype=torch.float32)
    assert 2 * stencils.CELLS < 50 * 43
    grid, frames = solver.grids[0], solver.frames
    (residual,) = fields(solver)
    nothing = torch.empty_like(residual)
    step, _ = relaxed(grid, frames, (residual, nothing, nothing), 0.0, 1.0, is_first=True)
    torch.testing.assert_close(step, multigrid._solve_cells(grid, frames, residual))


@pytest.mark.parametrize("height, width", [(12, 16), (13, 15), (7, 6)])
def test_restriction_is_the_transpose_of_interpolation(height: int, width: int) -> None:
    solver = system((2, 3, height, width))
    grid, coarser = solver.grids[:2]
    (fine,) = fields(solver)
    coarse = fine.new_empty(*fine.shape[:2], *coarser.domain.shape[-2:])
    multigrid._restrict(grid, coarser, fine, coarse)
    torch.testing.assert_close(coarse, multigrid._restricted(fine * grid.fine_weight) * coarser.domain)
    random = torch.Generator().manual_seed(2)
    correction = torch.randn(coarse.shape, dtype=coarse.dtype, generator=random) * coarser.domain
    total = fine.clone()
    multigrid._add_correction(grid, correction, total)
    torch.testing.assert_close(total, fine + grid.fine_weight * multigrid._interpolated(correction, fine.shape))
    # <restricted(f), c> = <f, interpolated(c)>: otherwise a cycle could not precondition conjugate gradients.
    torch.testing.assert_close((coarse * correction).sum(), (fine * (total - fine)).sum())


def without_compiled_kernels(solver: multigrid.System) -> multigrid.System:
    """Return the system as an accelerator solves it, with torch alone."""
    return solver._replace(grids=[grid._replace(arrays=None) for grid in solver.grids])


@pytest.mark.parametrize("is_batched", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_torch_agrees_with_the_compiled_kernels(is_batched: bool, tilt: float) -> None:
    solver = system((2, 5, 25, 22), is_batched=is_batched, tilt=tilt)
    (right,) = fields(solver)
    right *= solver.grids[0].weight
    compiled, torch_only = (
        multigrid.solve(one, right.clone(), start=None, tolerance=0.0, iterations=4)
        for one in (solver, without_compiled_kernels(solver))
    )
    torch.testing.assert_close(torch_only, compiled)


def test_another_shape_is_refused() -> None:
    solver = system((2, 3, 8, 8))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 8, 8\), got \(1, 3, 8, 8\)"):
        multigrid.apply(solver.grids[0], solver.frames, fields(solver)[0][:1])


def test_kernels_compile_without_a_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba refuses to cache at decoration; without the fallback geogan could not be imported there."""
    njit = stencils.njit

    def without_cache(cache: bool = False, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(stencils, "njit", without_cache)
    restrict = stencils._compiled(stencils.restrict.py_func)  # type: ignore[attr-defined]
    ones, coarse = np.ones((1, 1, 4, 4), np.float32), np.empty((1, 1, 2, 2), np.float32)
    restrict(ones, ones[0], np.ones((1, 2, 2), np.float32), coarse)
    # Away from the border the weights of a coarse cell sum to 4; at a corner each side has 1.75 of its 2.
    np.testing.assert_allclose(coarse, 1.75**2)


def test_not_a_number_is_kept() -> None:
    """The compiler must not assume that there is no NaN."""
    solver = system((1, 3, 8, 8), dtype=torch.float32)
    (x,) = fields(solver)
    x[0, 1, 4, 4] = torch.nan
    applied = multigrid.apply(solver.grids[0], solver.frames, x)
    assert bool(applied[0, :, 4, 4].isnan().all())
    assert bool(applied[0, 0, 0].isfinite().all())


def test_kernels_release_the_global_lock() -> None:
    """The main thread counts on while another thread is in a kernel."""
    solver = system((1, 40, 96, 96), dtype=torch.float32)
    grid, frames = solver.grids[0], solver.frames
    (x,) = fields(solver)
    multigrid.apply(grid, frames, x)
    big, own = x.numpy().repeat(60, 0), grid.arrays
    assert own is not None
    arrays = (*own.spatial, own.weight.repeat(60, 0), own.time_diagonal, own.time_off)
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        stencils.add_applied(np.float32(0), np.float32(1), big, *arrays, np.empty_like(big))
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    counted = 0
    while not ended.is_set():
        counted += 1
    thread.join()
    # A thread that waits for the lock would count a few times only, when the lock changes hands.
    assert counted > 1000
