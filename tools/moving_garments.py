"""A motion task of real pictures: Fashion-MNIST garments that move over drifting clutter.

Clips of 8 x 64 x 64 pixels show a garment that moves in one of four directions, slowly or fast;
label = garment x direction x speed, 80 classes. Behind it drift pieces of other garments, and a
smaller garment, the distractor, goes its own way. A clip is a pure function of a row of random
numbers, so that batches are drawn on the GPU without a word to the host.

Legend: B clips, R pictures, T frames, H W pixels, U random numbers a clip, K tiles of clutter.
"""

import gzip
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GARMENTS = (
    *("t-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)
DIRECTIONS = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0)}
"""Direction name -> step along height and width."""
SPEEDS = ("slowly", "fast")
NUM_MOTIONS = len(DIRECTIONS) * len(SPEEDS)
NUM_CLASSES, NUM_FRAMES, SIZE = len(GARMENTS) * NUM_MOTIONS, 8, 64
NUM_VALIDATION = 5000
"""Training pictures that are set aside for every choice."""

_MD5 = {
    "train-images-idx3-ubyte.gz": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte.gz": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte.gz": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte.gz": "15d484375f8d13e6eb1aabb0c3f46965",
}
"""Of what the published files hold; Debian packs the same anew (dataset-fashion-mnist)."""

_PICTURE, _TILE, _TILES_A_SIDE = 28, 16, 6
_DISTRACTOR_SCALE = 0.6


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How hard it is to see what moves where."""

    speeds: tuple[float, float]
    """Pixels a frame, slowly and fast, of which a clip takes 85 to 115 %."""
    clutter: tuple[float, float]
    """Brightness of the clutter, that of garments is 0.6 to 1."""
    drift: float
    """Pixels a frame of the fastest clutter, which goes any way."""


SCENES = {
    "plain": Scene(speeds=(1.0, 2.5), clutter=(0.1, 0.3), drift=0.75),
    "middle": Scene(speeds=(1.0, 2.5), clutter=(0.2, 0.5), drift=1.5),
    "hard": Scene(speeds=(0.75, 1.5), clutter=(0.3, 0.7), drift=2.0),
}


class Pictures(NamedTuple):
    """Garments of 28 x 28 pixels, what they are, and the motions that they may make."""

    pixels: Tensor  # (R, 28, 28) in 0..1
    garment: Tensor  # int64 (R,)
    velocity: Tensor  # (motions, 2), along height and width in pixels a frame
    scene: Scene


def load_pictures(folder: Path, device: torch.device, scene: str) -> dict[str, Pictures]:
    """Read garments by part: `train`, `validation` (5000 of the official training set), `test`.

    Raises:
        SystemExit: a file is missing, or is not the published one.
    """
    whole, test = (_read_pictures(folder, name, SCENES[scene]) for name in ("train", "t10k"))
    order = torch.randperm(len(whole.garment), generator=torch.Generator().manual_seed(0))
    parts = {
        "train": choose(whole, order[NUM_VALIDATION:]),
        "validation": choose(whole, order[:NUM_VALIDATION]),
        "test": test,
    }
    return {
        name: Pictures(*(x.to(device) for x in part[:-1]), scene=part.scene)
        for name, part in parts.items()
    }


def choose(pictures: Pictures, rows: Tensor) -> Pictures:
    """Take some pictures by their numbers."""
    return pictures._replace(pixels=pictures.pixels[rows], garment=pictures.garment[rows])


def _read_pictures(folder: Path, name: str, scene: Scene) -> Pictures:
    pixels = _read(folder / f"{name}-images-idx3-ubyte.gz", header=16)
    garment = _read(folder / f"{name}-labels-idx1-ubyte.gz", header=8)
    velocity = [
        [speed * way for way in direction]
        for direction in DIRECTIONS.values()
        for speed in scene.speeds
    ]
    return Pictures(
        pixels=pixels.view(-1, _PICTURE, _PICTURE) / 255,
        garment=garment.long(),
        velocity=torch.tensor(velocity),
        scene=scene,
    )


def _read(path: Path, *, header: int) -> Tensor:
    """Return the bytes of an idx file behind its header."""
    if not path.exists():
        raise SystemExit(
            f"{path} does not exist; --images must be a folder with the four files of Fashion-MNIST"
            f" ({', '.join(_MD5)}), of github zalandoresearch/fashion-mnist or of Debian's package"
            " dataset-fashion-mnist"
        )
    content = gzip.decompress(path.read_bytes())
    if hashlib.md5(content).hexdigest() != _MD5[path.name]:
        raise SystemExit(f"{path} is not the published file: its content has another MD5")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).copy())


class Draws:
    """Hands out the random numbers of each clip, column by column: (B, U) in 0..1."""

    def __init__(self, numbers: Tensor) -> None:
        self.numbers, self.used = numbers, 0

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """Take numbers (B, *shape) between `low` and `high`."""
        count = math.prod(shape)
        taken = self.numbers[:, self.used : self.used + count]
        self.used += count
        return (low + (high - low) * taken).view(-1, *shape)

    def below(self, stop: int, *shape: int) -> Tensor:
        """Take whole numbers (B, *shape) from 0 to `stop` - 1."""
        return self.between(0, stop, *shape).long().clamp(max=stop - 1)


class Sprite(NamedTuple):
    """Something that moves over the clutter, one a clip."""

    picture: Tensor  # int64 (B,)
    motion: Tensor  # int64 (B,), direction * 2 + speed
    path: Tensor  # (B, T, 2), its centre in pixels
    scale: Tensor  # (B,)
    colour: Tensor  # (B, 3)


NUM_DRAWS = 2 * 9 + 3 * _TILES_A_SIDE**2 + 7
"""U, the random numbers of a clip."""


def draw_clips(pictures: Pictures, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Make clips (B, 3, T, H, W) in 0..1 and labels (B,) of random numbers (B, U) in 0..1."""
    clip, garment, _ = draw_sprites(pictures, numbers)
    return clip, pictures.garment[garment.picture] * NUM_MOTIONS + garment.motion


