"""torch.export with any number of clips, and of frames: one program that computes what we do."""

import dataclasses

import pytest
import torch
from torch.export import Dim, export
from torchvision.models.feature_extraction import create_feature_extractor

from stvit_video import create_model
from stvit_video.errors import ConfigError
from stvit_video.models.registry import VARIANTS

SMALL = {"dim": 24, "depth": 3, "num_heads": 2}
ROWS = {
    "videomae": ("videomae_base_patch16_224", {"tubelet_size": (2, 8, 8)}),
    "vjepa2": ("vjepa2_large_patch16_256", {"tubelet_size": (2, 8, 8)}),
    "deit": ("deit_base_distilled_patch16_224", {"tubelet_size": (1, 8, 8)}),
    "timesformer": ("timesformer_base_patch16_224", {"tubelet_size": (1, 8, 8)}),
    "dinov3": ("dinov3_base_patch16_256", {"tubelet_size": (1, 8, 8)}),
    "pe": ("pe_core_base_patch16_224", {"tubelet_size": (1, 8, 8)}),
    "internvideo2": (
        "internvideo2_base_patch14_224",
        {"tubelet_size": (1, 8, 8), "reader_heads": 4},
    ),
    "vivit": ("vivit_base_fe_patch16x2_224", {"tubelet_size": (2, 8, 8), "temporal_depth": 2}),
}


def small(monkeypatch, name, *, num_frames=8, **options):
    template, sizes = ROWS[name]
    row = dataclasses.replace(VARIANTS[template], **(SMALL | sizes))
    monkeypatch.setitem(VARIANTS, "small", row)
    torch.manual_seed(0)
    return create_model(
        "small", num_classes=3, num_frames=num_frames, image_size=32, **options
    ).eval()


def assert_same(program, model, *shape):
    clip = torch.randn(*shape)
    with torch.no_grad():
        torch.testing.assert_close(program(clip), model(clip), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("videomae", {}),
        ("videomae", {"semantic": "2x2x2@1"}),
        ("videomae", {"semantic": "8@1"}),
        ("videomae", {"semantic": "4x2x2@1,scope=tube"}),
        ("videomae", {"semantic": "2x2x2@0-3,layers=1"}),
        ("videomae", {"semantic": "8@1-3,recovery=nearest"}),
        ("videomae", {"semantic": "2x2x2@1,pool=learned"}),
        ("videomae", {"reduction": "tome:r=9"}),
        ("videomae", {"reduction": "random:keep=20,block=2"}),
        ("videomae", {"reduction": "dpcknn:keep=20,block=2"}),
        ("videomae", {"reduction": "average:grid=2x2x2,block=2"}),
        ("videomae", {"reduction": "evit:keep=0.5,block=2", "class_token": True}),
        ("videomae", {"reduction": "rlt:threshold=1.1"}),
        ("videomae", {"attentive_blocks": 2}),
        ("vjepa2", {}),
        ("vjepa2", {"semantic": "2x2x2@1", "attentive_layers": [1, 3]}),
        ("deit", {"num_frames": 1}),
        ("timesformer", {}),
        ("timesformer", {"semantic": "4x2x2@1,scope=tube"}),
        ("vivit", {}),
        ("dinov3", {}),
        ("dinov3", {"semantic": "8x2x2@1,scope=frame,centers=far"}),
        ("pe", {"attentive_blocks": 2}),
        ("internvideo2", {"semantic": "8@1"}),
    ],
    ids=str,
)
def test_any_number_of_clips(monkeypatch, name, options):
    model = small(monkeypatch, name, **options)
    frames = options.get("num_frames", 8)
    sizes = ({0: Dim("clips", min=1, max=64)},)
    program = export(model, (torch.randn(2, 3, frames, 32, 32),), dynamic_shapes=sizes).module()
    for num_clips in (1, 5):
        assert_same(program, model, num_clips, 3, frames, 32, 32)


def test_run_length_tokens_are_chosen_for_each_clip_anew(monkeypatch):
    model = small(monkeypatch, "videomae", reduction="rlt:threshold=0.5")
    still, mixed = (
        torch.randn(1, 3, 1, 32, 32).expand(-1, -1, 8, -1, -1),
        torch.randn(1, 3, 8, 32, 32),
    )
    mixed[:, :, 3:] = still[:, :, 3:]
    clips = torch.cat([still, mixed])
    assert model.count_tokens(clips).tolist() == [16, 48]
    sizes = ({0: Dim("clips", min=1, max=64)},)
    program = export(model, (torch.randn(2, 3, 8, 32, 32),), dynamic_shapes=sizes).module()
    with torch.no_grad():
        torch.testing.assert_close(program(clips), model(clips), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("videomae", {}),
        ("videomae", {"semantic": "8@1"}),
        ("vjepa2", {}),
        ("vjepa2", {"semantic": "8@1"}),
        ("timesformer", {}),
        ("dinov3", {}),
        ("internvideo2", {}),
    ],
    ids=str,
)
def test_any_number_of_frames(monkeypatch, name, options):
    model = small(monkeypatch, name, **options)
    step = model.embed.patch.tubelet_size[0]
    sizes = ({0: Dim("clips", min=1, max=64), 2: step * Dim("steps", min=2, max=32)},)
    program = export(model, (torch.randn(2, 3, 8, 32, 32),), dynamic_shapes=sizes).module()
    for num_clips, num_frames in ((1, 8), (3, 12)):
        assert_same(program, model, num_clips, 3, num_frames, 32, 32)


@pytest.mark.filterwarnings("ignore")  # torch says that tracers are old, and traces sizes
@pytest.mark.parametrize("semantic", ["2x2x2@1", "8@1", "2x2x2@0-3,layers=1"])
def test_the_old_exporter_of_onnx_is_refused(monkeypatch, semantic, tmp_path):
    model = small(monkeypatch, "videomae", semantic=semantic)
    clip = torch.randn(2, 3, 8, 32, 32)
    traced = torch.jit.trace(model, clip)
    assert_same(traced, model, 2, 3, 8, 32, 32)
    with pytest.raises(ConfigError) as caught:
        torch.onnx.export(model, (clip,), tmp_path / "model.onnx", dynamo=False)
    assert str(caught.value) == (
        "torch.onnx.export(dynamo=False) writes semantic tokens wrongly for another number of"
        " clips; use dynamo=True"
    )


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is")
@pytest.mark.parametrize("name", ["videomae", "vivit"])
def test_torch_script_is_refused(monkeypatch, name):
    with pytest.raises(ConfigError) as caught:
        torch.jit.script(small(monkeypatch, name))
    assert str(caught.value) == (
        "torch.jit.script cannot read small; use torch.export.export, or torch.compile"
    )


@pytest.mark.parametrize("name", ["videomae", "timesformer", "vivit"])
def test_a_feature_extractor_of_torchvision_is_refused(monkeypatch, name):
    with pytest.raises(ConfigError) as caught:
        create_feature_extractor(small(monkeypatch, name), ["norm"])
    assert str(caught.value) == (
        "torch.fx cannot trace this network, so neither can torchvision's create_feature_extractor;"
        " use model.forward_features(clip), a forward hook on a block, or torch.export.export"
    )
