"""What is remembered of a cell's nearest observation."""

import pytest
import torch

from geogan.recency import recency


def test_it_is_that_of_the_nearest_observation_in_time():
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(9, 2, 3, 4, generator=generator) < 0.3).float()
    mask[:, 0, 0, 0] = 0
    days = torch.tensor([0.0, 1, 2, 5, 6, 6.5, 9, 20, 21], dtype=torch.float64)
    found = recency(mask, days, 3.0)
    apart = (days[:, None] - days[None]).abs().float()
    expected = (torch.exp(-apart / 3)[..., None, None, None] * mask[None]).amax(1)
    torch.testing.assert_close(found, expected)
    assert (found[:, 0, 0, 0] == 0).all() and ((found == 1) == (mask == 1)).all()


def test_without_a_first_guess_it_counts_in_steps():
    mask = torch.zeros(4, 1, 1, 1)
    mask[0] = 1
    hourly, daily = (recency(mask, step * torch.arange(4.0), None) for step in (1 / 24, 1.0))
    torch.testing.assert_close(hourly, daily)


def test_what_has_nothing_before_or_after_is_the_mask():
    mask = (torch.rand(5, 1, 3, 3) < 0.5).float()
    torch.testing.assert_close(recency(mask[:1], torch.zeros(1), None), mask[:1])
    # Samples stand so far apart that nothing lasts.
    torch.testing.assert_close(recency(mask, 1e9 * torch.arange(5.0), 1.0), mask)


@pytest.mark.parametrize("shift", [0.0, 700.0])
def test_only_differences_of_dates_count(shift):
    mask = (torch.rand(6, 1, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    days = torch.arange(6.0, dtype=torch.float64)
    torch.testing.assert_close(recency(mask, days + shift, None), recency(mask, days, None))
