"""V-JEPA 2: equal to transformers and to the published formula, dense and semantic."""

import dataclasses
import json
import math

import pytest
import torch
from torch.nn import functional as F
from transformers import VJEPA2Config, VJEPA2ForVideoClassification, VJEPA2Model

from stvit_video import create_model, load_model, sparsify
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.evaluation.views import classify_views
from stvit_video.measure.flops import count_flops
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.layers.embed import grid_places
from stvit_video.models.layers.rotary import Rotary
from stvit_video.models.registry import VARIANTS
from stvit_video.settings.views import ViewConfig
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet

CPU = torch.device("cpu")
TINY = {
    "hidden_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "mlp_ratio": 48 / 11,
    "num_pooler_layers": 2,
}


def theirs(model_class=VJEPA2ForVideoClassification, std=0.2, **sizes):
    torch.manual_seed(0)
    config = VJEPA2Config(**({"crop_size": 64, "frames_per_clip": 8, **TINY} | sizes))
    config.num_labels = 5
    made = model_class(config).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return made


def clip_of(*size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tiny_row(monkeypatch):
    row = dataclasses.replace(
        VARIANTS["vjepa2_large_patch16_256"], dim=48, depth=3, num_heads=2, mlp_ratio=48 / 11
    )
    monkeypatch.setitem(VARIANTS, "vjepa2_tiny_patch16_64", row)
    return "vjepa2_tiny_patch16_64"


def test_it_equals_transformers():
    model = theirs()
    clip = clip_of(8, 64, 64)
    with torch.no_grad():
        expected = model(clip.transpose(1, 2)).logits
        torch.testing.assert_close(sparsify(model, None)(clip), expected, rtol=1e-5, atol=1e-5)


def test_every_norm_has_the_eps_of_the_config():
    model = theirs(layer_norm_eps=1e-2)
    clip = clip_of(8, 64, 64)
    with torch.no_grad():
        expected = model(clip.transpose(1, 2)).logits
        torch.testing.assert_close(sparsify(model, None)(clip), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["large_patch16_256", "huge_patch16_256", "giant_patch16_384"])
def test_it_equals_transformers_at_full_width(name):
    row = VARIANTS[f"vjepa2_{name}"]
    model = theirs(
        hidden_size=row.dim,
        num_attention_heads=row.num_heads,
        mlp_ratio=row.mlp_ratio,
        num_hidden_layers=1,
        num_pooler_layers=0,
        std=0.02,
    )
    clip = clip_of(4, 64, 64, batch=1)
    model.config.frames_per_clip = 4
    with torch.no_grad():
        expected = model(clip.transpose(1, 2)).logits
        torch.testing.assert_close(sparsify(model, None)(clip), expected, rtol=1e-5, atol=1e-5)


def turned(x, place):
    """Turn (N, d) by the published formula at one place of each token (N,): tiled, as it is."""
    half = x.shape[1] // 2
    angles = place[:, None] * 10000 ** -(torch.arange(half) / half)
    angles = torch.cat([angles, angles], dim=1)
    pairs = x.clone()
    pairs[:, 0::2], pairs[:, 1::2] = -x[:, 1::2], x[:, 0::2]
    return x * angles.cos() + pairs * angles.sin()


def published(weights, clip, num_heads, depth):
    """Logits of one clip (C, T, H, W) by HF's keys, head by head."""

    def linear(x, name):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name, eps=1e-6):
        return F.layer_norm(
            x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps
        )

    def attend(q, k, v, places=None):
        heads = []
        for q_h, k_h, v_h in zip(*(x.chunk(num_heads, -1) for x in (q, k, v)), strict=True):
            if places is not None:
                width = 2 * (q_h.shape[1] // 3 // 2)
                parts = [slice(axis * width, (axis + 1) * width) for axis in range(3)]
                rest = slice(3 * width, None)
                q_h, k_h = (
                    torch.cat(
                        [turned(x[:, part], places[axis]) for axis, part in enumerate(parts)]
                        + [x[:, rest]],
                        dim=1,
                    )
                    for x in (q_h, k_h)
                )
            heads.append((q_h @ k_h.T / math.sqrt(q_h.shape[1])).softmax(-1) @ v_h)
        return torch.cat(heads, -1)

    def mlp(x, name):
        return linear(F.gelu(linear(x, f"{name}.fc1")), f"{name}.fc2")

    patch = "vjepa2.encoder.embeddings.patch_embeddings.proj"
    volume = F.conv3d(clip[None], weights[f"{patch}.weight"], weights[f"{patch}.bias"], (2, 16, 16))
    t, h, w = volume.shape[2:]
    x = volume[0].flatten(1).T
    places = [
        p.flatten().float() for p in torch.meshgrid(*map(torch.arange, (t, h, w)), indexing="ij")
    ]
    for number in range(depth):
        name = f"vjepa2.encoder.layer.{number}"
        y = norm(x, f"{name}.norm1")
        q, k, v = (linear(y, f"{name}.attention.{part}") for part in ("query", "key", "value"))
        x = x + linear(attend(q, k, v, places), f"{name}.attention.proj")
        x = x + mlp(norm(x, f"{name}.norm2"), f"{name}.mlp")
    x = norm(x, "vjepa2.encoder.layernorm")
    for number in range(TINY["num_pooler_layers"]):
        name = f"pooler.self_attention_layers.{number}"
        y = norm(x, f"{name}.layer_norm1")
        q, k, v = (linear(y, f"{name}.self_attn.{part}_proj") for part in "qkv")
        x = x + linear(attend(q, k, v), f"{name}.self_attn.out_proj")
        x = x + mlp(norm(x, f"{name}.layer_norm2"), f"{name}.mlp")
    name = "pooler.cross_attention_layer"
    y, query = norm(x, f"{name}.layer_norm1"), weights["pooler.query_tokens"][0]
    k, v = (linear(y, f"{name}.cross_attn.{part}_proj") for part in "kv")
    z = query + attend(linear(query, f"{name}.cross_attn.q_proj"), k, v)
    z = z + mlp(norm(z, f"{name}.layer_norm2"), f"{name}.mlp")
    return linear(z, "classifier")


@pytest.mark.parametrize("size", [(8, 64, 64), (4, 64, 96), (16, 32, 48)])
def test_of_any_size_it_equals_the_published_formula(size):
    """Transformers takes the grid from its config and is wrong at others."""
    model, clip = theirs(), clip_of(*size, batch=1)
    with torch.no_grad():
        expected = published(model.state_dict(), clip[0], num_heads=2, depth=3)
        torch.testing.assert_close(sparsify(model, None)(clip), expected, rtol=1e-5, atol=1e-5)


def test_a_picture_is_a_clip_that_repeats_it():
    model = sparsify(theirs(), None)
    picture = clip_of(1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(picture), model(picture.repeat(1, 1, 2, 1, 1)))


def original_files(folder):
    """Write the weights of transformers as the original code does: an encoder and a probe."""
    weights = theirs().state_dict()
    encoder, probe = {}, {}
    rules = {
        "vjepa2.encoder.embeddings.patch_embeddings.": "patch_embed.",
        "vjepa2.encoder.layer.": "blocks.",
        "vjepa2.encoder.layernorm.": "norm.",
        ".attention.": ".attn.",
        "self_attention_layers.": "blocks.",
        ".self_attn.": ".attn.",
        "cross_attention_layer.": "cross_attention_block.",
        ".cross_attn.": ".xattn.",
        ".layer_norm": ".norm",
        "out_proj": "proj",
        "classifier.": "linear.",
    }
    for key, value in weights.items():
        new = key
        for old, name in rules.items():
            new = new.replace(old, name)
        is_probe = key.startswith(("pooler.", "classifier."))
        (probe if is_probe else encoder)[new] = value
    for part in (encoder, probe):
        for kind in ("weight", "bias"):
            for key in [k for k in part if k.endswith((f".query.{kind}", f".attn.q_proj.{kind}"))]:
                names = (
                    ("query", "key", "value")
                    if ".query." in key
                    else ("q_proj", "k_proj", "v_proj")
                )
                parts = [part.pop(key.replace(names[0], name)) for name in names]
                part[key.replace(names[0], "qkv")] = torch.cat(parts)
            for key in [k for k in part if k.endswith(f"xattn.k_proj.{kind}")]:
                parts = [part.pop(key), part.pop(key.replace("k_proj", "v_proj"))]
                part[key.replace("k_proj", "kv")] = torch.cat(parts)
            for key in [k for k in part if k.endswith(f"xattn.q_proj.{kind}")]:
                part[key.replace("q_proj", "q")] = part.pop(key)
    other = {key: torch.zeros_like(value) for key, value in encoder.items()}
    torch.save(
        {
            "encoder": {f"module.backbone.{key}": value for key, value in other.items()},
            "predictor": {"module.backbone.norm.weight": torch.ones(4)},
            "target_encoder": {f"module.backbone.{key}": value for key, value in encoder.items()},
            "epoch": 3,
        },
        folder / "vitl.pt",
    )
    named = {f"module.{key}": value for key, value in probe.items()}
    torch.save({"classifiers": [named, {}], "epoch": 20}, folder / "probe.pt")
    return folder / "vitl.pt", folder / "probe.pt"


def test_original_files_of_encoder_and_probe(tmp_path, tiny_row):
    """The target encoder and the first classifier, whose norms have torch's eps."""
    encoder, probe = original_files(tmp_path)
    model = create_model(tiny_row, pretrained=encoder, pretrained_probe=probe).eval()
    reference = sparsify(theirs(), None)
    for module in reference.pooler.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5
    clip = clip_of(8, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(clip), reference(clip), rtol=1e-5, atol=1e-5)
    folder = tmp_path / "ours"
    write_checkpoint(model, folder)
    with torch.no_grad():
        torch.testing.assert_close(load_model(folder)(clip), model(clip))


def test_an_encoder_alone_gets_a_new_probe(tmp_path, tiny_row):
    encoder, _ = original_files(tmp_path)
    model = create_model(tiny_row, pretrained=encoder)
    assert model.key_report.new["pooler.query_tokens"] == "attentive pooler, to be trained"
    assert model.key_report.new["head.weight"] == "head of 174 classes, to be trained"
    assert model.attentive_blocks == 4


def test_a_probe_is_refused_where_it_is_none(tmp_path, tiny_row):
    encoder, probe = original_files(tmp_path)
    with pytest.raises(CheckpointError, match=r"vitl\.pt holds no attentive probe: its first key"):
        create_model(tiny_row, pretrained=probe, pretrained_probe=encoder)
    with pytest.raises(ConfigError, match=r"pretrained_probe .* give those as pretrained"):
        create_model(tiny_row, pretrained_probe=probe)
    write_checkpoint(create_model(tiny_row, num_classes=2), tmp_path / "ours")
    with pytest.raises(
        CheckpointError, match=r"was written by us with its head; leave .*probe\.pt"
    ):
        create_model(tiny_row, pretrained=tmp_path / "ours", pretrained_probe=probe)


def hub_folder(folder, model, **config):
    """Write a folder as those of the hub: config, weights and video processor."""
    model.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    processor = {
        "size": {"shortest_edge": 73},
        "crop_size": {"height": 64, "width": 64},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.4],
    }
    (folder / "video_preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def test_a_folder_of_the_hub_says_all(tmp_path, tiny_row):
    model = theirs()
    names = {str(index): f"do {index}" for index in range(5)}
    folder = hub_folder(tmp_path, model, id2label=names)
    ours = create_model(tiny_row, pretrained=folder).eval()
    assert ours.labels == tuple(names.values())
    assert ours.attentive_blocks == 3
    shape = ours.preprocessing
    assert (shape.num_frames, shape.image_size) == (8, 64)
    assert shape.mean == (0.4, 0.5, 0.6)
    clip = clip_of(8, 64, 64)
    with torch.no_grad():
        expected = model(clip.transpose(1, 2)).logits
        torch.testing.assert_close(ours(clip), expected, rtol=1e-5, atol=1e-5)


def test_an_encoder_of_transformers_has_no_head():
    ours = sparsify(theirs(VJEPA2Model), None)
    assert ours.num_classes == 0
    assert ours.attentive_blocks == 0
    clip = clip_of(8, 64, 64)
    with torch.no_grad():
        tokens = theirs(VJEPA2Model)(clip.transpose(1, 2)).last_hidden_state
        features = ours.forward_features(clip).flatten(2).mT
        torch.testing.assert_close(features, tokens, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours(clip), tokens.mean(dim=1), rtol=1e-5, atol=1e-5)


def test_the_row_of_the_published_size_is_found():
    from stvit_video.models.weights.describe import describe_config
    from stvit_video.models.weights.foreign import find_row

    sizes = {"hidden_size": 1408, "num_attention_heads": 22, "num_hidden_layers": 40}
    for crop, name in ((256, "vjepa2_giant_patch16_256"), (384, "vjepa2_giant_patch16_384")):
        config = VJEPA2Config(crop_size=crop, mlp_ratio=4.363636363636363, **sizes)
        assert find_row(describe_config(config.to_dict(), "x"), VARIANTS) == name


def test_other_families_are_refused(tmp_path, tiny_row):
    torch.save(
        {"pos_embed": torch.zeros(1, 4, 4), "cls_token": torch.zeros(1, 1, 4)}, tmp_path / "x.pt"
    )
    with pytest.raises(CheckpointError, match=r"no weights of V-JEPA 2: embed.patch.proj.weight"):
        create_model(tiny_row, pretrained=tmp_path / "x.pt")


def test_multiply_adds_are_those_of_the_paper():
    """16 frames of 256: encoder 825 (without its patches), probe 107 billion."""
    with torch.device("meta"):
        model = create_model("vjepa2_large_patch16_256")
        clip = torch.empty(1, 3, 16, 256, 256)
        whole = count_flops(model, clip).macs / 1e9
        model.reset_classifier(0, attentive_blocks=0)
        encoder = count_flops(model, clip).macs / 1e9
    patches = 2048 * 1536 * 1024 / 1e9
    assert encoder - patches == pytest.approx(825, abs=1)
    assert whole - encoder == pytest.approx(107, abs=1)


def test_semantic_tokens_sit_in_the_middle_of_their_windows():
    model = sparsify(theirs(), "2x2x2@1,centers=grid")
    state = model.forward_tokens(clip_of(8, 64, 64))
    expected = torch.cartesian_prod(*[torch.tensor([0.5, 2.5])] * 3)
    torch.testing.assert_close(state.places, expected[None])


@pytest.mark.parametrize("setting", ["4x1x3@1,centers=far,scope=tube", "12@1"])
def test_far_centers_sit_in_the_middle_of_their_clusters(setting):
    model, clip = sparsify(theirs(), setting), clip_of(8, 64, 64)
    shares = model.forward_assignments(clip).flatten(2)  # (B, S, N)
    expected = shares @ grid_places(Grid(4, 4, 4), device=CPU)
    torch.testing.assert_close(model.forward_tokens(clip).places, expected)


@pytest.mark.parametrize(
    "setting",
    [
        "4x4x4@1,centers=grid,layers=1,shortcut=false",
        "4x4x4@1,centers=grid,layers=1,shortcut=false,scope=tube",
    ],
)
def test_a_center_a_patch_without_residual_attends_as_the_block_would(setting):
    """Windows of one patch: queries are the patches, and the layer without its shortcut."""
    dense, clip = sparsify(theirs(), None), clip_of(8, 64, 64)
    model = sparsify(theirs(), setting)
    generator = next(s.generator for s in model.stages if hasattr(s, "generator"))
    generator.global_centers.data.zero_()
    with torch.no_grad():
        state = model.forward_tokens(clip)
        start = TokenSet(*dense.embed(clip))
        tokens = dense.blocks[0](start.tokens, **start.where())
        if "tube" not in setting:
            tokens = dense.blocks[1](tokens, shortcut=False, **start.where())
            expected = dense.blocks[2](tokens, **start.where())
        else:  # each step of time on its own, then all
            frames = TokenSet(
                tokens.unflatten(1, (4, -1)).flatten(0, 1),
                Grid(1, 4, 4),
                None,
                start.places.expand(2, -1, -1).unflatten(1, (4, -1)).flatten(0, 1),
            )
            inner = dense.blocks[1](frames.tokens, shortcut=False, **frames.where())
            expected = dense.blocks[2](inner.unflatten(0, (2, 4)).flatten(1, 2), **start.where())
    torch.testing.assert_close(state.tokens, expected)


def test_layers_after_the_first_read_centers_at_their_places(monkeypatch):
    """The second layer reads centres, then patches: keys sit there in this order."""
    model = sparsify(theirs(), "2x2x2@1,centers=grid")
    seen = []
    call = type(model.blocks[1]).forward

    def record(self, *inputs, **options):
        seen.append(options.get("places"))
        return call(self, *inputs, **options)

    monkeypatch.setattr(type(model.blocks[1]), "forward", record)
    with torch.no_grad():
        model.forward_tokens(clip_of(8, 64, 64))
    patches = grid_places(Grid(4, 4, 4), device=CPU)
    _, first, second = seen[:3]
    torch.testing.assert_close(first.keys, patches)
    torch.testing.assert_close(second.keys, torch.cat([first.queries, patches], dim=1))
    torch.testing.assert_close(second.queries, first.queries)


def test_far_centres_part_what_is_alike_by_place():
    """A clip of one colour has tokens of one content: its clusters lie apart all the same."""
    model, clip = sparsify(theirs(), "4@1"), torch.ones(1, 3, 8, 64, 64)
    with torch.no_grad():
        state = model.forward_tokens(clip)
    assert state.size.sum() == 64
    assert state.size.max() < 40  # by content alone 61, as all are nearest to the first
    assert torch.pdist(state.places[0]).min() > 1


def test_recovered_patches_read_semantic_tokens_from_their_places():
    torch.manual_seed(0)
    model = sparsify(theirs(), "2x2x2@0-3,layers=1,centers=grid").eval()
    clip = clip_of(8, 64, 64)
    with torch.no_grad():
        state = model.forward_tokens(clip)
        start = TokenSet(*model.embed(clip))
        semantic, _ = model.stages[0].generator(start, model.blocks[:1])
        middle = model.blocks[1](semantic.tokens, **semantic.where())
        places = {"places": type(start.where()["places"])(start.places, semantic.places)}
        expected = model.blocks[2](start.tokens, context=middle, **places)
    torch.testing.assert_close(state.tokens, expected)
    torch.testing.assert_close(state.places, start.places)


@pytest.mark.parametrize(
    "reduction",
    ["tome:r=9", "random:keep=20,block=2", "dpcknn:keep=20,block=2", "atc:keep=20,block=2",
     "average:grid=2x2x2,block=2"],
)  # fmt: skip
def test_reducers_move_places_as_they_move_tokens(tiny_row, reduction):
    """Tokens that are their places, and a network that adds nothing, end as their places."""
    model = create_model(tiny_row, reduction=reduction, num_frames=8, image_size=64).eval()
    clip = clip_of(8, 64, 64)
    for block in model.blocks:
        for branch in (block.attn.proj, block.mlp.fc2):
            torch.nn.init.zeros_(branch.weight)
    places = grid_places(Grid(4, 4, 4), device=CPU).expand(2, -1, -1)
    tokens = F.pad(places, (0, 45))
    model.embed.forward = lambda clip: (tokens, Grid(4, 4, 4), None, places[:1])
    with torch.no_grad():
        state = model.forward_tokens(clip)
    assert state.tokens.shape[1] < 64
    torch.testing.assert_close(state.places, state.tokens[..., :3])


def test_run_length_tokens_keep_their_places(tiny_row):
    model = create_model(tiny_row, reduction="rlt:threshold=0.1", num_frames=8, image_size=64)
    clip = clip_of(1, 64, 64).repeat(1, 1, 8, 1, 1)  # nothing moves: the first step stays
    state = model.eval().forward_tokens(clip)
    expected = grid_places(Grid(1, 4, 4), device=CPU).expand(2, -1, -1)
    torch.testing.assert_close(state.places, expected)


def test_what_is_left_over_stays_and_halves_of_an_axis_are_tiled():
    """That is no rotation: products depend on more than the distance."""
    q, k = torch.randn(2, 1, 1, 1, 64)
    rotary = Rotary(64)
    near = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[2.5, 1.0, 3.0]]])
    moved = [place + torch.tensor([4.0, 2.0, 1.0]) for place in near]
    products = [(rotary(q, a) * rotary(k, b)).sum() for a, b in (near, moved)]
    assert not torch.allclose(*products, atol=1e-4)
    torch.testing.assert_close(rotary(q, near[0])[..., 60:], q[..., 60:])
    angles = rotary.angles(near[0])[0, 0]
    torch.testing.assert_close(angles[:10], angles[10:20])


