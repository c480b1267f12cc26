"""VideoMAE V2 and UMT compute what is published, from files as their original codes write them.

HF's VideoMAE has the same arithmetic; its weights are saved under the original names.
"""

import dataclasses
import json

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from stvit_video import create_model, load_model
from stvit_video.errors import CheckpointError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.layers.positions import sinusoid_positions
from stvit_video.models.registry import VARIANTS

DIM, DEPTH, NUM_HEADS, NUM_CLASSES = 24, 2, 3, 11
HUB = {
    "img_size": 224,
    "patch_size": 16,
    "embed_dim": DIM,
    "depth": DEPTH,
    "num_heads": NUM_HEADS,
    "layer_norm_eps": 1e-6,
    "tubelet_size": 2,
    "num_frames": 16,
}
"""Part of the config.json of a folder of VideoMAE V2 that counts."""


@pytest.fixture(autouse=True)
def small_rows(monkeypatch):
    for name, template in (("v2", "videomae_v2_base"), ("umt", "umt_base")):
        small = {"dim": DIM, "depth": DEPTH, "num_heads": NUM_HEADS}
        row = dataclasses.replace(VARIANTS[f"{template}_patch16_224"], **small)
        monkeypatch.setitem(VARIANTS, name, row)


def peer_of(name):
    """HF's network of the same clips, all weights random."""
    row = VARIANTS[name]
    config = VideoMAEConfig(
        num_frames=row.preprocessing.num_frames,
        tubelet_size=row.tubelet_size[0],
        hidden_size=DIM,
        num_hidden_layers=DEPTH,
        num_attention_heads=NUM_HEADS,
        intermediate_size=4 * DIM,
        layer_norm_eps=1e-6,
        num_labels=NUM_CLASSES,
    )
    peer = VideoMAEForVideoClassification(config).eval()
    peer.fc_norm.eps = 1e-6  # the original code's; HF's is 1e-5
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return peer


def original_weights(peer):
    """The names of the original codes: one weight of queries, keys and values, two biases."""
    encoder, weights = peer.videomae, {}
    parts = {"patch_embed.proj": encoder.embeddings.patch_embeddings.projection}
    parts |= {"fc_norm": peer.fc_norm, "head": peer.classifier}
    for number, layer in enumerate(encoder.encoder.layer):
        block, attention = f"blocks.{number}", layer.attention.attention
        parts |= {f"{block}.norm1": layer.layernorm_before, f"{block}.norm2": layer.layernorm_after}
        parts |= {f"{block}.attn.proj": layer.attention.output.dense}
        parts |= {f"{block}.mlp.fc1": layer.intermediate.dense}
        parts |= {f"{block}.mlp.fc2": layer.output.dense}
        joined = [attention.query.weight, attention.key.weight, attention.value.weight]
        weights[f"{block}.attn.qkv.weight"] = torch.cat(joined)
        weights[f"{block}.attn.q_bias"] = attention.query.bias
        weights[f"{block}.attn.v_bias"] = attention.value.bias
    for name, part in parts.items():
        weights |= {f"{name}.weight": part.weight, f"{name}.bias": part.bias}
    return {key: value.detach().clone() for key, value in weights.items()}


def assert_same(ours, peer):
    size = ours.preprocessing
    clip = torch.randn(1, 3, size.num_frames, size.image_size, size.image_size)
    with torch.no_grad():
        expected = peer(clip.transpose(1, 2)).logits
        assert (ours.eval()(clip) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("entry", ["model", "module"])
@pytest.mark.parametrize("name", ["v2", "umt"])
def test_files_of_the_original_codes_give_the_logits_of_hf(tmp_path, name, entry):
    peer = peer_of(name)
    torch.save({entry: original_weights(peer), "epoch": 3}, tmp_path / "x.pth")
    ours = create_model(name, pretrained=tmp_path / "x.pth")
    assert ours.num_classes == NUM_CLASSES
    assert not ours.key_report.lines()
    assert_same(ours, peer)


def hub_folder(folder, **changed):
    weights = {f"model.{key}": value for key, value in original_weights(peer_of("v2")).items()}
    torch.save(weights, folder / "pytorch_model.bin")
    config = {"model_type": "VideoMAEv2_Base", "model_config": HUB | changed}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_of_the_hub_gives_the_logits_of_hf(tmp_path):
    ours = create_model("v2", pretrained=hub_folder(tmp_path))
    assert_same(ours, peer_of("v2"))


def test_a_folder_of_the_hub_says_frames_size_and_epsilon(tmp_path):
    folder = hub_folder(tmp_path, num_frames=4, img_size=32, layer_norm_eps=1e-3)
    ours = create_model("v2", pretrained=folder)
    assert (ours.preprocessing.num_frames, ours.preprocessing.image_size) == (4, 32)
    assert ours.blocks[0].norm1.eps == ours.norm.eps == 1e-3


def test_a_folder_of_the_hub_of_other_heads_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"fit v2: its num_heads is 2, the model's 3$"):
        create_model("v2", pretrained=hub_folder(tmp_path, num_heads=2))


