"""Layers start orthogonal beneath their norm, and their spectral norm is one."""

import pytest
import torch
from torch import nn

from geogan.model.networks.spectral import spectral


@pytest.mark.parametrize("make", [lambda: nn.Conv2d(5, 7, 3), lambda: nn.Conv2d(9, 4, 1), lambda: nn.Linear(6, 11)])
def test_the_weight_beneath_the_norm_is_orthogonal(make):
    layer = spectral(make())
    weight = layer.parametrizations.weight.original.detach().flatten(1)
    gram = weight @ weight.mT if weight.shape[0] <= weight.shape[1] else weight.mT @ weight
    torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-5, rtol=0)
    assert not layer.bias.any()


def test_the_norm_follows_the_weight_while_training():
    layer = spectral(nn.Linear(6, 4))
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.randn(4, 6, generator=torch.Generator().manual_seed(1)))
    for _ in range(60):  # each use is one power iteration
        layer.weight  # noqa: B018
    assert torch.linalg.matrix_norm(layer.weight.detach(), 2) == pytest.approx(1, abs=1e-3)


def test_in_evaluation_a_weight_stays():
    layer = spectral(nn.Linear(6, 4)).eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(torch.ones(1, 6))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
