"""Discriminators depend on values and gaps of every frame; the slope of the default one is bounded."""

import pytest
import torch

from geogan.model.networks import DISCRIMINATORS, ONE_SIZE, Discriminator
from geogan.operators.errors import InputError


def network(frames=3, width=4):
    torch.manual_seed(0)
    return Discriminator(frames=frames, width=width)


def test_one_score_a_film_whatever_its_size():
    for height, width in ((8, 8), (19, 26), (40, 16)):
        values = torch.randn(5, 3, 1, height, width)
        assert network()(values, torch.ones_like(values)).shape == (5,)


def test_every_frame_s_values_and_gaps_count():
    values = torch.randn(2, 3, 1, 16, 20).requires_grad_()
    mask = (torch.rand(2, 3, 1, 16, 20) < 0.5).float().requires_grad_()
    for gradient in torch.autograd.grad(network()(values, mask).sum(), (values, mask)):
        assert (gradient.flatten(2).abs().amax(-1) > 0).all()


@pytest.mark.parametrize("name", ONE_SIZE)
def test_dense_layers_see_every_cell_and_refuse_another_size(name):
    torch.manual_seed(0)
    judge = DISCRIMINATORS[name](frames=2, channels=1, width=2, size=(16, 12))
    values = torch.randn(2, 2, 1, 16, 12).requires_grad_()
    mask = (torch.rand(2, 2, 1, 16, 12) < 0.5).float().requires_grad_()
    for gradient in torch.autograd.grad(judge(values, mask).sum(), (values, mask)):
        assert (gradient != 0).all()
    # It knows where a feature is, which a mean over the cells does not.
    moved = values.roll(4, -1)
    assert not torch.allclose(judge(values, mask), judge(moved, mask))
    with pytest.raises(InputError, match="for frames of 16 x 12 cells, got 12 x 16; give frames of that size"):
        judge(values.mT, mask.mT)


def test_the_same_values_under_other_gaps_are_another_measurement():
    values, mask = torch.zeros(1, 3, 1, 16, 20), torch.ones(1, 3, 1, 16, 20)
    judge = network().eval()
    assert judge(values, mask) != judge(values, 0 * mask)


def test_films_of_a_batch_do_not_know_each_other():
    judge = network().eval()
    values = torch.randn(4, 3, 1, 16, 20)
    together = judge(values, torch.ones_like(values))
    for one in range(4):
        alone = judge(values[one : one + 1], torch.ones_like(values[:1]))
        torch.testing.assert_close(alone[0], together[one])


def test_layers_have_spectral_norm_one():
    judge = network()
    for _ in range(60):  # each forward is one turn of the power iteration
        judge(torch.zeros(1, 3, 1, 8, 8), torch.zeros(1, 3, 1, 8, 8))
    weights = [layer.weight for layer in judge.features if hasattr(layer, "weight")] + [judge.score.weight]
    assert len(weights) == 4
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.detach().flatten(1), 2) < 1.02


def test_scores_are_float32_in_any_arithmetic():
    with torch.autocast("cpu", torch.bfloat16):
        assert network()(torch.zeros(1, 3, 1, 8, 8), torch.zeros(1, 3, 1, 8, 8)).dtype == torch.float32
