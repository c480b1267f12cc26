"""What `tools/benchmark_gpu.py` measures: models, settings, batch sizes, in sections."""

from collections.abc import Sequence
from typing import NamedTuple

MAE = "videomae_base_patch16_224"
TIMESFORMER = "timesformer_base_patch16_224"
VIVIT = "vivit_base_patch16x2_224"
SWIN = "video_swin_tiny_patch2x4x4_224"


class Case(NamedTuple):
    """One row of a comparison."""

    model: str
    compile_mode: str = "default"
    batch_size: int = 64


class Comparison(NamedTuple):
    """Cases that run in turns; the first is the reference of the ratios."""

    cases: Sequence[Case]
    mode: str = "inference"


COMPARISONS: dict[str, list[Comparison]] = {
    "joint": [
        Comparison(
            [
                Case(MAE),
                Case(f"{MAE}:4x4x4@4"),
                Case(f"{MAE}:8x4x4@4"),
                Case(f"{MAE}:8x4x4@2"),
                Case(f"{MAE}:tome:r=162"),
                Case(f"{MAE}:tome:r=162", "off"),
                Case("hf:videomae_base"),
                Case("hf:videomae_base", "off"),
            ]
        )
    ],
    "training": [
        Comparison([Case(MAE), Case(f"{MAE}:4x4x4@4"), Case(f"{MAE}:8x4x4@4")], "training"),
    ],
    "latency": [
        Comparison([Case(model, mode, 1) for model in (MAE, f"{MAE}:4x4x4@4", f"{MAE}:8x4x4@2")])
        for mode in ("off", "default", "reduce-overhead")
    ],
    "timesformer": [
        Comparison(
            [
                Case(TIMESFORMER),
                Case(f"{TIMESFORMER}:8x4x4@4"),
                Case(f"{TIMESFORMER}:8x4x4@2"),
                Case("hf:timesformer_base"),
                Case("hf:timesformer_base", "off"),
            ]
        )
    ],
    "vivit": [
        Comparison(
            [
                Case(VIVIT, batch_size=32),
                Case(f"{VIVIT}:16x4x4@3", batch_size=32),
                Case(f"{VIVIT}:8x4x4@2", batch_size=32),
                Case("hf:vivit_base", "off", 32),
            ]
        )
    ],
    "swin": [
        Comparison(
            [
                Case(SWIN, batch_size=32),
                Case(f"{SWIN}:16x6x6@2,scope=frame", batch_size=32),
                Case(f"{SWIN}:8x6x6@2,scope=tube", batch_size=32),
                Case("torchvision:swin3d_t", batch_size=32),
            ]
        )
    ],
    "rivals": [
        Comparison(
            [
                Case(MAE),
                Case(f"{MAE}:8x4x4@4"),
                Case(f"{MAE}:average:grid=8x4x4"),
                Case(f"{MAE}:random:keep=128"),
                Case(f"{MAE}:tome:r=65", "off"),
                Case(f"{MAE}:tome:r=130", "off"),
                Case(f"{MAE}:evit:keep=0.35:class_token"),
                Case(f"{MAE}:dpcknn:keep=128", "off"),
                Case(f"{MAE}:rlt", "off"),
            ]
        ),
        Comparison([Case(MAE, "off", 8), Case(f"{MAE}:atc:keep=128", "off", 8)]),
    ],
    "scaling": [
        Comparison([Case(f"{MAE}:{size}", "off", 8), Case(f"{MAE}:{semantic}:{size}", "off", 8)])
        for size, semantic in [
            *[(f"frames={frames}", f"{frames // 4}x4x4@2") for frames in (8, 16, 32, 64, 96)],
            *[(f"size={pixels}", "8x4x4@2") for pixels in (224, 288, 336, 384, 448)],
        ]
    ],
}
SWEPT = [MAE, f"{MAE}:4x4x4@4"]
SWEPT_SIZES = (8, 32, 128, 256)
PROFILED = [MAE, f"{MAE}:4x4x4@4", f"{MAE}:tome:r=162"]
