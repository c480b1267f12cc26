import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.measure.compare.words import build_word, example_clips, find_model
from stvit_video.settings.model import ModelConfig, ModelWord


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("demo_tiny", {}),
        ("demo_tiny:2x4x4@2,scope=tube", {"semantic": "2x4x4@2,scope=tube"}),
        (
            "demo_tiny:tome:r=5,schedule=decreasing:frames=4:class_token",
            {
                "reduction": "tome:r=5,schedule=decreasing",
                "num_frames": 4,
                "class_token": True,
            },
        ),
        ("demo_tiny:rlt:size=32", {"reduction": "rlt:", "image_size": 32}),
        ("demo_tiny:tome:r=3:stride=5", {"reduction": "tome:r=3", "frame_stride": 5}),
    ],
)
def test_parts_may_stand_in_any_number(text, expected):
    config = ModelConfig(name="demo_tiny", **expected)
    assert find_model(text) == ModelWord(text=text, config=config)


def test_a_model_may_be_fused():
    word = find_model("demo_tiny:4x2x2@2:fused")
    assert (word.fused, word.config) == (True, ModelConfig(name="demo_tiny", semantic="4x2x2@2"))


def test_a_peer_is_one_word_with_a_colon():
    assert find_model("torchvision:swin3d_t").is_peer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "demo_tiny:tomato",
            "model demo_tiny:tomato has a part 'tomato' that is none of TxHxW@BLOCK, COUNT@BLOCK,"
            " frames=N, stride=N, size=N, class_token, fused, tome, random, average, evit, dpcknn,"
            " atc, rlt",
        ),
        ("demo_tiny:size=32:size=64", "model demo_tiny:size=32:size=64 sets image_size twice"),
    ],
)
def test_a_wrong_part_is_named(text, message):
    with pytest.raises(ConfigError) as raised:
        find_model(text)
    assert str(raised.value) == message


def test_built_models_take_the_example_clips():
    model = build_word(find_model("demo_tiny:frames=4:size=32:2x2x2@2"), num_classes=7).eval()
    clips = example_clips(model, 2)
    assert clips.shape == (2, 3, 4, 32, 32)
    assert model(clips).shape == (2, 7)


def test_example_clips_stand_still_but_for_a_square():
    clips = example_clips(build_word(find_model("demo_tiny:frames=4:size=32")), 2)
    changed = (clips[:, :, 1:] != clips[:, :, :-1]).any(dim=1)
    assert changed[:, :, :8].sum() == 0
    assert changed[:, :, 24:].sum() == 0
    assert changed[:, :, 8:24].float().mean() > 0.5
    assert torch.equal(
        clips, example_clips(build_word(find_model("demo_tiny:size=32:frames=4")), 2)
    )
