import dataclasses
import json
import logging

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models import registry
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.layers.positions import resize_positions
from stvit_video.models.registry import create_model
from stvit_video.tokens.grid import Grid

SIZES = {"dim": 24, "depth": 3, "num_heads": 2, "mlp_ratio": 2.5}
LABELS = ("archery", "bowling", "yoga")


@pytest.fixture(autouse=True)
def tiny_rows(monkeypatch):
    """Rows of the registry at tiny sizes, as `tiny_vivit` and so on."""
    rows = {
        "tiny_videomae": ("videomae_base_patch16_224", (2, 8, 8), 6),
        "tiny_vit": ("vit_base_patch16_224", (1, 8, 8), 1),
        "tiny_vivit": ("vivit_base_patch16x2_224", (3, 8, 8), 6),
        "tiny_fsa": ("vivit_base_fsa_patch16x2_224", (3, 8, 8), 6),
        "tiny_timesformer": ("timesformer_base_patch16_224", (1, 8, 8), 4),
    }
    for name, (row, tubelet_size, num_frames) in rows.items():
        usual = registry.VARIANTS[row]
        clip = dataclasses.replace(usual.preprocessing, num_frames=num_frames, image_size=24)
        tiny = dataclasses.replace(usual, **SIZES, tubelet_size=tubelet_size, preprocessing=clip)
        monkeypatch.setitem(registry.VARIANTS, name, tiny)


def _videomae(**changes):
    config = {
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 60,
        "image_size": 24,
        "patch_size": 8,
        "num_frames": 6,
        "id2label": dict(enumerate(LABELS)),
    }
    return VideoMAEForVideoClassification(VideoMAEConfig(**{**config, **changes})).eval()


@pytest.fixture(scope="module")
def image_weights():
    torch.manual_seed(5)
    sizes = {"img_size": 24, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2}
    model = VisionTransformer(**sizes, mlp_ratio=2.5, num_classes=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@pytest.fixture
def image_file(image_weights, tmp_path):
    torch.save(image_weights.state_dict(), tmp_path / "vit.pth")
    return tmp_path / "vit.pth"


@pytest.mark.parametrize("shard_size", ["1GB", "20KB"])
def test_an_hf_folder_gives_the_logits_the_labels_and_the_preprocessing(tmp_path, shard_size):
    theirs = _videomae(num_frames=4, image_size=32)
    theirs.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert len(list(tmp_path.glob("*.safetensors"))) == (1 if shard_size == "1GB" else 5)
    processor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: cc-by-nc-4.0\n---\n# Hello\n")
    ours = create_model("tiny_videomae", pretrained=tmp_path).eval()
    clip = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        expected = theirs(clip.transpose(1, 2)).logits
        assert (ours(clip) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert ours.labels == LABELS
    assert dataclasses.astuple(ours.preprocessing) == (
        *(4, 4, 32),
        *((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "rgb", 1.0, "dense"),
    )
    assert ours.recipe.variant.license == "cc-by-nc-4.0"
    assert ours.recipe.variant.source == str(tmp_path)
    assert ours.key_report.lines() == []


def test_an_older_bin_file_of_hf_is_read(tmp_path):
    theirs = _videomae()
    weights = {
        key.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): value
        for key, value in theirs.state_dict().items()
    }
    torch.save(weights, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(theirs.config.to_dict()))
    ours = create_model("tiny_videomae", pretrained=tmp_path).eval()
    clip = torch.randn(1, 3, 6, 24, 24)
    with torch.no_grad():
        assert torch.allclose(ours(clip), theirs(clip.transpose(1, 2)).logits, atol=1e-5)


def test_a_head_of_other_classes_is_new_and_says_so(tmp_path, caplog):
    _videomae().save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        model = create_model("tiny_videomae", pretrained=tmp_path, num_classes=7)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path} for tiny_videomae: 3 classes in the weights, so the head of 7 is new and"
        " untrained"
    ]
    assert model.labels == ()
    assert model.key_report.lines() == [
        "new: head.weight, head.bias (head of 7 classes, to be trained)",
        "dropped: head.weight, head.bias (head of 3 classes, 7 wanted)",
    ]


def test_a_head_that_fits_stays_silent_and_keeps_its_labels(tmp_path, caplog):
    theirs = _videomae()
    theirs.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        model = create_model("tiny_videomae", pretrained=tmp_path, num_classes=3)
    assert caplog.records == []
    assert model.labels == LABELS
    assert torch.equal(model.head.weight, theirs.classifier.weight)


def test_a_wrong_label_count_is_refused(tmp_path):
    _videomae().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {"0": "archery", "1": "bowling"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as caught:
        create_model("tiny_videomae", pretrained=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} names 2 labels, but its head has 3 classes; mend the labels in its config.json"
    )


