"""V-JEPA 2.1: equal to the published formula, for videos and for pictures."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from stvit_video import create_model, load_model, sparsify
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.layers.embed import grid_places
from stvit_video.models.layers.rotary import Rotary
from stvit_video.models.registry import VARIANTS
from stvit_video.tokens.grid import Grid

NAME = "vjepa2_1_tiny_patch16_64"
DIM, HEADS, DEPTH = 64, 2, 3
WIDTH = 2 * (DIM // HEADS // 3 // 2)


def clip_of(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def original_encoder():
    """Draw an encoder under the names of the published files."""
    hidden = DIM * 48 // 11
    shapes = {
        "patch_embed.proj": (DIM, 3, 2, 16, 16),
        "patch_embed_img.proj": (DIM, 3, 1, 16, 16),
        **{f"norms_block.{i}": (DIM,) for i in range(4)},
    }
    for i in range(DEPTH):
        shapes |= {
            f"blocks.{i}.norm1": (DIM,),
            f"blocks.{i}.attn.qkv": (3 * DIM, DIM),
            f"blocks.{i}.attn.proj": (DIM, DIM),
            f"blocks.{i}.norm2": (DIM,),
            f"blocks.{i}.mlp.fc1": (hidden, DIM),
            f"blocks.{i}.mlp.fc2": (DIM, hidden),
        }
    draw = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = 0.2 * torch.randn(shape, generator=draw)
        weights[f"{name}.bias"] = 0.2 * torch.randn(shape[0], generator=draw)
    for name in ("video_mod_embed", "img_mod_embed"):
        weights[name] = torch.randn(1, 1, DIM, generator=draw)
    return weights


def original_file(folder, entry="ema_encoder", **others):
    encoder = {f"module.backbone.{key}": value for key, value in original_encoder().items()}
    torch.save(
        {entry: encoder, "predictor": {"module.x": torch.ones(1)}, **others}, folder / "e.pt"
    )
    return folder / "e.pt"


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Return what makes a tiny model from the weights of a published file."""
    sizes = {"dim": DIM, "depth": DEPTH, "num_heads": HEADS, "mlp_ratio": 48 / 11}
    row = dataclasses.replace(VARIANTS["vjepa2_1_base_patch16_384"], **sizes)
    monkeypatch.setitem(VARIANTS, NAME, row)

    def make(**options):
        small = {"num_frames": 8, "image_size": 64, "num_classes": 5} | options
        torch.manual_seed(0)
        return create_model(NAME, pretrained=original_file(tmp_path), **small).eval()

    return make


