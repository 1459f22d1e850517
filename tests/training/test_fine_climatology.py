"""The climatology of blurred measurements is deblurred; measured again, it is that of the measurements."""

import numpy as np
import torch

from geogan.archive import Standardiser
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.within import blurred_within
from geogan.prior import GaussianPrior
from geogan.training.fine_climatology import deblurred_climatology

OPERATOR = ConvolveNoise(l=3)


def test_the_climatology_of_the_field_is_found():
    nothing, random = torch.zeros(1, 1, 1, 20, 22), torch.Generator().manual_seed(1)
    domain = np.ones((20, 22), bool)
    domain[:4, :5] = False
    cells = torch.from_numpy(domain)
    true = 10 + 2 * GaussianPrior(length=6.0).sample(nothing, nothing, cells, torch.zeros(1), generator=random)[0, 0]
    blurred = blurred_within(OPERATOR, true[None, None], cells[None, None, None])[0, 0]
    noisy = torch.where(cells, blurred + 0.02 * torch.randn(blurred.shape, generator=random), 10.0)
    found = deblurred_climatology(
        Standardiser(noisy[None].numpy(), np.ones(1)),
        domain,
        domain,
        OPERATOR,
        is_periodic=False,
        seed=0,
        evaluations=8,
    )
    error = (found.fine[0] - true.numpy())[0, domain].std()
    assert error < 0.5 * (noisy - true).numpy()[0, domain].std()
    again = blurred_within(OPERATOR, torch.from_numpy(found.fine)[None], cells[None, None, None])[0]
    np.testing.assert_allclose(found.coefficients[..., domain], again[..., cells].numpy(), rtol=1e-5)
    # Anomalies are those of the measurements, their inverse is the field.
    zero = np.zeros((1, 1, 20, 22), np.float32)
    np.testing.assert_allclose(found.forward(found.coefficients, None), zero, atol=1e-5)
    np.testing.assert_array_equal(found.inverse(zero, None), found.fine)


def test_a_constant_climatology_stays():
    flat = Standardiser(np.full((1, 1, 8, 9), 4.0, np.float32), np.ones(1))
    assert (
        deblurred_climatology(flat, np.ones((8, 9), bool), np.ones((8, 9), bool), OPERATOR, is_periodic=False, seed=0)
        is flat
    )
