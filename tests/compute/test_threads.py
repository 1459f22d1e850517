"""Items side by side: in order, few at a time, errors heard of, torch's threads put back."""

import itertools
import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from geogan.compute import threads as parallel
from geogan.compute.threads import ahead, cores, side_by_side, torch_threads, workers
from geogan.operators.errors import InputError


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_in_the_order_of_the_items(threads):
    def late(item):
        time.sleep(0.002 * (7 - item) if item < 7 else 0)
        return item * item

    assert list(side_by_side(late, range(20), threads=threads)) == [item * item for item in range(20)]
    assert list(side_by_side(late, [], threads=threads)) == []


def test_items_are_taken_only_as_fast_as_they_are_used():
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    results = side_by_side(lambda item: item, items(), threads=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(taken) <= 5 + 3
    results.close()
    assert len(taken) <= 5 + 3


def test_never_more_than_asked_for_at_a_time():
    lock, running, most = threading.Lock(), 0, 0

    def work(item):
        nonlocal running, most
        with lock:
            running, most = running + 1, max(most, running + 1)
        time.sleep(0.002)
        with lock:
            running -= 1

    list(side_by_side(work, range(30), threads=3))
    assert 1 <= most <= 3


def test_the_first_error_stops_it():
    done = []

    def work(item):
        if item == 3:
            raise InputError("item 3 is bad")
        done.append(item)

    with pytest.raises(InputError, match="item 3 is bad"):
        list(side_by_side(work, range(500), threads=2))
    assert len(done) < 20


def test_torch_works_on_one_thread_inside_and_as_before_outside():
    before = torch.get_num_threads()
    seen = set(side_by_side(lambda _: torch.get_num_threads(), range(8), threads=2))
    assert seen == {1} and torch.get_num_threads() == before
    with pytest.raises(RuntimeError, match="x"), torch_threads(3):
        assert torch.get_num_threads() == 3
        raise RuntimeError("x")
    assert torch.get_num_threads() == before


def test_how_many():
    assert workers(3) == 3 and workers(None) >= 1
    for wrong in (0, -2):
        with pytest.raises(InputError, match=f"threads must be at least 1, got {wrong}"):
            workers(wrong)


def test_one_item_is_made_ahead_while_another_is_used():
    made, threads = [], set()

    def work(number):
        threads.add(threading.current_thread())
        made.append(number)
        return -number

    coming = ahead(work, itertools.count())
    for number in range(3):
        assert next(coming) == -number
        while len(made) < number + 2:  # the next comes without being asked for
            time.sleep(0.001)
        assert made == list(range(number + 2))
    coming.close()
    assert len(threads) == 1 and threading.main_thread() not in threads


def test_what_fails_ahead_is_heard_of_in_its_turn():
    coming = ahead(lambda number: 1 / (2 - number), range(5))
    assert [next(coming), next(coming)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(coming)


def test_wrong_numbers_of_threads():
    for wrong in (1.5, True, "2", float("nan")):
        with pytest.raises(InputError, match="threads must be a whole number"):
            workers(wrong)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "99900000 100000\n"}, 64),
        # A group obeys those above it.
        (
            {
                "proc/self/cgroup": "0::/batch/job/step\n",
                "sys/fs/cgroup/batch/job/step/cpu.max": "max 100000\n",
                "sys/fs/cgroup/batch/job/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/batch/cpu.max": "1600000 100000\n",
            },
            3,
        ),
        # In a container the path may be the host's.
        ({"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        # Version 1.
        (
            {
                "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            64,
        ),
        (
            {
                "proc/self/cgroup": "4:cpuacct,cpu:/a\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "600000\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            6,
        ),
        # Nonsense sets no limit.
        ({"proc/self/cgroup": "what\n", "sys/fs/cgroup/cpu.max": "much 0\n"}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"}, 64),
    ],
)
def test_a_container_has_no_more_cores_than_its_limit(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores(tmp_path) == expected


def test_a_process_has_no_more_cores_than_it_is_bound_to(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {3}, raising=False)
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: 128)
    assert cores(tmp_path) == 1
    monkeypatch.delattr(parallel.os, "sched_getaffinity")
    assert cores(tmp_path) == 128


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no processes to cores")
def test_fills_use_the_cores_that_there_are():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from geogan.compute.threads import workers; print(workers(None))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
