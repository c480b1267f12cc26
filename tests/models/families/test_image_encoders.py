"""SigLIP 2, DINOv3 and PE on frames: equal to timm and transformers; semantic tokens, files."""

import dataclasses
import json
from functools import partial

import pytest
import torch
from safetensors.torch import save_file
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import (
    DINOv3ViTConfig,
    DINOv3ViTModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from stvit_video import create_model, load_model, sparsify
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.layers.frame_rotary import FrameRotary
from stvit_video.models.registry import VARIANTS
from stvit_video.models.weights.describe import Description, describe_config
from stvit_video.models.weights.foreign import find_row

NORM = partial(nn.LayerNorm, eps=1e-5)
TINY = {"patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 2, "img_size": 48}
NETWORKS = {
    "siglip2": partial(
        VisionTransformer, class_token=False, global_pool="map", act_layer="gelu_tanh"
    ),
    "dinov3": partial(
        Eva,
        qkv_bias=False,
        init_values=1e-5,
        rope_type="dinov3",
        rope_temperature=100,
        rope_rotate_half=True,
        use_rot_pos_emb=True,
        use_abs_pos_emb=False,
        num_reg_tokens=4,
        use_fc_norm=False,
        norm_layer=NORM,
        dynamic_img_size=True,
    ),
    "pe": partial(
        Eva,
        global_pool="map",
        attn_type="rope",
        use_pre_transformer_norm=True,
        use_rot_pos_emb=True,
        rope_grid_offset=1.0,
        rope_grid_indexing="xy",
        attn_pool_num_heads=2,
        attn_pool_mlp_ratio=4.0,
        norm_layer=NORM,
    ),
}
"""The options of `vit_base_patch16_siglip_224`, `vit_base_patch16_dinov3` and
`vit_pe_core_base_patch16_224`, but for their sizes."""
ROWS = {
    "siglip2": "siglip2_base_patch16_224",
    "dinov3": "dinov3_base_patch16_256",
    "pe": "pe_core_base_patch16_224",
}
KINDS = list(NETWORKS)


def drawn(model, std=0.2):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return model.eval()


def theirs(kind, **options):
    usual = {"ref_feat_shape": (4, 4)} if kind == "pe" else {}
    return drawn(NETWORKS[kind](num_classes=0, **TINY | usual | options))


def clip_of(num_frames, height, width, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, num_frames, height, width, generator=generator)


def patches_of(model, clip):
    """What timm says of the patches of every frame: (B, T*N, D)."""
    frames = clip.transpose(1, 2).flatten(0, 1)
    features = model.forward_features(frames)[:, model.num_prefix_tokens :]
    return features.unflatten(0, (len(clip), -1)).flatten(1, 2)


def assert_patches(ours, expected, clip):
    with torch.no_grad():
        found = ours.forward_features(clip).flatten(2).mT
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(autouse=True)
def tiny_rows(monkeypatch):
    for kind, name in ROWS.items():
        row = dataclasses.replace(
            VARIANTS[name], dim=48, depth=3, num_heads=2, tubelet_size=(1, 8, 8), num_classes=5
        )
        size = dataclasses.replace(row.preprocessing, num_frames=4, image_size=48)
        row = dataclasses.replace(row, preprocessing=size)
        if kind == "pe":
            row = dataclasses.replace(row, rotary_side=4)
        monkeypatch.setitem(VARIANTS, f"{kind}_tiny", row)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_patches_of_every_frame_equal_timm(kind):
    model, clip = theirs(kind), clip_of(3, 48, 48)
    assert_patches(sparsify(model, None), patches_of(model, clip), clip)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("siglip2", {"act_layer": "gelu"}),
        ("dinov3", {"qkv_bias": True}),
        ("dinov3", {"num_reg_tokens": 0, "init_values": None}),
        ("dinov3", {"rope_temperature": 30.0}),
        ("dinov3", {"norm_layer": partial(nn.LayerNorm, eps=1e-2)}),
        ("dinov3", {"swiglu_mlp": True, "swiglu_align_to": 8, "mlp_ratio": 3}),
        ("pe", {"init_values": 0.1}),
        ("pe", {"class_token": False, "rope_grid_offset": 0.0}),
        ("pe", {"norm_layer": partial(nn.LayerNorm, eps=1e-2)}),
        ("pe", {"ref_feat_shape": (7, 7)}),
    ],
    ids=str,
)
@torch.no_grad()
def test_what_a_network_of_timm_states_is_carried_out(kind, options):
    model, clip = theirs(kind, **options), clip_of(2, 48, 48)
    assert_patches(sparsify(model, None), patches_of(model, clip), clip)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if "_7b_" in name else ())
        for name in VARIANTS
        if name.split("_")[0] in ("siglip2", "dinov3", "pe")
    ],
)
@torch.no_grad()
def test_one_block_of_full_width_equals_timm(name):
    row, kind = VARIANTS[name], name.split("_")[0]
    patch = row.tubelet_size[1]
    sizes = {"embed_dim": row.dim, "num_heads": row.num_heads, "patch_size": patch, "depth": 1}
    sizes["mlp_ratio"] = row.mlp_ratio
    if kind == "pe":
        sizes["ref_feat_shape"] = (row.rotary_side, row.rotary_side)
        sizes["class_token"] = row.class_token
    if getattr(row, "is_gated", False):
        sizes |= {"swiglu_mlp": True, "swiglu_align_to": 8}
    model = NETWORKS[kind](num_classes=0, img_size=4 * patch, **sizes)
    drawn(model, std=0.02)
    clip = clip_of(2, 4 * patch, 4 * patch, batch=1)
    assert_patches(sparsify(model, None), patches_of(model, clip), clip)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_files_of_timm(tmp_path, kind):
    """What reads pictures is dropped by name, the probe is new, every other key is loaded."""
    model, clip = theirs(kind), clip_of(4, 48, 48)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    ours = create_model(f"{kind}_tiny", pretrained=tmp_path / "model.safetensors").eval()
    assert_patches(ours, patches_of(model, clip), clip)
    assert ours.attentive_blocks == 4
    assert ours(clip).shape == (2, 5)
    assert {key.split(".")[0] for key in ours.key_report.dropped} <= {"attn_pool"}
    assert {key.split(".")[0] for key in ours.key_report.new} == {"pooler", "head"}


