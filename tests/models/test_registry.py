import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import build_model, create_model, list_models
from stvit_video.settings.model import ModelConfig
from stvit_video.tokens.token_set import TokenSet


def demo(**settings):
    torch.manual_seed(0)
    return create_model("demo_tiny", num_classes=5, **settings).eval()


def test_models_are_listed_by_pattern():
    assert [name for name in list_models("videomae_[sb]*") if "patch16_224" in name] == [
        "videomae_base_patch16_224",
        "videomae_small_patch16_224",
    ]
    assert list_models("nothing*") == []


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "videomae_base_patch16_22",
            {},
            "unknown model 'videomae_base_patch16_22'; did you mean 'videomae_base_patch16_224'?"
            " (stvit-video models lists all)",
        ),
        (
            "videomae_base_patch16_224",
            {"semantic": "16x4x4@4"},
            "semantic grid 16x4x4 is larger than the token grid 8x14x14 along time: 16 > 8;"
            " choose at most 8",
        ),
        (
            "videomae_base_patch16_224",
            {"semantic": "8x4x4@11"},
            "semantic setting 8x4x4@11 begins after block 11 and needs 2 blocks, but ends with"
            " block 12; choose a block from 0 to 10",
        ),
        (
            "videomae_base_patch16_224",
            {"semantic": "8x4x4@4-13"},
            "semantic setting 8x4x4@4-13 recovers in block 13, but the model has 12",
        ),
        (
            "videomae_base_patch16_224",
            {"semantic": "8x4x4@4-8+4x4x4@7"},
            "semantic setting 4x4x4@7 begins after block 7, but the tokens of the setting before"
            " it are not back until block 8",
        ),
        (
            "videomae_base_patch16_224",
            {"num_frames": 15},
            "num_frames (15) must be a multiple of 2, the tubelet's",
        ),
        (
            "demo_tiny",
            {"pretrained": True},
            "pretrained (True) must be a file, a folder or a hub id such as"
            " MCG-NJU/videomae-base-finetuned-kinetics; leave it out for random weights",
        ),
        (
            "demo_tiny",
            {"num_frames": "8"},
            "model.num_frames (8) must be a whole number at least 1",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(name, settings, message):
    with torch.device("meta"), pytest.raises(ConfigError) as error:
        create_model(name, **settings)
    assert str(error.value) == message


def test_dense_weights_load_into_every_semantic_setting_as_they_are():
    dense = demo().state_dict()
    for semantic in ("4x2x2@2", "4x2x2@1-5", "2x2x2@0-3+2x2x2@3-6"):
        missing, unexpected = demo(semantic=semantic).load_state_dict(dense, strict=False)
        assert unexpected == []
        assert missing
        assert all(name.endswith("generator.global_centers") for name in missing)


def test_a_semantic_model_runs_block_layers_and_blocks_in_order():
    model = demo(semantic="4x2x2@2")
    clip = torch.randn(2, 3, 8, 64, 64)
    tokens, grid = model.embed(clip)
    for block in model.blocks[:2]:
        tokens = block(tokens)
    (tokens, grid, *_), _ = model.stages[1].generator(TokenSet(tokens, grid), model.blocks[2:4])
    for block in model.blocks[4:]:
        tokens = block(tokens)
    torch.testing.assert_close(model(clip), model.head(model.norm(tokens.mean(1))))
    assert tokens.shape[1] == grid.size == 16


def test_a_recovered_model_returns_the_whole_grid():
    model = demo(semantic="4x2x2@1-5")
    clip = torch.randn(1, 3, 8, 64, 64)
    dim = model.blocks[0].norm1.weight.shape[0]
    assert model.forward_features(clip).shape == (1, dim, 4, 8, 8)
    assert demo(semantic="4x2x2@1").forward_features(clip).shape == (1, dim, 4, 2, 2)
    full, grid = model.embed(clip)
    full = model.blocks[0](full)
    (semantic, *_), _ = model.stages[1].generator(TokenSet(full, grid), model.blocks[1:3])
    semantic = model.blocks[3](semantic)
    full = model.blocks[4](full, context=semantic)
    expected = model.norm(model.blocks[5](full)).transpose(1, 2).unflatten(2, (4, 8, 8))
    torch.testing.assert_close(model.forward_features(clip), expected)


def test_assignments_lie_on_the_token_grid():
    weights = demo(semantic="4x2x2@2").forward_assignments(torch.randn(2, 3, 8, 64, 64))
    assert weights.shape == (2, 16, 4, 8, 8)
    assert (weights.sum((2, 3, 4)) <= 1 + 1e-5).all()
    with pytest.raises(ConfigError, match="the model has no semantic tokens"):
        demo().forward_assignments(torch.randn(2, 3, 8, 64, 64))


def test_a_class_token_is_pooled_in_dense_models_and_averaged_away_in_semantic_ones():
    with torch.device("meta"):
        assert create_model("deit_tiny_patch16_224").embed.cls_token is not None
        semantic = create_model("deit_tiny_patch16_224", semantic="1x4x4@4")
        assert (semantic.embed.cls_token, semantic.pool) == (None, "mean")
        kept = create_model("deit_tiny_patch16_224", semantic="1x4x4@4", class_token=True)
        assert (kept.embed.cls_token is not None, kept.pool) == (True, "class")


def test_token_counts_are_those_of_the_grids():
    with torch.device("meta"):
        model = create_model("videomae_base_patch16_224", semantic="8x4x4@4")
    assert model.token_counts() == {"input": 1568, "semantic": 128}
    assert model.token_counts((32, 224, 112)) == {"input": 16 * 14 * 7, "semantic": 128}


def test_an_empty_head_gives_features():
    model = create_model("demo_tiny", num_classes=0)
    assert model(torch.randn(2, 3, 8, 64, 64)).shape == (2, model.blocks[0].norm1.weight.shape[0])


SMALL = {"num_frames": 2, "image_size": 16}


def test_a_new_head_begins_as_small_as_it_is_told(tmp_path):
    torch.manual_seed(0)
    plain = build_model(ModelConfig(name="demo_tiny", **SMALL), num_classes=5)
    torch.manual_seed(0)
    small = build_model(ModelConfig(name="demo_tiny", head_init_scale=1e-3, **SMALL), num_classes=5)
    torch.testing.assert_close(small.head.weight, plain.head.weight / 1000)
    torch.testing.assert_close(small.norm.weight, plain.norm.weight)
    write_checkpoint(plain, tmp_path)
    config = ModelConfig(name="demo_tiny", pretrained=str(tmp_path), head_init_scale=0, **SMALL)
    assert torch.equal(build_model(config, num_classes=5).head.weight, plain.head.weight)
    assert not build_model(config, num_classes=3).head.weight.any()


def test_head_dropout_drops_features_in_training_alone():
    model = build_model(ModelConfig(name="demo_tiny", head_dropout=0.5, **SMALL), num_classes=5)
    model.head = torch.nn.Identity()
    clip = torch.randn(8, 3, 2, 16, 16)
    features = model.train()(clip)
    assert 0.4 < float((features == 0).float().mean()) < 0.6
    kept = features != 0
    torch.testing.assert_close(features[kept], 2 * model.eval()(clip)[kept])
