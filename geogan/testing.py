"""Checks that an operator keeps the promises of `geogan.operators.Operator`, for the test suites of other packages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from geogan.operators.operator import Operator

Shape = tuple[int, int, int, int, int]


def check_operator(operator: Operator, *, shape: Shape = (3, 4, 2, 24, 20), seed: int = 0) -> None:
    """Raise an `AssertionError` that says which promise an operator does not keep.

    Parameters
    ----------
    operator : Operator
        Fitted, or with parameters that need no fitting.
    shape : (int, int, int, int, int)
        Shape (B, T, C, H, W) of the films that are measured.
    seed : int

    Raises
    ------
    AssertionError

    Examples
    --------
    >>> from geogan.operators import CloudMask
    >>> check_operator(CloudMask(coverage=0.4, scale=5))
    """
    for mistake in _mistakes(operator, shape, seed):
        raise AssertionError(f"{type(operator).__name__}: {mistake}")


def _mistakes(operator: Operator, shape: Shape, seed: int) -> Iterator[str]:
    """Yield the promises that are not kept, in words."""
    yield from _of_configuration(operator)
    before = torch.get_rng_state()
    theta, again, other = (operator.sample(shape, generator=_generator(number)) for number in (seed, seed, seed + 1))
    x = torch.randn(shape, generator=_generator(seed + 2))
    kept = x.clone()
    measured = operator.apply(x, theta)
    if not torch.equal(torch.get_rng_state(), before):
        yield "sample or apply draws from the global generator of torch; draw from the generator that sample is given"
    if not torch.equal(x, kept):
        yield "apply changes its input; return new tensors"
    yield from _of_observation(operator, x, measured)
    repeated = operator.apply(x, again)
    if not (torch.equal(measured.values, repeated.values) and torch.equal(measured.mask, repeated.mask)):
        yield "two draws with the same seed differ; a seed decides the draw, and apply draws nothing"
    fresh = operator.apply(x, other)
    is_same = torch.equal(measured.values, fresh.values) and torch.equal(measured.mask, fresh.mask)
    if is_same and theta != ():
        yield "two draws with different seeds are equal; return () if nothing is random"
    yield from _of_gradients(operator, x, theta)
    yield from _of_dates(operator, shape, seed)
    yield from _of_blur(operator, x)


def _of_configuration(operator: Operator) -> Iterator[str]:
    if not isinstance(operator, Operator):
        yield "it lacks methods of geogan.operators.Operator; inherit from it"
    if not is_dataclass(operator):
        yield "it is not a dataclass; its fields are its whole configuration"
        return
    name = next((each.name for each in fields(operator)), None)
    if name is not None:
        try:
            setattr(operator, name, getattr(operator, name))
        except FrozenInstanceError:
            pass
        else:
            yield "its dataclass is not frozen; write @dataclass(frozen=True)"
    for each in fields(operator):
        if not isinstance(getattr(operator, each.name), int | float | bool | None):
            yield f"its parameter {each.name} is not a number, a truth value or None, which texts and JSON can hold"
    names = {each.name for each in fields(operator)}
    for length, distance in operator.lengths.items():
        if length not in names or distance not in ("rows", "columns", "mean"):
            yield f"lengths must name parameters, and rows, columns or mean for each, got {length}: {distance}"


def _of_observation(operator: Operator, x: Tensor, measured: Any) -> Iterator[str]:
    values, mask = measured
    for name, part in (("values", values), ("mask", mask)):
        if part.shape != x.shape or part.dtype != x.dtype:
            yield f"apply returns {name} of {tuple(part.shape)}, {part.dtype} for {tuple(x.shape)}, {x.dtype}"
            return
    if not torch.equal(mask, (mask > 0).to(mask.dtype)):
        yield "the mask holds other values than 0 and 1"
    if (values[mask == 0] != 0).any():
        yield "values are not 0 where the mask is 0"
    if not operator.masks and not bool(mask.all()):
        yield "it hides cells, but masks is False"
    if operator.exact and not torch.equal(values[mask > 0], x[mask > 0]):
        yield "it changes observed values, but exact is True (no blur and no noise)"


def _of_gradients(operator: Operator, x: Tensor, theta: Any) -> Iterator[str]:
    inside = x.clone().requires_grad_()
    measured = operator.apply(inside, theta)
    if bool((measured.mask == 0).all()):
        yield "it hides every cell of every film; nothing can be learned from it"
        return
    if not measured.values.requires_grad:
        yield "apply is not differentiable in x"
        return
    (gradient,) = torch.autograd.grad(measured.values.square().sum(), inside)
    if not torch.isfinite(gradient).all():
        yield "the gradient of apply is not finite"
    if operator.exact and (gradient[measured.mask == 0] != 0).any():
        yield "hidden cells have a gradient"


def _of_dates(operator: Operator, shape: Shape, seed: int) -> Iterator[str]:
    _, _, channels, height, width = shape
    draws = [operator.at((height, width), step, seed=seed, channels=channels) for step in (5.0, 9.0, 5.0)]
    x = torch.ones(1, 1, channels, height, width)
    first, _, again = (operator.apply(x, theta) for theta in draws)
    if not (torch.equal(first.mask, again.mask) and torch.equal(first.values, again.values)):
        yield "at gives different draws for the same date and seed; it may depend on nothing else"


def _of_blur(operator: Operator, x: Tensor) -> Iterator[str]:
    kernel = operator.point_spread()
    if not operator.blurs:
        if not torch.equal(operator.blur(x), x):
            yield "blur changes fields, but blurs is False"
        if kernel is not None and kernel.numel() > 1:
            yield "point_spread has several cells, but blurs is False"
        return
    if kernel is None:
        yield "it blurs, but point_spread returns None; return its kernel, which deblurring needs"
        return
    (height, width), down, right = kernel.shape, kernel.shape[0] // 2, kernel.shape[1] // 2
    if height % 2 == 0 or width % 2 == 0 or abs(float(kernel.sum()) - 1) > 1e-6:
        yield f"point_spread must have odd sides and the sum 1, got {height} x {width} and {float(kernel.sum()):.4g}"
        return
    point = torch.zeros(1, 1, 1, 2 * height + 1, 2 * width + 1, dtype=torch.float64)
    point[..., height, width] = 1.0
    spread = operator.blur(point)[0, 0, 0, height - down : height + down + 1, width - right : width + right + 1]
    if not torch.allclose(spread, kernel.flip(0, 1).to(spread), rtol=0, atol=1e-5 * float(kernel.max())):
        yield "blur is not the convolution with point_spread: sum_k kernel[k] x[i + k - centre]"


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
