"""What computes quickest here is found by measuring, whatever here is."""

import time

import pytest
import torch
from torch import nn

from geogan.model.networks import UNet
from geogan.training.speed import Pace, find_pace, thread_counts

CPU = torch.device("cpu")


class Slow(nn.Module):
    """A network that takes as long as it is told to, by precision and threads."""

    frames, channels, extras = 1, 1, 0

    def __init__(self, milliseconds):
        super().__init__()
        self.weight, self.milliseconds, self.asked = nn.Parameter(torch.ones(())), milliseconds, []

    def __deepcopy__(self, memo):
        return self

    def forward(self, values, mask, guess, domain, extra=None):
        precision = "bfloat16" if torch.is_autocast_enabled("cpu") else "float32"
        pace = Pace(precision, torch.get_num_threads())
        self.asked.append(pace)
        time.sleep(self.milliseconds(pace) / 1e3)
        return self.weight * values


def found(milliseconds, threads, precisions=("float32", "bfloat16")):
    network, before = Slow(milliseconds), torch.get_num_threads()
    pace = find_pace(network, batch=8, crop=(8, 8), device=CPU, precisions=precisions, threads=threads, seconds=0.1)
    assert torch.get_num_threads() == before
    return pace, {asked.threads for asked in network.asked}


def test_bfloat16_where_it_is_quicker():
    assert found(lambda pace: 2 if pace.precision == "bfloat16" else 9, [1])[0] == Pace("bfloat16", 1)
    assert found(lambda pace: 9 if pace.precision == "bfloat16" else 2, [1])[0] == Pace("float32", 1)


def test_as_many_threads_as_pay():
    assert found(lambda pace: 24 / pace.threads, [1, 2, 4])[0].threads == 4
    pace, tried = found(lambda pace: {1: 12, 2: 6}.get(pace.threads, 6), [1, 2, 4, 8])
    assert pace.threads == 2 and tried == {1, 2, 4}  # eight are not tried any more


def test_on_a_busy_core_one_thread():
    """Two that wait for each other may take fourteen times as long."""
    pace, tried = found(lambda pace: 2 if pace.threads == 1 else 28, [1, 2, 4])
    assert pace.threads == 1 and tried == {1, 2}


def test_without_a_choice_nothing_is_measured():
    assert find_pace(None, batch=1, crop=(8, 8), device=CPU, precisions=["bfloat16"], threads=[3]) == ("bfloat16", 3)


def test_the_network_stays_as_it_is_and_the_measurement_is_short():
    network = UNet(frames=3, width=4)
    began = time.perf_counter()
    pace = find_pace(
        network, batch=4, crop=(16, 16), device=CPU, precisions=["float32", "bfloat16"], threads=[1], seconds=0.2
    )
    assert pace.precision in ("float32", "bfloat16") and time.perf_counter() - began < 5
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("most", range(1, 40))
def test_numbers_of_threads_rise_to_the_most(most):
    counts = thread_counts(most)
    assert counts == sorted(set(counts)) and counts[0] == 1 and counts[-1] == most
    assert all(after <= 2 * before for before, after in zip(counts, counts[1:]))
