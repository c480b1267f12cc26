"""InternVideo2: equal to the published formula, from files as its original code writes them.

The formula is written out here; the original code itself was run beside it, see docs/weights.md.
"""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from stvit_video import create_model, load_model
from stvit_video.errors import CheckpointError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import VARIANTS

DIM, DEPTH, HEADS, POOL_DIM, CLASSES = 32, 3, 4, 48, 5


@pytest.fixture
def row(monkeypatch):
    small = dataclasses.replace(
        VARIANTS["internvideo2_base_patch14_224"], dim=DIM, depth=DEPTH, num_heads=HEADS
    )
    monkeypatch.setitem(VARIANTS, "small", small)
    return "small"


def original_weights(dim=DIM, depth=DEPTH, *, places=8 * 256, pool_dim=POOL_DIM, std=0.3):
    """Weights under the names of the original code, without head and its norm."""
    generator = torch.Generator().manual_seed(2)

    def draw(*shape):
        return std * torch.randn(*shape, generator=generator)

    weights = {
        "cls_token": draw(1, 1, dim),
        "pos_embed": draw(1, 1 + places, dim),
        "patch_embed.proj.weight": draw(dim, 3, 1, 14, 14),
        "patch_embed.proj.bias": draw(dim),
    }
    for number in range(depth):
        block = f"blocks.{number}."
        for norm in ("norm1", "norm2", "attn.q_norm", "attn.k_norm"):
            weights[f"{block}{norm}.weight"] = 1 + draw(dim)
        for scale in ("ls1", "ls2"):
            weights[f"{block}{scale}.gamma"] = draw(dim)
        weights[f"{block}attn.qkv.weight"] = draw(3 * dim, dim)
        for layer, shape in (("attn.proj", (dim, dim)), ("mlp.fc1", (4 * dim, dim))):
            weights |= {
                f"{block}{layer}.weight": draw(*shape),
                f"{block}{layer}.bias": draw(shape[0]),
            }
        weights |= {f"{block}mlp.fc2.weight": draw(dim, 4 * dim), f"{block}mlp.fc2.bias": draw(dim)}
    pool = "clip_projector."
    for part in "qkv":
        weights[f"{pool}norm1_{part}.weight"] = 1 + draw(dim)
        weights[f"{pool}norm1_{part}.bias"] = draw(dim)
        weights[f"{pool}cross_attn.{part}.weight"] = draw(dim, dim)
        weights[f"{pool}cross_attn.{part}_bias"] = draw(dim)
    weights[f"{pool}cross_attn.proj.weight"] = draw(pool_dim, dim)
    weights[f"{pool}cross_attn.proj.bias"] = draw(pool_dim)
    return weights


def with_head(weights, classes=CLASSES):
    pool_dim = len(weights["clip_projector.cross_attn.proj.bias"])
    generator = torch.Generator().manual_seed(4)
    shapes = {
        **{"fc_norm.weight": (pool_dim,), "fc_norm.bias": (pool_dim,)},
        **{"head.weight": (classes, pool_dim), "head.bias": (classes,)},
    }
    return weights | {key: torch.randn(*size, generator=generator) for key, size in shapes.items()}


def attend(q, k, v, heads):
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def rms(x, weight):
    return x / (x.pow(2).mean(dim=-1, keepdim=True) + 1e-6).sqrt() * weight


def published(clip, weights, heads):
    """Run the formula: clip (B, 3, T, H, W) -> pooled (B, W), before the norm of the head."""
    patches = F.conv3d(
        clip,
        weights["patch_embed.proj.weight"],
        weights["patch_embed.proj.bias"],
        stride=(1, 14, 14),
    )
    x = patches.flatten(2).mT
    x = torch.cat([weights["cls_token"].expand(len(x), -1, -1), x], dim=1) + weights["pos_embed"]
    for number in range(sum(key.endswith("ls1.gamma") for key in weights)):
        own = {key.split(".", 2)[2]: weights[key] for key in weights if f"blocks.{number}." in key}
        q, k, v = (rms(x, own["norm1.weight"]) @ own["attn.qkv.weight"].mT).chunk(3, dim=-1)
        q, k = rms(q, own["attn.q_norm.weight"]), rms(k, own["attn.k_norm.weight"])
        read = F.linear(attend(q, k, v, heads), own["attn.proj.weight"], own["attn.proj.bias"])
        x = x + own["ls1.gamma"] * read
        hidden = F.linear(rms(x, own["norm2.weight"]), own["mlp.fc1.weight"], own["mlp.fc1.bias"])
        x = x + own["ls2.gamma"] * F.linear(
            F.gelu(hidden), own["mlp.fc2.weight"], own["mlp.fc2.bias"]
        )
    pool = {key.partition("clip_projector.")[2]: value for key, value in weights.items()}
    sources = {"q": x.mean(dim=1, keepdim=True), "k": x, "v": x}
    q, k, v = (
        F.linear(
            F.layer_norm(
                source,
                source.shape[-1:],
                pool[f"norm1_{part}.weight"],
                pool[f"norm1_{part}.bias"],
            ),
            pool[f"cross_attn.{part}.weight"],
            pool[f"cross_attn.{part}_bias"],
        )
        for part, source in sources.items()
    )
    pooled = attend(q, k, v, 16)[:, 0]
    return F.linear(pooled, pool["cross_attn.proj.weight"], pool["cross_attn.proj.bias"])