@torch.no_grad()
def test_dinov3_at_another_size_equals_timm():
    model, clip = theirs("dinov3"), clip_of(2, 32, 64)
    assert_patches(sparsify(model, None), patches_of(model, clip), clip)


@torch.no_grad()
def test_pe_at_another_size_stretches_its_rotary_positions(tmp_path):
    """Weights of 48 pixels at 64: the table is resized, the grid of 8 is counted as one of 4."""
    small, large = theirs("pe"), theirs("pe", img_size=64)
    torch.save(small.state_dict(), tmp_path / "pe.pt")
    ours = create_model("pe_tiny", pretrained=tmp_path / "pe.pt", image_size=64).eval()
    weights = small.state_dict()
    weights["pos_embed"] = ours.embed.pos_embed
    large.load_state_dict(weights)
    clip = clip_of(1, 64, 64)
    assert_patches(ours, patches_of(large, clip), clip)
    assert ours.key_report.changed == {"embed.pos_embed": "resized from 1x6x6 to 1x8x8"}


def hugging_face(model_class):
    sizes = {
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 192,
        "patch_size": 8,
        "image_size": 48,
    }
    if model_class is DINOv3ViTModel:
        return drawn(model_class(DINOv3ViTConfig(num_register_tokens=4, rope_theta=50.0, **sizes)))
    if model_class is SiglipModel:
        text = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
        text |= {"num_hidden_layers": 1, "vocab_size": 9, "max_position_embeddings": 4}
        return drawn(model_class(SiglipConfig(text_config=text, vision_config=sizes)))
    return drawn(model_class(SiglipVisionConfig(layer_norm_eps=1e-3, **sizes)))


def patches_of_hugging_face(model, clip):
    frames = clip.transpose(1, 2).flatten(0, 1)
    encoder = getattr(model, "vision_model", model)
    features = encoder(frames).last_hidden_state[:, -36:]
    return features.unflatten(0, (len(clip), -1)).flatten(1, 2)


