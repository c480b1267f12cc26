import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.grammar import SemanticConfig, parse_semantic


@pytest.mark.parametrize(
    "text",
    [
        "8x4x4@4",
        "8x4x4@4,scope=tube",
        "1x3x7@0-5,pool=learned,layers=3,shortcut=false,use_global=false",
        "4x2x3@1-6+2x2x3@7-12,pool=avg",
        "64@4",
        "64@4-9,recovery=nearest",
        "8x4x4@4,centers=far,scope=tube,layers=2,use_global=true",
    ],
)
def test_a_setting_is_written_as_it_is_read(text):
    assert "+".join(map(str, parse_semantic(text))) == text


def test_words_with_far_centres_have_no_layers_where_they_name_none():
    (setting,) = parse_semantic("64@4")
    assert (setting.grid, setting.centers, setting.layers) == ((1, 1, 64), "far", 0)
    assert not setting.use_global


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("8x4x4@4", "8x4x4@4,centers=far,scope=tube"),
        ("8x4x4@4,layers=1,scope=clip", "8x4x4@4,centers=far,layers=1"),
        ("8x4x4@4,centers=grid", "8x4x4@4"),
        ("8x4x4@4,pool=max", "8x4x4@4"),
        ("64@4", "64@4"),
    ],
)
def test_defaults_fill_in_what_names_neither_centres_nor_pooling(text, read_as):
    defaults = {"centers": "far", "scope": "tube"}
    assert parse_semantic(text, defaults=defaults) == parse_semantic(read_as)


def test_a_setting_says_grid_and_block():
    assert parse_semantic("8x4x5@3-9,scope=frame") == (
        SemanticConfig(grid=(8, 4, 5), after=3, until=9, scope="frame"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "8x4@4",
            "semantic setting (8x4@4) must read TxHxW@BLOCK, as in 8x4x4@4: the semantic grid, and"
            " the block after which the tokens are clustered; or COUNT@BLOCK, as in 64@4",
        ),
        ("0x4x4@4", "semantic.grid (0) must be at least 1"),
        (
            "8x4x4@4,pol=max",
            "unknown semantic option 'pol' in 8x4x4@4,pol=max; known: centers, scope, pool,"
            " layers, shortcut, use_global, recovery; did you mean 'pool'?",
        ),
        (
            "8x4x4@4,scope=tub",
            "semantic.scope (tub) must be one of clip, tube, frame; did you mean 'tube'?",
        ),
        (
            "8x4x4@4,layers=two",
            "semantic option layers=two in 8x4x4@4,layers=two must be a whole number",
        ),
        (
            "8x4x4@4,layers=0",
            "semantic setting 8x4x4@4,layers=0 has layers=0, which needs centers=far",
        ),
        (
            "8x4x4@4-9,recovery=nearest",
            "semantic setting 8x4x4@4-9,recovery=nearest has recovery=nearest, which needs"
            " centers=far",
        ),
        (
            "64@4,recovery=nearest",
            "semantic setting 64@4,recovery=nearest has recovery=nearest, which needs a last block,"
            " as in 64@4-8",
        ),
        ("64@4,pool=avg", "semantic setting 64@4,pool=avg has pool=avg, which needs centers=grid"),
        (
            "64@4,centers=grid",
            "semantic setting (64@4,centers=grid) has centers=grid, so it must read TxHxW@BLOCK",
        ),
        (
            "64@4,centers=fat",
            "semantic.centers (fat) must be one of grid, far; did you mean 'far'?",
        ),
        (
            "8x4x4@4,shortcut=no",
            "semantic option shortcut=no in 8x4x4@4,shortcut=no must be true or false",
        ),
    ],
)
def test_what_is_no_setting_is_an_error(text, message):
    with pytest.raises(ConfigError) as error:
        parse_semantic(text)
    assert str(error.value) == message
