"""Folders that we write for HF transformers: it reads them whole, computes the same, and so do we.

All weights random, so that no zero or one of an initialisation hides a mistake.
"""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from stvit_video import create_model, fuse, load_model, sparsify, write_transformers
from stvit_video.errors import CheckpointError, WriteError
from stvit_video.models.card import ACTIVATIONS
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import VARIANTS
from stvit_video.video.pixels.crops import build_transform

ROWS = {
    "videomae": ("videomae_base_patch16_224", "VideoMAEForVideoClassification"),
    "vjepa2": ("vjepa2_large_patch16_256", "VJEPA2ForVideoClassification"),
    "timesformer": ("timesformer_base_patch16_224", "TimesformerForVideoClassification"),
    "vivit": ("vivit_base_patch16x2_224", "VivitForVideoClassification"),
    "vit": ("vit_base_patch16_224", "ViTForImageClassification"),
    "deit": ("deit_base_distilled_patch16_224", "DeiTForImageClassificationWithTeacher"),
}
"""Family -> a row, and the class of transformers that reads it."""
IMAGES = ("vit", "deit")


@pytest.fixture
def tiny(monkeypatch):
    """Make a tiny model of a family, with fields of its row set otherwise."""

    def make(family, fields=(), **options):
        row = VARIANTS[ROWS[family][0]]
        fields = {"dim": 48, "depth": 2, "num_heads": 2, **dict(fields)}
        fields.setdefault("tubelet_size", (row.tubelet_size[0], 8, 8))
        if family == "videomae":
            fields.setdefault("head_norm_eps", 1e-5)
        name = ROWS[family][0].split("_")[0] + "_tiny"
        monkeypatch.setitem(VARIANTS, name, dataclasses.replace(row, **fields))
        sizes = {"num_frames": 1 if family in IMAGES else 4, "image_size": 32, "num_classes": 5}
        sizes["frame_stride"] = 7
        model = create_model(name, **(sizes | options))
        generator = torch.Generator().manual_seed(3)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.2, generator=generator)
        return model.eval()

    return make


def clip_of(model):
    shape = model.preprocessing
    size = (shape.num_frames, shape.image_size, shape.image_size)
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def from_pretrained(folder, architecture):
    """Read a folder with transformers, which must find each weight that it wants and no other."""
    model, found = getattr(transformers, architecture).from_pretrained(
        folder, output_loading_info=True
    )
    assert {key: value for key, value in found.items() if value} == {}
    return model


def run(theirs, clip):
    image = theirs.config.model_type in IMAGES
    with torch.no_grad():
        return theirs(clip[:, :, 0] if image else clip.transpose(1, 2))


