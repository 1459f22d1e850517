"""A block is filled frame by frame from every window that holds the frame."""

import numpy as np
import pytest
import torch

from geogan.model import reconstruct as inference
from geogan.model.networks import ErrorNet, UNet
from geogan.model.reconstruct import fill_block, reconstruct


def network(frames=3):
    torch.manual_seed(0)
    made = UNet(frames=frames, width=4)
    torch.nn.init.normal_(made.leave.weight, std=0.3)
    return made


def block(length=7, height=10, width=13):
    generator = torch.Generator().manual_seed(1)
    shape = (length, 1, height, width)
    domain = torch.ones(height, width)
    domain[:3, :4] = 0
    mask = (torch.rand(shape, generator=generator) < 0.5).float() * domain
    return torch.randn(shape, generator=generator) * mask, mask, torch.randn(shape, generator=generator), domain


def test_a_frame_is_the_mean_of_its_windows():
    values, mask, guess, domain = block()
    made = network()
    said = [[] for _ in range(7)]
    with torch.no_grad():
        for start in range(5):
            t = slice(start, start + 3)
            window = made(values[None, t], mask[None, t], guess[None, t], domain[None, None, None])[0]
            for frame in range(3):
                said[start + frame].append(window[frame])
    expected = torch.stack([torch.stack(each).mean(0) for each in said])
    torch.testing.assert_close(reconstruct(made, values, mask, guess, domain).field, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cells", [1, 900, 10**9])
def test_batches_make_no_difference(monkeypatch, cells):
    expected = reconstruct(network(), *block()).field
    monkeypatch.setattr(inference, "CELLS", cells)
    torch.testing.assert_close(reconstruct(network(), *block()).field, expected, rtol=1e-4, atol=1e-5)


def test_without_a_network_it_is_the_first_guess():
    values, mask, guess, domain = block()
    assert reconstruct(None, values, mask, guess, domain).field.data_ptr() == guess.data_ptr()


def test_a_block_shorter_than_the_window_is_a_defect():
    with pytest.raises(ValueError, match="at least the 3 frames of a window, got 2"):
        reconstruct(network(), *block(2)[:3], block(2)[3])


def test_numpy_in_and_out(prior):
    values, mask, _, domain = block()
    days = np.arange(7.0)
    parts = (values.numpy(), mask.numpy(), domain.numpy(), days)
    exact = prior.map(values[None], mask[None], domain, torch.from_numpy(days), tolerance=1e-6)[0]
    first = fill_block(None, prior, *parts, tolerance=1e-6).field
    assert first.dtype == torch.float32 and first.device.type == "cpu"
    np.testing.assert_allclose(first.numpy(), exact.numpy(), atol=1e-4)
    np.testing.assert_allclose(
        fill_block(network(), prior, *parts, tolerance=1e-6).field.numpy(),
        reconstruct(network(), values, mask, exact, domain).field.numpy(),
        atol=1e-3,
    )
    assert (fill_block(None, None, *parts).field == 0).all()
    np.testing.assert_array_equal(
        fill_block(network(), None, *parts).field.numpy(),
        reconstruct(network(), values, mask, 0 * values, domain).field.numpy(),
    )


def test_some_dates_are_those_of_all_to_the_last_bit(prior, monkeypatch):
    """Networks look at the windows that hold them, the first guess at all there is."""
    monkeypatch.setattr(inference, "CELLS", 1)  # batches of one size: in others sums are rounded otherwise
    values, mask, _, domain = block(12)
    error = ErrorNet(frames=3, width=4)
    torch.nn.init.normal_(error.leave.weight, std=0.1)
    noise = np.random.default_rng(0).standard_normal((2, 2, *values.shape)).astype(np.float32)
    given = (network(), prior, values.numpy(), mask.numpy(), domain.numpy(), np.arange(12.0))
    whole = fill_block(*given, error=error, noise=noise)
    for dates in (slice(4, 7), slice(0, 2), slice(11, 12), slice(5, None)):
        for made, expected in zip(fill_block(*given, error=error, noise=noise, dates=dates), whole, strict=True):
            torch.testing.assert_close(made, expected[..., dates, :, :, :], rtol=0, atol=0)


def test_half_precision_is_near():
    whole = reconstruct(network(), *block()).field
    half = reconstruct(network(), *block(), precision=torch.bfloat16).field
    assert half.dtype == torch.float32 and (half - whole).abs().max() < 0.1 * whole.abs().max()


def test_members_stand_around_the_mean(prior):
    values, mask, _, domain = block()
    noise = np.random.default_rng(0).standard_normal((2, 3, *values.shape)).astype(np.float32)
    parts = (values.numpy(), mask.numpy(), domain.numpy(), np.arange(7.0))
    made = fill_block(None, prior, *parts, noise=noise)
    assert made.members is not None and made.members.shape == (6, *values.shape)
    # Of the first guess alone: each has its opposite, so the mean is the guess itself.
    torch.testing.assert_close(made.field, fill_block(None, prior, *parts).field, atol=1e-5, rtol=0)
    torch.testing.assert_close(made.members[:3] + made.members[3:], 2 * made.field[None].expand(3, -1, -1, -1, -1))
    spread = made.members.std(0)
    seen, inside = mask > 0, domain.expand_as(mask) > 0
    assert spread[seen & inside].mean() < 0.7 * spread[~seen & inside].mean()
    assert (spread[~inside] == 0).all()


def test_members_of_a_network_follow_its_noise(prior):
    torch.manual_seed(0)
    made = UNet(frames=3, width=4, noise="posterior")
    torch.nn.init.normal_(made.leave.weight, std=0.1)
    values, mask, _, domain = block()
    noise = np.random.default_rng(0).standard_normal((2, 2, *values.shape)).astype(np.float32)
    parts = (values.numpy(), mask.numpy(), domain.numpy(), np.arange(7.0))
    found = fill_block(made, prior, *parts, noise=noise)
    torch.testing.assert_close(found.field, found.members.mean(0))
    assert (found.members[0] != found.members[1]).any()
    one = fill_block(made, prior, *parts, noise=noise[:, :1])
    torch.testing.assert_close(one.members, found.members[[0, 2]])


def test_the_error_is_predicted_beside():
    error = ErrorNet(frames=3, width=4)
    error.scale.fill_(0.5)
    made = reconstruct(network(), *block(), error=error)
    torch.testing.assert_close(made.std, torch.full_like(made.std, 0.5))
    torch.testing.assert_close(made.field, reconstruct(network(), *block()).field)
