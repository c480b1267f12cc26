import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, TrainConfig
from stvit_video.settings.views import ViewConfig


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: TrainConfig(epochs=0), "train.epochs (0) must be at least 1"),
        (lambda: TrainConfig(batch_size=-3), "train.batch_size (-3) must be at least 1"),
        (lambda: DataConfig(num_workers=-1), "data.num_workers (-1) must be at least 0"),
        (lambda: ViewConfig(num_clips=0), "views.num_clips (0) must be in 1..1000"),
        (lambda: OptimizerConfig(lr=-0.1), "optimizer.lr (-0.1) must be at least 0"),
        (lambda: OptimizerConfig(lr=float("nan")), "optimizer.lr (nan) must be finite"),
        (
            lambda: OptimizerConfig(beta2=1.5),
            "optimizer.beta2 (1.5) must be at least 0 and below 1",
        ),
        (
            lambda: OptimizerConfig(layer_decay=0),
            "optimizer.layer_decay (0.0) must be above 0 and at most 1",
        ),
        (
            lambda: OptimizerConfig(clip_grad_norm=0),
            "optimizer.clip_grad_norm (0.0) must be above 0",
        ),
        (
            lambda: OptimizerConfig(lr=1e-3, min_lr=0.01),
            "optimizer.min_lr (0.01) must be at most optimizer.lr (0.001)",
        ),
        (
            lambda: OptimizerConfig(schedule="step"),
            "optimizer.schedule (step) needs optimizer.milestones: the epochs after which the"
            " learning rate falls, such as [11, 14]",
        ),
        (
            lambda: TrainConfig(batch_size=3, clips_per_video=2),
            "train.batch_size (3) must be a multiple of train.clips_per_video (2): it counts clips",
        ),
        (
            lambda: RunConfig(
                model=ModelConfig(name="x"),
                data=DataConfig(),
                augmentation=AugmentationConfig(cutmix=1.0),
                train=TrainConfig(batch_size=2, clips_per_video=2),
            ),
            "train.batch_size (2) holds one video, and augmentation.mixup and cutmix mix two; raise"
            " it or set both to 0",
        ),
        (lambda: DataConfig(max_failed_share=2), "data.max_failed_share (2.0) must be in 0..1"),
        (lambda: DataConfig(target_fps=0), "data.target_fps (0.0) must be above 0"),
        (lambda: TrainConfig(epochs="3"), "train.epochs (3) must be a whole number at least 1"),
        (lambda: TrainConfig(seed=-1), "train.seed (-1) must be in 0..4294967295"),
        (
            lambda: TrainConfig(precision="fp8"),
            "train.precision (fp8) must be one of 32-true, bf16-mixed, 16-mixed",
        ),
        (
            lambda: AugmentationConfig(crop_area=(1.0, 0.5)),
            "augmentation.crop_area (1.0, 0.5) must be the least, then the most",
        ),
        (
            lambda: AugmentationConfig(crop_area=(0, 0)),
            "augmentation.crop_area (0.0) must be above 0 and at most 1",
        ),
        (
            lambda: AugmentationConfig(rand_augment="rand-m7"),
            "augmentation.rand_augment (rand-m7) must hold inc1",
        ),
        (
            lambda: AugmentationConfig(rand_augment_on="frame"),
            "augmentation.rand_augment_on (frame) needs augmentation.rand_augment, such as"
            " rand-m7-n4-mstd0.5-inc1",
        ),
        (
            lambda: RunConfig(model="demo_tiny", data=DataConfig()),
            "model (demo_tiny) must be a ModelConfig",
        ),
        (
            lambda: RunConfig(
                model=ModelConfig(name="x"),
                data=DataConfig(),
                optimizer=OptimizerConfig(warmup_epochs=100),
                train=TrainConfig(epochs=2),
            ),
            "optimizer.warmup_epochs (100) must be at most train.epochs (2)",
        ),
        (
            lambda: ModelConfig(name="x", drop_path=1.0),
            "model.drop_path (1.0) must be at least 0 and below 1",
        ),
        (
            lambda: ModelConfig(name="x", num_frames=0),
            "model.num_frames (0) must be at least 1",
        ),
        (
            lambda: ModelConfig(name="x", semantic="4x4@2"),
            "semantic setting (4x4@2) must read TxHxW@BLOCK, as in 8x4x4@4:"
            " the semantic grid, and the block after which the tokens are clustered;"
            " or COUNT@BLOCK, as in 64@4",
        ),
    ],
)
def test_a_setting_out_of_range_is_an_error_by_its_dotted_name(build, text):
    with pytest.raises(ConfigError) as caught:
        build()
    assert str(caught.value) == text


def test_views_are_clips_times_crops():
    assert ViewConfig(num_clips=5, num_crops=3).num_views == 15


def test_what_may_be_left_out_may_be_left_out():
    run = RunConfig(model=ModelConfig(name="demo_tiny"), data=DataConfig())
    assert (run.train.seed, run.views.num_views, run.augmentation.flip) == (0, 1, 0.5)


def test_a_short_run_needs_no_word_on_its_warm_up():
    run = RunConfig(
        model=ModelConfig(name="demo_tiny"), data=DataConfig(), train=TrainConfig(epochs=1)
    )
    assert run.optimizer.warmup_epochs is None
