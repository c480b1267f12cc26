"""Classify one video file, without a `Predictor` to keep."""

from pathlib import Path

from stvit_video.evaluation.prediction import VideoPrediction
from stvit_video.evaluation.predictor import Predictor
from stvit_video.settings.data import Backend
from stvit_video.settings.views import Combine


def predict_video(
    video: str | Path,
    *,
    checkpoint: str | Path,
    num_clips: int | None = None,
    num_crops: int | None = None,
    combine: Combine | None = None,
    top_k: int = 5,
    backend: Backend | None = None,
    device: str = "auto",
) -> VideoPrediction:
    """Classify one video file; for several, load a `Predictor` once.

    Raises:
        MissingFileError: there is no such checkpoint.
        CheckpointError: it holds no model, or weights and card do not agree.
        VideoDecodeError: the file cannot be read.
        ConfigError: a value is out of range, or there is no such device.
    """
    predictor = Predictor.load(
        checkpoint,
        num_clips=num_clips,
        num_crops=num_crops,
        combine=combine,
        backend=backend,
        device=device,
    )
    return predictor.predict(video, top_k=top_k)
