"""A query's weights over the keys add up to one; the plain formula holds, and no whole map is ever in memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geogan.model.networks.attention import WINDOW, SelfAttention, attend, spans
from geogan.operators.errors import InputError


def layer(channels=16, *, gamma=0.7):
    torch.manual_seed(0)
    made = SelfAttention(channels).eval()
    torch.nn.init.constant_(made.gamma, gamma)
    return made


def field(channels, height, width, *, batch=2, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, height, width, generator=generator, dtype=dtype) * 3


def plain(queries, keys, values, *, rows=slice(None), columns=slice(None)):
    """The formula: every query of a part of the field to all of the keys given."""
    queries = queries[..., rows, columns]
    weights = (queries.flatten(2).mT @ keys.flatten(2)).softmax(-1)
    return (values.flatten(2) @ weights.mT).unflatten(-1, queries.shape[-2:])


@settings(deadline=None, max_examples=20)
@given(height=st.integers(1, 11), width=st.integers(1, 11), seed=st.integers(0, 99))
def test_rows_add_up_to_one_over_the_keys(height, width, seed):
    weights = layer().attention_map(field(16, height, width, seed=seed))
    assert weights.shape == (2, height * width, height * width)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, height * width))


def test_columns_do_not():
    """The other axis is the queries': normalised over it, a cell may take nothing, or many times too much."""
    assert (layer().attention_map(field(16, 5, 7)).sum(1) - 1).abs().max() > 0.5


@pytest.mark.parametrize("channels", [4, 16, 40])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (9, 33)])
def test_the_layer_is_its_formula(channels, size):
    attention, x = layer(channels), field(channels, *size)
    taken = (attention.h(x).flatten(2) @ attention.attention_map(x).mT).unflatten(-1, size)
    torch.testing.assert_close(attention(x), x + 0.7 * attention.v(taken), atol=1e-5, rtol=1e-4)


def test_gradients_are_those_of_the_formula():
    parts = [field(count, 6, 5, seed=count, dtype=torch.float64).requires_grad_() for count in (2, 2, 8)]
    weight = field(8, 6, 5, seed=9, dtype=torch.float64)
    for found, wanted in zip(
        torch.autograd.grad((attend(*parts) * weight).sum(), parts),
        torch.autograd.grad((plain(*parts) * weight).sum(), parts),
    ):
        torch.testing.assert_close(found, wanted)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 27), width=st.integers(1, 27))
def test_each_tile_attends_to_the_keys_around_it(height, width):
    parts = [field(count, height, width, batch=1, seed=count) for count in (2, 2, 3)]
    found = attend(*parts, window=8)
    for rows, near in spans(height, 8):
        for columns, beside in spans(width, 8):
            wanted = plain(parts[0], *(part[..., near, beside] for part in parts[1:]), rows=rows, columns=columns)
            torch.testing.assert_close(found[..., rows, columns], wanted, atol=1e-5, rtol=1e-4)


@given(length=st.integers(1, 400), quarter=st.integers(1, 20))
def test_tiles_cover_the_field_once_and_lie_within_their_windows(length, quarter):
    window, covered = 4 * quarter, []
    for queries, keys in spans(length, window):
        covered += range(queries.start, queries.stop)
        assert 0 <= keys.start <= queries.start < queries.stop <= keys.stop <= length
        assert keys.stop - keys.start == min(window, length)
        # No nearer to the rim of its window than a quarter of it, but at an edge of the field.
        assert queries.start - keys.start >= quarter or keys.start == 0
        assert keys.stop - queries.stop >= quarter or keys.stop == length
    assert covered == list(range(length))


def test_a_constant_is_kept_on_any_size():
    """A mean of ones is one, whatever the weights: within windows too."""
    for size in ((3, 2), (70, 9), (40, 101)):
        queries, keys = field(2, *size), field(2, *size, seed=1)
        torch.testing.assert_close(attend(queries, keys, torch.ones(2, 5, *size)), torch.ones(2, 5, *size))


class Sizes(TorchDispatchMode):
    """The size of the largest tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        found = operation(*arguments, **(keywords or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]
        self.largest = max(self.largest, *sizes, 0)
        return found


@pytest.mark.parametrize("size", [(WINDOW, WINDOW), (WINDOW + 1, 3 * WINDOW // 2)])
def test_no_map_is_held_whole(size):
    """Neither forward nor backward; the largest tensor is one of features."""
    x = field(8, *size, batch=1).requires_grad_()
    with Sizes() as sizes:
        layer(8)(x).sum().backward()
    assert x.numel() <= sizes.largest <= 2 * x.numel() < x[0, 0].numel() ** 2 // 100


def test_it_starts_as_nothing_and_gamma_is_learned():
    attention, x = SelfAttention(16), field(16, 6, 5)
    assert torch.equal(attention(x), x)
    attention(x).square().sum().backward()
    assert attention.gamma.grad != 0


def test_where_cells_lie_does_not_matter_within_a_window():
    attention, x = layer(), field(16, 8, 10)
    for turned in (lambda part: part.flip(-1), lambda part: part.mT, lambda part: part.roll((3, 4), (-2, -1))):
        torch.testing.assert_close(attention(turned(x)), turned(attention(x)), atol=1e-5, rtol=1e-4)


def test_a_map_of_a_large_field_is_refused():
    with pytest.raises(InputError, match="at most 64 x 64 cells, got 4 x 65"):
        layer().attention_map(field(16, 4, 65))
