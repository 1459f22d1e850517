"""The generator starts at the first guess, and its output at a cell does not depend on the tile."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.model.networks import ErrorNet, SaganGenerator, UNet
from geogan.operators.errors import InputError


def inputs(frames, height, width, *, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, frames, 1, height, width)
    domain = (torch.rand(2, 1, 1, height, width, generator=generator) < 0.9).to(dtype)
    mask = (torch.rand(shape, generator=generator) < 0.5).to(dtype) * domain
    values, guess = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
    return values * mask, mask, guess, domain


def wild(frames=2, width=3, *, dtype=torch.float64):
    """Return a network without zero weights."""
    torch.manual_seed(0)
    network = UNet(frames=frames, width=width).to(dtype)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


@settings(deadline=None, max_examples=20)
@given(frames=st.integers(1, 5), height=st.integers(4, 21), width=st.integers(4, 21), scale=st.floats(0.01, 10))
def test_untrained_it_is_the_first_guess(frames, height, width, scale):
    network = UNet(frames=frames, width=4)
    network.scale.fill_(scale)
    values, mask, guess, domain = inputs(frames, height, width)
    assert torch.equal(network(values, mask, guess, domain), guess)


def test_reach_is_where_the_gradient_ends():
    """For every position among the four cells that share a cell of the coarsest level."""
    network, size = wild(frames=1, width=2), 160
    values, mask, guess, domain = (part[:1].detach() for part in inputs(1, size, size, dtype=torch.float64))
    farthest = 0
    for centre in range(80, 84):
        ones = torch.ones_like(mask)
        leaves = [part.clone().requires_grad_() for part in (values, ones, guess, torch.ones_like(domain))]
        outcome = network(*leaves)[0, 0, 0, centre, centre]
        for gradient in torch.autograd.grad(outcome, leaves):
            rows, columns = gradient[0, 0, 0].nonzero().T
            farthest = max(farthest, *(int((part - centre).abs().max()) for part in (rows, columns)))
    assert farthest == network.reach


@pytest.mark.parametrize("start", [0, 4, 12, 36])
def test_a_tile_s_inside_is_that_of_the_whole(start):
    """For tiles that begin at a multiple of 4, with a halo as wide as the reach."""
    network = wild()
    height, width, core = 112, 128, 8
    parts = inputs(2, height, width, dtype=torch.float64)
    whole = network(*parts)
    halo = -(-UNet(frames=1).reach // 4) * 4
    rows, columns = slice(start, start + core + 2 * halo), slice(max(0, start - 4), start + core + 2 * halo + 8)
    tile = network(*(part[..., rows, columns] for part in parts))
    top = 0 if rows.start == 0 else halo
    left = 0 if columns.start == 0 else halo
    inner = tile[..., top : halo + core, left : halo + core]
    expected = whole[..., start + top : start + halo + core, columns.start + left : columns.start + halo + core]
    assert inner.numel() > 0
    torch.testing.assert_close(inner, expected, rtol=1e-9, atol=1e-9)


def test_gaps_and_land_say_nothing():
    network = wild(dtype=torch.float32)
    values, mask, guess, domain = inputs(2, 14, 17)
    found = network(values, mask, guess, domain)
    assert not torch.equal(found, guess)
    assert torch.equal(network(values + 1e6 * (1 - mask), mask, guess, domain), found)
    land = (domain == 0).expand_as(guess)
    assert torch.equal(found[land], guess[land])


def test_a_mask_is_not_a_value():
    """0 is a valid anomaly, so the output depends on the mask."""
    network = wild(dtype=torch.float32)
    values, mask, guess, domain = inputs(2, 14, 17)
    none = torch.zeros_like(values)
    assert not torch.allclose(network(none, mask, none, domain), network(none, none, none, domain))


def test_windows_of_a_batch_do_not_know_each_other():
    network = wild()
    parts = inputs(2, 13, 10, dtype=torch.float64)
    together = network(*parts)
    for one in range(2):
        torch.testing.assert_close(network(*(part[one : one + 1] for part in parts))[0], together[one])


def test_untrained_members_are_those_of_the_first_guess():
    network = UNet(frames=2, width=4, noise="posterior")
    values, mask, guess, domain = inputs(2, 9, 13)
    noise = torch.randn(guess.shape)
    torch.testing.assert_close(network(values, mask, guess, domain, noise), guess + noise)
    torch.testing.assert_close(network(values, mask, guess, domain), guess)
    white = UNet(frames=2, width=4, noise="white")
    torch.testing.assert_close(white(values, mask, guess, domain, noise), guess)


def test_members_differ_by_their_noise_alone():
    torch.manual_seed(0)
    network = UNet(frames=2, width=3, noise="white")
    torch.nn.init.normal_(network.leave.weight, std=0.2)
    parts = inputs(2, 12, 12)
    one, other = torch.randn(2, *parts[0].shape)
    assert (network(*parts, one) != network(*parts, other)).any()
    torch.testing.assert_close(network(*parts, one), network(*parts, one))
    torch.testing.assert_close(network(*parts), network(*parts, torch.zeros_like(one)))


@pytest.mark.parametrize(
    "kind", [UNet, partial(SaganGenerator, show_mask=False), ErrorNet], ids=["unet", "sagan", "error"]
)
def test_covariates_are_channels_of_their_own(kind):
    """Covariates change the output; a network built without them accepts none."""
    network = kind(frames=2, width=3, extras=2).eval()
    torch.nn.init.normal_(network.leave.weight, std=0.2)
    values, mask, guess, domain = inputs(2, 12, 12)
    parts = (values, mask, guess, values, domain) if isinstance(network, ErrorNet) else (values, mask, guess, domain)
    one, other = torch.randn(2, len(values), 2, 12, 12)
    assert (network(*parts, extra=one) != network(*parts, extra=other)).any()
    with pytest.raises(RuntimeError):
        network(*parts)
    with pytest.raises(RuntimeError):
        kind(frames=2, width=3)(*parts, extra=one)


def test_it_adds_to_the_measurement_where_it_is_asked():
    """Untrained it returns the measurement, whatever the first guess; a bounded network stays between -1 and 1."""
    values, mask, guess, domain = inputs(2, 9, 12)
    network = UNet(frames=2, width=4, skip="measurement")
    assert torch.equal(network(values, mask, guess, domain), values * mask)
    bounded = UNet(frames=2, width=4, skip="measurement", bounded=True)
    torch.nn.init.normal_(bounded.leave.weight, std=10.0)
    corrections = bounded(values, mask, guess, domain) - values * mask
    assert 0.99 < float(corrections.abs().max()) <= 1 + 1e-6
    assert float(bounded.eval()(values, mask, guess, domain).abs().max()) == 1
    with pytest.raises(InputError, match="skip must be one of guess, measurement, got 'none'"):
        UNet(frames=2, skip="none")


def test_with_attention_every_cell_may_affect_every_other():
    torch.manual_seed(0)
    network = UNet(frames=1, width=2, attention=True)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    values, _, guess, domain = inputs(1, 72, 72)
    values = values[:1].requires_grad_()
    outcome = network(values, torch.ones_like(values), guess[:1], torch.ones_like(domain[:1]))[..., 0, 0].sum()
    (gradient,) = torch.autograd.grad(outcome, values)
    assert gradient[0, 0, 0, -4:, -4:].any() and network.reach > 72
