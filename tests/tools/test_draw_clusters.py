"""tools/draw_clusters.py draws any setting of any weights, at any size of clip."""

import importlib.util
import io
from pathlib import Path

import numpy as np
from PIL import Image

from stvit_video import create_model, write_checkpoint

TOOL = Path(__file__).parents[2] / "tools" / "draw_clusters.py"


def test_a_row_of_the_picture_is_a_setting(tmp_path, numbered_video):
    spec = importlib.util.spec_from_file_location("draw_clusters", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    write_checkpoint(create_model("demo_tiny", num_classes=3), tmp_path)
    heights = []
    for settings in (["5@1"], ["5@1", "1x2x3@2"]):
        content, rows = tool.draw(
            numbered_video, checkpoint=tmp_path, settings=settings, frames=4, stride=1, size=48
        )
        assert {name: weights.shape for name, weights in rows.items()} == {
            name: (5 if name == "5@1" else 6, 2, 6, 6) for name in settings
        }
        heights.append(Image.open(io.BytesIO(content)).size[1])
    assert heights[1] / heights[0] > 1.3
    members = (rows["5@1"] > 0).sum(axis=0)
    assert np.array_equal(members, np.ones_like(members)), "each patch is in one cluster"