def test_a_probe_of_several_layers_reads_their_normed_tokens(tmp_path):
    """As for Diving48: each layer through the last norm, one behind the other."""
    dense, clip = sparsify(theirs(), None), clip_of(8, 64, 64)
    state = TokenSet(*dense.embed(clip))
    tokens, read = state.tokens, []
    for block in dense.blocks:
        tokens = block(tokens, **state.where())
        read.append(dense.norm(tokens))
    expected = dense.head(dense.pooler(torch.cat([read[0], read[2]], dim=1)))
    dense.read_layers((1, 3))
    torch.testing.assert_close(dense(clip), expected)
    assert dense.forward_features(clip).shape == (2, 48, 4, 4, 4)


def test_layers_to_read_are_kept_in_files_and_by_sparsify(tmp_path, tiny_row):
    small = {"num_classes": 2, "num_frames": 8, "image_size": 64}
    model = create_model(tiny_row, attentive_layers=[2, 3], semantic="8@1", **small).eval()
    with pytest.raises(ConfigError, match="block 2 is in the middle of what clusters"):
        create_model(tiny_row, attentive_layers=[2, 3], semantic="2x2x2@1,layers=2", **small)
    write_checkpoint(model, tmp_path)
    clip = clip_of(8, 64, 64)
    torch.testing.assert_close(load_model(tmp_path)(clip), model(clip))
    dense = sparsify(model, None)
    assert dense.attentive_layers == (2, 3)
    assert dense.read_tokens(clip).tokens.shape == (2, 128, 48)
    dense.reset_classifier(2, attentive_blocks=0)
    assert dense.attentive_layers == ()
    assert dense.read_tokens(clip).tokens.shape == (2, 64, 48)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"attentive_layers": [4]}, r"attentive_layers \(4\) must be at most the 3 blocks"),
        ({"attentive_layers": [1, 3], "attentive_blocks": 0}, "it needs attentive_blocks"),
        ({"attentive_layers": [2, 3], "reduction": "tome:r=4"}, "block 2 is in the middle"),
        ({"attentive_layers": [2, 3], "reduction": "rlt:"}, "whose blocks see whole clips"),
        ({"attentive_layers": [2, 3], "semantic": "2x2x2@0-3,layers=1"}, "block 2 is in the mid"),
        ({"attentive_layers": [0]}, "attentive_layers"),
    ],
)
def test_layers_that_cannot_be_read_are_refused(tiny_row, options, told):
    with pytest.raises(ConfigError, match=told):
        create_model(tiny_row, num_frames=8, image_size=64, **options)


