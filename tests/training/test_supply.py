"""Windows and theta come in their order, whoever goes on from wherever."""

import threading

import torch

from geogan.prior import Film
from geogan.training.supply import Supply

CPU = torch.device("cpu")


def draw(step):
    part = torch.full((2,), float(step))
    return Film(values=part, mask=part, domain=part, days=part), (torch.full((2,), step), ())


def test_each_step_gets_its_own():
    supply = Supply(draw, range(3, 7), CPU)
    for step in range(3, 7):
        windows, theta = supply.take()
        assert windows.values.tolist() == [step, step] and theta[0].tolist() == [step, step] and theta[1] == ()
    assert supply.waited >= 0
    supply.close()


def test_nothing_is_made_after_the_end():
    made, before = [], threading.active_count()
    supply = Supply(lambda step: made.append(step) or draw(step), iter(range(10**9)), CPU)
    supply.take()
    supply.close()
    assert made[:2] == [0, 1] and len(made) <= 3 and threading.active_count() == before
