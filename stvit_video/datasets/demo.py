"""Write the demo data set: real handwritten digits that move over clutter, as H.264 files.

A class is a digit group and a motion. Digits leave one side and enter at the other, so that
position never tells the motion; every group makes every motion, so motion never tells the group.
Train, val and test show different people's handwriting.

Legend: T frames, H W pixels.
"""

import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from stvit_video.video.numbered import write_pictures

Image = NDArray[np.float32]

DIGIT_GROUPS = {"round": (0, 6), "straight": (1, 7)}
"""Group name -> digits that belong to it."""
MOTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
"""Motion name -> direction along height and width."""
SPLITS = ("train", "val", "test")

NUM_FRAMES = 24
FRAMES_PER_SECOND = 12
HEIGHT, WIDTH = 64, 80
DIGIT_SIZE = (32, 44)
"""Smallest and largest height of a digit, in pixels."""
SPEED = (3.0, 5.0)
"""Slowest and fastest motion, in pixels per frame."""
_H264 = {
    "preset": "veryfast",
    "crf": "18",
    "bf": "0",
    "g": "8",
    "x264-params": "rc-lookahead=0:mbtree=0:scenecut=0",
}
"""Near lossless, no B-frames, a key frame every 8. The lookahead is off: on pictures this small its
decisions differ from run to run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSizes:
    """Videos per class in each split."""

    train: int = 90
    val: int = 10
    test: int = 50


def class_names() -> list[str]:
    """Return the classes in alphabetical order, as `round digit moving down`."""
    return sorted(f"{group} digit moving {motion}" for group in DIGIT_GROUPS for motion in MOTIONS)


def write_demo_dataset(root: Path, *, sizes: DemoSizes | None = None, seed: int = 0) -> None:
    """Write `root/<split>/<class>/<id>_<start>_<end>.mp4`, as Kinetics lays its files out.

    The pixels depend on `seed`, the split, the class and the number of the video alone.
    """
    sizes = sizes or DemoSizes()
    for split_index, split in enumerate(SPLITS):
        images = _digits_of_split(split_index)
        for class_index, name in enumerate(class_names()):
            group, motion = name.split()[0], name.split()[-1]
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(getattr(sizes, split)):
                rng = np.random.default_rng([seed, split_index, class_index, i])
                frames = render_video(images, rng, group=group, motion=motion)
                start = int(rng.integers(0, 290))
                seconds = NUM_FRAMES // FRAMES_PER_SECOND
                stem = f"{_video_id(rng)}_{start:06d}_{start + seconds:06d}"
                path = folder / f"{stem}.mp4"
                write_pictures(path, frames, fps=FRAMES_PER_SECOND, options=_H264)


def render_video(
    images: dict[int, list[Image]], rng: np.random.Generator, *, group: str, motion: str
) -> NDArray[np.uint8]:
    """Paint one video as RGB uint8 (T, H, W, 3) from `images`, digit -> (8, 8) pictures in 0..1."""
    digit = int(rng.choice(DIGIT_GROUPS[group]))
    size = int(rng.integers(DIGIT_SIZE[0], DIGIT_SIZE[1] + 1))
    background = _clutter(images, rng, size=size)  # (H, W, 3)
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[:size, :size] = _enlarge(_pick(images[digit], rng), size)
    colour = rng.uniform(0.75, 1.0, 3).astype(np.float32)
    start = rng.uniform(0, (HEIGHT, WIDTH))  # (2,)
    step = rng.uniform(*SPEED) * np.asarray(MOTIONS[motion])  # (2,) pixels per frame
    moved = np.stack([_roll(mask, start + t * step) for t in range(NUM_FRAMES)])[..., None]
    frames = background + moved * (colour - background)  # (T, H, W, 3)
    noise = rng.integers(-6, 7, moved.shape, dtype=np.int8)  # (T, H, W, 1): grey
    return (frames * 255 + noise).clip(0, 255).astype(np.uint8)


def _digits_of_split(split_index: int) -> dict[int, list[Image]]:
    """Digit -> its pictures; splits are runs of the file, which goes from writer to writer."""
    digits = load_digits()
    run = np.array_split(np.arange(len(digits.target)), 5)
    own = np.concatenate(run[:3]) if split_index == 0 else run[split_index + 2]
    pictures = (digits.images / 16).astype(np.float32)
    return {d: [pictures[i] for i in own if digits.target[i] == d] for d in range(10)}


def _clutter(
    images: dict[int, list[Image]], rng: np.random.Generator, *, size: int
) -> NDArray[np.float32]:
    """Paint a still background (H, W, 3): a slope of grey and scattered pieces of digits."""
    slope = np.linspace(0, rng.uniform(-0.2, 0.2), WIDTH, dtype=np.float32)
    canvas = np.repeat((0.25 + slope)[None, :, None], HEIGHT, axis=0).repeat(3, axis=2)
    for _ in range(10):
        picture = _enlarge(_pick(images[int(rng.integers(10))], rng), size)
        piece = int(size * rng.uniform(0.3, 0.45))
        y, x = rng.integers(0, size - piece, 2)
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        mask[:piece, :piece] = picture[y : y + piece, x : x + piece]
        mask = np.roll(mask, (rng.integers(HEIGHT), rng.integers(WIDTH)), axis=(0, 1))
        colour = rng.uniform(0.25, 0.55, 3).astype(np.float32)
        canvas = canvas * (1 - mask[..., None]) + colour * mask[..., None]
    return canvas.astype(np.float32)


def _roll(mask: Image, by: NDArray[np.float64]) -> Image:
    y, x = np.round(by).astype(int)
    return np.roll(mask, (y, x), axis=(0, 1))


def _pick(pictures: list[Image], rng: np.random.Generator) -> Image:
    return pictures[int(rng.integers(len(pictures)))]


def _enlarge(picture: Image, size: int) -> Image:
    """Resize bilinearly: (8, 8) -> (size, size)."""
    at = (np.arange(size) + 0.5) * len(picture) / size - 0.5
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(len(picture))))  # (size, 8)
    return (weights @ picture @ weights.T).astype(np.float32)


def _video_id(rng: np.random.Generator) -> str:
    letters = string.ascii_letters + string.digits + "-_"
    return "".join(rng.choice(list(letters), 11))
