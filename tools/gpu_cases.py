"""What `tools/benchmark_gpu.py` measures: models, settings, batch sizes, in sections."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

MAE = "videomae_base_patch16_224"
TIMESFORMER = "timesformer_base_patch16_224"
VIVIT = "vivit_base_patch16x2_224"
VJEPA2 = "vjepa2_large_patch16_256"
SWIN = "video_swin_tiny_patch2x4x4_224"
ROWS = (
    ("vjepa2_1_base_patch16_384", 2, ":8x6x6@4", ":288@4"),
    ("vjepa2_1_large_patch16_384", 2, ":8x6x6@8"),
    ("internvideo2_base_patch14_224", 32, ":4x4x4@4"),
    ("internvideo2_large_patch14_224", 16, ":4x4x4@8", ":64@8"),
    ("umt_large_patch16_224", 16, ":4x4x4@8"),
    ("videomae_v2_giant_patch14_224", 8, ":4x4x4@13"),
    ("videoprism_base_patch18_288", 16, ":16x4x4@4,scope=frame"),
    ("dinov3_base_patch16_256", 16, ":16x4x4@4,scope=frame"),
    ("siglip2_base_patch16_224", 16, ":16x4x4@4,scope=frame"),
    ("pe_core_large_patch14_336", 4, ":16x4x4@8,scope=frame"),
)
"""Models of their own table: batch size, and settings to compare with the dense network."""
LATENCY = (MAE, f"{MAE}:4x4x4@4", f"{MAE}:8x4x4@2", f"{MAE}:4x4x4@2")


class Case(NamedTuple):
    """One row of a comparison."""

    model: str
    compile_mode: str = "default"
    batch_size: int = 64

    @property
    def label(self) -> str:
        """Name the case among others."""
        return f"{self.model} ({self.compile_mode}, batch {self.batch_size})"


class Comparison(NamedTuple):
    """Cases that run in turns; the first is the reference of the ratios."""

    cases: Sequence[Case]
    mode: Literal["inference", "training"] = "inference"

    def key(self, case: Case) -> str:
        """Name a case among those of all comparisons."""
        return f"{self.mode} {case.label}"


def scaled(joint_steps: int, divided_steps: int) -> list[str]:
    """Name joint and divided attention, dense and semantic, with their steps in time kept."""
    return [
        MAE,
        f"{MAE}:{joint_steps}x4x4@2",
        TIMESFORMER,
        f"{TIMESFORMER}:{divided_steps}x4x4@2,scope=tube",
    ]


COMPARISONS: dict[str, list[Comparison]] = {
    "joint": [
        Comparison(
            [
                Case(f"{MAE}:fused"),
                Case(f"{MAE}:4x4x4@4:fused"),
                Case(f"{MAE}:8x4x4@2:fused"),
                Case(f"{MAE}:tome:r=162:fused"),
                Case(f"{MAE}:tome:r=162:fused", "off"),
                Case(MAE),
                Case(f"{MAE}:4x4x4@4"),
                Case("hf:videomae_base"),
                Case("hf:videomae_base", "off"),
            ]
        )
    ],
    "training": [
        Comparison([Case(MAE), Case(f"{MAE}:4x4x4@4")], "training"),
        Comparison(
            [
                Case(TIMESFORMER, batch_size=32),
                Case(f"{TIMESFORMER}:8x4x4@4", batch_size=32),
                Case("hf:timesformer_base", batch_size=32),
            ],
            "training",
        ),
    ],
    "timesformer": [
        Comparison(
            [
                Case(f"{TIMESFORMER}:fused"),
                Case(f"{TIMESFORMER}:8x4x4@4:fused"),
                Case(f"{TIMESFORMER}:8x4x4@2:fused"),
                Case(TIMESFORMER),
                Case("hf:timesformer_base"),
                Case("hf:timesformer_base", "off"),
            ]
        )
    ],
    "swin": [
        Comparison(
            [
                Case(f"{SWIN}:fused", batch_size=32),
                Case(f"{SWIN}:16x6x6@2,scope=frame:fused", batch_size=32),
                Case(f"{SWIN}:16x6x6@1,scope=frame:fused", batch_size=32),
                Case("torchvision:swin3d_t", batch_size=32),
            ]
        )
    ],
    "vivit": [
        Comparison(
            [
                Case(f"{VIVIT}:fused", batch_size=32),
                Case(f"{VIVIT}:16x4x4@3:fused", batch_size=32),
                Case(f"{VIVIT}:8x4x4@2:fused", batch_size=32),
                Case("hf:vivit_base", "off", 32),
            ]
        )
    ],
    "vjepa2": [
        Comparison(
            [
                Case(f"{VJEPA2}:fused", batch_size=16),
                Case(f"{VJEPA2}:8x4x4@8:fused", batch_size=16),
                Case(f"{VJEPA2}:128@8:fused", batch_size=16),
                Case(f"{VJEPA2}:8x4x4@4:fused", batch_size=16),
                Case(VJEPA2, batch_size=16),
                Case("hf:vjepa2_large", batch_size=16),
                Case("hf:vjepa2_large", "off", 16),
            ]
        )
    ],
    "rows": [
        Comparison([Case(f"{name}{setting}:fused", batch_size=size) for setting in ("", *settings)])
        for name, size, *settings in ROWS
    ],
    "latency": [
        Comparison([Case(f"{model}:fused", mode, 1) for model in LATENCY])
        for mode in ("off", "reduce-overhead", "cuda-graph")
    ],
    "scaling": [
        Comparison([Case(f"{model}:{size}:fused", "off", 32) for model in models])
        for size, models in [
            *[(f"frames={n}", scaled(n // 4, n // 2)) for n in (8, 16, 32, 64, 96)],
            *[(f"size={n}", scaled(4, 4)) for n in (224, 288, 336, 384, 448)],
        ]
    ],
    "rivals": [
        Comparison(
            [
                Case(f"{MAE}:fused"),
                Case(f"{MAE}:8x4x4@4:fused"),
                Case(f"{MAE}:average:grid=8x4x4:fused"),
                Case(f"{MAE}:random:keep=128:fused"),
                Case(f"{MAE}:tome:r=65:fused", "off"),
                Case(f"{MAE}:tome:r=130:fused", "off"),
                Case(f"{MAE}:evit:keep=0.35:class_token:fused"),
                Case(f"{MAE}:dpcknn:keep=128:fused", "off"),
                Case(f"{MAE}:rlt:fused", "off"),
            ]
        ),
        Comparison([Case(f"{MAE}:fused", "off", 8), Case(f"{MAE}:atc:keep=128:fused", "off", 8)]),
    ],
    "sweep": [
        Comparison(
            [
                Case(f"{MAE}:fused", batch_size=size),
                Case(f"{MAE}:4x4x4@4:fused", batch_size=size),
            ]
        )
        for size in (8, 32, 128, 256)
    ],
}
PROFILED = [
    Case(f"{MAE}:4x4x4@4:fused"),
    Case(f"{MAE}:tome:r=162:fused"),
    Case(f"{SWIN}:16x6x6@2,scope=frame:fused", batch_size=32),
    Case(f"{MAE}:8x4x4@2:fused", batch_size=1),
]
CHECKED = [
    Case(f"{MAE}:4x4x4@4"),
    Case(TIMESFORMER),
    Case(f"{SWIN}:16x6x6@2,scope=frame", batch_size=32),
]
"""Networks whose fused, compiled bfloat16 logits are compared with float32."""


def compiled_cases(sections: Sequence[str]) -> list[tuple[Comparison, Case]]:
    """List the cases of sections that are compiled, each once."""
    comparisons = [one for section in sections for one in COMPARISONS.get(section, [])]
    if "profile" in sections:
        comparisons.append(Comparison(PROFILED))
    if "agreement" in sections:
        fused = [case._replace(model=f"{case.model}:fused") for case in CHECKED]
        comparisons.append(Comparison(fused))
    found = {
        comparison.key(case): (comparison, case)
        for comparison in comparisons
        for case in comparison.cases
        if case.compile_mode != "off"
    }
    return list(found.values())
