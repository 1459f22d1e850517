"""`geogan.testing.check_operator` passes every operator of geogan and finds broken promises."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from geogan.operators import Observation, ObservedGaps, Operator
from geogan.operators.parse import OPERATORS
from geogan.testing import check_operator


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_operator_of_geogan_passes(name):
    operator = OPERATORS[name]() if name != "patch_band" else OPERATORS[name](h=5)
    if isinstance(operator, ObservedGaps):
        observed = np.random.default_rng(0).random((20, 24, 20)) < 0.5
        operator = operator.fitted(observed, np.ones((24, 20), bool))
    check_operator(operator)


@dataclass(frozen=True)
class Half(Operator):
    """Hide a random half of the cells; `flaw` names a promise that is not kept."""

    flaw: ClassVar[str] = ""

    def sample(self, shape, *, generator):
        generator = None if self.flaw == "global generator" else generator
        return torch.rand(shape, generator=generator) < 0.5

    def apply(self, x, theta):
        if self.flaw == "changes its input":
            x *= 1
            x += 1
        mask = theta.to(x.dtype)
        values = torch.where(theta, x, torch.zeros_like(x))
        if self.flaw == "not 0 where the mask is 0":
            values = x
        elif self.flaw == "changes observed values":
            values = 2 * values
        elif self.flaw == "not differentiable":
            values = values.detach()
        elif self.flaw == "other values than 0 and 1":
            mask = mask / 2
        elif self.flaw == "apply returns mask":
            mask = mask.bool()
        return Observation(values, mask)


def test_a_sound_operator_passes():
    check_operator(Half())


@pytest.mark.parametrize(
    "flaw",
    [
        "global generator",
        "changes its input",
        "not 0 where the mask is 0",
        "changes observed values",
        "not differentiable",
        "other values than 0 and 1",
        "apply returns mask",
    ],
)
def test_a_flaw_is_named(flaw):
    kind = type("Flawed", (Half,), {"flaw": flaw})
    with pytest.raises(AssertionError, match=flaw):
        check_operator(kind())


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (None, "it blurs, but point_spread returns None"),
        (torch.full((1, 2), 0.5), "must have odd sides and the sum 1, got 1 x 2 and 1"),
        (torch.full((1, 3), 0.5), "must have odd sides and the sum 1, got 1 x 3 and 1.5"),
        (torch.tensor([[0.0, 0.0, 1.0]]), "blur is not the convolution with point_spread"),
        (torch.tensor([[1.0, 0.0, 0.0]]), ""),
    ],
)
def test_a_blur_has_a_point_spread(kernel, message):
    """The operator measures the cell to the left."""

    @dataclass(frozen=True)
    class Moved(Operator):
        masks, blurs = False, True

        def sample(self, shape, *, generator):
            return ()

        def apply(self, x, theta):
            return Observation(self.blur(x), torch.ones_like(x))

        def blur(self, x):
            return torch.cat([x[..., :1], x[..., :-1]], -1)

        def point_spread(self):
            return kernel

    if not message:
        check_operator(Moved())
        return
    with pytest.raises(AssertionError, match=message):
        check_operator(Moved())


def test_a_length_is_a_parameter():
    kind = type("Long", (Half,), {"lengths": {"width": "rows"}})
    with pytest.raises(AssertionError, match="lengths must name parameters, and rows, columns or mean for each"):
        check_operator(kind())


def test_a_text_is_no_parameter():
    @dataclass(frozen=True)
    class Named(Half):
        kind: object = "fog"

    with pytest.raises(AssertionError, match="parameter kind is not a number"):
        check_operator(Named())
