"""Convolution of films with the kernel of an instrument, normalised at the borders of a frame."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d

# Largest kernel, in cells, that is summed cell by cell; larger ones are multiplied in Fourier space.
_MOST_CELLS = 121


def convolved(x: Tensor, kernel: Tensor, *, is_periodic: bool = False) -> Tensor:
    """Return the weighted mean of the neighbours of each cell: ``sum_k kernel[k] x[i + k - centre]``.

    At a border the mean is over the cells inside the frame: the weights there are divided by their sum.

    Parameters
    ----------
    x : Tensor, shape (..., H, W)
    kernel : Tensor, shape (kh, kw)
        Odd sides; its sum is 1.
    is_periodic : bool
        Whether the last column is the neighbour of the first.

    Returns
    -------
    Tensor, shape (..., H, W)

    Examples
    --------
    >>> convolved(torch.tensor([[0.0, 0.0, 3.0]]), torch.full((1, 3), 1 / 3)).tolist()
    [[0.0, 1.0, 1.5]]
    >>> convolved(torch.tensor([[0.0, 0.0, 3.0]]), torch.full((1, 3), 1 / 3), is_periodic=True).tolist()
    [[1.0, 1.0, 1.0]]
    """
    if kernel.numel() == 1:
        return x
    height, width = x.shape[-2:]
    frames = x.reshape(-1, 1, height, width)
    if is_periodic:
        rim = kernel.shape[1] // 2
        frames = frames[..., torch.arange(-rim, width + rim, device=x.device) % width]
    down, right = kernel.shape[0] // 2, 0 if is_periodic else kernel.shape[1] // 2
    summed, inside = (_summed(part, kernel, down=down, right=right) for part in (frames, torch.ones_like(frames[:1])))
    return (summed / inside).reshape(x.shape)


def composed(first: Tensor, second: Tensor) -> Tensor:
    """Return the kernel of two convolutions, one after the other; sides are odd.

    Examples
    --------
    >>> composed(torch.tensor([[0.0, 0.5, 0.5]]), torch.tensor([[0.0, 0.5, 0.5]])).tolist()
    [[0.0, 0.0, 0.25, 0.5, 0.25]]
    """
    rim = [side - 1 for side in second.shape]
    # A convolution of the kernels: conv2d correlates, so one of them is flipped.
    return conv2d(first[None, None], second.flip(0, 1)[None, None].to(first), padding=(rim[0], rim[1]))[0, 0]


def _summed(frames: Tensor, kernel: Tensor, *, down: int, right: int) -> Tensor:
    """Return weighted sums of frames (N, 1, H, W) with so many rows and columns of zeros on each side."""
    rows, columns = kernel.sum(1), kernel.sum(0)
    if torch.allclose(torch.outer(rows, columns), kernel, rtol=0, atol=1e-9 * float(kernel.max())):
        # A product of two kernels along the axes costs the sum of their sides, not the product.
        frames = conv2d(frames, rows.to(frames)[None, None, :, None], padding=(down, 0))
        return conv2d(frames, columns.to(frames)[None, None, None, :], padding=(0, right))
    if kernel.numel() <= _MOST_CELLS:
        return conv2d(frames, kernel.to(frames)[None, None], padding=(down, right))
    return _by_fourier(frames, kernel.to(frames), down=down, right=right)


def _by_fourier(frames: Tensor, kernel: Tensor, *, down: int, right: int) -> Tensor:
    """Return the same sums, by a product of Fourier transforms of padded frames."""
    sides = [side + size - 1 for side, size in zip(frames.shape[-2:], kernel.shape)]
    sides = [_good_length(side) for side in sides]
    # A correlation: the kernel is flipped.
    product = torch.fft.rfft2(frames, s=sides) * torch.fft.rfft2(kernel.flip(0, 1), s=sides)
    full = torch.fft.irfft2(product, s=sides)
    top, left = kernel.shape[0] - 1 - down, kernel.shape[1] - 1 - right
    height = frames.shape[-2] + 2 * down - kernel.shape[0] + 1
    width = frames.shape[-1] + 2 * right - kernel.shape[1] + 1
    return full[..., top : top + height, left : left + width]


def _good_length(least: int) -> int:
    """Return the smallest length from ``least`` on of which Fourier transforms are fast.

    Examples
    --------
    >>> _good_length(257)
    270
    """
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
