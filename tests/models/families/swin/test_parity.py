"""Our Swin networks compute what the published ones compute, block by block.

Tiny sizes, all weights random (so that no zero or one of an initialisation hides a mistake).
"""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from torch import nn
from torchvision.models.video.swin_transformer import SwinTransformer3d
from transformers import SwinConfig, SwinForImageClassification

from stvit_video.errors import CheckpointError
from stvit_video.models.build import build
from stvit_video.models.checkpoint import load_model, write_checkpoint
from stvit_video.models.families.swin import stvit_r_weights as stvit_r
from stvit_video.models.families.swin import weights as swin
from stvit_video.models.families.swin.block import SwinBlock
from stvit_video.models.families.swin.inflate import inflate_table
from stvit_video.models.families.swin.variant import StvitRVariant
from stvit_video.models.registry import VARIANTS, create_model
from stvit_video.models.sparsify import sparsify
from stvit_video.models.variant import BuildOptions, Recipe
from stvit_video.models.weights.load import fill
from stvit_video.settings.grammar import parse_semantic
from stvit_video.settings.model import Preprocessing

GOLDEN = Path(os.environ.get("STVIT_GOLDEN", Path(__file__).parents[4] / "../shared/golden"))
RELEASED = GOLDEN / "stvit_r_swin_release_tiny.safetensors"
NUM_CLASSES = 5


def randomised(model):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def outputs_of(blocks, run):
    """Run and record what every block returns, tokens flattened, and the logits."""
    seen = []

    def record(_module, _inputs, output):
        tokens = output[0] if isinstance(output, tuple) else output
        seen.append(tokens.flatten(1, -2))

    handles = [block.register_forward_hook(record) for block in blocks]
    with torch.no_grad():
        logits = run()
    for handle in handles:
        handle.remove()
    return [*seen, logits]


def assert_same(ours, theirs, expected_number, tolerance=1e-5):
    assert len(ours) == len(theirs) == expected_number
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == other.shape
        assert (own - other).abs().max() <= tolerance * other.abs().max()


def video_swin(window=(4, 3, 5)):
    return randomised(
        SwinTransformer3d([2, 4, 4], 12, [2, 2, 2], [1, 2, 3], list(window), num_classes=5)
    )


def timm_swin(size=56, window=7):
    sizes = {"embed_dim": 12, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 3, 4)}
    return randomised(TimmSwin(img_size=size, window_size=window, num_classes=5, **sizes))


@pytest.mark.parametrize(
    ("window", "clip"),
    [((4, 3, 5), (16, 48, 40)), ((4, 3, 5), (7, 50, 37)), ((8, 7, 7), (3, 33, 28))],
    ids=["whole windows", "padding everywhere", "grids smaller than a window"],
)
def test_every_block_of_video_swin_is_that_of_torchvision(window, clip):
    theirs = video_swin(window)
    ours = sparsify(theirs, None)
    clips = torch.randn(2, 3, *clip)
    blocks = [
        block
        for stage in theirs.features
        for block in (stage if isinstance(stage, nn.Sequential) else [stage])
    ]
    assert_same(
        outputs_of(ours.blocks, lambda: ours(clips)),
        outputs_of(blocks, lambda: theirs(clips)),
        expected_number=8 + 1,
    )


@pytest.mark.parametrize(("size", "window"), [(56, 7), (64, 4)], ids=["7", "last window shrinks"])
def test_every_block_of_image_swin_is_that_of_timm(size, window):
    theirs = timm_swin(size, window)
    ours = sparsify(theirs, None)
    images = torch.randn(2, 3, size, size)
    assert_same(
        outputs_of(
            [block for block in ours.blocks if isinstance(block, SwinBlock)],
            lambda: ours(images[:, :, None]),
        ),
        outputs_of(
            [block for layer in theirs.layers for block in layer.blocks], lambda: theirs(images)
        ),
        expected_number=8 + 1,
    )


def test_the_logits_of_image_swin_are_those_of_hf():
    config = SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=12,
        depths=[2, 2, 2],
        num_heads=[1, 2, 3],
        window_size=4,
        num_labels=NUM_CLASSES,
    )
    theirs = randomised(SwinForImageClassification(config))
    ours = sparsify(theirs, None)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert_same([ours(images[:, :, None])], [theirs(images).logits], 1)


