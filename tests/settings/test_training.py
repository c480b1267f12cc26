import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, TrainConfig
from stvit_video.settings.views import ViewConfig


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: TrainConfig(epochs=0), "train.epochs (0) must be at least 1"),
        (lambda: TrainConfig(batch_size=-3), "train.batch_size (-3) must be at least 1"),
        (lambda: DataConfig(num_workers=-1), "data.num_workers (-1) must be at least 0"),
        (lambda: ViewConfig(num_clips=0), "views.num_clips (0) must be at least 1"),
        (lambda: OptimizerConfig(lr=-0.1), "optimizer.lr (-0.1) must be at least 0"),
        (
            lambda: ModelConfig(name="x", num_frames=0),
            "model.num_frames (0) must be at least 1",
        ),
        (
            lambda: ModelConfig(name="x", semantic="4x4@2"),
            "semantic setting (4x4@2) must read TxHxW@BLOCK, as in 8x4x4@4:"
            " the semantic grid, and the block after which the tokens are clustered",
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