def logits(clip, weights, heads=HEADS):
    pooled = published(clip, weights, heads)
    size = pooled.shape[-1:]
    normed = F.layer_norm(pooled, size, weights["fc_norm.weight"], weights["fc_norm.bias"])
    return F.linear(normed, weights["head.weight"], weights["head.bias"])


def clip_of(num_frames=8, size=224):
    return torch.randn(1, 3, num_frames, size, size, generator=torch.Generator().manual_seed(1))


def assert_close(ours, expected):
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()


def saved(folder, weights, entry=None):
    torch.save(weights if entry is None else {entry: weights}, folder / "x.pth")
    return folder / "x.pth"


@pytest.mark.parametrize(("num_frames", "size"), [(8, 224), (4, 224), (8, 336)])
@torch.no_grad()
def test_files_give_the_published_logits_on_the_clips_that_their_positions_tell(
    tmp_path, row, num_frames, size
):
    weights = with_head(original_weights(places=num_frames * (size // 14) ** 2))
    ours = create_model(row, pretrained=saved(tmp_path, weights, "module")).eval()
    assert (ours.preprocessing.num_frames, ours.preprocessing.image_size) == (num_frames, size)
    assert not ours.key_report.lines()
    clip = clip_of(num_frames, size)
    assert_close(ours(clip), logits(clip, weights))
    write_checkpoint(ours, tmp_path / "ours")
    assert torch.equal(load_model(tmp_path / "ours")(clip), ours(clip))


@pytest.mark.parametrize("name", ["small", "base", "large"])
@torch.no_grad()
def test_one_block_of_full_width_gives_the_published_logits(tmp_path, monkeypatch, name):
    full = VARIANTS[f"internvideo2_{name}_patch14_224"]
    monkeypatch.setitem(VARIANTS, "full", dataclasses.replace(full, depth=1))
    weights = with_head(original_weights(full.dim, 1, places=2 * 256, pool_dim=768, std=0.05))
    ours = create_model("full", pretrained=saved(tmp_path, weights)).eval()
    assert_close(ours(clip_of(2)), logits(clip_of(2), weights, full.num_heads))


@torch.no_grad()
def test_positions_of_place_and_time_are_joined(tmp_path, row):
    weights = with_head(original_weights(places=3 * 256))
    table = weights.pop("pos_embed")
    times, places = torch.randn(1, 3, DIM), torch.randn(1, 256, DIM)
    parts = {"cls": table[:, :1], "temporal": times, "spatial": places}
    apart = weights | {f"pos_embed_{name}": part for name, part in parts.items()}
    ours = create_model(row, pretrained=saved(tmp_path, apart)).eval()
    joined = places.repeat(1, 3, 1) + times.repeat_interleave(256, dim=1)
    weights["pos_embed"] = torch.cat([parts["cls"], joined], dim=1)
    assert_close(ours(clip_of(3)), logits(clip_of(3), weights))


@torch.no_grad()
def test_a_distilled_encoder_brings_its_pool_and_no_decoders(tmp_path, row):
    encoder = original_weights()
    others = {"clip_decoder.0.head.weight": torch.zeros(3, DIM), "clip_pos_embed": torch.zeros(1)}
    ours = create_model(row, pretrained=saved(tmp_path, encoder | others), num_classes=3).eval()
    assert set(ours.key_report.dropped) == set(others)
    assert set(ours.key_report.new) == {
        *("reader.norm.weight", "reader.norm.bias", "head.weight", "head.bias")
    }
    ours.reader.norm = ours.head = torch.nn.Identity()
    assert_close(ours(clip_of()), published(clip_of(), encoder, HEADS))


@torch.no_grad()
def test_the_encoder_of_stage_2_leaves_texts_behind(tmp_path, row):
    encoder = original_weights()
    both = {f"vision_encoder.{key}": value for key, value in encoder.items()}
    both |= {
        "text_encoder.bert.x": torch.zeros(1),
        "temp": torch.zeros(()),
        "itm_head.bias": both["vision_encoder.cls_token"],
    }
    ours = create_model(row, pretrained=saved(tmp_path, both)).eval()
    assert set(ours.key_report.dropped) == {"text_encoder.bert.x", "temp", "itm_head.bias"}
    ours.reader.norm = ours.head = torch.nn.Identity()
    assert_close(ours(clip_of()), published(clip_of(), encoder, HEADS))


@torch.no_grad()
def test_an_attentive_probe_takes_the_place_of_the_pool(tmp_path, row):
    path = saved(tmp_path, with_head(original_weights()))
    ours = create_model(row, pretrained=path, attentive_blocks=2).eval()
    assert ours.key_report.dropped["reader.q.weight"] == "another pooler wanted"
    assert ours.key_report.dropped["head.weight"] == "another pooler wanted"
    whole = create_model(row, pretrained=path).eval()
    assert ours.reader is None
    assert (ours.num_features, whole.num_features) == (DIM, POOL_DIM)
    assert torch.equal(ours.forward_features(clip_of()), whole.forward_features(clip_of()))
    whole.reset_classifier(3, attentive_blocks=2)
    assert not [key for key in whole.state_dict() if key.startswith("reader.")]
    assert whole(clip_of()).shape == (1, 3)


@pytest.mark.parametrize(
    ("options", "num_tokens"),
    [
        ({"semantic": "2x2x2@1"}, 9),
        ({"semantic": "6@1,centers=far"}, 7),
        ({"semantic": "2x2x2@0-3"}, 1 + 2 * 256),
        ({"reduction": "tome:r=40"}, 1 + 2 * 256 - 120),
        ({"reduction": "rlt:threshold=0.1"}, None),
        ({"semantic": "2x2x2@1", "class_token": False}, 8),
    ],
)
def test_fewer_tokens_keep_the_class_token_and_train(row, options, num_tokens):
    torch.manual_seed(0)
    model = create_model(row, num_frames=2, num_classes=3, **options)
    clip = clip_of(2)
    model(clip).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    state = model.eval().forward_tokens(clip)
    if num_tokens is not None:
        assert state.tokens.shape[1] == num_tokens


@torch.no_grad()
def test_tokens_that_stand_for_several_patches_weigh_as_those_would(row):
    model = create_model(row, num_frames=2, num_classes=3).eval()
    state = model.forward_tokens(clip_of(2))
    doubled = torch.cat([state.tokens, state.tokens[:, -1:]], dim=1)
    size = torch.ones_like(state.tokens[..., :1])
    size[:, -1] = 2
    twice = model.reader(state._replace(tokens=doubled))
    torch.testing.assert_close(model.reader(state._replace(size=size)), twice)
    assert (twice - model.reader(state)).abs().max() > 1e-6


@torch.no_grad()
def test_bfloat16_by_autocast_stays_near_float32(row):
    model = create_model(row, num_frames=2, num_classes=3).eval()
    expected = model(clip_of(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = model(clip_of(2))
    torch.testing.assert_close(ours.float(), expected, atol=0.05, rtol=0.05)
    assert model.bfloat16()(clip_of(2).bfloat16()).dtype == torch.bfloat16


def test_files_of_another_function_are_refused(tmp_path, row):
    probed = with_head(original_weights()) | {"extra_mlp.0.weight": torch.ones(POOL_DIM)}
    unnormed = {key: x for key, x in with_head(original_weights()).items() if "_norm" not in key}
    biased = with_head(original_weights()) | {"blocks.0.attn.qkv.bias": torch.ones(3 * DIM)}
    cut = with_head(original_weights(places=7 * 255))
    for weights, reason in (
        (probed, r"no weights of InternVideo2: they have extra_mlp\.0\.weight$"),
        (unnormed, r"no weights of InternVideo2: blocks\.0\.attn\.q_norm\.weight is missing, "),
        (biased, r"does not fit small: they have blocks\.0\.attn\.qkv\.bias$"),
        (cut, r"1785 positions are no frames of 224 or 336 pixels in patches of 14$"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            create_model(row, pretrained=saved(tmp_path, weights))


@pytest.mark.parametrize(
    ("name", "millions"), [("small", 22), ("base", 86), ("large", 304), ("1b", 1037)]
)
def test_sizes_are_the_published_ones(name, millions):
    with torch.device("meta"):
        model = create_model(f"internvideo2_{name}_patch14_224", num_classes=0)
    blocks = sum(parameter.numel() for parameter in model.blocks.parameters())
    assert blocks / 1e6 == pytest.approx(millions, rel=0.05)
