"""Precision and threads follow from settings, processor and cores alone; a seed decides the result."""

import pytest
import torch
from runs import QUICK, make_reconstructor

from geogan.compute.threads import cores
from geogan.settings import TrainConfig
from geogan.training.arithmetic import Arithmetic, choose_arithmetic, has_bfloat16

CPU = torch.device("cpu")


def test_as_set():
    used = choose_arithmetic(TrainConfig(precision="bfloat16", threads=3), CPU)
    assert used == Arithmetic("bfloat16", 3) and used.dtype == torch.bfloat16
    recorded = Arithmetic("float32", 1)
    assert choose_arithmetic(TrainConfig(precision="bfloat16", threads=3), CPU, recorded=recorded) == used


def test_by_rule():
    used = choose_arithmetic(TrainConfig(batch=2), CPU)
    assert used.precision == ("bfloat16" if has_bfloat16(CPU) else "float32")
    assert used.threads == max(1, min(2, cores() - 1))
    assert choose_arithmetic(TrainConfig(batch=1), CPU).threads == 1


def test_a_resumed_run_computes_as_recorded():
    said = []
    other = "float32" if has_bfloat16(CPU) else "bfloat16"
    used = choose_arithmetic(TrainConfig(), CPU, recorded=Arithmetic(other, 1), message=said.append)
    assert used == Arithmetic(other, 1) and not said
    used = choose_arithmetic(TrainConfig(), CPU, recorded=Arithmetic(other, 4096), message=said.append)
    assert used.threads == max(1, cores() - 1) and "trained on 4,096 threads" in said[0]


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("flags\t: fpu avx512f avx512_bf16", True),
        ("flags : amx_bf16", True),
        ("flags : avx2 avx512f", False),
        ("", False),
    ],
)
def test_native_bfloat16_is_read_from_the_processor(tmp_path, flags, native):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert has_bfloat16(CPU, processor=tmp_path / "cpuinfo") is native
    assert not has_bfloat16(CPU, processor=tmp_path / "nowhere")
    assert not has_bfloat16(torch.device("mps"), processor=tmp_path / "cpuinfo")


def test_two_runs_of_a_seed_have_equal_weights(gappy, domain):
    """With precision and threads by rule."""
    runs = [
        make_reconstructor(window=1, width=4, crop=16, batch=2, steps=3, **QUICK).fit(gappy[:12], domain=domain)
        for _ in range(2)
    ]
    first, second = (run.model_.network.state_dict() for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert runs[0].model_.settings["threads_used"] == runs[1].model_.settings["threads_used"]
