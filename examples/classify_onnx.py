"""Classify videos with a file of `stvit-video export`, by ONNX Runtime, PyAV and NumPy alone.

    pip install av numpy onnxruntime
    python classify_onnx.py model.onnx video.mp4 other.mp4

It needs neither stvit_video nor torch: how clips are cut and scores are made stands in the file.
Copy it, and change what you like.

Legend: R views, V clips, T frames, H W height and width, S of a clip, C colours, K classes.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
from numpy.typing import NDArray

KEY = "stvit_video"
"""Entry of the metadata of the file that holds its card, as JSON."""

Pixels = NDArray[np.uint8]
Card = dict[str, Any]


def main() -> int:
    """Print the best classes of each video; return 2 where one cannot be read."""
    parser = argparse.ArgumentParser(description="Classify videos with an ONNX file.")
    parser.add_argument("model", type=Path, help="file that stvit-video export wrote")
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--num_clips", type=int, help="clips of a video; default as in training")
    parser.add_argument("--num_crops", type=int, choices=(1, 3), help="default as in training")
    parser.add_argument("--top_k", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print a line of JSON a video")
    options = parser.parse_args()
    try:
        session, card = load(options.model)
    except ValueError as error:
        print(f"classify_onnx.py: {error}", file=sys.stderr)
        return 2
    card |= {
        name: value
        for name in ("num_clips", "num_crops")
        if (value := getattr(options, name)) is not None
    }
    status = 0
    for video in options.videos:
        try:
            scores = classify(session, card, video)
        except (OSError, ValueError) as error:  # those of PyAV are among them
            print(f"classify_onnx.py: {shown(str(video))}: {error}", file=sys.stderr)
            status = 2
            continue
        best = scores.argsort()[::-1][: options.top_k]
        names = card["labels"] or [str(index) for index in range(len(scores))]
        if options.json:
            found = [{"label": names[i], "score": float(scores[i])} for i in best]
            print(json.dumps({"video": str(video), "topk": found}))
        else:
            print(shown(str(video)))
            for i in best:
                print(f"  {scores[i]:.4f}  {shown(names[i])}")
    return status


def load(path: Path) -> tuple[onnxruntime.InferenceSession, Card]:
    """Open the file and read what it says of itself."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise ValueError(f"{path} was not written by stvit-video export")
    return session, json.loads(text)


def classify(session: onnxruntime.InferenceSession, card: Card, video: Path) -> NDArray[np.float64]:
    """Score the classes of a video: (K,)."""
    clips = read_clips(video, card)  # uint8 (R, T, S, S, C)
    (logits,) = session.run(None, {card["input_name"]: to_input(clips, card)})
    return combine(logits.astype(np.float64), card)


def read_clips(video: Path, card: Card) -> Pixels:
    """Cut all views out of a video: uint8 (R, T, S, S, C), the crops of a clip side by side."""
    length, fps = count_frames(video)
    indices = choose_frames(length, fps, card)  # V lists of T
    wanted = {index for clip in indices for index in clip}
    frames: dict[int, Pixels] = {}
    for number, frame in enumerate(decode(video)):
        if number in wanted:
            frames[number] = resize_short_side(upright_rgb(frame), card["short_side"])
        if len(frames) == len(wanted):
            break
    crops = range(card["num_crops"])
    return np.stack(
        [
            np.stack([crop(frames[i], place, card) for i in clip])
            for clip in indices
            for place in crops
        ]
    )


def decode(video: Path) -> Iterator[Any]:
    """Yield the pictures of a video in the order in which they are shown."""
    with av.open(f"file:{video.absolute()}") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield from container.decode(stream)


def count_frames(video: Path) -> tuple[int, float]:
    """Count the pictures of a video, and those of a second.

    The rate is that of the header, unless the pictures that are there contradict it.
    """
    with av.open(f"file:{video.absolute()}") as container:
        if not container.streams.video:
            raise ValueError("it holds no video")
        stated = float(container.streams.video[0].average_rate or 0)
    length, first, end = 0, None, 0.0
    for frame in decode(video):
        length += 1
        if frame.time is not None:
            first = frame.time if first is None else first
            end = frame.time + float((frame.duration or 0) * frame.time_base)
    if not length:
        raise ValueError("it holds no pictures")
    measured = length / (end - first) if first is not None and end > first else stated
    return length, stated if abs(stated - measured) <= 0.01 * measured else measured


def upright_rgb(frame: Any) -> Pixels:
    """Make RGB of a picture, turned as players show it: uint8 (H, W, C)."""
    return np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))


