"""Scores of boxes: which places they read, whose they are, and checkpoints."""

import pytest
import torch

from stvit_video import create_model
from stvit_video.detection.actions.network import (
    ActionDetector,
    box_features,
    box_logits,
    build_network,
    clip_multiple,
)
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.card import ACTION_IDS
from stvit_video.models.checkpoint import load_model, write_checkpoint
from stvit_video.settings.model import ModelConfig


def network(semantic=None, **how):
    torch.manual_seed(0)
    config = ModelConfig(name="demo_tiny", semantic=semantic, num_frames=4, **how)
    return build_network(config, num_classes=5)


def clip(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (3, 4, height, width), generator=generator, dtype=torch.uint8)


def test_a_box_reads_its_own_places_as_a_mean_over_time():
    grid = torch.zeros(2, 3, 2, 4, 8)  # (B, D, t, h, w) of clips of 48 x 64 pixels
    grid[0, 1, 0, 2:, 4:] = 6.0
    boxes = [torch.tensor([[32.0, 24, 64, 48], [0, 0, 24, 12]]), torch.tensor([[32.0, 24, 64, 48]])]
    found = box_features(grid, boxes, size=(48, 64))
    assert found.tolist() == [[0, 3, 0], [0, 0, 0], [0, 0, 0]]


def test_places_of_a_box_lie_as_roi_align_of_detectron2_has_them():
    across = torch.arange(8.0).expand(4, 8)  # the place i stands for the pixels around 8 i + 4
    down = torch.arange(4.0)[:, None].expand(4, 8)
    grid = torch.stack([across, down])[None, :, None]  # (1, 2, 1, 4, 8)
    found = box_features(grid, [torch.tensor([[8.0, 12, 24, 36]])], size=(48, 64))
    last = 1 + 2 * 6.5 / 7 - 0.5  # places 1 to 3, the seventh of seven, half a place back
    torch.testing.assert_close(found, torch.tensor([[last, last]]))


@pytest.mark.parametrize("semantic", [None, "2x2x2@1-4", "2x2x2@1"])
def test_boxes_of_a_clip_see_no_other_clip(semantic):
    model = network(semantic).eval()
    clips = [clip(32, 48, 1), clip(48, 32, 2), clip(32, 48, 3)]
    boxes = [
        torch.tensor([[0.0, 0, 16, 32], [16, 8, 48, 24]]),
        torch.tensor([[8.0, 8, 32, 48]]),
        torch.tensor([[0.0, 0, 48, 32]]),
    ]
    with torch.no_grad():
        together = box_logits(model, clips, boxes)
        alone = [box_logits(model, [c], [b]) for c, b in zip(clips, boxes, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    assert together.shape == (4, 5)
    assert float((together[0] - together[1]).abs().max()) > 1e-4


@pytest.mark.parametrize("semantic", [None, "2x2x2@1-4", "2x2x2@1"])
def test_gradients_reach_every_parameter(semantic):
    model = network(semantic).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    box_logits(model, [clip(32, 48)], [torch.tensor([[3.0, 5, 40, 30]])]).square().sum().backward()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert silent == []


def test_a_network_that_reads_all_tokens_at_once_is_refused():
    model = create_model("demo_tiny", num_classes=5, attentive_blocks=1)
    with pytest.raises(ConfigError, match="demo_tiny reads all tokens of a clip at once"):
        ActionDetector(model)
    with pytest.raises(ConfigError, match="reads 384 numbers, but a place of its grid has 192"):
        build_network(ModelConfig(name="deit_tiny_distilled_patch16_224"), num_classes=2)


def test_sides_are_multiples_of_the_patch_or_of_the_last_stride():
    assert clip_multiple(network()) == 8
    assert clip_multiple(create_model("swin_tiny_patch4_window7_224", num_classes=2)) == 32


def test_a_checkpoint_is_a_classifier_that_knows_the_numbers_of_its_actions(tmp_path):
    model = network("2x2x2@1-4").eval()
    names = ("bend", "dance", "sit", "stand", "walk")
    write_checkpoint(model, tmp_path, labels=names, extra={ACTION_IDS: [1, 5, 11, 12, 14]})
    found = ActionDetector.load(tmp_path)
    assert found.labels == (names, (1, 5, 11, 12, 14))
    assert load_model(tmp_path).multi_label
    clips, boxes = [clip(32, 48)], [torch.tensor([[3.0, 5, 40, 30]])]
    with torch.no_grad():
        torch.testing.assert_close(found(clips, boxes), box_logits(model, clips, boxes))


def test_other_checkpoints_are_refused(tmp_path):
    model = network()
    write_checkpoint(model, tmp_path / "plain")
    with pytest.raises(CheckpointError, match="holds no detector of actions; train one with"):
        ActionDetector.load(tmp_path / "plain")
    for ids, said in (
        ([1, 2], r"action_ids \(2\) must be ascending, as many as its classes \(5\)"),
        ([1, 2, 3, 5, 4], "must be ascending"),
        ("all", r"action_ids \(all\) must be a list, each a whole number at least 1"),
    ):
        write_checkpoint(model, tmp_path / "bad", extra={ACTION_IDS: ids})
        with pytest.raises(CheckpointError, match=said):
            ActionDetector.load(tmp_path / "bad")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"semantic": "20@1"}, r"semantic setting 20@1 leaves no map of the places; recover them"),
        (
            {"reduction": "tome:r=2"},
            r"reduction tome\S+ leaves no map of the places; detect",
        ),
    ],
)
def test_tokens_that_leave_their_places_are_refused(setting, line):
    with pytest.raises(ConfigError, match=line):
        ActionDetector(create_model("demo_tiny", num_classes=3, **setting))