def test_a_checkpoint_of_another_family_is_refused(tmp_path, image_file):
    with pytest.raises(CheckpointError) as caught:
        create_model("tiny_videomae", pretrained=image_file)
    assert str(caught.value) == (
        f"{image_file} does not fit tiny_videomae: no weights of VideoMAE: they have"
        " embed.cls_token"
    )
    _videomae().save_pretrained(tmp_path / "hf")
    with pytest.raises(CheckpointError) as caught:
        create_model("tiny_timesformer", pretrained=tmp_path / "hf")
    assert str(caught.value) == (
        f"{tmp_path / 'hf'} does not fit tiny_timesformer: no weights of TimeSformer: nothing in"
        " them attends over time"
    )


def test_a_checkpoint_of_another_size_is_refused(tmp_path):
    _videomae(num_attention_heads=3).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        create_model("tiny_videomae", pretrained=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} does not fit tiny_videomae: its num_heads is 3, the model's 2"
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda weights: weights.pop("blocks.1.mlp.fc1.weight"),
            "they lack blocks.1.mlp.fc1.weight",
        ),
        (
            lambda weights: weights.update(extra=torch.ones(1), more=torch.ones(1)),
            "they have extra and 1 more",
        ),
        (
            lambda weights: weights.update({"norm.weight": torch.ones(5)}),
            "norm.weight is (5,), the model's (24,)",
        ),
    ],
)
def test_a_key_that_cannot_be_explained_is_refused(image_weights, tmp_path, change, fault):
    weights = dict(image_weights.state_dict())
    change(weights)
    path = tmp_path / "vit.pth"
    torch.save(weights, path)
    with pytest.raises(CheckpointError) as caught:
        create_model("tiny_vit", pretrained=path)
    assert str(caught.value) == f"{path} does not fit tiny_vit: {fault}"


def test_an_activation_that_we_do_not_have_is_refused(tmp_path):
    _videomae(hidden_act="relu").save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match="has the activation 'relu'; known: gelu, gelu_python"
    ):
        create_model("tiny_videomae", pretrained=tmp_path)


def test_image_weights_inflate_so_that_a_still_clip_embeds_as_the_image(image_file, image_weights):
    model = create_model("tiny_vivit", pretrained=image_file, num_classes=5).eval()
    image = torch.randn(2, 3, 24, 24)
    with torch.no_grad():
        tokens, grid = model.embed(image[:, :, None].expand(-1, -1, 6, -1, -1))
        expected = image_weights._pos_embed(image_weights.patch_embed(image))
    assert grid == Grid(2, 3, 3)
    assert torch.allclose(tokens[:, :10], expected, atol=1e-5)
    assert torch.allclose(tokens[:, 10:], expected[:, 1:], atol=1e-5)
    assert model.embed.patch.proj.weight.unflatten(1, (3, 3, 64))[:, :, [0, 2]].abs().max() == 0
    assert model.key_report.changed == {
        "embed.patch.proj.weight": "inflated from an image to 3 frames, the middle one",
        "embed.pos_embed": "resized from 1x3x3 to 2x3x3",
    }


@pytest.mark.parametrize("name", ["tiny_timesformer", "tiny_fsa"])
def test_attention_along_time_adds_nothing_at_first(image_file, image_weights, name):
    model = create_model(name, pretrained=image_file, num_classes=5).eval()
    block, theirs = model.blocks[1], image_weights.blocks[1]
    assert torch.equal(block.temporal_attn.qkv.weight, theirs.attn.qkv.weight)
    assert torch.equal(block.temporal_norm1.weight, theirs.norm1.weight)
    grid = Grid(2, 3, 3)
    patches = torch.randn(2, 18, 24)
    with torch.no_grad():
        moved = block(patches, grid)
        still = (
            theirs(patches.unflatten(1, (2, 9)).flatten(0, 1)).unflatten(0, (2, 2)).flatten(1, 2)
        )
    assert torch.allclose(moved, still, atol=2e-3)  # ViViT's GELU is the tanh form


def test_an_image_vit_takes_longer_clips_with_tiled_positions(image_file, image_weights):
    model = create_model("tiny_vit", pretrained=image_file, num_frames=3)
    positions = image_weights.pos_embed
    tiled = torch.cat([positions[:, :1], *[positions[:, 1:]] * 3], dim=1)
    assert torch.allclose(model.embed.pos_embed, tiled, atol=1e-6)


def test_positions_are_resized_for_another_image_size(image_file, image_weights):
    model = create_model("tiny_vit", pretrained=image_file, image_size=40)
    expected = resize_positions(image_weights.pos_embed, Grid(1, 3, 3), Grid(1, 5, 5))
    assert torch.equal(model.embed.pos_embed, expected)
    assert model.key_report.changed == {"embed.pos_embed": "resized from 1x3x3 to 1x5x5"}


def test_positions_along_time_are_resized_for_other_frames(image_file, tmp_path):
    model = create_model("tiny_timesformer", pretrained=image_file, num_classes=5)
    nn.init.normal_(model.embed.time_embed)
    torch.save(model.state_dict(), tmp_path / "ours.pth")
    longer = create_model("tiny_timesformer", pretrained=tmp_path / "ours.pth", num_frames=8)
    expected = model.embed.time_embed.repeat_interleave(2, dim=1)  # the nearest of 4 frames
    assert torch.equal(longer.embed.time_embed, expected)


