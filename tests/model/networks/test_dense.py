"""Every cell of a dense generator affects every other."""

import pytest
import torch

from geogan.model.networks import GENERATORS
from geogan.operators.errors import InputError


def network(**options):
    torch.manual_seed(0)
    return GENERATORS["dense"](frames=2, channels=1, width=2, size=(8, 10), **options)


def frames():
    random = torch.Generator().manual_seed(0)
    mask = (torch.rand(3, 2, 1, 8, 10, generator=random) < 0.5).float()
    return (
        torch.randn(3, 2, 1, 8, 10, generator=random) * mask,
        mask,
        torch.zeros_like(mask),
        torch.ones(3, 1, 1, 8, 10),
    )


def test_every_cell_affects_every_other():
    values, mask, guess, domain = frames()
    values.requires_grad_()
    for place in ((0, 0), (7, 9)):
        outcome = network()(values, torch.ones_like(mask), guess, domain)[:, 1, 0, *place].sum()
        (gradient,) = torch.autograd.grad(outcome, values)
        assert (gradient != 0).all()


def test_it_adds_to_the_measurement_or_to_the_first_guess():
    values, mask, guess, domain = frames()
    added = network()(values, mask, guess, domain)
    torch.testing.assert_close(network(skip="measurement")(values, mask, guess, domain), values + added)
    bounded = network(bounded=True).eval()(3 * values, mask, guess + 2, domain)
    assert float(bounded.detach().abs().max()) == 1


def test_frames_of_another_size_are_refused():
    values, mask, guess, domain = frames()
    with pytest.raises(InputError, match="for frames of 8 x 10 cells, got 10 x 8"):
        network()(values.mT, mask.mT, guess.mT, domain.mT)
