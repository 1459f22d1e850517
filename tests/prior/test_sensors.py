"""One field from several sensors: the closed form, their biases, and one sensor as a special case."""

import numpy as np
import pytest
import torch

from geogan.operators.errors import InputError
from geogan.prior.blur import PointSpread
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.sensors import BIAS_SPREAD, Sensor, Sensors

LOPSIDED = PointSpread.of(torch.tensor([[0.0, 1.0, 2.0], [3.0, 5.0, 1.0], [0.0, 0.5, 0.0]]))
DAY = torch.zeros(1)


def small_case():
    """Return measurements of three sensors on a grid of 4 x 5 cells with land, and these sensors."""
    random = torch.Generator().manual_seed(0)
    domain = torch.ones(4, 5, dtype=torch.float64)
    domain[0, 1] = domain[-1, :2] = 0
    mask = (torch.rand(1, 1, 3, 4, 5, generator=random) < 0.6).double() * domain
    values = torch.randn(mask.shape, generator=random, dtype=torch.float64) * mask
    prior = GaussianPrior(length=4.0, amplitude=1.5, tilt=-0.5)
    return values, mask, domain, Sensors(prior, (Sensor(0.2), Sensor(0.5, LOPSIDED, bias=0.3), Sensor(0.1)))


def dense(mask, domain, sensors):
    """Return the matrix of all measurements, the variances of their errors, and the number of the sensor of each."""
    units = torch.eye(domain.numel(), dtype=torch.float64).view(-1, *domain.shape)
    rows, variances, numbers = [], [], []
    for number, sensor in enumerate(sensors.sensors):
        seen = mask[0, 0, number].flatten() > 0
        blurred = units if sensor.blur is None else sensor.blur.on(domain).measured(units)
        rows.append(blurred.flatten(1).mT[seen])
        variances.append(torch.full((int(seen.sum()),), sensor.noise**2, dtype=torch.float64))
        numbers.append(torch.full((int(seen.sum()),), number))
    return torch.cat(rows), torch.cat(variances), torch.cat(numbers)


def observed(values, mask):
    return torch.cat([values[0, 0, number][mask[0, 0, number] > 0] for number in range(values.shape[2])])


def test_mean_and_spread_are_those_of_the_closed_form():
    values, mask, domain, sensors = small_case()
    cells, bands = domain.numel(), len(sensors.sensors)
    # Deviations are linear in their noise: the squares of those of unit vectors add up to the variance.
    units = torch.eye((1 + bands) * cells, dtype=torch.float64).view(-1, 1, 1, 1 + bands, 4, 5)
    mean, deviations = sensors.members(
        values, mask, domain, DAY, noise=(units[:, :, :, :1], units[:, :, :, 1:]), tolerance=1e-10, loose=1e-10
    )
    matrix, variances, numbers = dense(mask, domain, sensors)
    biases = torch.tensor([sensor.bias for sensor in sensors.sensors], dtype=torch.float64)[numbers]
    covariance = sensors.prior.covariance(domain)
    gain = covariance @ matrix.mT @ torch.linalg.inv(matrix @ covariance @ matrix.mT + torch.diag(variances))
    torch.testing.assert_close(mean.flatten(), gain @ (observed(values, mask) - biases), atol=1e-7, rtol=0)
    variance = (covariance - gain @ matrix @ covariance).diagonal()
    torch.testing.assert_close(deviations.square().sum(0).flatten(), variance, atol=1e-7, rtol=0)


def test_biases_are_those_of_the_joint_closed_form():
    values, mask, domain, sensors = small_case()
    matrix, variances, numbers = dense(mask, domain, sensors)
    known = torch.tensor([sensor.bias for sensor in sensors.sensors], dtype=torch.float64)
    shifts = torch.nn.functional.one_hot(numbers, 3).double()
    shifts[:, 0] = 0
    between = (sensors.prior.amplitude * BIAS_SPREAD) ** 2 * shifts.mT
    total = matrix @ sensors.prior.covariance(domain) @ matrix.mT + torch.diag(variances) + shifts @ between
    expected = known + between @ torch.linalg.solve(total, observed(values, mask) - known[numbers])
    found = sensors.with_biases(values, mask, domain, DAY, tolerance=1e-10)
    np.testing.assert_allclose([sensor.bias for sensor in found.sensors], expected, atol=1e-6)


@pytest.mark.parametrize("blur", [None, LOPSIDED])
def test_one_sensor_is_the_gaussian_map(blur):
    values, mask, domain, _ = small_case()
    values, mask = values[:, :, :1], mask[:, :, :1]
    prior = GaussianPrior(length=4.0, amplitude=1.5, noise=0.2, blur=blur)
    found = Sensors(prior, (Sensor(0.3, blur),)).map(values, mask, domain, DAY, tolerance=1e-9)
    torch.testing.assert_close(found, prior.map(values, mask, domain, DAY, tolerance=1e-9), atol=1e-6, rtol=0)


def test_no_sensor_and_a_field_that_drifts_are_refused():
    with pytest.raises(InputError, match="at least one sensor"):
        Sensors(GaussianPrior(), ())
    with pytest.raises(InputError, match="without drift"):
        Sensors(GaussianPrior(drift_x=1.0), (Sensor(0.1),))
    with pytest.raises(InputError, match="noise of a sensor must be positive"):
        Sensor(0.0)
