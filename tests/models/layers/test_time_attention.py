import pytest
import torch

from stvit_video.models.layers.time_attention import attend_in_time

SIZES = [(2, 8, 11, 3, 16), (1, 5, 7, 2, 32), (1, 64, 3, 1, 16), (2, 1, 5, 2, 16)]
"""Clips, frames, places, heads, width of a head."""

INTERPRETED = """
import sys, torch
from stvit_video.models.layers import time_kernel
saved = torch.load(sys.argv[1])
for case in saved:
    case["out"] = time_kernel.forward(case["qkv"], case["frames"])
    case["gradient"] = time_kernel.backward(case["qkv"], case["of_out"], case["frames"])
torch.save(saved, sys.argv[1])
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from stvit_video.models.layers import time_kernel
sizes = {"num_places": 196, "num_heads": 12, "frames": 5, "steps": 8, "width": 64, "rows": 64}
for kernel in (time_kernel._forward, time_kernel._backward):
    kinds = {
        name: "constexpr" if name in sizes else "i32" if name.startswith("stride") else "*bf16"
        for name in kernel.arg_names
    }
    for capability in (80, 90):
        source = triton.compiler.ASTSource(kernel, kinds, constexprs=sizes)
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
        print("mma" in made.asm["ptx"], len(made.asm["cubin"]) > 0)
"""
"""Makes the machine code of two kinds of GPU; none of them has to be here."""


def reference(qkv, num_frames):
    """Loop over places and heads."""
    out = torch.empty(*qkv.shape[:2], *qkv.shape[3:], dtype=qkv.dtype)
    num_places = qkv.shape[1] // num_frames
    for place in range(num_places):
        for head in range(qkv.shape[3]):
            q, k, v = qkv[:, place::num_places, :, head].unbind(2)
            weights = (q @ k.mT / qkv.shape[-1] ** 0.5).softmax(-1)
            out[:, place::num_places, head] = weights @ v
    return out


def some_heads(b, t, n, h, d, dtype):
    """All but the first head of qkv, so that strides are those of no contiguous tensor."""
    return torch.randn(b, t * n, 3, h + 1, d).to(dtype)[:, :, :, 1:]


@pytest.mark.parametrize("size", SIZES)
def test_every_place_reads_its_own_frames_only(size):
    qkv = some_heads(*size, torch.float64)
    torch.testing.assert_close(attend_in_time(qkv, size[1]), reference(qkv, size[1]))


def test_the_kernel_and_its_gradient_agree_with_the_loop(tmp_path, run_code):
    cases = []
    for size in SIZES:
        qkv = some_heads(*size, torch.float16)
        wanted = qkv.double().requires_grad_()
        out = reference(wanted, size[1])
        of_out = torch.randn(out.shape).half()
        out.backward(of_out.double())
        case = {"qkv": qkv, "of_out": of_out, "frames": size[1]}
        cases.append((case, out.detach(), wanted.grad))
    torch.save([case for case, _, _ in cases], tmp_path / "cases")
    run_code(INTERPRETED, tmp_path / "cases", TRITON_INTERPRET=1)
    for saved, (_, out, gradient) in zip(torch.load(tmp_path / "cases"), cases, strict=True):
        assert distance(saved["out"], out) < 1e-3
        assert distance(saved["gradient"], gradient) < 1e-3


def test_the_kernels_compile_for_gpus_that_are_not_here(tmp_path, run_code):
    assert run_code(COMPILED, TRITON_CACHE_DIR=tmp_path) == "True True\n" * 4


@pytest.mark.gpu
@pytest.mark.parametrize("size", [*SIZES, (3, 8, 196, 12, 64), (2, 16, 50, 4, 128)])
def test_on_a_gpu_it_agrees_forward_and_backward(size):
    qkv = some_heads(*size, torch.bfloat16).cuda().requires_grad_()
    exact = qkv.detach().cpu().double().requires_grad_()
    out, wanted = attend_in_time(qkv, size[1]), attend_in_time(exact, size[1])
    of_out = torch.randn(wanted.shape)
    out.backward(of_out.to(out))
    wanted.backward(of_out.double())
    assert distance(out.detach().cpu(), wanted.detach()) < 6e-3
    assert distance(qkv.grad.cpu(), exact.grad) < 1e-2
    torch.library.opcheck(torch.ops.stvit_video.attend_in_time, (qkv, size[1]))


def distance(x, wanted):
    return float((x.double() - wanted).norm() / wanted.norm())
