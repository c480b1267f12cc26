"""Every family as ONNX, dense and semantic, run by ONNX Runtime: it computes what we do."""

import dataclasses

import pytest
import torch

from stvit_video.errors import ExportError
from stvit_video.exporting.card import describe_export
from stvit_video.exporting.check import compare
from stvit_video.exporting.formats import FORMATS, OPSET
from stvit_video.exporting.program import make_program
from stvit_video.models.registry import VARIANTS, create_model
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig

PLAIN = {"dim": 24, "depth": 1, "num_heads": 2, "tubelet_size": (1, 8, 8)}
TUBES = PLAIN | {"tubelet_size": (2, 8, 8)}
SWIN = {"dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window_size": (2, 3, 3)}
RELEASED = SWIN | {"window_size": (1, 3, 3), "tokens_per_window": (2, 2)}
ROWS = {
    "videomae_base_patch16_224": TUBES,
    "vjepa2_large_patch16_256": TUBES,
    "vjepa2_1_base_patch16_384": TUBES,
    "deit_base_distilled_patch16_224": PLAIN,
    "timesformer_base_patch16_224": PLAIN,
    "timesformer_base_space_patch16_224": PLAIN,
    "vivit_base_fe_patch16x2_224": TUBES | {"temporal_depth": 1},
    "vivit_base_fsa_patch16x2_224": TUBES,
    "vivit_base_fdp_patch16x2_224": TUBES,
    "dinov3_small_plus_patch16_256": PLAIN,
    "pe_core_base_patch16_224": PLAIN,
    "siglip2_base_patch16_224": PLAIN,
    "internvideo2_base_patch14_224": PLAIN | {"reader_heads": 4},
    "videoprism_base_patch18_288": PLAIN | {"temporal_depth": 1},
    "video_swin_tiny_patch2x4x4_224": SWIN,
    "swin_tiny_patch4_window7_224": SWIN | {"window_size": (1, 3, 3)},
    "stvit_r_swin_small_patch4_window7_224": RELEASED,
}
"""Name in the registry -> the sizes to shrink it to."""
WIDE = {"image_size": 96}
CASES = [
    ("videomae_base_patch16_224", {}, "dynamic"),
    ("videomae_base_patch16_224", {"semantic": "2x2x2@0,layers=1"}, "fixed"),
    ("videomae_base_patch16_224", {"semantic": "3@0-1,recovery=nearest"}, "dynamic"),
    ("videomae_base_patch16_224", {"reduction": "tome:r=9"}, "fixed"),
    ("videomae_base_patch16_224", {"reduction": "dpcknn:keep=20,block=1"}, "fixed"),
    ("videomae_base_patch16_224", {"reduction": "rlt:threshold=1.1"}, "fixed"),
    (
        "videomae_base_patch16_224",
        {"reduction": "evit:keep=0.5,block=1", "class_token": True},
        "fixed",
    ),
    ("vjepa2_large_patch16_256", {"semantic": "3@0", "attentive_blocks": 2}, "dynamic"),
    ("vjepa2_1_base_patch16_384", {}, "fixed"),
    ("deit_base_distilled_patch16_224", {"num_frames": 1}, "fixed"),
    ("timesformer_base_patch16_224", {}, "dynamic"),
    ("timesformer_base_patch16_224", {"semantic": "4x2x2@0,scope=tube,layers=1"}, "fixed"),
    ("timesformer_base_space_patch16_224", {"semantic": "8x2x2@0,scope=frame,layers=1"}, "fixed"),
    ("vivit_base_fe_patch16x2_224", {}, "dynamic"),
    ("vivit_base_fe_patch16x2_224", {"semantic": "4x2x2@0,scope=frame,layers=1"}, "fixed"),
    ("vivit_base_fsa_patch16x2_224", {}, "fixed"),
    ("vivit_base_fdp_patch16x2_224", {"semantic": "2x2x2@0,scope=tube,layers=1"}, "fixed"),
    ("dinov3_small_plus_patch16_256", {}, "dynamic"),
    ("pe_core_base_patch16_224", {"semantic": "8x2x2@0,scope=frame,layers=1"}, "fixed"),
    ("siglip2_base_patch16_224", {}, "fixed"),
    ("internvideo2_base_patch14_224", {"semantic": "3@0"}, "dynamic"),
    ("videoprism_base_patch18_288", {"semantic": "8x2x2@0,scope=frame,layers=1"}, "fixed"),
    (
        "video_swin_tiny_patch2x4x4_224",
        {"semantic": "4x4x4@1,scope=frame,layers=1"} | WIDE,
        "fixed",
    ),
    (
        "stvit_r_swin_small_patch4_window7_224",
        {"semantic": "1x4x4@0-2,layers=1", "num_frames": 1} | WIDE,
        "fixed",
    ),
    ("swin_tiny_patch4_window7_224", {"num_frames": 1} | WIDE, "fixed"),
]

