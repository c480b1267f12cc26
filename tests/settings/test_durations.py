import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("2s", 2.0), ("2", 2.0), ("500ms", 0.5), ("1.5 s", 1.5), (".5s", 0.5), ("2m", 120.0)),
        *(("2min", 120.0), ("1h", 3600.0), ("1:30", 90.0), ("1:02:03.5", 3723.5), ("10ms", 0.01)),
        ("24h", 86400.0),
    ],
)
def test_people_write_durations(text, seconds):
    assert parse_duration("window", text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "9ms", "25h", "-2s", "2x", "two", "1e3", "nan", "inf", "1:2:3:4", "s"]
)
def test_other_words_are_none(text):
    with pytest.raises(ConfigError) as caught:
        parse_duration("stride", text)
    assert str(caught.value) == (
        f"stride ({text}) must be a duration of 10ms to 24h, such as 2s, 500ms or 1:30"
    )
