"""The attentive pooler: against the formula, by size, in every network, and through files."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from stvit_video import create_model, fuse, load_model, sparsify
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.layers.attentive import AttentivePooler

SMALL = {"num_classes": 3, "num_frames": 2, "image_size": 32}


def pooler(num_blocks=2, dim=12):
    torch.manual_seed(0)
    made = AttentivePooler(dim, num_heads=3, num_blocks=num_blocks)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def layer_norm(x, norm):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def test_one_block_is_the_published_formula():
    """z = q + softmax(q k / sqrt d) v without output layer and norm on q; z += mlp(LN z)."""
    made, tokens = pooler(num_blocks=1), torch.randn(2, 5, 12)
    cross, normed = made.cross, layer_norm(tokens, made.cross.norm1)
    q = cross.q(made.query_tokens)[0, 0].view(3, 4)
    k, v = cross.kv(normed).view(2, 5, 2, 3, 4).unbind(2)  # (B, N, h, d)
    weights = torch.einsum("hd,bnhd->bhn", q, k).div(2).softmax(-1)
    read = torch.einsum("bhn,bnhd->bhd", weights, v).flatten(1)
    z = made.query_tokens[0] + read
    hidden = torch.nn.functional.gelu(cross.mlp.fc1(layer_norm(z, cross.norm2)))
    torch.testing.assert_close(made(tokens), z + cross.mlp.fc2(hidden))


def test_it_is_that_of_vjepa_2():
    """The pooler of transformers, with its weights under our names."""
    from transformers import VJEPA2Config
    from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2AttentivePooler

    torch.manual_seed(0)
    config = VJEPA2Config(hidden_size=24, num_attention_heads=3, num_pooler_layers=2)
    theirs = VJEPA2AttentivePooler(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    weights = {}
    for key, value in theirs.state_dict().items():
        key = key.replace("self_attention_layers.", "blocks.").replace("self_attn.", "attn.")
        key = key.replace("cross_attention_layer.", "cross.").replace("cross_attn.", "")
        weights[key.replace("layer_norm", "norm").replace("out_proj", "proj")] = value
    for place in ("blocks.0.attn.", "blocks.1.attn.", "cross."):
        for kind in ("weight", "bias"):
            q, k, v = (weights.pop(f"{place}{name}_proj.{kind}") for name in "qkv")
            if place == "cross.":
                weights |= {f"cross.q.{kind}": q, f"cross.kv.{kind}": torch.cat([k, v])}
            else:
                weights[f"{place}qkv.{kind}"] = torch.cat([q, k, v])
    ours = AttentivePooler(24, num_heads=3, num_blocks=3).eval()
    ours.load_state_dict(weights)
    tokens = torch.randn(2, 7, 24)
    torch.testing.assert_close(ours(tokens), theirs(tokens).squeeze(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_blocks", [1, 3])
def test_a_token_of_size_two_weighs_as_two_of_them(num_blocks):
    made, tokens = pooler(num_blocks), torch.randn(2, 4, 12)
    twice = torch.cat([tokens, tokens[:, :1]], dim=1)
    size = torch.tensor([2.0, 1, 1, 1]).log().expand(2, 1, 1, 4)
    torch.testing.assert_close(made(tokens, size), made(twice))
    assert not torch.allclose(made(tokens), made(twice), atol=1e-4)


NETWORKS = {
    "demo_tiny": {},
    "deit_tiny_distilled_patch16_224": {"num_frames": 1},
    "timesformer_base_patch16_224": {},
    "videomae_small_patch16_224": {"semantic": "3@4"},
    "vivit_base_fdp_patch16x2_224": {},
    "video_swin_tiny_patch2x4x4_224": {},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_one_and_its_head_reads_it(name):
    torch.manual_seed(0)
    options = SMALL | NETWORKS[name]
    model = create_model(name, attentive_blocks=2, **options).eval()
    clip = torch.randn(2, 3, options["num_frames"], 32, 32)
    state = model.forward_tokens(clip)
    expected = model.head(model.pooler(model.norm(state.tokens), state.key_bias()))
    torch.testing.assert_close(model(clip), expected)
    torch.testing.assert_close(fuse(model)(clip), expected, rtol=1e-4, atol=1e-4)
    assert (model.attentive_blocks, model.num_features) == (2, model.head.in_features)
    model.train()(clip).sum().backward()
    assert all(p.grad is not None for p in model.pooler.parameters())


def test_a_model_with_a_temporal_encoder_refuses_it():
    name = "vivit_base_fe_patch16x2_224"
    with pytest.raises(ConfigError, match=r"attentive_blocks \(2\) has no place in a model with"):
        create_model(name, attentive_blocks=2, **SMALL)


@pytest.fixture
def written(tmp_path):
    torch.manual_seed(1)
    model = create_model("demo_tiny", attentive_blocks=2, **SMALL).eval()
    write_checkpoint(model, tmp_path)
    return model, tmp_path


CLIP = torch.randn(2, 3, 2, 32, 32, generator=torch.Generator().manual_seed(0))


def test_it_is_written_and_read_with_its_weights(written):
    model, folder = written
    again = load_model(folder)
    assert again.attentive_blocks == 2
    assert torch.equal(again(CLIP), model(CLIP))


def test_a_file_without_card_says_it_by_its_keys(written):
    model, folder = written
    path = (folder / "model.safetensors").rename(folder / "alone.safetensors")
    again = create_model("demo_tiny", pretrained=path, num_frames=2, image_size=32).eval()
    assert (again.attentive_blocks, again.num_classes) == (2, 3)
    assert torch.equal(again(CLIP), model(CLIP))


def test_a_semantic_model_keeps_it(written):
    model, _ = written
    sparse = sparsify(model, "4@2")
    assert sparse.attentive_blocks == 2
    for name, value in model.pooler.state_dict().items():
        assert torch.equal(sparse.pooler.state_dict()[name], value)
    assert torch.equal(sparse.head.weight, model.head.weight)
    assert torch.equal(sparsify(model, None)(CLIP), model(CLIP))


@pytest.mark.parametrize("wanted", [0, 1, 4])
def test_a_head_is_not_read_behind_another_pooler(written, wanted):
    """Both have as many classes and channels, so the weights would fit."""
    model, folder = written
    other = create_model("demo_tiny", attentive_blocks=wanted, pretrained=folder, num_classes=3)
    assert other.attentive_blocks == wanted
    assert not torch.equal(other.head.weight, model.head.weight)
    assert other.labels == ()
    assert other.key_report.new["head.weight"] == "head of 3 classes, to be trained"
    assert other.key_report.dropped["pooler.cross.q.weight"] == "another pooler wanted"
    assert torch.equal(other.blocks[0].mlp.fc1.weight, model.blocks[0].mlp.fc1.weight)


def test_a_head_of_a_mean_is_not_read_behind_a_pooler(tmp_path):
    model = create_model("demo_tiny", **SMALL)
    write_checkpoint(model, tmp_path)
    other = create_model("demo_tiny", attentive_blocks=1, pretrained=tmp_path, num_classes=3)
    assert not torch.equal(other.head.weight, model.head.weight)
    assert other.key_report.new["pooler.query_tokens"] == "attentive pooler, to be trained"


def test_a_file_that_lacks_a_part_of_it_is_refused(written, tmp_path):
    _, folder = written
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights["pooler.cross.q.weight"]
    save_file(weights, path)
    with pytest.raises(CheckpointError, match="pooler"):
        load_model(folder)


def test_a_pooler_that_is_put_in_or_taken_out_is_remembered(tmp_path):
    torch.manual_seed(0)
    model = create_model("demo_tiny", **SMALL).eval()
    model.reset_classifier(4, attentive_blocks=2)
    pooler = model.pooler
    model.reset_classifier(5)
    assert model.pooler is pooler
    write_checkpoint(model, tmp_path / "with")
    again = load_model(tmp_path / "with")
    assert (again.attentive_blocks, again.num_classes) == (2, 5)
    assert torch.equal(again(CLIP), model(CLIP))
    model.reset_classifier(3, attentive_blocks=0)
    write_checkpoint(model, tmp_path / "without")
    assert load_model(tmp_path / "without").pooler is None
