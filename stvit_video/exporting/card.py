"""What an exported file says of itself: all that a program needs to know that has only the file."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Literal

import torch

from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.data import DataConfig, SamplingKind, ShortVideo
from stvit_video.settings.export import ExportInput
from stvit_video.settings.views import Combine, ViewConfig

INPUT_NAME, OUTPUT_NAME = "clips", "logits"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportCard:
    """How to cut clips out of a video, what to feed, and what comes out.

    Flat and of plain values: it is read by programs that know nothing of this package.
    """

    format: str = "stvit-video export 1"
    model: str
    """Name in the registry."""
    semantic: str | None
    reduction: str | None
    license: str
    """Of the weights."""
    stvit_video: str
    """Version that wrote the file."""
    torch: str
    opset: int | None
    """Of ONNX; None for other formats."""

    input_name: str = INPUT_NAME
    input_dtype: ExportInput
    """uint8 clips are normalised inside; float32 ones come normalised, by the fields below."""
    input_axes: str
    """B clips, T frames, H height, W width, C colours."""
    input_shape: tuple[int | str, ...]
    """Names stand for axes of any length."""
    frames_multiple: int | None
    """Where frames are dynamic, what their number is a multiple of; None where it is fixed."""
    mean: tuple[float, float, float]
    """Per channel, for values in 0..1, in `channel_order`."""
    std: tuple[float, float, float]
    channel_order: Literal["rgb", "bgr"]
    """That of the weights: uint8 clips are RGB all the same, float32 ones have it already."""

    sampling: SamplingKind
    num_frames: int
    frame_stride: int
    target_fps: float | None
    short_video: ShortVideo
    short_side: int
    """Pixels of the short side of a frame before it is cropped."""
    image_size: int
    """Pixels of a side of a crop."""
    resize: str = "uint8, bilinear, antialiased"
    num_clips: int
    """Clips of a video in the settings of the training; any number can be averaged."""
    num_crops: int
    """The same: 1 is the centre, 3 both ends of the long side and the centre."""

    output_name: str = OUTPUT_NAME
    scores: Literal["softmax", "sigmoid"]
    """What makes probabilities of the logits."""
    combine: Combine
    """Whether the probabilities of the views of a video are averaged, or their logits."""
    num_classes: int
    labels: tuple[str, ...]
    """Class names by index; empty when unknown."""

    def as_json(self) -> str:
        """Write as JSON, in ASCII."""
        return json.dumps(asdict(self))


def describe_export(
    model: VideoModel,
    data: DataConfig,
    views: ViewConfig,
    *,
    input_dtype: ExportInput,
    frames_multiple: int | None = None,
    opset: int | None = None,
) -> ExportCard:
    """Say what a file made of `model` takes and gives, and how `data` and `views` cut its clips."""
    preprocessing, recipe = model.preprocessing, model.recipe
    size = preprocessing.image_size
    frames = preprocessing.num_frames if frames_multiple is None else "frames"
    axes = {"uint8": "BTHWC", "float32": "BCTHW"}[input_dtype]
    lengths = {"B": "clips", "T": frames, "H": size, "W": size, "C": 3}
    short_side = preprocessing.short_side if views.short_side is None else views.short_side
    options = None if recipe is None else recipe.options
    return ExportCard(
        model=model.name,
        semantic=None if options is None else "+".join(map(str, options.semantic)) or None,
        reduction=None if options is None or options.reducer is None else str(options.reducer),
        license="unknown" if recipe is None else recipe.variant.license,
        stvit_video=version("stvit-video"),
        torch=torch.__version__,
        opset=opset,
        input_dtype=input_dtype,
        input_axes=axes,
        input_shape=tuple(lengths[axis] for axis in axes),
        frames_multiple=frames_multiple,
        mean=preprocessing.mean,
        std=preprocessing.std,
        channel_order=preprocessing.channel_order,
        sampling=data.sampling,
        num_frames=preprocessing.num_frames,
        frame_stride=preprocessing.frame_stride,
        target_fps=data.target_fps,
        short_video=data.short_video,
        short_side=round(short_side * size),
        image_size=size,
        num_clips=views.num_clips,
        num_crops=views.num_crops,
        scores="sigmoid" if model.multi_label else "softmax",
        combine=views.combine,
        num_classes=model.num_classes,
        labels=model.labels,
    )
