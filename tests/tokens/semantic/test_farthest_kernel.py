import pytest
import torch

from stvit_video.tokens.semantic.farthest import (
    choose_farthest,
    cluster_farthest,
    compare_tokens,
)

SIZES = [(3, 64, 9), (1, 50, 50), (2, 300, 16), (2, 17, 1)]
"""Clips, tokens, centres."""

INTERPRETED = """
import sys, torch
from stvit_video.tokens.semantic import farthest_kernel
saved = torch.load(sys.argv[1])
for case in saved:
    case["nearest"] = farthest_kernel.choose(case["similarity"], case["first"], case["count"])
torch.save(saved, sys.argv[1])
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from stvit_video.tokens.semantic.farthest_kernel import _choose
kinds = {"similarity": "*fp16", "first": "*i64", "nearest": "*i64", "num_tokens": "i32"}
kinds |= {"num_centers": "i32", "width": "constexpr"}
for capability in (80, 90):
    source = triton.compiler.ASTSource(_choose, kinds, constexprs={"width": 2048})
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    print(len(made.asm["cubin"]) > 0)
"""
"""Makes the machine code of two kinds of GPU; none of them has to be here."""


def clip_tokens(b, n):
    """Tokens with some equal ones, so that ties come up."""
    tokens = torch.randn(b, n, 8, generator=torch.Generator().manual_seed(n))
    tokens[:, 1::7] = tokens[:, :1]
    return tokens


def test_the_kernel_chooses_as_the_plain_path_does(tmp_path, run_code):
    lonely = torch.cat([-torch.ones(2, 1, 8), 1 + 0.1 * clip_tokens(2, 49)], dim=1)
    cases = []
    for tokens, count in [*((clip_tokens(b, n), count) for b, n, count in SIZES), (lonely, 20)]:
        similarity, first = compare_tokens(tokens)
        cases.append({"similarity": similarity.half(), "first": first, "count": count})
    torch.save(cases, tmp_path / "cases")
    run_code(INTERPRETED, tmp_path / "cases", TRITON_INTERPRET=1)
    for case in torch.load(tmp_path / "cases"):
        wanted = choose_farthest(case["similarity"], case["first"], case["count"])
        assert torch.equal(case["nearest"], wanted)


def test_the_kernel_compiles_for_gpus_that_are_not_here(tmp_path, run_code):
    assert run_code(COMPILED, TRITON_CACHE_DIR=tmp_path) == "True\n" * 2


@pytest.mark.gpu
@pytest.mark.parametrize("size", [*SIZES, (4, 1568, 64), (2, 3136, 392)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_a_gpu_it_chooses_as_the_plain_path_does(size, dtype):
    b, n, count = size
    tokens = clip_tokens(b, n).to("cuda", dtype)
    similarity, first = compare_tokens(tokens)
    assert similarity.dtype == (torch.float32 if dtype == torch.float32 else torch.float16)
    wanted = choose_farthest(similarity, first, count)
    assert torch.equal(cluster_farthest(tokens, count), wanted)
    torch.library.opcheck(torch.ops.stvit_video.choose_farthest, (similarity, first, count))
