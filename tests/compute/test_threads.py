"""Items run on threads in order, few at a time; errors are raised, and torch's threads are restored."""

import itertools
import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from geogan.compute.threads import ahead, cores, side_by_side, torch_threads, workers
from geogan.operators.errors import InputError


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads):
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


def test_the_number_of_threads_is_kept():
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


def test_the_first_error_stops_the_work():
    done = []

    def work(item):
        if item == 3:
            raise InputError("item 3 is bad")
        done.append(item)

    with pytest.raises(InputError, match="item 3 is bad"):
        list(side_by_side(work, range(500), threads=2))
    assert len(done) < 20


def test_torch_uses_one_thread_inside_and_the_previous_number_outside():
    before = torch.get_num_threads()
    seen = set(side_by_side(lambda _: torch.get_num_threads(), range(8), threads=2))
    assert seen == {1} and torch.get_num_threads() == before
    with pytest.raises(RuntimeError, match="x"), torch_threads(3):
        assert torch.get_num_threads() == 3
        raise RuntimeError("x")
    assert torch.get_num_threads() == before


def test_the_number_of_workers():
    assert workers(3) == 3 and workers(None) >= 1
    for wrong in (0, -2):
        with pytest.raises(InputError, match=f"threads must be at least 1, got {wrong}"):
            workers(wrong)


def test_one_item_is_computed_ahead_while_another_is_used():
    made, threads = [], set()

    def work(number):
        threads.add(threading.current_thread())
        made.append(number)
        return -number

    coming = ahead(work, itertools.count())
    for number in range(3):
        assert next(coming) == -number
        while len(made) < number + 2:  # the next item is computed without being requested
            time.sleep(0.001)
        assert made == list(range(number + 2))
    coming.close()
    assert len(threads) == 1 and threading.main_thread() not in threads


def test_errors_of_items_ahead_are_raised_in_their_turn():
    coming = ahead(lambda number: 1 / (2 - number), range(5))
    assert [next(coming), next(coming)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(coming)


def test_invalid_numbers_of_threads_are_refused():
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
        # The limits of groups above hold too.
        (
            {
                "proc/self/cgroup": "0::/batch/job/step\n",
                "sys/fs/cgroup/batch/job/step/cpu.max": "max 100000\n",
                "sys/fs/cgroup/batch/job/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/batch/cpu.max": "1600000 100000\n",
            },
            3,
        ),
        # In a container the path may be that of the host.
        ({"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        # Version 1 of control groups.
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
        # Files that cannot be parsed set no limit.
        ({"proc/self/cgroup": "what\n", "sys/fs/cgroup/cpu.max": "much 0\n"}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"}, 64),
    ],
)
def test_the_limit_of_a_container_is_kept(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores(tmp_path) == expected


def test_the_cores_to_which_a_process_is_bound_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert cores(tmp_path) == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores(tmp_path) == 128


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no processes to cores")
def test_a_bound_process_uses_its_cores_only():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from geogan.compute.threads import workers; print(workers(None))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
