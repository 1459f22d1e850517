"""Self-attention of SAGAN, with bounded memory on fields of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from geogan.model.networks.spectral import spectral

# Side, in cells, of the keys that a query attends to: all cells of the paper's images.
WINDOW = 64


class SelfAttention(nn.Module):
    """Add to every cell a mean over the cells of a window, weighted by similarity: ``x + gamma * o``.

    Zhang et al., *Self-Attention Generative Adversarial Networks* (ICML 2019), equations 1 to 3::

        o_j = v(sum_i beta_ji h(x_i)),   beta_ji = softmax over the keys i of f(x_i) . g(x_j)

    f, g (an eighth of the channels), h (half of them) and v are spectrally normalised 1 x 1 convolutions without bias.
    The weights of a query sum to 1 over the keys; gamma is learned and starts at 0. Keys and values are not pooled.

    A field of up to 64 x 64 cells is one window. On a larger field, each square of 32 x 32 queries attends to the
    64 x 64 keys around it, 16 on either side (at an edge of the field: the outermost 64). The matrix of weights is
    never in memory as a whole, neither forward nor backward.

    Parameters
    ----------
    channels : int
        Channels of input and output.

    Examples
    --------
    >>> layer = SelfAttention(16)
    >>> x = torch.randn(2, 16, 5, 7)
    >>> bool((layer(x) == x).all())
    True
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        eighth, half = max(1, channels // 8), max(1, channels // 2)
        self.f = spectral(nn.Conv2d(channels, eighth, 1, bias=False))
        self.g = spectral(nn.Conv2d(channels, eighth, 1, bias=False))
        self.h = spectral(nn.Conv2d(channels, half, 1, bias=False))
        self.v = spectral(nn.Conv2d(half, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return a field of the shape of ``x``, (B, channels, H, W)."""
        return x + self.gamma * self.v(attend(self.g(x), self.f(x), self.h(x)))


def attend(queries: Tensor, keys: Tensor, values: Tensor, *, window: int = WINDOW) -> Tensor:
    """Return, for each query, the mean of the values weighted by the softmax of its products with the keys.

    Parameters
    ----------
    queries, keys : Tensor, shape (B, D, H, W)
    values : Tensor, shape (B, E, H, W)
    window : int
        Side of the square of keys that a query attends to, in cells; a multiple of 4.

    Returns
    -------
    Tensor, shape (B, E, H, W)
    """
    height, width = queries.shape[-2:]
    return torch.cat(
        [
            torch.cat(
                [
                    _attend(queries[..., rows, columns], keys[..., near, beside], values[..., near, beside])
                    for columns, beside in spans(width, window)
                ],
                -1,
            )
            for rows, near in spans(height, window)
        ],
        -2,
    )


def spans(length: int, window: int = WINDOW) -> list[tuple[slice, slice]]:
    """Return, along one axis, the queries of each part and the keys around them.

    Examples
    --------
    >>> spans(5, window=8)
    [(slice(0, 5, None), slice(0, 5, None))]
    >>> for queries, keys in spans(11, window=8):
    ...     print(queries.start, queries.stop, keys.start, keys.stop)
    0 4 0 8
    4 8 2 10
    8 11 3 11
    """
    if length <= window:
        return [(slice(0, length), slice(0, length))]
    pairs = []
    for start in range(0, length, window // 2):
        first = min(max(start - window // 4, 0), length - window)
        pairs.append((slice(start, min(start + window // 2, length)), slice(first, first + window)))
    return pairs


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend from all queries to all keys, with an exact kernel that holds some rows of the weights at a time."""
    # These kernels need the same number of features in all arguments, on some devices a multiple of 8; zeros do not
    # change the products. SAGAN does not divide by the root of that number.
    count, (height, width) = values.shape[1], queries.shape[-2:]
    features = -(-max(count, queries.shape[1]) // 8) * 8
    q, k, v = (
        pad(part.flatten(2).mT, (0, features - part.shape[1])).unsqueeze(1).contiguous()
        for part in (queries, keys, values)
    )
    means = scaled_dot_product_attention(q, k, v, scale=1.0)  # (B, 1, H W, features)
    return means[:, 0, :, :count].mT.unflatten(-1, (height, width))
