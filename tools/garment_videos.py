"""Write moving garments as H.264 files, laid out as Kinetics: PART/CLASS/ID_START_END.mp4.

python tools/garment_videos.py --images FOLDER --output FOLDER --videos 800 100 200
"""

import argparse
from pathlib import Path

import torch
from moving_garments import (
    NUM_DRAWS,
    NUM_FRAMES,
    SCENES,
    Pictures,
    class_name,
    draw_clips,
    load_pictures,
)

from stvit_video.video.numbered import write_pictures

PARTS = {"train": "train", "validation": "val", "test": "test"}
"""Part of the pictures -> folder."""
_NEAR_LOSSLESS = {"preset": "veryfast", "crf": "12"}


def main() -> None:
    """Write as many videos of each part as are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of Fashion-MNIST")
    parser.add_argument("--output", type=Path, required=True, help="folder that is made")
    parser.add_argument("--videos", type=int, nargs=3, required=True, help="train, val and test")
    parser.add_argument("--scene", choices=tuple(SCENES), default="middle")
    options = parser.parse_args()
    parts = load_pictures(options.images, torch.device("cpu"), options.scene)
    for seed, (part, folder) in enumerate(PARTS.items()):
        write_videos(parts[part], options.output / folder, options.videos[seed], seed=seed)


def write_videos(pictures: Pictures, folder: Path, num_videos: int, *, seed: int) -> None:
    """Write videos of 8 frames, one second long, each into the folder of its class."""
    numbers = torch.rand(num_videos, NUM_DRAWS, generator=torch.Generator().manual_seed(seed))
    for start in range(0, num_videos, 100):
        clips, labels = draw_clips(pictures, numbers[start : start + 100])
        frames = (255 * clips).round().byte().permute(0, 2, 3, 4, 1).numpy()  # (B, T, H, W, 3)
        for i, label in enumerate(labels.tolist()):
            path = folder / class_name(label) / f"{start + i:011d}_000000_000001.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_pictures(path, frames[i], fps=NUM_FRAMES, options=_NEAR_LOSSLESS)


if __name__ == "__main__":
    main()