CASES = {
    "videomae": ("videomae", {}, {}),
    "videomae, other clips": ("videomae", {}, {"num_frames": 8, "image_size": 48}),
    "videomae, eps and tanh": (
        "videomae",
        {"norm_eps": 1e-3, "activation": ACTIVATIONS["gelu_tanh"], "mlp_ratio": 2.5},
        {},
    ),
    "vjepa2, probe of 4 blocks": ("vjepa2", {}, {}),
    "vjepa2, probe of 1 block": ("vjepa2", {}, {"attentive_blocks": 1}),
    "vjepa2, other clips": ("vjepa2", {"mlp_ratio": 48 / 11}, {"num_frames": 8, "image_size": 64}),
    "vjepa2, eps": ("vjepa2", {"norm_eps": 1e-3, "pooler_norm_eps": 1e-3}, {}),
    "timesformer": ("timesformer", {}, {}),
    "timesformer, joint": ("timesformer", {"attention": "joint"}, {}),
    "timesformer, other clips": (
        "timesformer",
        {"norm_eps": 1e-3},
        {"num_frames": 6, "image_size": 48},
    ),
    "vivit": ("vivit", {}, {}),
    "vivit, eps and gelu": ("vivit", {"norm_eps": 1e-3, "activation": nn.GELU}, {}),
    "vivit, other clips": ("vivit", {"tubelet_size": (4, 8, 8)}, {"num_frames": 8}),
    "vit": ("vit", {}, {}),
    "vit, other size": ("vit", {"norm_eps": 1e-3}, {"image_size": 48}),
    "deit": ("deit", {}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_transformers_computes_the_same_and_we_read_it_back(tiny, tmp_path, case):
    family, fields, options = CASES[case]
    model = tiny(family, fields, **options)
    model.labels = ("a", "b", "c", "d", "e")
    exported = write_transformers(model, tmp_path)
    assert exported.architecture == ROWS[family][1]
    assert not any(note.startswith("changed") for note in exported.notes)
    theirs = from_pretrained(tmp_path, ROWS[family][1])
    assert theirs.config.id2label == dict(enumerate("abcde"))
    assert theirs.config.label2id == {name: index for index, name in enumerate("abcde")}
    clip = clip_of(model)
    with torch.no_grad():
        expected = model(clip)
        assert (run(theirs, clip).logits - expected).abs().max() <= 1e-5
        again = create_model(model.name, pretrained=tmp_path).eval()
        assert (again(clip) - expected).abs().max() <= 1e-6
    assert again.labels == model.labels
    assert again.preprocessing == model.preprocessing
    assert again.attentive_blocks == model.attentive_blocks
    assert again.key_report.new == again.key_report.changed == {}


@pytest.mark.parametrize("family", ROWS)
def test_what_they_save_again_is_read_by_us(tiny, tmp_path, family):
    """Fine-tuned there and brought back: also frame stride and colours come through their hands."""
    model = tiny(family)
    write_transformers(model, tmp_path / "a")
    from_pretrained(tmp_path / "a", ROWS[family][1]).save_pretrained(tmp_path / "b")
    again = load_model(tmp_path / "b")
    clip = clip_of(model)
    with torch.no_grad():
        assert (again(clip) - model(clip)).abs().max() <= 1e-6
    assert again.preprocessing.frame_stride == model.preprocessing.frame_stride
    assert again.preprocessing.short_side == model.preprocessing.short_side


@pytest.mark.parametrize("family", ROWS)
def test_without_head_the_base_model_has_the_same_features(tiny, tmp_path, family):
    model = tiny(family, num_classes=0, attentive_blocks=0)
    exported = write_transformers(model, tmp_path)
    assert exported.architecture.endswith("Model")
    theirs, clip = from_pretrained(tmp_path, exported.architecture), clip_of(model)
    assert type(transformers.AutoModel.from_pretrained(tmp_path)) is type(theirs)
    found = run(theirs, clip)
    with torch.no_grad():
        expected = model(clip)
        again = load_model(tmp_path)
        assert (again.num_classes, again.attentive_blocks) == (0, 0)
        assert (again(clip) - expected).abs().max() <= 1e-6
        if family in ("videomae", "vjepa2"):
            tokens = model.forward_features(clip).flatten(2).mT
            assert (found.last_hidden_state - tokens).abs().max() <= 1e-5
            return
    number = 2 if family == "deit" else 1
    cls = found.last_hidden_state[:, :number].flatten(1)
    assert (cls - expected).abs().max() <= 1e-5
    if family != "timesformer":
        assert (found.pooler_output - expected[:, :48]).abs().max() <= 1e-5


@pytest.mark.parametrize("family", ROWS)
def test_their_processor_makes_the_clip_that_ours_makes(tiny, tmp_path, family):
    row = VARIANTS[ROWS[family][0]].preprocessing
    short_side = row.short_side if family == "vjepa2" else 1.25
    colours = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "short_side": short_side}
    model = tiny(family, {"preprocessing": dataclasses.replace(row, **colours)})
    write_transformers(model, tmp_path)
    shape = model.preprocessing
    pictures = np.random.default_rng(0).integers(0, 256, (shape.num_frames, 60, 84, 3), np.uint8)
    transform = build_transform(shape, short_side=shape.short_side)
    expected = transform(torch.as_tensor(pictures), 0)
    if family in IMAGES:
        processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
        found = processor(pictures[0], return_tensors="pt")["pixel_values"][:, :, None]
    else:
        processor = transformers.AutoVideoProcessor.from_pretrained(tmp_path)
        frames = torch.as_tensor(pictures).permute(0, 3, 1, 2)
        (found,) = processor(frames, return_tensors="pt").values()
        found = found.transpose(1, 2)
    assert (found[0] - expected).abs().max() <= 1e-5
    if family == "vivit":
        processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
        (found,) = processor(list(pictures), return_tensors="pt").values()
        a_level = 1 / 255 / 0.2  # it resizes with PIL
        assert (found[0].transpose(0, 1) - expected).abs().max() <= 1.01 * a_level


@pytest.mark.parametrize("family", [family for family in ROWS if family not in IMAGES])
def test_a_pipeline_of_theirs_scores_as_we_do(tiny, tmp_path, family):
    """It takes its frames from the whole video, and finds their number in the config."""
    model = tiny(family)
    model.labels = ("a", "b", "c", "d", "e")
    write_transformers(model, tmp_path)
    pipeline = transformers.pipeline("video-classification", model=str(tmp_path), device="cpu")
    pictures = np.random.default_rng(0).integers(0, 256, (8, 40, 60, 3), np.uint8)
    found = {entry["label"]: entry["score"] for entry in pipeline(pictures)}
    shape = model.preprocessing
    transform = build_transform(shape, short_side=shape.short_side)
    with torch.no_grad():
        scores = model(transform(torch.as_tensor(pictures[::2]), 0)[None]).softmax(dim=1)[0]
    assert [found[name] for name in "abcde"] == pytest.approx(scores.tolist(), abs=1e-5)


def test_a_short_side_that_is_not_the_rows_comes_back(tiny, tmp_path, monkeypatch):
    model = tiny("vjepa2")
    write_transformers(model, tmp_path)
    shape = dataclasses.replace(model.preprocessing, short_side=1.0)
    row = dataclasses.replace(VARIANTS[model.name], preprocessing=shape)
    monkeypatch.setitem(VARIANTS, model.name, row)
    again = create_model(model.name, pretrained=tmp_path)
    assert again.preprocessing.short_side == model.preprocessing.short_side == 292 / 256


def test_several_labels_a_video_are_said_and_read_back(tiny, tmp_path):
    model = tiny("videomae")
    model.multi_label = True
    write_transformers(model, tmp_path / "theirs")
    theirs = from_pretrained(tmp_path / "theirs", ROWS["videomae"][1])
    assert theirs.config.problem_type == "multi_label_classification"
    assert load_model(tmp_path / "theirs").multi_label
    assert sparsify(model, None).multi_label
    write_checkpoint(model, tmp_path / "ours")
    assert create_model(model.name, pretrained=tmp_path / "ours").multi_label
    assert not create_model(model.name, pretrained=tmp_path / "ours", num_classes=2).multi_label


def test_biases_of_keys_are_dropped_from_videomae_and_it_is_said(tiny, tmp_path):
    model = tiny("videomae")
    assert write_transformers(model, tmp_path).notes == (
        "dropped: 2 biases of keys, blocks.0.attn.k.bias the first (the same for all keys, so"
        " attention is what it was)",
    )
    for block in model.blocks:
        nn.init.zeros_(block.attn.qkv.bias[48:96])
    assert write_transformers(model, tmp_path).notes == ()


@pytest.mark.parametrize(
    ("family", "fields", "note", "most"),
    [
        ("videomae", {"head_norm_eps": None}, "norm (epsilon 1e-06 is 1e-05 there", 1e-4),
        ("timesformer", {"head_norm_eps": 1e-5}, "norm (epsilon 1e-05 is 1e-06 there", 1e-4),
        ("vivit", {"head_norm_eps": 1e-5}, "norm (epsilon 1e-05 is 1e-06 there", 1e-4),
        (
            "vjepa2",
            {"pooler_norm_eps": 1e-5},
            "norms of the pooler (epsilon 1e-05 is 1e-06 there",
            1e-3,
        ),
    ],
)
def test_an_epsilon_that_they_have_no_setting_for_is_said(
    tiny, tmp_path, family, fields, note, most
):
    model = tiny(family, fields)
    notes = write_transformers(model, tmp_path).notes
    assert notes[-1] == f"changed: {note}: logits differ a little)"
    theirs, clip = from_pretrained(tmp_path, ROWS[family][1]), clip_of(model)
    with torch.no_grad():
        assert 0 < (run(theirs, clip).logits - model(clip)).abs().max() <= most


def test_a_short_side_that_their_processor_does_not_take_is_said(tiny, tmp_path):
    exported = write_transformers(tiny("vjepa2", image_size=448), tmp_path)
    assert exported.notes == ("changed: short side (511 pixels here, 512 in VJEPA2VideoProcessor)",)


KEEP = "keep it in a folder of stvit-video: convert without --to"
DENSE = "write the dense network of these weights, stvit_video.sparsify(model, None)"
PROBE = "train a probe, as stvit-video probe does"
REFUSED = {
    "semantic": ("videomae", {}, {"semantic": "2x2x2@0"}, "semantic (2x2x2@0)", DENSE),
    "reducer": ("vivit", {}, {"reduction": "tome:r=2"}, "reduction (tome:r=2", DENSE),
    "layers": ("vjepa2", {}, {"attentive_layers": [1, 2]}, "attentive_layers (1, 2)", KEEP),
    "scale": ("videomae", {"layer_scale": 1.0}, {}, "layer_scale (learned)", KEEP),
    "probe": ("videomae", {}, {"attentive_blocks": 2}, "attentive_blocks (2)", KEEP),
    "probe of tokens": ("vivit", {}, {"attentive_blocks": 1}, "attentive_blocks (1)", KEEP),
    "class token": ("videomae", {}, {"class_token": True}, "class_token (1 of 0)", KEEP),
    "no token": ("timesformer", {}, {"class_token": False}, "class_token (0 of 1)", KEEP),
    "no token of ViViT": ("vivit", {}, {"class_token": False}, "class_token (0 of 1)", KEEP),
    "no token of DeiT": ("deit", {}, {"class_token": False}, "class_token (0 of 2)", KEEP),
    "pool": ("vit", {"pool": "mean"}, {}, "pool (mean)", KEEP),
    "pool of VideoMAE": (
        *("videomae", {"pool": "mean_of_normed"}, {}, "pool (mean_of_normed)", KEEP),
    ),
    "positions": ("videomae", {"positions": "learned"}, {}, "positions (learned)", KEEP),
    "space": ("timesformer", {"attention": "space"}, {}, "attention (space)", KEEP),
    "frames": ("vit", {}, {"num_frames": 2}, "num_frames (2)", KEEP),
    "no probe": ("vjepa2", {}, {"attentive_blocks": 0}, "attentive_blocks (0) with a head", PROBE),
    "no head": ("vjepa2", {}, {"num_classes": 0}, "attentive_blocks (4) without a head", PROBE),
    "tanh": (
        *("vjepa2", {"activation": ACTIVATIONS["gelu_tanh"]}, {}),
        *("activation (gelu_tanh) with a probe", KEEP),
    ),
}
"""Family, fields of the row, options, and the setting and the next step of the refusal."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_transformers_cannot_say_is_refused_before_anything_is_written(tiny, tmp_path, case):
    family, fields, options, setting, step = REFUSED[case]
    model = tiny(family, fields, **options)
    with pytest.raises(CheckpointError) as caught:
        write_transformers(model, tmp_path / "out")
    text = str(caught.value)
    base = ROWS[family][1].split("For")[0]
    assert text.startswith(setting)
    assert f" has no place in {base}" in text
    assert text.endswith(f" of transformers; {step}")
    assert not (tmp_path / "out").exists()


def test_the_dense_network_of_semantic_weights_is_written(tiny, tmp_path):
    """The next step that the refusal names."""
    model = sparsify(tiny("videomae", semantic="2x2x2@0"), None)
    write_transformers(model, tmp_path)
    theirs, clip = from_pretrained(tmp_path, ROWS["videomae"][1]), clip_of(model)
    with torch.no_grad():
        assert (run(theirs, clip).logits - model(clip)).abs().max() <= 1e-5


def test_colours_in_another_order_are_refused(tiny, tmp_path):
    row = VARIANTS[ROWS["vit"][0]].preprocessing
    model = tiny("vit", {"preprocessing": dataclasses.replace(row, channel_order="bgr")})
    with pytest.raises(CheckpointError, match=r"channel_order \(bgr\) has no place in ViTForIm"):
        write_transformers(model, tmp_path)


@pytest.mark.parametrize(
    "name", ["video_swin_tiny_patch2x4x4_224", "vivit_base_fe_patch16x2_224", "demo_tiny"]
)
def test_models_without_counterpart_are_refused(tmp_path, name):
    with torch.device("meta"):
        model = create_model(name)
    with pytest.raises(CheckpointError) as caught:
        write_transformers(model, tmp_path)
    assert str(caught.value) == f"{name} is no model of transformers; {KEEP}"


def test_a_network_without_recipe_and_wrong_labels_are_refused(tiny, tmp_path):
    with pytest.raises(CheckpointError, match="cannot write VideoModel: only models of create_mo"):
        write_transformers(fuse(tiny("videomae")), tmp_path)
    with pytest.raises(CheckpointError, match=r"labels \(2\) of videomae_tiny must be as many as"):
        write_transformers(tiny("videomae"), tmp_path, labels=("a", "b"))
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_no_rule_knows_is_refused(tiny, tmp_path):
    model = tiny("videomae")
    model.adapter = nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match=r"adapter.weight has no place in VideoMAEForVideo"):
        write_transformers(model, tmp_path)


def test_a_folder_of_another_model_is_refused_and_one_of_the_same_kind_replaced(tiny, tmp_path):
    model = tiny("videomae")
    write_checkpoint(model, tmp_path / "ours")
    write_transformers(tiny("vjepa2"), tmp_path / "theirs")
    for folder, name in (("ours", "model.json"), ("theirs", "video_preprocessor_config.json")):
        with pytest.raises(CheckpointError) as caught:
            write_transformers(model, tmp_path / folder)
        assert str(caught.value) == (
            f"output ({tmp_path / folder}) holds {name} of another model; choose another folder"
        )
    write_transformers(tiny("videomae", num_classes=3), tmp_path / "again")
    (tmp_path / "again" / "README.md").write_text("mine")
    write_transformers(model, tmp_path / "again")
    assert from_pretrained(tmp_path / "again", ROWS["videomae"][1]).config.num_labels == 5
    assert (tmp_path / "again" / "README.md").read_text() == "mine"


def test_our_checkpoint_does_not_mix_with_theirs(tiny, tmp_path):
    model = tiny("videomae")
    write_transformers(model, tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(CheckpointError) as caught:
        write_checkpoint(model, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds config.json of a model of another library; choose another folder"
    )
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_the_files_of_the_folder(tiny, tmp_path):
    write_transformers(tiny("videomae"), tmp_path)
    assert sorted(os.listdir(tmp_path)) == [
        *("README.md", "config.json", "model.safetensors", "preprocessor_config.json"),
    ]
    assert (tmp_path / "README.md").read_text() == (
        "---\nlicense: cc-by-nc-4.0\nlibrary_name: transformers\n"
        "pipeline_tag: video-classification\n---\n\n"
        "`VideoMAEForVideoClassification` of HF transformers, written by stvit-video: its"
        " `videomae_tiny`, from VideoMAE, arXiv 2203.12602.\n\n"
        "It reads clips of 4 frames, each the frame 7 after the last, 32 x 32 pixels.\n"
    )
    assert json.loads((tmp_path / "preprocessor_config.json").read_text()) == {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 32},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }


def test_a_disk_that_refuses_leaves_the_old_file_and_no_half_one(tiny, tmp_path, monkeypatch):
    model = tiny("videomae")
    write_transformers(model, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(weights, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stvit_video.models.transformers_folder.save_file", fail)
    with pytest.raises(WriteError, match=r"model\.safetensors cannot be written: No space left"):
        write_transformers(tiny("videomae", num_classes=3), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_half_precision_stays(tiny, tmp_path):
    model = tiny("timesformer").bfloat16()
    write_transformers(model, tmp_path)
    theirs = from_pretrained(tmp_path, ROWS["timesformer"][1])
    assert theirs.dtype == torch.bfloat16
    assert torch.equal(theirs.classifier.weight, model.head.weight)


def test_writing_needs_no_transformers(tmp_path):
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from stvit_video import create_model, write_transformers\n"
        "model = create_model('deit_tiny_patch16_224', num_classes=2)\n"
        f"print(write_transformers(model, {str(tmp_path)!r}).architecture)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ViTForImageClassification\n"
