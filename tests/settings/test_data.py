import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.data import AugmentationConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flip": 1.5}, "augmentation.flip (1.5) must be in 0..1"),
        ({"erase": -0.25}, "augmentation.erase (-0.25) must be in 0..1"),
        ({"mixup": -1.0}, "augmentation.mixup (-1.0) must be at least 0"),
        ({"label_smoothing": 1.0},
         "augmentation.label_smoothing (1.0) must be at least 0 and below 1"),
        ({"crop_ratio": (2, 1)},
         "augmentation.crop_ratio (2.0, 1.0) must be the least, then the most"),
        ({"scale_jitter": (256, 320)}, "augmentation.scale_jitter (256.0) must be in 1..8"),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(ConfigError) as error:
        AugmentationConfig(**settings)
    assert str(error.value) == message