def choose_frames(length: int, fps: float, card: Card) -> list[list[int]]:
    """Choose the frames of evenly spaced clips: V lists of T numbers."""
    num_clips, num_frames = card["num_clips"], card["num_frames"]
    if card["sampling"] != "dense":  # one frame of each of T equal parts
        if length < num_frames:
            return [fill_up(list(range(num_frames)), length, card["short_video"])] * num_clips
        if num_clips == 1:
            bounds = [i * length // num_frames for i in range(num_frames + 1)]
            return [[a + (b - a - 1) // 2 for a, b in pairwise(bounds)]]
        parts = num_frames * num_clips
        return [[i * length // parts for i in range(v, parts, num_clips)] for v in range(num_clips)]
    stride = Fraction(card["frame_stride"])
    if card["target_fps"] is not None:
        if fps <= 0:
            raise ValueError("it does not say how many pictures a second it shows")
        stride *= Fraction(fps).limit_denominator(10_000) / Fraction(card["target_fps"])
    offsets = [int(frame * stride) for frame in range(num_frames)]
    last_start = max(length - offsets[-1] - 1, 0)
    starts = [last_start // 2]
    if num_clips > 1:  # rounded, halves up
        starts = [
            (2 * v * last_start + num_clips - 1) // (2 * num_clips - 2) for v in range(num_clips)
        ]
    return [fill_up([start + x for x in offsets], length, card["short_video"]) for start in starts]


def fill_up(clip: list[int], length: int, rule: str) -> list[int]:
    """Say what a clip reads past the end of a video of `length` frames."""
    if rule == "loop":
        return [index % length for index in clip]
    last = length - 1 if rule == "clamp" else max(index for index in clip if index < length)
    return [index if index < length else last for index in clip]


def resize_short_side(frame: Pixels, size: int) -> Pixels:
    """Bring the short side of uint8 (H, W, C) to `size`: bilinear, antialiased.

    The same integers as torchvision, whose `resize` the network was trained with.
    """
    height, width, _ = frame.shape
    if height <= width:
        height, width = size, int(size * width / height)
    else:
        height, width = int(size * height / width), size
    return resize_axis(resize_axis(frame, width, axis=1), height, axis=0)


def resize_axis(frame: Pixels, size: int, *, axis: int) -> Pixels:
    """Resize uint8 (H, W, C) along height or width, in 16-bit weights and whole grey levels."""
    length = frame.shape[axis]
    if length == size:
        return frame
    reach = max(length / size, 1.0)  # pixels on both sides of a centre
    centers = length / size * (np.arange(size) + 0.5)
    first = np.maximum((centers - reach + 0.5).astype(int), 0)
    end = np.minimum((centers + reach + 0.5).astype(int), length)
    pixels = first[:, None] + np.arange((end - first).max())  # (size, taps)
    weights = np.maximum(1 - np.abs(pixels - centers[:, None] + 0.5) / reach, 0)
    weights *= pixels < end[:, None]
    weights /= weights.sum(axis=1, keepdims=True)
    bits = 0
    while bits < 22 and int(0.5 + weights.max() * 2 ** (bits + 1)) < 2**15:
        bits += 1
    whole = (0.5 + weights * 2**bits).astype(np.int32)
    pixels = np.minimum(pixels, length - 1)
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total = np.full((), 1 << (bits - 1), np.int32)
    for tap in range(pixels.shape[1]):
        total = total + frame.take(pixels[:, tap], axis=axis) * whole[:, tap].reshape(shape)
    return (total >> bits).clip(0, 255).astype(np.uint8)


def crop(frame: Pixels, place: int, card: Card) -> Pixels:
    """Cut a square of S pixels: the centre, or one of 3 places along the long side."""
    size = card["image_size"]
    height, width, _ = frame.shape
    along = place if card["num_crops"] == 3 else 1  # half steps
    down, right = (1, along) if height <= width else (along, 1)
    top, left = (height - size) * down // 2, (width - size) * right // 2
    return frame[top : top + size, left : left + size]


def to_input(clips: Pixels, card: Card) -> NDArray[Any]:
    """Make what the network takes of uint8 (R, T, S, S, C)."""
    if card["input_dtype"] == "uint8":
        return clips
    if card["channel_order"] == "bgr":
        clips = clips[..., ::-1]
    mean, std = (np.array(card[name], np.float32) for name in ("mean", "std"))
    pixels = clips * (1 / (255 * std)) - mean / std
    return np.ascontiguousarray(pixels.transpose(0, 4, 1, 2, 3), np.float32)


def combine(logits: NDArray[np.float64], card: Card) -> NDArray[np.float64]:
    """Average the probabilities of the views, or their logits: (R, K) -> (K,)."""
    scores = logits
    if card["combine"] == "mean_probability" and card["scores"] == "sigmoid":
        scores = 1 / (1 + np.exp(-logits))
    elif card["combine"] == "mean_probability":
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
    return np.asarray(scores.mean(axis=0))


def shown(words: str) -> str:
    """Write a name as text: what a terminal would obey becomes a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in words)


if __name__ == "__main__":
    sys.exit(main())