def test_a_folder_of_the_hub_without_sizes_is_refused(tmp_path):
    folder = hub_folder(tmp_path)
    (folder / "config.json").write_text('{"model_config": {"embed_dim": 24}}')
    with pytest.raises(CheckpointError, match=r"has a config\.json without usable 'depth'$"):
        create_model("v2", pretrained=folder)


def test_cosine_attention_is_refused(tmp_path):
    weights = original_weights(peer_of("v2")) | {"blocks.0.attn.scale": torch.ones(3, 1, 1)}
    torch.save(weights, tmp_path / "x.pth")
    expected = r"x\.pth does not fit v2: no weights of VideoMAE: they have blocks\.0\.attn\.scale$"
    with pytest.raises(CheckpointError, match=expected):
        create_model("v2", pretrained=tmp_path / "x.pth")


def test_weights_of_another_tubelet_are_refused(tmp_path):
    torch.save(original_weights(peer_of("umt")), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"fit v2: embed\.patch\.proj\.weight is \(24, 3, 1,"):
        create_model("v2", pretrained=tmp_path / "x.pth")


def test_the_giant_has_the_published_sizes():
    with torch.device("meta"):
        model = create_model("videomae_v2_giant_patch14_224")
    block = model.blocks[0]
    assert block.mlp.fc1.weight.shape == (6144, 1408)
    assert block.attn.num_heads * 88 == 1408
    assert tuple(model.embed.native_grid) == (8, 16, 16)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(1013, abs=1)


def test_umt_stretches_the_positions_of_8_frames_over_more():
    table = sinusoid_positions(1568, DIM).view(8, 196, DIM)
    before, after = table[[0, 0, 1, 2, 3, 4, 5, 6]], table[[1, 2, 3, 4, 5, 6, 7, 7]]
    halves = torch.stack([0.75 * table + 0.25 * before, 0.75 * table + 0.25 * after], dim=1)
    model = create_model("umt", num_frames=16)
    found = model.embed.pos_embed.view(16, 196, DIM)
    torch.testing.assert_close(found, halves.flatten(0, 1), rtol=0, atol=1e-6)
    usual = create_model("umt").embed.pos_embed
    assert torch.equal(usual, sinusoid_positions(1568, DIM))


@pytest.mark.parametrize(("num_frames", "size"), [(16, 224), (8, 384), (8, 224)])
def test_positions_in_a_file_of_umt_tell_the_clip(tmp_path, num_frames, size):
    places = torch.randn(1, num_frames * (size // 16) ** 2, DIM)
    weights = original_weights(peer_of("umt")) | {"pos_embed": places}
    torch.save(weights, tmp_path / "x.pth")
    ours = create_model("umt", pretrained=tmp_path / "x.pth")
    assert (ours.preprocessing.num_frames, ours.preprocessing.image_size) == (num_frames, size)
    assert torch.equal(ours.embed.pos_embed, places)
    write_checkpoint(ours, tmp_path / "ours")
    again = load_model(tmp_path / "ours")
    assert again.preprocessing == ours.preprocessing
    assert torch.equal(again.embed.pos_embed, places)


def test_positions_of_no_published_clip_are_refused(tmp_path):
    weights = original_weights(peer_of("umt")) | {"pos_embed": torch.zeros(1, 1000, DIM)}
    torch.save(weights, tmp_path / "x.pth")
    expected = r"fit umt: no weights of UMT: 1000 positions are no frames of 224 or 384 pixels in"
    with pytest.raises(CheckpointError, match=expected):
        create_model("umt", pretrained=tmp_path / "x.pth")


def test_positions_of_more_frames_are_not_taken_for_one_large_frame(tmp_path):
    weights = original_weights(peer_of("v2")) | {"pos_embed": torch.zeros(1, 3136, DIM)}
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"embed\.pos_embed is \(1, 3136, 24\), the model's"):
        create_model("v2", pretrained=tmp_path / "x.pth")
    ours = create_model("v2", pretrained=tmp_path / "x.pth", num_frames=32)
    assert ours.embed.pos_embed.shape == (1, 3136, DIM)


def test_the_decoder_of_a_pretraining_of_umt_is_set_aside(tmp_path):
    weights = original_weights(peer_of("umt"))
    encoder = {
        f"encoder.{key.replace('fc_norm', 'norm')}": value
        for key, value in weights.items()
        if not key.startswith("head.")
    }
    decoder = {"clip_decoder.0.head.weight": torch.zeros(5, DIM)}
    torch.save({"model": encoder | decoder}, tmp_path / "x.pth")
    ours = create_model("umt", pretrained=tmp_path / "x.pth")
    assert ours.num_classes == 400
    assert set(ours.key_report.new) == {"head.weight", "head.bias"}
    assert ours.key_report.dropped == {"clip_decoder.0.head.weight": "no part of the classifier"}
    assert torch.equal(ours.norm.weight, weights["fc_norm.weight"])
