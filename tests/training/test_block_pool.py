"""The blocks of a step depend on the step alone, and each is prepared once, in the background."""

import threading
from collections import Counter

import pytest
import torch

from geogan.prior import Film
from geogan.training.block_pool import BlockPool


def fake(number):
    part = torch.tensor(float(number))
    return Film(values=part, mask=part, domain=part, days=part)


def numbers(blocks):
    return [int(block.values) for block in blocks]


def test_the_blocks_of_a_step_depend_on_the_step_alone():
    running = BlockPool(fake, size=3, every=4)
    went = [numbers(running.at(step)) for step in range(20)]
    running.close()
    assert went[0] == [0, 1, 2] and went[3] == went[0] and went[4] == [3, 1, 2] and went[19] == [6, 4, 5]
    for step in (0, 7, 19):
        resumed = BlockPool(fake, size=3, every=4)
        assert numbers(resumed.at(step)) == went[step]
        resumed.close()


def test_each_block_is_made_once_ahead_and_in_the_background():
    made, threads = Counter(), set()

    def make(number):
        made[number] += 1
        threads.add(threading.current_thread())
        return fake(number)

    pool = BlockPool(make, size=2, every=1, ahead=3)
    for step in range(6):
        pool.at(step)
    pool.close()
    assert set(made.values()) == {1} and max(made) <= 5 + 2 + 3 - 1
    assert threading.main_thread() not in threads and len(threads) == 1


def test_blocks_that_are_not_needed_are_not_made():
    made = []
    pool = BlockPool(
        lambda number: made.append(number) or fake(number), size=4, every=2, is_needed=lambda number: number % 2 == 1
    )
    whole = BlockPool(fake, size=4, every=2)
    for step in range(9):
        part = pool.at(step)
        # What is there stands where it stands for who makes all.
        assert part[::2] == [None, None] and numbers(part[1::2]) == numbers(whole.at(step))[1::2]
    pool.close(), whole.close()
    assert made and all(number % 2 for number in made)


def test_a_block_that_fails_is_heard_of():
    def make(number):
        raise OSError("the disk is gone")

    pool = BlockPool(make, size=2, every=1)
    with pytest.raises(OSError, match="the disk is gone"):
        pool.at(0)
    pool.close()