@pytest.mark.parametrize("model_class", [SiglipVisionModel, SiglipModel, DINOv3ViTModel])
@torch.no_grad()
def test_networks_and_folders_of_transformers(tmp_path, model_class):
    model, clip = hugging_face(model_class), clip_of(4, 48, 48)
    expected = patches_of_hugging_face(model, clip)
    assert_patches(sparsify(model, None), expected, clip)
    model.save_pretrained(tmp_path)
    name = "dinov3_tiny" if model_class is DINOv3ViTModel else "siglip2_tiny"
    assert_patches(create_model(name, pretrained=tmp_path).eval(), expected, clip)


@torch.no_grad()
def test_gated_dinov3_of_transformers_and_of_the_original_code(tmp_path):
    sizes = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 8}
    sizes |= {"image_size": 48, "intermediate_size": 192, "num_register_tokens": 4}
    gated = DINOv3ViTConfig(use_gated_mlp=True, hidden_act="silu", **sizes)
    model, clip = drawn(DINOv3ViTModel(gated)), clip_of(4, 48, 48)
    expected = patches_of_hugging_face(model, clip)
    assert_patches(sparsify(model, None), expected, clip)
    model.save_pretrained(tmp_path / "hf")
    ours = create_model("dinov3_tiny", pretrained=tmp_path / "hf").eval()
    assert_patches(ours, expected, clip)
    assert ours.recipe.variant.is_gated

    parts = {"mlp.gate.": "mlp.w1.", "mlp.fc1.": "mlp.w2.", "mlp.fc2.": "mlp.w3."}
    weights = {}
    for key, value in ours.state_dict().items():
        if not key.startswith(("pooler.", "head.")):
            key = key.replace("embed.patch.", "patch_embed.").replace("scale", "ls")
            for mine, original in parts.items():
                key = key.replace(mine, original)
            weights[key] = value
    tokens = weights.pop("embed.cls_token")
    weights |= {"cls_token": tokens[:, :1], "storage_tokens": tokens[:, 1:]}
    patches = weights["patch_embed.proj.weight"]
    weights["patch_embed.proj.weight"] = patches.unflatten(1, (3, 8, 8))
    torch.save(weights, tmp_path / "x.pth")
    other = create_model("dinov3_tiny", pretrained=tmp_path / "x.pth").eval()
    assert_patches(other, expected, clip)

    config = DINOv3ViTConfig(use_gated_mlp=True, hidden_act="gelu", **sizes)
    drawn(DINOv3ViTModel(config)).save_pretrained(tmp_path / "gelu")
    with pytest.raises(CheckpointError, match=r"has MLPs gated by 'gelu'; known: silu$"):
        create_model("dinov3_tiny", pretrained=tmp_path / "gelu")


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_folder_of_timm_brings_its_colours_and_no_classes(tmp_path, kind):
    model, clip = theirs(kind), clip_of(4, 48, 48)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    pretrained = {"input_size": [3, 48, 48], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    config = {
        "architecture": "vit_base_patch16",
        "num_classes": 0,
        "num_features": 48,
        "global_pool": "avg" if kind == "dinov3" else "map",
        "pretrained_cfg": pretrained | {"license": "mine"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = create_model(f"{kind}_tiny", pretrained=tmp_path, attentive_blocks=0).eval()
    assert (ours.preprocessing.mean, ours.preprocessing.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert ours.recipe.variant.license == "mine"
    torch.testing.assert_close(
        ours(clip), patches_of(model, clip).mean(dim=1), rtol=1e-5, atol=1e-5
    )


def test_rows_of_the_published_sizes_are_found():
    description = Description(
        model_type="dinov3",
        structure={"dim": 1024, "depth": 24, "num_heads": 16, "tubelet_size": (1, 16, 16)},
    )
    assert find_row(description, VARIANTS) == "dinov3_large_patch16_256"
    sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    config = {"model_type": "siglip", "vision_config": sizes | {"intermediate_size": 4096}}
    assert find_row(describe_config(config, "x"), VARIANTS) == "siglip2_large_patch16_256"


def original_dinov3(model):
    """Write weights of timm, with biases, under the names of the original code."""
    weights = {}
    for key, value in model.state_dict().items():
        key = key.replace("reg_token", "storage_tokens").replace("gamma_", "ls")
        key = key + ".gamma" if ".ls" in key else key
        weights[key] = value
    for number in range(3):
        name = f"blocks.{number}.attn"
        parts = (weights.pop(f"{name}.q_bias"), torch.ones(48), weights.pop(f"{name}.v_bias"))
        weights[f"{name}.qkv.bias"] = torch.cat(parts)
        weights[f"{name}.qkv.bias_mask"] = torch.full((144,), float("nan"))
    periods = (100 ** (torch.arange(6) / 6)).bfloat16()
    zeros = torch.zeros(1, 48)
    return weights | {"rope_embed.periods": periods, "mask_token": zeros}


@torch.no_grad()
def test_original_dinov3_whose_keys_have_a_masked_bias(tmp_path):
    model, clip = theirs("dinov3", qkv_bias=True), clip_of(4, 48, 48)
    torch.save(original_dinov3(model), tmp_path / "dinov3.pth")
    ours = create_model("dinov3_tiny", pretrained=tmp_path / "dinov3.pth").eval()
    assert_patches(ours, patches_of(model, clip), clip)
    assert ours.key_report.dropped["mask_token"] == "no part of the classifier"


def test_rotary_periods_of_another_base_are_refused(tmp_path):
    weights = original_dinov3(theirs("dinov3", qkv_bias=True))
    weights["rope_embed.periods"] = 30 ** (torch.arange(6) / 6)
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"rope_embed.periods ends with 17.02, that of theta"):
        create_model("dinov3_tiny", pretrained=tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("kind", "options", "fault"),
    [
        ("siglip2", {"qk_norm": True}, r"no weights of SigLIP 2: they have blocks.0.attn.q_norm"),
        ("siglip2", {"class_token": True}, r"no weights of SigLIP 2: they have embed.cls_token"),
        ("dinov3", {"swiglu_mlp": True}, r"timm Eva has an MLP of the kind GluMlp"),
        ("dinov3", {"use_fc_norm": True}, r"timm Eva has no norm behind its blocks"),
        ("dinov3", {"rope_rotate_half": False}, r"has other rotary positions than DINOv3 and PE"),
        ("dinov3", {"scale_mlp": True}, r"they have blocks.0.mlp.norm"),
        ("pe", {"rope_grid_indexing": "ij"}, r"has other rotary positions than DINOv3 and PE"),
        ("pe", {"ref_feat_shape": (4, 5)}, r"ref_feat_shape \(4, 5\); both must be equal"),
    ],
    ids=str,
)
def test_what_our_blocks_have_not_is_refused(kind, options, fault):
    with pytest.raises(CheckpointError, match=fault):
        sparsify(theirs(kind, **options), None)


@pytest.mark.parametrize(
    ("kind", "other", "fault"),
    [
        ("siglip2", "dinov3", "no weights of SigLIP 2: embed.pos_embed is missing"),
        ("dinov3", "siglip2", "no weights of DINOv3: embed.cls_token is missing"),
        ("dinov3", "pe", "no weights of DINOv3: they have embed.pos_embed"),
        ("pe", "dinov3", "no weights of PE-core: embed.pos_embed is missing"),
    ],
)
def test_files_of_other_encoders_are_refused(tmp_path, kind, other, fault):
    torch.save(theirs(other).state_dict(), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=fault):
        create_model(f"{kind}_tiny", pretrained=tmp_path / "x.pt")


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_probe_reads_the_patches_of_all_frames(kind):
    torch.manual_seed(0)
    model, clip = create_model(f"{kind}_tiny").eval(), clip_of(4, 48, 48)
    state = model.read_tokens(clip)
    assert state.tokens.shape == (2, 4 * 36, 48)
    logits = model.head(model.pooler(model.norm(state.tokens)))
    torch.testing.assert_close(model(clip), logits)
    averaged = create_model(f"{kind}_tiny", attentive_blocks=0, num_classes=0).eval()
    expected = averaged.forward_features(clip).flatten(2).mean(dim=2)
    torch.testing.assert_close(averaged(clip), expected)


@torch.no_grad()
def test_a_probe_sees_a_bag_of_frames():
    """Said in docs/weights.md: it has no positions along time."""
    model, clip = create_model("siglip2_tiny").eval(), clip_of(4, 48, 48)
    torch.testing.assert_close(model(clip), model(clip.flip(2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", [None, "4x3x3@1", "4x3x3@1,centers=far", "4x3x3@0-3"])
@torch.no_grad()
def test_every_frame_goes_through_on_its_own(kind, setting):
    """Also where its tokens are clustered and recovered, with the class token and registers."""
    torch.manual_seed(0)
    model = drawn(
        create_model(f"{kind}_tiny", semantic=None if setting is None else f"{setting},scope=frame")
    )
    clip = clip_of(4, 48, 48)
    features = model.forward_features(clip)
    for frame in range(4):
        alone = model.forward_features(clip[:, :, frame : frame + 1])
        torch.testing.assert_close(features[:, :, frame : frame + 1], alone)
    num_ahead = {"siglip2": None, "dinov3": 5, "pe": 1}[kind]
    tokens = model.embed.cls_token
    assert (None if tokens is None else tokens.shape[1]) == num_ahead


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_frames_is_refused(kind):
    with pytest.raises(ConfigError, match=r"sees each of its 4 time steps alone; write 4x3x3@1,"):
        create_model(f"{kind}_tiny", semantic="2x3x3@1")
    with pytest.raises(ConfigError, match=r"\(tome\) needs joint attention, but this model's"):
        create_model(f"{kind}_tiny", reduction="tome:r=4")


@torch.no_grad()
def test_class_token_and_registers_can_be_left_out(tmp_path):
    model, clip = theirs("dinov3"), clip_of(4, 48, 48)
    torch.save(model.state_dict(), tmp_path / "x.pt")
    ours = create_model("dinov3_tiny", pretrained=tmp_path / "x.pt", class_token=False).eval()
    assert ours.embed.cls_token is None
    assert ours.key_report.dropped == {"embed.cls_token": "the model averages its tokens"}
    bare = theirs("dinov3", class_token=False, num_reg_tokens=0)
    bare.load_state_dict({key: model.state_dict()[key] for key in bare.state_dict()})
    assert_patches(ours, patches_of(bare, clip), clip)


@torch.no_grad()
def test_what_a_file_stated_is_kept_in_a_folder_of_ours(tmp_path):
    model, clip = theirs("dinov3", num_reg_tokens=2, init_values=None), clip_of(4, 48, 48)
    torch.save(model.state_dict(), tmp_path / "x.pt")
    ours = create_model("dinov3_tiny", pretrained=tmp_path / "x.pt", semantic="4x3x3@1,scope=frame")
    write_checkpoint(ours.eval(), tmp_path / "ours")
    again = load_model(tmp_path / "ours")
    assert again.embed.cls_token.shape == (1, 3, 48)
    torch.testing.assert_close(again(clip), ours(clip))


@pytest.mark.parametrize("neighbours", [True, False])
def test_attention_depends_on_the_distance_of_patches_alone(neighbours):
    """Moving both by the same steps changes no product; the axes are told apart."""
    rotary = FrameRotary(12, 100.0, axes=(1, 2), neighbours=neighbours)
    q, k = torch.randn(2, 1, 1, 1, 12, generator=torch.Generator().manual_seed(0))

    def product(from_place, to_place):
        places = [torch.tensor([[[9.0, *place]]]) for place in (from_place, to_place)]
        return float(rotary(q, places[0]).flatten() @ rotary(k, places[1]).flatten())

    assert product((1, 2), (4, 1)) == pytest.approx(product((3, 7), (6, 6)), abs=1e-5)
    assert product((1, 2), (4, 1)) != pytest.approx(product((2, 1), (1, 4)), abs=1e-2)


def test_what_lies_ahead_of_the_patches_is_not_turned():
    rotary = FrameRotary(8, 100.0, axes=(1, 2), neighbours=False)
    tokens = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[[0.0, 1.0, 2.0], [0.0, 3.0, 1.0]]])
    turned = rotary(tokens, places)
    assert torch.equal(turned[:, :, :3], tokens[:, :, :3])
    torch.testing.assert_close(turned[:, :, 3:], rotary(tokens[:, :, 3:], places))
    assert (turned[:, :, 3:] - tokens[:, :, 3:]).abs().max() > 0.5