@pytest.mark.parametrize("name", ["vivit_base_fe_patch16x2_224", "swin_tiny_patch4_window7_224"])
def test_networks_without_such_layers_say_so(name):
    with pytest.raises(ConfigError, match=r"attentive_layers .* has no place in"):
        create_model(name, attentive_layers=[1], num_classes=2)


@pytest.mark.parametrize("semantic", [None, "8@1"])
def test_clips_that_are_joined_are_read_at_once(semantic):
    model, clips = sparsify(theirs(), semantic), clip_of(8, 64, 64, batch=3)
    views = clips.flip(0)
    joined = torch.stack([clips, views], dim=1)  # (B, V, C, T, H, W)
    first, second = model.forward_tokens(clips), model.forward_tokens(views)
    tokens = torch.cat([model.norm(first.tokens), model.norm(second.tokens)], dim=1)
    bias = None
    if semantic:
        bias = torch.cat([first.key_bias(), second.key_bias()], dim=-1)
    expected = model.head(model.pooler(tokens, bias))
    torch.testing.assert_close(model.forward_joined(joined), expected)


def test_clips_are_not_joined_without_an_attentive_pooler():
    model = create_model("demo_tiny", num_classes=2)
    with pytest.raises(ConfigError, match=r"views\.join_clips needs an attentive pooler, but demo"):
        model.forward_joined(torch.zeros(1, 2, 3, 8, 32, 32))


def test_views_of_a_video_are_joined_crop_by_crop():
    """Two clips of three crops: view 3 c + r is crop r of clip c."""
    model = sparsify(theirs(), None)
    clips = clip_of(8, 64, 64, batch=12)  # of two videos
    views = ViewConfig(num_clips=2, num_crops=3, join_clips=True)
    with torch.no_grad():
        logits = classify_views(model, clips, views).view(2, 2, 3, 5)
        for video in range(2):
            for crop in range(3):
                pair = clips.view(2, 2, 3, *clips.shape[1:])[video, :, crop]
                expected = model.forward_joined(pair[None])[0]
                for clip in range(2):
                    torch.testing.assert_close(logits[video, clip, crop], expected)
        alone = classify_views(model, clips, ViewConfig(num_clips=2, num_crops=3))
    assert not torch.allclose(logits.flatten(0, 2), alone, atol=1e-3)
