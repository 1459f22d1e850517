"""The state of a training: averages that follow the networks."""

import torch
from small_training import same, state_of, step, windows_of

from geogan.operators.pixels import RemovePixel
from geogan.training.state import follow, weights_of


def test_the_average_follows_and_the_step_is_counted():
    state = state_of()
    for number in range(5):
        step(state, windows_of(number), RemovePixel(0.4), averaging=0.9)
    assert state.step == 5 and not same(state.average, state.generator)
    step(state, windows_of(), RemovePixel(0.4), averaging=0.0)
    assert same(state.average, state.generator)


def test_an_early_average_forgets_the_untrained_weights():
    average, network = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    before = weights_of(average)
    follow(average, network, 0, 0.998)
    expected = 0.1 * before["weight"] + 0.9 * network.weight
    torch.testing.assert_close(average.weight.detach(), expected.detach())
    follow(average, network, 10**9, 0.5)
    torch.testing.assert_close(average.weight.detach(), (0.5 * expected + 0.5 * network.weight).detach())
    assert before["weight"] is not average.weight, "weights_of copies"
