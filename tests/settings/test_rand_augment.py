import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.rand_augment import RandAugmentSetting, parse_rand_augment


def test_settings_of_rand_augment_are_those_of_timm():
    assert parse_rand_augment("rand-m7-n4-mstd0.5-inc1") == RandAugmentSetting(
        magnitude=7, magnitude_std=0.5, num_operations=4, probability=0.5
    )
    for text in ("m7-n4", "rand-m7-x3-inc1", "rand-mseven-inc1", "rand-m7-inc1-tweights"):
        with pytest.raises(ConfigError) as error:
            parse_rand_augment(text)
        assert str(error.value) == (
            f"augmentation.rand_augment ({text}) must read like rand-m7-n4-mstd0.5-inc1"
        )
    with pytest.raises(ConfigError) as error:
        parse_rand_augment("rand-m7-n4")
    assert str(error.value) == "augmentation.rand_augment (rand-m7-n4) must hold inc1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rand-n0-inc1", "augmentation.rand_augment.num_operations (0) must be at least 1"),
        ("rand-p3-inc1", "augmentation.rand_augment.probability (3.0) must be in 0..1"),
    ],
)
def test_a_part_out_of_range_is_named(text, message):
    with pytest.raises(ConfigError) as error:
        parse_rand_augment(text)
    assert str(error.value) == message