def original_names(weights):
    """Write torchvision's keys as the code of the Video Swin authors does."""
    original = {}
    for key, value in weights.items():
        name = re.sub(
            r"features\.(\d+)\.(\d+)\.", lambda m: f"layers.{int(m[1]) // 2}.blocks.{m[2]}.", key
        )
        name = re.sub(r"features\.(\d+)\.", lambda m: f"layers.{int(m[1]) // 2}.downsample.", name)
        name = name.replace("mlp.0.", "mlp.fc1.").replace("mlp.3.", "mlp.fc2.")
        name = f"cls_head.fc_cls.{name[5:]}" if name.startswith("head.") else f"backbone.{name}"
        original[name] = value
    return original


def test_keys_of_the_original_video_swin_and_of_torchvision_get_the_same_names():
    weights = video_swin().state_dict()
    ours, original = swin.rename(weights), swin.rename(original_names(weights))
    for key, value in ours.items():
        if not key.startswith("unused."):
            assert original[key] is value


def test_mergings_at_the_beginning_of_a_stage_come_back_to_the_end_of_theirs():
    late = timm_swin().state_dict()
    early = {
        re.sub(
            r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", key
        ).replace("head.fc.", "head."): value
        for key, value in late.items()
    }
    renamed = swin.rename_image(late)
    assert renamed["blocks.2.reduction.weight"].shape == (24, 48)
    assert swin.rename_image(early).keys() == renamed.keys()


@pytest.mark.parametrize(
    ("rename", "weights", "text"),
    [
        (
            swin.rename_video,
            lambda: timm_swin().state_dict(),
            "no weights of a Video Swin: the patch embedding has 4 axes, not 5",
        ),
        (
            swin.rename_image,
            lambda: video_swin().state_dict(),
            "no weights of an image Swin: the patch embedding has 5 axes, not 4",
        ),
        (
            swin.rename_image,
            lambda: {"cls_token": torch.zeros(1)},
            "no weights of an image Swin: embed.patch.proj.weight is missing, cls_token is there",
        ),
        (
            stvit_r.rename,
            lambda: {"cls_token": torch.zeros(1)},
            "no weights of STViT-R: embed.patch.proj.0.weight is missing, cls_token is there",
        ),
    ],
)
def test_weights_of_another_family_are_refused(rename, weights, text):
    with pytest.raises(CheckpointError) as raised:
        rename(weights())
    assert str(raised.value) == text


def test_an_image_swin_inflated_to_video_sees_copies_of_an_image_as_the_image():
    theirs = timm_swin(size=128, window=4)
    image_model = sparsify(theirs, None)
    variant = image_model.recipe.variant
    video = replace(variant, window_size=(4, 4, 4), tubelet_frames=2)
    options = replace(
        image_model.recipe.options, preprocessing=replace(variant.preprocessing, num_frames=8)
    )
    model = build(Recipe(name="video", variant=video, options=options)).eval()
    report = fill(model, swin.rename_image(theirs.state_dict()), "an image", None)
    assert report.changed["embed.patch.proj.weight"] == (
        "inflated from an image to 2 frames, equal shares"
    )
    images = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        assert_same([model(images[:, :, None].repeat(1, 1, 8, 1, 1))], [theirs(images)], 1)


def test_a_table_of_another_window_is_interpolated_and_repeated_along_time():
    table = torch.randn(25, 2)  # a window of 3: 5 x 5 offsets
    assert torch.equal(inflate_table(table, (2, 3, 3)), torch.cat([table] * 3))
    larger = inflate_table(table, (1, 5, 5))  # 9 x 9 offsets
    torch.testing.assert_close(larger.view(9, 9, 2)[::2, ::2], table.view(5, 5, 2))


def stvit_r_model(semantic, sizes):
    size = Preprocessing(num_frames=1, frame_stride=1, image_size=sizes["img_size"])
    variant = StvitRVariant(
        preprocessing=size,
        num_classes=sizes["num_classes"],
        dim=sizes["embed_dim"],
        depths=tuple(sizes["depths"]),
        num_heads=tuple(sizes["num_heads"]),
        window_size=(1, sizes["window_size"], sizes["window_size"]),
        source="",
        license="",
    )
    options = BuildOptions(
        num_classes=sizes["num_classes"],
        preprocessing=size,
        semantic=parse_semantic(semantic) if semantic else (),
        drop_path=0.0,
        class_token=None,
    )
    return variant.build(options).eval()