IN_EVERY_RUN = (0, 1, 3, 7, 11, 23)
"""Numbers of the cases that each change is tried with: plain, semantic, merging, an attentive
pooler, attention along time, windows; `make slow` tries all."""


def small(monkeypatch, name, *, num_frames=8, image_size=32, **options):
    """A network whose every weight is random: layers that begin at zero say something, too."""
    monkeypatch.setitem(VARIANTS, "small", dataclasses.replace(VARIANTS[name], **ROWS[name]))
    torch.manual_seed(3)
    model = create_model(
        "small", num_classes=5, num_frames=num_frames, image_size=image_size, **options
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def export(model, path, *, dynamic=False, input_dtype="uint8"):
    card = describe_export(
        model,
        DataConfig(),
        ViewConfig(),
        input_dtype=input_dtype,
        frames_multiple=model.embed.patch.tubelet_size[0] if dynamic else None,
        opset=OPSET,
    )
    FORMATS["onnx"].write(make_program(model, card), card, path)
    run, written = FORMATS["onnx"].load(path)
    assert written == card.as_json()
    return run, card


def clips_of(model, num_clips=3):
    torch.manual_seed(5)
    size, frames = model.preprocessing.image_size, model.preprocessing.num_frames
    return torch.randint(0, 256, (num_clips, 3, frames, size, size), dtype=torch.uint8)


def test_every_family_has_a_case():
    kinds = {(type(row), getattr(row, "attention", None)) for row in VARIANTS.values()}
    here = {
        (type(VARIANTS[name]), getattr(VARIANTS[name], "attention", None)) for name, *_ in CASES
    }
    assert {kind.__name__ for kind, how in kinds - here if how != "joint"} == set()


@pytest.mark.parametrize(
    ("name", "options", "frames"),
    [
        pytest.param(*case, marks=() if number in IN_EVERY_RUN else pytest.mark.slow)
        for number, case in enumerate(CASES)
    ],
    ids=str,
)
def test_a_file_computes_what_the_network_does(monkeypatch, tmp_path, name, options, frames):
    model = small(monkeypatch, name, **options)
    run, card = export(model, tmp_path / "x.onnx", dynamic=frames == "dynamic")
    found = compare(run, model, clips_of(model), card, tolerance=1e-5)
    sizes = [(1, card.num_frames), (3, card.num_frames)]
    step = card.frames_multiple
    sizes += [] if step is None else [(3, 4), (3, 8 + step)]
    assert [(one.num_clips, one.num_frames) for one in found] == sizes
    assert all(one.same_class == one.num_clips for one in found)


def test_windows_of_any_number_of_frames_are_refused(monkeypatch, tmp_path):
    model = small(monkeypatch, "video_swin_tiny_patch2x4x4_224", **WIDE)
    with pytest.raises(ExportError) as caught:
        export(model, tmp_path / "x.onnx", dynamic=True)
    assert str(caught.value) == (
        "small cannot be exported with dynamic frames, as it is laid out for 8; leave"
        " --dynamic_frames out"
    )
