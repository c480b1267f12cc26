"""Draw what semantic tokens are made of on one clip, a row for each setting of the same weights.

    .venv/bin/python tools/draw_clusters.py clip.mp4 --checkpoint runs/demo/dense \
        --settings 4x2x2@2,centers=grid 16@2 --size 128 --stride 8 --output clusters.png

Any size of clip will do: positions are interpolated, and more patches show finer borders.

Legend: T frames, H W pixels, S semantic tokens, (t, h, w) patch grid.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stvit_video import load_model, read_clips, sparsify
from stvit_video.files import write_file
from stvit_video.report.clusters import cluster_figure, with_few_colours
from stvit_video.video.pixels.crops import build_transform, normalize_clip


def draw(
    video: Path,
    *,
    checkpoint: Path,
    settings: Sequence[str],
    frames: int | None = None,
    stride: int | None = None,
    size: int | None = None,
    start: int = 0,
) -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """Return a PNG picture, and the weights (S, t, h, w) of each setting."""
    model = load_model(checkpoint).eval()
    usual = model.preprocessing
    look = dataclasses.replace(
        usual,
        num_frames=frames or usual.num_frames,
        frame_stride=stride or usual.frame_stride,
        image_size=size or usual.image_size,
    )
    stop = start + look.num_frames * look.frame_stride
    pixels = read_clips(video, [range(start, stop, look.frame_stride)])[0]  # uint8 (T, H, W, C)
    clip = build_transform(look, normalize=False)(pixels, 0)[None]  # uint8 (1, C, T, S, S)
    rows = {}
    torch.manual_seed(0)  # global centres are new
    with torch.inference_mode():
        for setting in settings:
            semantic = sparsify(model, setting)
            rows[setting] = semantic.forward_assignments(normalize_clip(clip, look))[0].numpy()
    shown = clip[0].permute(1, 2, 3, 0).numpy()  # (T, S, S, C)
    title = f"{video.stem}, frames {start} to {stop - look.frame_stride} by {look.frame_stride}"
    return cluster_figure(shown, rows, title=title).png(), rows


def main() -> None:
    """Write the picture, and print how the patches share out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a dense model")
    parser.add_argument(
        "--settings", nargs="+", required=True, help="such as 4x2x2@2,centers=grid 16@2"
    )
    parser.add_argument("--frames", type=int, help="of the clip; by default those of the model")
    parser.add_argument("--stride", type=int, help="frames of the video from one to the next")
    parser.add_argument("--size", type=int, help="height and width in pixels")
    parser.add_argument("--start", type=int, default=0, help="first frame")
    parser.add_argument("--output", type=Path, required=True, help="a .png file")
    options = vars(parser.parse_args())
    output = options.pop("output")
    content, rows = draw(**options)
    write_file(output, with_few_colours(content))
    for setting, weights in rows.items():
        owned = np.bincount(weights.argmax(axis=0).ravel(), minlength=len(weights))
        print(f"{setting}: patches of each token {sorted(owned.tolist(), reverse=True)}")


if __name__ == "__main__":
    main()