def draw_sprites(pictures: Pictures, numbers: Tensor) -> tuple[Tensor, Sprite, Sprite]:
    """Make clips (B, 3, T, H, W), and say what moves in them: the garment, and the distractor."""
    draws = Draws(numbers)
    garment, distractor = (_draw_sprite(pictures, draws) for _ in range(2))
    distractor = distractor._replace(scale=distractor.scale * _DISTRACTOR_SCALE)
    clip = _clutter(pictures, draws)
    for sprite in (distractor, garment):
        colour = sprite.colour[:, :, None, None, None]
        light, cover = _paint(pictures, sprite)
        clip = clip * (1 - cover) + colour * light
    return clip, garment, distractor


def sprite_boxes(sprite: Sprite, frame: int) -> Tensor:
    """Return the box of a sprite in a frame, inside it: (B, 4), left, top, right, bottom."""
    middle = sprite.path[:, frame].flip(1)  # (B, 2), along width and height
    half = (_PICTURE / 2 * sprite.scale)[:, None]
    return torch.cat([middle - half, middle + half], dim=1).clamp(0, SIZE)


def _draw_sprite(pictures: Pictures, draws: Draws) -> Sprite:
    picture, motion = draws.below(len(pictures.garment)), draws.below(NUM_MOTIONS)
    scale, hurry = draws.between(0.9, 1.1), draws.between(0.85, 1.15)
    middle = draws.between(18, SIZE - 18, 2)
    colour = draws.between(0.6, 1.0, 3)
    velocity = pictures.velocity[motion] * hurry[:, None]
    return Sprite(picture, motion, _path(middle, velocity), scale, colour)


def _path(middle: Tensor, velocity: Tensor) -> Tensor:
    """Where something is in every frame, (B, T, 2), if halfway it is in the middle (B, 2)."""
    time = torch.arange(NUM_FRAMES, device=middle.device) - (NUM_FRAMES - 1) / 2
    return middle[:, None] + time[:, None] * velocity[:, None]


def _paint(pictures: Pictures, sprite: Sprite) -> tuple[Tensor, Tensor]:
    """Return the light of a sprite, and how far it covers what is behind: (B, 1, T, H, W) each."""
    pixels = pictures.pixels[sprite.picture]  # (B, 28, 28)
    cover = (4 * pixels).clamp(max=1)
    pixel = torch.arange(SIZE, device=pixels.device) + 0.5
    # of the picture, whose sides are at -1 and 1
    place = (pixel - sprite.path[..., None]) * 2 / (_PICTURE * sprite.scale[:, None, None, None])
    painted = _sample(torch.stack([pixels, cover], dim=1), place)
    return painted[:, :1], painted[:, 1:]


def _sample(images: Tensor, place: Tensor) -> Tensor:
    """Read images (B, C, h, w) at rows and columns (B, T, 2, SIZE): -> (B, C, T, H, W)."""
    rows, columns = place[:, :, 0, :, None], place[:, :, 1, None, :]
    grid = torch.stack(torch.broadcast_tensors(columns, rows), dim=-1)  # (B, T, H, W, 2)
    read = F.grid_sample(images, grid.flatten(1, 2), align_corners=False)  # (B, C, T * H, W)
    return read.unflatten(2, (NUM_FRAMES, SIZE))


def _clutter(pictures: Pictures, draws: Draws) -> Tensor:
    """Tiles cut from pictures, which drift together: (B, 3, T, H, W)."""
    num_tiles = _TILES_A_SIDE**2
    picture = draws.below(len(pictures.garment), num_tiles)  # (B, K)
    corner = draws.below(_PICTURE - _TILE + 1, 2, num_tiles)  # (B, 2, K)
    angle, speed = draws.between(0, 2 * math.pi), draws.between(0, pictures.scene.drift)
    middle, colour = draws.between(-8, 8, 2), draws.between(*pictures.scene.clutter, 3)
    inside = torch.arange(_TILE, device=picture.device)
    rows, columns = corner[:, 0, :, None] + inside, corner[:, 1, :, None] + inside  # (B, K, 16)
    tiles = pictures.pixels[picture[..., None, None], rows[..., None], columns[:, :, None]]
    whole = tiles.unflatten(1, (_TILES_A_SIDE, _TILES_A_SIDE)).transpose(2, 3)
    whole = whole.flatten(3, 4).flatten(1, 2)[:, None]  # (B, 1, 96, 96)
    velocity = speed[:, None] * torch.stack([angle.sin(), angle.cos()], dim=1)
    pixel = torch.arange(SIZE, device=picture.device) + 0.5 - SIZE / 2
    place = (pixel - _path(middle, velocity)[..., None]) * 2 / (_TILE * _TILES_A_SIDE)
    return _sample(whole, place) * colour[:, :, None, None, None]


def class_name(label: int) -> str:
    """Name a class, such as `bag moving fast to the left`."""
    garment, motion = divmod(label, NUM_MOTIONS)
    direction, speed = divmod(motion, len(SPEEDS))
    way = list(DIRECTIONS)[direction]
    to = way if way in ("up", "down") else f"to the {way}"
    return f"{GARMENTS[garment]} moving {SPEEDS[speed]} {to}"
