"""Where patches lie on the pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stvit_video.models.families.swin.network import stage_grid
from stvit_video.models.registry import create_model
from stvit_video.report.token_colours import PALETTE
from stvit_video.video.decoding.decoder import VideoInfo
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.pixels.windows import EvaluationWindow
from stvit_video.visualize.lens import Lens, draw_tokens, look_through


def info(height, width):
    facts = {"num_frames": 9, "fps": 25.0, "duration_seconds": 0.36, "codec": "h264"}
    return VideoInfo(path=Path("x"), height=height, width=width, backend="pyav", **facts)


def test_patches_lie_where_the_model_saw_them():
    """Cut a clip whose pixels tell their place in the frame, and ask where each patch came from."""
    height, width = 96, 208
    model = create_model("demo_tiny", num_classes=3)
    transform = build_transform(model.preprocessing, normalize=False)
    place = torch.stack(
        [
            torch.arange(height)[:, None].expand(height, width),
            torch.arange(width)[None].expand(height, width),
            torch.zeros(height, width),
        ],
        dim=-1,
    )
    clip = transform(place[None].to(torch.uint8), 0)[:, 0].float()  # (C, 64, 64)
    patches = clip.unflatten(2, (8, 8)).unflatten(1, (8, 8)).mean(dim=(2, 4))  # (C, 8, 8)
    lens = look_through(model, info(height, width), transform.choose(height, width, 0), (8, 8))
    index = lens.patch_index((8, 8))
    for row, column in ((0, 0), (3, 5), (7, 7)):
        ys, xs = np.nonzero(index == row * 8 + column)
        middle = (ys.mean() + 0.5) / lens.height * height, (xs.mean() + 0.5) / lens.width * width
        expected = patches[:2, row, column] + 0.5
        assert middle == pytest.approx(expected.tolist(), abs=0.8)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(64, 80, (288, 360)), (480, 640, (480, 640)), (1080, 1920, (360, 640)), (96, 30, (360, 112))],
)
def test_pictures_have_even_sides_between_the_bounds(height, width, expected):
    model = create_model("demo_tiny", num_classes=3)
    window = EvaluationWindow(size=64, short_side=64, num_crops=1)(height, width, 0)
    lens = look_through(model, info(height, width), window, (8, 8))
    assert (lens.height, lens.width) == expected
    frames = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    assert lens.resize(frames).shape == (2, *expected, 3)


def test_merged_patches_of_swin_cover_what_was_filled_up():
    """88 pixels are 22 patches of 4, then 11, then 6 of which the last is filled up."""
    model = create_model("swin_tiny_patch4_window7_224", num_classes=3, image_size=88)
    embedded = model.embed.patch.grid(1, 88, 88)
    grid = stage_grid(embedded, 2)[1:]
    assert grid == (6, 6)
    choose = EvaluationWindow(size=88, short_side=88, num_crops=1)
    lens = look_through(model, info(88, 88), choose(88, 88, 0), grid)
    assert lens.cell == pytest.approx((16 / 88, 16 / 88))
    index = lens.patch_index(grid)
    counts = np.bincount(index.ravel(), minlength=36).reshape(6, 6)
    assert (index >= 0).all()
    assert counts[0, 5] / counts[0, 0] == pytest.approx(0.5, abs=0.05)


def test_what_the_model_does_not_see_is_dimmed_and_has_no_colour():
    lens = Lens(height=4, width=8, crop=(0.0, 0.25, 1.0, 0.75), cell=(0.5, 0.25))
    index = lens.patch_index((2, 2))
    assert index.tolist() == [[-1, -1, 0, 0, 1, 1, -1, -1]] * 2 + [[-1, -1, 2, 2, 3, 3, -1, -1]] * 2
    frame = np.full((4, 8, 3), (100, 150, 200), np.uint8)
    owner = np.array([[0, 0], [0, -1]], np.int32)
    drawn = draw_tokens(frame, index, owner, np.ones((2, 2), np.float32), PALETTE[3:4])
    assert drawn[1, 1].tolist() == [40, 60, 80]
    assert drawn[1, 3].tolist() == (0.3 * 150 + 0.7 * PALETTE[3]).round().tolist()
    assert drawn[3, 5].tolist() == [150, 150, 150], "no token reads it"
