import pytest
import torch

from stvit_video.measure import ceiling
from stvit_video.measure.ceiling import MatmulCeiling, measure_matmul_ceiling
from stvit_video.measure.sweep import sweep_batches


def test_the_ceiling_is_the_fastest_product(monkeypatch):
    def times(steps, *, device, num_rounds, steps_per_round=1):
        for step in steps.values():
            assert step().shape == step().T.shape
        return {"4": [2.0, 1.0, 9.0], "8": [5.0, 4.0, 8.0]}

    monkeypatch.setattr(ceiling, "time_in_turns", times)
    found = measure_matmul_ceiling(torch.device("cpu"), torch.float32, sizes=(4, 8))
    assert found.size == 8
    assert found.flops_per_second == 2 * 512 / 4
    assert (found.dtype, found.device) == ("float32", "cpu")


def test_utilisation_counts_a_mac_as_two_flops():
    found = MatmulCeiling(flops_per_second=80.0, size=8, dtype="float32", device="cpu")
    assert found.utilisation(10.0) == 0.25


def _memory_for(limit, error):
    def measure(batch_size):
        if batch_size > limit:
            raise error
        return f"ran {batch_size}"

    return measure


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (99, {8: "ran 8", 16: "ran 16", 32: "ran 32"}),
        (25, {8: "ran 8", 16: "ran 16", 32: None, 24: "ran 24"}),
        (17, {8: "ran 8", 16: "ran 16", 32: None, 24: None}),
        (3, {8: None, 4: None, 2: "ran 2"}),
        (0, {8: None, 4: None, 2: None, 1: None}),
    ],
)
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_a_sweep_steps_back_where_the_memory_ends(limit, expected, error):
    points = sweep_batches(_memory_for(limit, error), [32, 8, 16, 8])
    assert {point.batch_size: point.result for point in points} == expected


def test_another_error_is_not_taken_for_lack_of_memory():
    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        sweep_batches(_memory_for(0, RuntimeError("shapes differ")), [8])
