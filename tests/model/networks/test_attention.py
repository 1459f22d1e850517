"""Attention agrees with a dense computation of its formula, and the matrix of weights is never in memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geogan.model.networks.attention import WINDOW, SelfAttention, attend, spans


def layer(channels=16, *, gamma=0.7):
    torch.manual_seed(0)
    attention = SelfAttention(channels).eval()
    torch.nn.init.constant_(attention.gamma, gamma)
    return attention


def field(channels, height, width, *, batch=2, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, height, width, generator=generator, dtype=dtype) * 3


def dense(queries, keys, values, *, rows=slice(None), columns=slice(None)):
    """Return the means of equation 1 for the queries of a part of the field, with all weights in memory."""
    queries = queries[..., rows, columns]
    weights = (queries.flatten(2).mT @ keys.flatten(2)).softmax(-1)  # (B, queries, keys)
    return (values.flatten(2) @ weights.mT).unflatten(-1, queries.shape[-2:])


@pytest.mark.parametrize("channels", [4, 16, 40])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (9, 33)])
def test_the_layer_agrees_with_the_dense_formula(channels, size):
    attention, x = layer(channels), field(channels, *size)
    means = dense(attention.g(x), attention.f(x), attention.h(x))
    torch.testing.assert_close(attention(x), x + 0.7 * attention.v(means), atol=1e-5, rtol=1e-4)


def test_gradients_agree_with_the_dense_formula():
    parts = [field(count, 6, 5, seed=count, dtype=torch.float64).requires_grad_() for count in (2, 2, 8)]
    weight = field(8, 6, 5, seed=9, dtype=torch.float64)
    for gradient, expected in zip(
        torch.autograd.grad((attend(*parts) * weight).sum(), parts),
        torch.autograd.grad((dense(*parts) * weight).sum(), parts),
    ):
        torch.testing.assert_close(gradient, expected)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 27), width=st.integers(1, 27))
def test_each_part_attends_to_the_keys_around_it(height, width):
    parts = [field(count, height, width, batch=1, seed=count) for count in (2, 2, 3)]
    means = attend(*parts, window=8)
    for rows, near in spans(height, 8):
        for columns, beside in spans(width, 8):
            expected = dense(parts[0], *(part[..., near, beside] for part in parts[1:]), rows=rows, columns=columns)
            torch.testing.assert_close(means[..., rows, columns], expected, atol=1e-5, rtol=1e-4)


@given(length=st.integers(1, 400), quarter=st.integers(1, 20))
def test_parts_cover_the_field_once_and_lie_within_their_windows(length, quarter):
    window, covered = 4 * quarter, []
    for queries, keys in spans(length, window):
        covered += range(queries.start, queries.stop)
        assert 0 <= keys.start <= queries.start < queries.stop <= keys.stop <= length
        assert keys.stop - keys.start == min(window, length)
        # At least a quarter of the window from its rim, except at an edge of the field.
        assert queries.start - keys.start >= quarter or keys.start == 0
        assert keys.stop - queries.stop >= quarter or keys.stop == length
    assert covered == list(range(length))


def test_a_constant_is_kept_on_any_size():
    """A weighted mean of ones is 1, since the weights of a query sum to 1."""
    for size in ((3, 2), (70, 9), (40, 101)):
        queries, keys = field(2, *size), field(2, *size, seed=1)
        torch.testing.assert_close(attend(queries, keys, torch.ones(2, 5, *size)), torch.ones(2, 5, *size))


class Sizes(TorchDispatchMode):
    """Record the size of the largest tensor that an operation returns."""

    largest = 0

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        result = operation(*arguments, **(keywords or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.largest = max(self.largest, *sizes, 0)
        return result


@pytest.mark.parametrize("size", [(WINDOW, WINDOW), (WINDOW + 1, 3 * WINDOW // 2)])
def test_the_weights_are_never_in_memory(size):
    """In the forward and backward passes the largest tensor holds features."""
    x = field(8, *size, batch=1).requires_grad_()
    with Sizes() as sizes:
        layer(8)(x).sum().backward()
    assert x.numel() <= sizes.largest <= 2 * x.numel() < x[0, 0].numel() ** 2 // 100


def test_it_starts_as_identity_and_gamma_is_learned():
    attention, x = SelfAttention(16), field(16, 6, 5)
    assert torch.equal(attention(x), x)
    attention(x).square().sum().backward()
    assert attention.gamma.grad != 0


def test_the_position_of_cells_in_a_window_has_no_effect():
    attention, x = layer(), field(16, 8, 10)
    for turned in (lambda part: part.flip(-1), lambda part: part.mT, lambda part: part.roll((3, 4), (-2, -1))):
        torch.testing.assert_close(attention(turned(x)), turned(attention(x)), atol=1e-5, rtol=1e-4)