@pytest.fixture(scope="module")
def golden():
    if not RELEASED.is_file():
        pytest.skip(f"no golden files in {GOLDEN}; set STVIT_GOLDEN to their folder")
    with safe_open(RELEASED, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 no mapping
        return json.loads(file.metadata()["config"]), tensors


def released_weights(tensors):
    return {key[3:]: value for key, value in tensors.items() if key.startswith("sd.")}


def test_every_block_of_stvit_r_is_that_of_the_release(golden):
    sizes, tensors = golden
    model = stvit_r_model(None, sizes)
    model.load_state_dict(stvit_r.rename(released_weights(tensors)))
    names = ["patch_embed", None, None, "layers.0", None, None, "layers.1"]
    names += [f"layers.2.blocks.{i}" for i in range(6)] + ["layers.2", None, "layers.3", None]
    seen = outputs_of([model.embed, *model.blocks], lambda: model(tensors["input"][:, :, None]))
    assert len(seen) == len(names)
    for name, output in zip(names, seen, strict=True):
        if name is not None:
            expected = tensors[f"act.{name}"]
            assert (output - expected).abs().max() <= 1e-5 * expected.abs().max()
    torch.testing.assert_close(seen[-1], tensors["logits"], rtol=1e-5, atol=1e-5)


def published_layer(weights, name, queries, context, num_heads, has_shortcut):
    """One layer with LayerScale on both branches, q and kv apart, written out."""
    w = {key[len(name) :]: value for key, value in weights.items() if key.startswith(name)}
    dim = queries.shape[-1]

    def norm(x, number):
        return F.layer_norm(x, (dim,), w[f"norm{number}.weight"], w[f"norm{number}.bias"])

    def heads(x):
        return x.unflatten(-1, (num_heads, -1)).transpose(-2, -3)

    q = heads(F.linear(norm(queries, 1), w["attn.q.weight"], w["attn.q.bias"]))
    k, v = map(
        heads, F.linear(norm(context, 1), w["attn.kv.weight"], w["attn.kv.bias"]).chunk(2, dim=-1)
    )
    x = ((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(-2, -3).flatten(-2)
    x = w["layer_scale_1"] * F.linear(x, w["attn.proj.weight"], w["attn.proj.bias"])
    x = queries + x if has_shortcut else x
    hidden = F.gelu(F.linear(norm(x, 2), w["mlp.fc1.weight"], w["mlp.fc1.bias"]))
    return x + w["layer_scale_2"] * F.linear(hidden, w["mlp.fc2.weight"], w["mlp.fc2.bias"])


def published_unit(weights, tokens, global_centers, num_heads, has_shortcut):
    """Blocks 1 to 5 of stage 3 on 14 x 14 tokens: (B, 196, D) -> what each of them returns."""
    dim = tokens.shape[-1]
    layer = [f"layers.2.blocks.{i}." for i in range(6)]
    volume = tokens.unflatten(1, (14, 14)).permute(0, 3, 1, 2)  # (B, D, 14, 14)
    centers = torch.zeros(len(tokens), 6, 6, dim)
    for row in range(2):
        for column in range(2):
            window = volume[:, :, 7 * row : 7 * row + 7, 7 * column : 7 * column + 7]
            pooled = F.adaptive_max_pool2d(window, 3).flatten(2).mT  # (B, 9, D)
            around = volume[:, :, 4 * row : 4 * row + 10, 4 * column : 4 * column + 10]
            keys = torch.cat([pooled, around.flatten(2).mT], dim=1)  # (B, 109, D)
            out = published_layer(weights, layer[1], pooled, keys, num_heads, has_shortcut)
            centers[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3] = out.unflatten(
                1, (3, 3)
            )
    first = centers.flatten(1, 2)
    second = published_layer(
        weights, layer[2], first + global_centers, torch.cat([first, tokens], 1), num_heads, True
    )
    grid, third = second.unflatten(1, (6, 6)), torch.zeros_like(centers)
    for row in (0, 3):
        for column in (0, 3):
            window = grid[:, row : row + 3, column : column + 3].flatten(1, 2)
            out = published_layer(weights, layer[3], window, window, num_heads, True)
            third[:, row : row + 3, column : column + 3] = out.unflatten(1, (3, 3))
    third = third.flatten(1, 2)
    fourth = published_layer(weights, layer[4], third, third, num_heads, True)
    fifth = published_layer(weights, layer[5], tokens, fourth, num_heads, True)
    return [first, second, third, fourth, fifth]


@pytest.mark.parametrize("has_shortcut", [False, True])
@pytest.mark.parametrize("has_global", [False, True])
def test_both_switches_of_the_release_do_what_the_written_out_unit_does(has_shortcut, has_global):
    sizes = {"img_size": 224, "window_size": 7, "num_classes": 3, "embed_dim": 8}
    sizes |= {"depths": [1, 1, 6, 1], "num_heads": [1, 2, 4, 8]}
    switches = f"shortcut={str(has_shortcut).lower()},use_global={str(has_global).lower()}"
    model = randomised(stvit_r_model(f"1x6x6@1-6,{switches}", sizes))
    weights, centers = {}, torch.zeros(1, 36, 32)
    for key, value in model.state_dict().items():
        block = re.match(r"blocks\.(\d+)\.", key)
        if key == "stages.5.generator.global_centers":
            centers = value
        if block is None or not 5 <= int(block[1]) < 9 + 1:
            continue
        name = f"layers.2.blocks.{int(block[1]) - 4}.{key[block.end() :]}"
        name = name.replace("scale1.gamma", "layer_scale_1").replace(
            "scale2.gamma", "layer_scale_2"
        )
        weights[name] = value
        if ".attn.qkv." in name:
            weights[name.replace("qkv", "q")], weights[name.replace("qkv", "kv")] = value.split(
                [32, 64]
            )
    seen = outputs_of(model.blocks[4:10], lambda: model(torch.randn(2, 3, 1, 224, 224)))
    expected = published_unit(weights, seen[0], centers, 4, has_shortcut)
    assert_same(seen[1:6], expected, 5)


def test_global_centres_of_the_release_go_to_the_first_unit(golden):
    sizes, tensors = golden
    weights = released_weights(tensors)
    weights["layers.2.semantic_token2"] = torch.randn(1, 36, 64)
    model = stvit_r_model("1x6x6@1-6,shortcut=false,use_global=true", sizes)
    model.load_state_dict(stvit_r.rename(weights))
    assert torch.equal(
        model.stages[5].generator.global_centers, weights["layers.2.semantic_token2"]
    )


def test_global_centres_of_a_file_are_carried_out_whatever_the_row_says(
    golden, monkeypatch, tmp_path
):
    sizes, tensors = golden
    row = replace(
        VARIANTS["stvit_r_swin_small_patch4_window7_224"],
        dim=sizes["embed_dim"],
        depths=tuple(sizes["depths"]),
        num_heads=tuple(sizes["num_heads"]),
    )
    monkeypatch.setitem(VARIANTS, "tiny_r", row)
    weights = released_weights(tensors)
    torch.save({"model": weights}, tmp_path / "without.pth")
    weights["layers.2.semantic_token2"] = torch.randn(1, 36, 64)
    torch.save({"model": weights}, tmp_path / "with.pth")
    expected = stvit_r_model("1x6x6@1-6,shortcut=false,use_global=true", sizes)
    expected.load_state_dict(stvit_r.rename(weights))
    clip = tensors["input"][:, :, None]
    model = create_model("tiny_r", pretrained=tmp_path / "with.pth").eval()
    write_checkpoint(model, tmp_path / "ours")
    with torch.no_grad():
        plain = create_model("tiny_r", pretrained=tmp_path / "without.pth").eval()(clip)
        torch.testing.assert_close(plain, tensors["logits"], rtol=1e-5, atol=1e-5)
        assert (expected(clip) - plain).abs().max() > 1e-3
        for ours in (model, load_model(tmp_path / "ours")):
            assert torch.equal(ours(clip), expected(clip))


def test_units_after_the_first_have_no_global_centres():
    row = replace(VARIANTS["stvit_r_swin_base_patch4_window7_224"], has_global_centers=True)
    with torch.device("meta"):
        model = build(Recipe(name="stvit_r", variant=row, options=DENSE_OPTIONS))
    assert [key for key in model.state_dict() if key.endswith("global_centers")] == [
        "stages.5.generator.global_centers"
    ]


DENSE_OPTIONS = BuildOptions(
    num_classes=3,
    preprocessing=VARIANTS["stvit_r_swin_base_patch4_window7_224"].preprocessing,
    semantic=(),
    drop_path=0.0,
    class_token=None,
)
