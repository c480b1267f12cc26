"""The settings of `stvit-video demo`; the recipes in `configs/demo` are the same."""

from pathlib import Path

from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, TrainConfig
from stvit_video.settings.views import ViewConfig

SEMANTIC = "4x2x2@2"


def demo_settings(data_dir: Path, *, semantic: str | None, epochs: int, seed: int) -> RunConfig:
    """Return the training of the dense model, or of the one with semantic tokens."""
    return RunConfig(
        model=ModelConfig(name="demo_tiny", semantic=semantic, frame_stride=2),
        data=DataConfig(train=data_dir / "train", val=data_dir / "val", num_workers=1),
        augmentation=AugmentationConfig(
            crop="scale_jitter", scale_jitter=(1.0, 1.1), flip=0.0, label_smoothing=0.1
        ),
        views=ViewConfig(num_clips=2, num_crops=3),
        optimizer=OptimizerConfig(lr=1e-3, warmup_epochs=1.5, clip_grad_norm=1.0),
        train=TrainConfig(epochs=epochs, batch_size=32, devices="cpu", seed=seed),
    )
