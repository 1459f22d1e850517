"""A film is filled frame by frame from all windows that hold the frame, with members and a predicted error."""

from dataclasses import replace

import pytest
import torch

from geogan.model.networks import ErrorNet, UNet
from geogan.model.reconstruct import Networks, fill_film, reconstruct
from geogan.prior import Film


def network(frames: int = 3, noise: str = "none") -> UNet:
    torch.manual_seed(0)
    unet = UNet(frames=frames, width=4, noise=noise)
    torch.nn.init.normal_(unet.leave.weight, std=0.3)
    return unet


def film(length: int = 7, height: int = 10, width: int = 13) -> Film:
    """Return a film with gaps, land and a random first guess."""
    generator = torch.Generator().manual_seed(1)
    shape = (length, 1, height, width)
    domain = torch.ones(height, width)
    domain[:3, :4] = 0
    mask = (torch.rand(shape, generator=generator) < 0.5).float() * domain
    values, guess = torch.randn(shape, generator=generator) * mask, torch.randn(shape, generator=generator)
    days = torch.arange(float(length), dtype=torch.float64)
    return Film(values=values, mask=mask, guess=guess, domain=domain, days=days)


def noise_of(pairs: int, like: Film) -> torch.Tensor:
    return torch.randn((2, pairs, *like.values.shape), generator=torch.Generator().manual_seed(0))


def test_a_frame_is_the_mean_over_its_windows():
    one, unet = film(), network()
    results = [[] for _ in range(7)]
    with torch.no_grad():
        for start in range(5):
            part = one.dates(slice(start, start + 3))
            window = unet(part.values[None], part.mask[None], part.guess[None], one.domain[None, None, None])[0]
            for frame in range(3):
                results[start + frame].append(window[frame])
    expected = torch.stack([torch.stack(frames).mean(0) for frames in results])
    torch.testing.assert_close(reconstruct(Networks(unet), one).field, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cells", [1, 900, 10**9])
def test_the_size_of_a_batch_has_no_effect(cells):
    expected = reconstruct(Networks(network()), film()).field
    batched = reconstruct(Networks(network(), batch_cells=cells), film()).field
    torch.testing.assert_close(batched, expected, rtol=1e-4, atol=1e-5)


def test_without_a_network_the_result_is_the_first_guess():
    one = film()
    assert reconstruct(Networks(None), one).field.data_ptr() == one.guess.data_ptr()


def test_a_film_shorter_than_the_window_is_refused():
    with pytest.raises(ValueError, match="at least the 3 frames of a window, got 2"):
        reconstruct(Networks(network()), film(2))


def test_filling_starts_from_the_first_guess(prior):
    one = film()
    exact = prior.map(one.values[None], one.mask[None], one.domain, one.days, tolerance=1e-6)[0]
    first = fill_film(Networks(None), prior, one, tolerance=1e-6).field
    assert first.dtype == torch.float32 and first.device.type == "cpu"
    torch.testing.assert_close(first, exact, atol=1e-4, rtol=0)
    filled = fill_film(Networks(network()), prior, one, tolerance=1e-6).field
    expected = reconstruct(Networks(network()), replace(one, guess=exact)).field
    torch.testing.assert_close(filled, expected, atol=1e-3, rtol=0)
    assert (fill_film(Networks(None), None, one).field == 0).all()
    without = fill_film(Networks(network()), None, one).field
    assert torch.equal(without, reconstruct(Networks(network()), replace(one, guess=0 * one.guess)).field)


def test_some_dates_are_those_of_all_to_the_last_bit(prior):
    """The networks use the windows that hold these dates, the first guess uses all dates."""
    one, error = film(12), ErrorNet(frames=3, width=4)
    torch.nn.init.normal_(error.leave.weight, std=0.1)
    # Batches of one size: sums in others are rounded differently.
    networks, noise = Networks(network(), error, batch_cells=1), noise_of(2, one)
    whole = fill_film(networks, prior, one, noise=noise)
    for dates in (slice(4, 7), slice(0, 2), slice(11, 12), slice(5, None)):
        for part, expected in zip(fill_film(networks, prior, one, noise=noise, dates=dates), whole, strict=True):
            torch.testing.assert_close(part, expected[..., dates, :, :, :], rtol=0, atol=0)


def test_half_precision_is_similar():
    whole = reconstruct(Networks(network()), film()).field
    half = reconstruct(Networks(network(), precision=torch.bfloat16), film()).field
    assert half.dtype == torch.float32 and (half - whole).abs().max() < 0.1 * whole.abs().max()


def test_members_of_the_first_guess_are_symmetric_about_it(prior):
    one = film()
    result = fill_film(Networks(None), prior, one, noise=noise_of(3, one))
    assert result.members is not None and result.members.shape == (6, *one.values.shape)
    # Each member has its opposite, so their mean is the first guess.
    torch.testing.assert_close(result.field, fill_film(Networks(None), prior, one).field, atol=1e-5, rtol=0)
    torch.testing.assert_close(result.members[:3] + result.members[3:], 2 * result.field.expand(3, -1, -1, -1, -1))
    spread = result.members.std(0)
    seen, inside = one.mask > 0, one.domain.expand_as(one.mask) > 0
    assert spread[seen & inside].mean() < 0.7 * spread[~seen & inside].mean()
    assert (spread[~inside] == 0).all()


def test_members_of_a_network_follow_its_noise(prior):
    one, networks = film(), Networks(network(noise="posterior"))
    noise = noise_of(2, one)
    result = fill_film(networks, prior, one, noise=noise)
    torch.testing.assert_close(result.field, result.members.mean(0), atol=1e-4, rtol=1e-4)
    assert (result.members[0] != result.members[1]).any()
    pair = fill_film(networks, prior, one, noise=noise[:, :1])
    torch.testing.assert_close(pair.members, result.members[[0, 2]], atol=1e-4, rtol=1e-4)


def test_the_error_network_leaves_the_field_unchanged():
    error = ErrorNet(frames=3, width=4)
    error.scale.fill_(0.5)
    result = reconstruct(Networks(network(), error), film())
    torch.testing.assert_close(result.std, torch.full_like(result.std, 0.5))
    torch.testing.assert_close(result.field, reconstruct(Networks(network()), film()).field)
