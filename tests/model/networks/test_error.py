"""The error network is positive, starts at the first guess's error, and does not depend on the tile."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.model.networks import ErrorNet


def inputs(frames, channels, height, width, *, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, frames, channels, height, width)
    domain = (torch.rand(2, 1, 1, height, width, generator=generator) < 0.9).to(dtype)
    mask = (torch.rand(shape, generator=generator) < 0.5).to(dtype) * domain
    values, guess, field = (torch.randn(shape, generator=generator).to(dtype) for _ in range(3))
    return values * mask, mask, guess, field, domain


def wild(frames=2, channels=1, *, dtype=torch.float64):
    """Return a network without zero weights."""
    torch.manual_seed(0)
    network = ErrorNet(frames=frames, channels=channels, width=3).to(dtype)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@settings(deadline=None, max_examples=20)
@given(
    frames=st.integers(1, 4),
    channels=st.integers(1, 3),
    height=st.integers(4, 21),
    width=st.integers(4, 21),
    scale=st.floats(0.01, 10),
)
def test_untrained_it_is_the_first_guess_s_error(frames, channels, height, width, scale):
    network = ErrorNet(frames=frames, channels=channels, width=4)
    network.scale.fill_(scale)
    std = network(*inputs(frames, channels, height, width))
    assert std.shape == (2, frames, channels, height, width)
    torch.testing.assert_close(std, torch.full_like(std, scale))


def test_it_is_positive_and_bounded_whatever_comes():
    network = wild(dtype=torch.float32)
    values, mask, guess, field, domain = inputs(2, 1, 12, 12)
    std = network(1e4 * values, mask, guess, field, domain)
    assert (std > 0).all() and std.max() < 149 and std.dtype == torch.float32


def test_units_of_the_scale():
    """Twice the scale and twice the values give twice the error."""
    network = wild()
    values, mask, guess, field, domain = inputs(2, 1, 12, 12, dtype=torch.float64)
    one = network(values, mask, guess, field, domain)
    network.scale.fill_(2.0)
    torch.testing.assert_close(network(2 * values, mask, 2 * guess, 2 * field, domain), 2 * one)


def test_a_tile_that_reads_beyond_is_the_whole():
    network = wild(frames=1)
    values, mask, guess, field, domain = inputs(1, 1, 100, 80, dtype=torch.float64)
    whole = network(values, mask, guess, field, domain)
    halo = 32
    assert halo >= network.reach
    rows = slice(40 - halo, 48 + halo)
    part = network(*(each[..., rows, :] for each in (values, mask, guess, field, domain)))
    torch.testing.assert_close(part[..., halo : halo + 8, :], whole[..., 40:48, :])
    # And no farther than it says.
    moved = values.clone()
    moved[..., 10, 40] += 5
    changed = (network(moved, mask, guess, field, domain) != whole).any(0).any(0)[0].nonzero()
    assert (changed - torch.tensor([10, 40])).abs().max() <= network.reach


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (9, 6)])
def test_any_size(size):
    assert wild()(*inputs(2, 1, *size, dtype=torch.float64)).shape == (2, 2, 1, *size)


def test_the_spread_is_predicted_apart():
    """Learning the ratio of the error to the posterior's spread does not change the predicted spread."""
    torch.manual_seed(0)
    network = ErrorNet(frames=2, width=4, spread=True)
    network.scale.fill_(0.5)
    seen = inputs(2, 1, 12, 12)
    std, spread = network.predict(*seen)
    std.log().sum().backward()
    of_error, of_spread = network.leave.bias.grad.view(2, -1).flip(0)
    assert (of_error != 0).all() and (of_spread == 0).all()
    network.zero_grad()
    network.predict(*seen)[1].log().sum().backward()
    of_error, of_spread = network.leave.bias.grad.view(2, -1).flip(0)
    assert (of_error == 0).all() and (of_spread != 0).all()
    torch.testing.assert_close(network(*seen), std)


def test_it_starts_at_the_posterior_spread_and_the_noise():
    network = ErrorNet(frames=2, width=4, spread=True)
    random = torch.Generator().manual_seed(0)
    near = torch.rand(2, 2, 3, 12, 12, generator=random)
    network.table.table.copy_(torch.randn(network.table.table.shape, generator=random))
    network.table.noise.fill_(0.3)
    std, spread = network.predict(*inputs(2, 1, 12, 12), near=near)
    expected = network.table.posterior(near.movedim(2, -1))[:, :, None]
    torch.testing.assert_close(spread, expected)
    torch.testing.assert_close(std, (expected**2 + 0.3**2).sqrt())


def test_there_are_no_blocks_of_four_cells():
    """The predicted error jumps no more between the network's coarsest cells than elsewhere."""
    network = wild(frames=1)
    std = network(*inputs(1, 1, 160, 160, dtype=torch.float64))
    jumps = std.log().diff(dim=-1).abs().mean((0, 1, 2, 3))
    edge, middle = jumps[3::4].mean(), jumps[1::4].mean()
    assert 0.7 < edge / middle < 1.4
    assert edge < 3 * jumps[::2].mean()


def test_nearness_counts_where_the_mask_is_the_same():
    network = wild()
    seen = inputs(2, 1, 12, 12, dtype=torch.float64)
    near = seen[1].repeat(1, 1, 3, 1, 1)
    torch.testing.assert_close(network(*seen, near=near), network(*seen))
    assert not torch.allclose(network(*seen, near=0.5 + 0.5 * near), network(*seen))
