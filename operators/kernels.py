"""Convolution of films with the kernel of an instrument, normalised at the borders of a frame."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d


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
    >>> row, kernel = torch.tensor([[0.0, 0.0, 3.0]]), torch.full((1, 3), 1 / 3)
    >>> [round(value, 4) for value in convolved(row, kernel)[0].tolist()]
    [0.0, 1.0, 1.5]
    >>> [round(value, 4) for value in convolved(row, kernel, is_periodic=True)[0].tolist()]
    [1.0, 1.0, 1.0]
    """
    if kernel.numel() == 1:
        return x
    height, width = x.shape[-2:]
    # Fourier transforms have no half precision on a CPU.
    frames = x.reshape(-1, height, width).to(torch.promote_types(x.dtype, torch.float32))
    if is_periodic:
        rim = kernel.shape[1] // 2
        frames = frames[..., torch.arange(-rim, width + rim, device=x.device) % width]
    summed, inside = (_summed(part, kernel, is_periodic=is_periodic) for part in (frames, torch.ones_like(frames[:1])))
    return (summed / inside).reshape(x.shape).to(x.dtype)


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


def _summed(frames: Tensor, kernel: Tensor, *, is_periodic: bool) -> Tensor:
    """Return weighted sums of frames (N, H, W), of zeros beyond the rows, and beyond the columns if not periodic."""
    height, width = frames.shape[-2:]
    rows, columns = kernel.shape
    sides = [_good_length(height + rows - 1), _good_length(width + columns - 1)]
    # A product of Fourier transforms of padded frames, which is faster than sums for kernels of 3 x 3 cells already. A
    # correlation: the kernel is flipped.
    product = torch.fft.rfft2(frames, s=sides) * torch.fft.rfft2(kernel.to(frames).flip(0, 1), s=sides)
    full = torch.fft.irfft2(product, s=sides)
    # On a periodic grid the frames have columns beyond the seam, which are left out again.
    left, kept = (columns - 1, width - columns + 1) if is_periodic else (columns // 2, width)
    return full[..., rows // 2 : rows // 2 + height, left : left + kept]


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