def rotated(x, places):
    """Turn (..., N, d), pairs of channels as complex numbers, by their places (3, N)."""
    parts = [*x[..., : 3 * WIDTH].split(WIDTH, -1), x[..., 3 * WIDTH :]]
    for axis, place in enumerate(places):
        pairs = torch.view_as_complex(parts[axis].unflatten(-1, (-1, 2)).contiguous())
        steps = 10000 ** -(torch.arange(WIDTH // 2) / (WIDTH // 2))
        turn = torch.polar(torch.ones(()), place[:, None] * steps)
        parts[axis] = torch.view_as_real(pairs * turn).flatten(-2)
    return torch.cat(parts, -1)


def published(clip):
    """Return the normed tokens of a clip (B, C, T, H, W), by the published names."""
    weights = original_encoder()

    def pair(name):
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def norm(x, name):
        return F.layer_norm(x, (DIM,), *pair(name), 1e-6)

    kind, frames, offset = (
        ("patch_embed_img", 1, "img") if clip.shape[2] == 1 else ("patch_embed", 2, "video")
    )
    volume = F.conv3d(clip, *pair(f"{kind}.proj"), stride=(frames, 16, 16))
    t, h, w = volume.shape[2:]
    x = volume.flatten(2).mT + weights[f"{offset}_mod_embed"]
    axes = [torch.arange(t).float(), *(torch.arange(n) * 15 / max(n - 1, 1) for n in (h, w))]
    places = [axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")]
    for i in range(DEPTH):
        y = F.linear(norm(x, f"blocks.{i}.norm1"), *pair(f"blocks.{i}.attn.qkv"))
        q, k, v = y.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        scores = rotated(q, places) @ rotated(k, places).mT / (DIM // HEADS) ** 0.5
        y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + F.linear(y, *pair(f"blocks.{i}.attn.proj"))
        y = F.gelu(F.linear(norm(x, f"blocks.{i}.norm2"), *pair(f"blocks.{i}.mlp.fc1")))
        x = x + F.linear(y, *pair(f"blocks.{i}.mlp.fc2"))
    return norm(x, "norms_block.3")


@pytest.mark.parametrize("size", [(8, 64, 64), (4, 64, 96), (16, 32, 16), (1, 64, 64), (1, 16, 48)])
def test_of_any_size_it_equals_the_published_formula(tiny, size):
    """A model of one frame has the embedding and the offset of pictures."""
    model = tiny(num_frames=min(size[0], 8))
    with torch.no_grad():
        _, tokens = model.forward_with_tokens(clip_of(*size))
        torch.testing.assert_close(tokens, published(clip_of(*size)), rtol=1e-5, atol=1e-5)


def test_pairs_are_rotated_so_that_only_distances_count():
    q, k = torch.randn(2, 1, 1, 1, 64)
    rotary = Rotary(64, is_tiled=False)
    near = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[2.5, 1.0, 3.0]]])
    moved = [place + torch.tensor([4.0, 2.0, 1.0]) for place in near]
    far = [near[0], near[1] + 1]
    product, same, other = ((rotary(q, a) * rotary(k, b)).sum() for a, b in (near, moved, far))
    torch.testing.assert_close(product, same)
    assert not torch.allclose(product, other, atol=1e-3)


def test_rows_and_columns_are_spread_over_those_of_256_pixels():
    places = grid_places(Grid(2, 4, 1), device=torch.device("cpu"), last=15)
    assert places[0, :, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert places[0, :, 1].tolist() == [0, 5, 10, 15, 0, 5, 10, 15]
    assert places[0, :, 2].tolist() == [0] * 8


def test_what_is_left_out_of_a_file_is_said(tiny):
    report = tiny().key_report
    inner = [f"norms_block.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")]
    pictures = ["embed.offset_img", "embed.patch_img.proj.bias", "embed.patch_img.proj.weight"]
    assert sorted(report.dropped) == sorted([*inner, *pictures])
    assert report.dropped["embed.offset_img"] == "embeds single pictures"
    poolers = [key for key in tiny().state_dict() if key.startswith("pooler.")]
    assert list(report.new) == [*poolers, "head.weight", "head.bias"]
    changed = tiny(num_frames=1).key_report.changed
    assert changed["embed.offset"] == changed["embed.patch.proj.bias"] == "that of single pictures"


def test_the_distilled_encoder_is_read_beside_its_teacher(tiny, tmp_path):
    model = tiny()
    path = original_file(tmp_path, target_encoder={"module.x": torch.ones(1)})
    again = create_model(NAME, pretrained=path, num_frames=8, image_size=64, num_classes=5)
    torch.testing.assert_close(again.embed.offset, model.embed.offset, rtol=0, atol=0)


def test_a_picture_of_another_model_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"num_frames \(1\) must be a multiple of 2"):
        tiny()(clip_of(1, 64, 64))


def test_both_versions_refuse_the_files_of_the_other(tiny, tmp_path, monkeypatch):
    other = dataclasses.replace(VARIANTS["vjepa2_large_patch16_256"], dim=DIM, depth=DEPTH)
    monkeypatch.setitem(VARIANTS, "vjepa2_tiny_patch16_64", other)
    path = original_file(tmp_path)
    with pytest.raises(CheckpointError, match=r"no weights of V-JEPA 2: norm\.weight is missing"):
        create_model("vjepa2_tiny_patch16_64", pretrained=path)
    weights = original_encoder()
    weights["norm.weight"], weights["norm.bias"] = torch.ones(DIM), torch.ones(DIM)
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match="no weights of V-JEPA 2: they have video_mod_embed"):
        create_model("vjepa2_tiny_patch16_64", pretrained=path)
    for name in ("video_mod_embed", "img_mod_embed"):
        del weights[name]
    torch.save(weights, path)
    with pytest.raises(
        CheckpointError, match=r"no weights of V-JEPA 2\.1: embed.offset is missing"
    ):
        create_model(NAME, pretrained=path)


@pytest.mark.parametrize(
    ("setting", "num_frames"), [("2x2x2@1", 8), ("6@1", 8), ("1x2x2@1", 1), ("6@1", 1)]
)
def test_semantic_models_are_made_kept_and_made_dense_again(tiny, tmp_path, setting, num_frames):
    model = tiny(semantic=setting, num_frames=num_frames, attentive_blocks=2)
    clip = clip_of(num_frames, 64, 64)
    write_checkpoint(model, tmp_path / "semantic")
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path / "semantic")(clip), model(clip))
        dense = sparsify(model, None)
        _, tokens = dense.forward_with_tokens(clip)
    torch.testing.assert_close(tokens, published(clip), rtol=1e-5, atol=1e-5)


def test_the_published_base_encoder_has_as_many_parameters():
    """86.8 million, embedding of pictures and norms of inner blocks included."""
    with torch.device("meta"):
        model = create_model("vjepa2_1_base_patch16_384", num_classes=0, attentive_blocks=0)
    dim = model.num_features
    left_out = dim * (3 * 16 * 16 + 1) + dim + 3 * 2 * dim
    count = sum(parameter.numel() for parameter in model.parameters()) + left_out
    assert count / 1e6 == pytest.approx(86.8, abs=0.05)