def test_a_pretrained_class_token_goes_along_as_one_more_query(image_file):
    model = create_model("tiny_vit", pretrained=image_file, semantic="1x2x2@1,layers=1")
    tokens, grid, *_ = model.forward_tokens(torch.randn(2, 3, 1, 24, 24))
    assert (grid, tokens.shape[1]) == (Grid(1, 2, 2), 5)
    assert list(model.key_report.new) == ["stages.1.generator.global_centers"]


def test_a_class_token_that_is_not_wanted_is_dropped_with_its_position(image_file, image_weights):
    model = create_model("tiny_vit", pretrained=image_file, class_token=False)
    assert torch.equal(model.embed.pos_embed, image_weights.pos_embed[:, 1:])
    assert model.key_report.dropped == {"embed.cls_token": "the model averages its tokens"}


def test_layers_of_a_generator_drop_their_attention_along_time(image_file, tmp_path):
    dense = create_model("tiny_timesformer", pretrained=image_file, num_classes=5)
    torch.save(dense.state_dict(), tmp_path / "ours.pth")
    model = create_model(
        "tiny_timesformer", pretrained=tmp_path / "ours.pth", semantic="2x2x2@0,layers=2"
    )
    assert set(model.key_report.dropped.values()) == {
        "layers of a generator or a recovery have no attention along time"
    }
    assert {key.split(".")[1] for key in model.key_report.dropped} == {"0", "1"}
    assert torch.equal(model.blocks[2].temporal_fc.weight, dense.blocks[2].temporal_fc.weight)


def test_a_backbone_without_head_gets_a_new_one(image_weights, tmp_path, caplog):
    weights = image_weights.state_dict()
    bare = {key: value for key, value in weights.items() if not key.startswith("head.")}
    torch.save(bare, tmp_path / "bare.pth")
    with caplog.at_level(logging.WARNING):
        model = create_model("tiny_vit", pretrained=tmp_path / "bare.pth", num_classes=2)
    assert (
        caplog.records[0]
        .getMessage()
        .endswith("tiny_vit: no head in the weights, so the head of 2 is new and untrained")
    )
    assert model.head.weight.shape == (2, 24)


def test_a_config_that_lacks_a_size_is_refused(tmp_path):
    _videomae().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["num_attention_heads"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as caught:
        create_model("tiny_videomae", pretrained=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has a config.json without usable 'num_attention_heads'"
    )


def test_a_folder_of_timm_gives_its_colours_and_labels(image_weights, tmp_path):
    torch.save(image_weights.state_dict(), tmp_path / "pytorch_model.bin")
    config = {
        "architecture": "vit_base_patch16_224",
        "num_classes": 5,
        "label_names": ["a", "b", "c", "d", "e"],
        "pretrained_cfg": {
            "mean": [0.1, 0.2, 0.3],
            "std": [0.4, 0.5, 0.6],
            "input_size": [3, 24, 24],
            "license": "mit",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = create_model("tiny_vivit", pretrained=tmp_path)
    assert model.labels == ("a", "b", "c", "d", "e")
    assert model.recipe.variant.license == "mit"
    assert dataclasses.astuple(model.preprocessing) == (
        *(6, 2, 24),
        *((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "rgb", 1.0, "dense"),
    )


def test_a_tensor_of_the_same_size_but_another_shape_is_refused(image_weights, tmp_path):
    weights = dict(image_weights.state_dict())
    weights["blocks.0.mlp.fc1.weight"] = weights["blocks.0.mlp.fc1.weight"].reshape(24, 60)
    path = tmp_path / "vit.pth"
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match=r"fc1\.weight is \(24, 60\), the model's \(60, 24\)"):
        create_model("tiny_vit", pretrained=path)


def test_the_average_of_a_training_can_be_chosen(tmp_path, image_weights, caplog):
    raw = image_weights.state_dict()
    average = {key: value * 0.5 for key, value in raw.items()}
    path = tmp_path / "both.pth"
    torch.save({"model": raw, "model_ema": average}, path)
    usual = create_model("tiny_vit", pretrained=path)
    assert torch.equal(usual.head.weight, raw["head.weight"])
    assert "model is read; pretrained_entry chooses another" in caplog.text
    chosen = create_model("tiny_vit", pretrained=path, pretrained_entry="model_ema")
    assert torch.equal(chosen.head.weight, average["head.weight"])
    write_checkpoint(chosen, tmp_path / "ours")
    with pytest.raises(CheckpointError, match="was written by us, without entries; leave model_e"):
        create_model("tiny_vit", pretrained=tmp_path / "ours", pretrained_entry="model_ema")
    with pytest.raises(ConfigError, match=r"pretrained_entry \(model_ema\) is one of a file"):
        create_model("tiny_vit", pretrained_entry="model_ema")
