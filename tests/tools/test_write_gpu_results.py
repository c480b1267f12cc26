"""The page is made of the raw figures: targets read the right cases, failures stay visible."""

import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
MAE = "videomae_base_patch16_224"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import write_gpu_results

    yield write_gpu_results
    for name in ("write_gpu_results", "gpu_cases", "gpu_targets"):
        sys.modules.pop(name)


def record(model, clips_per_second, **changes):
    return {
        "model": model,
        "clip": "16x224x224",
        "compile_mode": "default",
        "batch_size": 64,
        "mode": "inference",
        "clips_per_second": clips_per_second,
        "ratio": 1.0,
        "ratio_low": 0.9,
        "ratio_high": 1.1,
        "median_step_seconds": 64 / clips_per_second,
        "p90_step_seconds": 0.1,
        "spread": 0.01,
        "peak_memory_mib": 2048.0,
        "compile_seconds": 40.0,
    } | changes


def raw_file(section, results):
    return {
        "section": section,
        "environment": {
            "date": "2026-11-22",
            "device": "NVIDIA H200",
            "cuda": "13.0",
            "versions": {"torch": "2.11.0"},
        },
        "matmul_ceiling": {"flops_per_second": 800e12, "dtype": "bfloat16", "size": 8192},
        "seconds": 60.0,
        "results": results,
    }


def test_targets_compare_each_model_at_its_best(tool, tmp_path, monkeypatch):
    joint = [
        record(MAE, 1000.0),
        record(f"{MAE}:4x4x4@4", 2500.0),
        record(f"{MAE}:4x4x4@4:fused", 2600.0),
        record(f"{MAE}:tome:r=162", 1500.0, mean_tokens=726.9),
        record(f"{MAE}:tome:r=162", 2000.0, compile_mode="off"),
        {"model": "hf:videomae_base", "compile_mode": "off", "batch_size": 64, "error": "full"},
    ]
    training = [
        record(MAE, 100.0, mode="training", peak_memory_mib=40000.0),
        record(f"{MAE}:4x4x4@4", 240.0, mode="training", peak_memory_mib=24000.0),
    ]
    scaling = [
        record(f"{MAE}:frames={n}:fused", 100.0, median_step_seconds=n**2 / 1e3) for n in (8, 16)
    ] + [
        record(f"{MAE}:4x4x4@2:frames=8:fused", 100.0, spread=0.2),
        record(f"{MAE}:4x4x4@2:frames=16:fused", 100.0, median_step_seconds=0.64),
        record(f"{MAE}:4x4x4@2:frames=48:fused", 100.0, median_step_seconds=1.92),
    ]
    agreement = [
        {"model": MAE, "batch_size": 64, "plain": 0.0085, "fused_and_compiled": 0.0055},
    ]
    profile = [
        {
            "model": f"{MAE}:4x4x4@4:fused",
            "batch_size": 64,
            "milliseconds_per_step": 20.0,
            "kernels": [{"kernel": "gemm", "calls_per_step": 6, "milliseconds_per_step": 5.0}],
        }
    ]
    sections = {
        "joint": joint,
        "training": training,
        "scaling": scaling,
        "agreement": agreement,
        "profile": profile,
    }
    for section, results in sections.items():
        text = json.dumps(raw_file(section, results))
        (tmp_path / f"{section}.json").write_text(text)
    page = tmp_path / "docs" / "h200.md"
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), str(page)])
    tool.main()
    text = page.read_text()
    assert text.startswith("# Speed on one NVIDIA H200\n")
    assert "| semantic 4x4x4@4 over dense | >= 2.5 | 2.60 | met |" in text
    assert "| semantic 4x4x4@4 over ToMe at equal MACs | >= 1.35 | 1.30 | missed: matrix" in text
    assert (
        "| training memory, semantic over dense | <= 0.5 | 0.60 | missed: see the profile |" in text
    )
    assert "| ViViT-B/16x2, ours over HF | >= 1.4 | - | not measured |" in text
    # 2 x 68.95 G x 2600 / 800 T
    assert (
        "| semantic 4x4x4@4, % of the matmul ceiling at its best | >= 55 | 44.82 | missed" in text
    )
    assert "| hf:videomae_base | - | off | 64 | - | - | - | full |" in text
    assert (page.parent / "h200_joint.png").read_bytes().startswith(b"\x89PNG")
    assert "| joint, dense | frames 8 to 16 | 2.0 | 4.0 | 2.00 |" in text
    assert "| joint, semantic after block 2 | frames 16 to 48 | 3.0 | 3.0 | 1.00 |" in text
    assert f"| {MAE} | 64 | 0.85 | 0.55 |" in text
    assert f"**{MAE}:4x4x4@4:fused, batch 64: 20.0 ms in kernels a step**" in text
    assert "| gemm | 6 | 5.00 | 25 |" in text
    assert f"{MAE}:tome:r=162 kept 727 tokens of a clip on average." in text
