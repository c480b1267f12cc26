import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.grammar import parse_reducer
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.reducers.table import build_reducers, rlt_threshold

GRID = Grid(2, 3, 5)


def build(text, *, depth=12, grid=GRID, num_class_tokens=0):
    setting = parse_reducer(text)
    return build_reducers(setting, depth=depth, grid=grid, num_class_tokens=num_class_tokens)


def test_a_setting_is_read_and_written_in_full():
    assert str(parse_reducer("tome:r=65")) == "tome:r=65,schedule=constant"
    assert str(parse_reducer("rlt")) == "rlt:threshold=0.1"
    assert rlt_threshold(parse_reducer("rlt:threshold=0.25")) == 0.25


def test_tome_merges_until_one_pair_is_left_to_merge():
    steps = build("tome:r=8", depth=5)
    assert {block: step.r for block, step in steps.items()} == {0: 8, 1: 8, 2: 7, 3: 3, 4: 2}


def test_a_class_token_is_no_partner():
    steps = build("tome:r=99", depth=2, grid=Grid(1, 1, 5), num_class_tokens=1)
    assert {block: step.r for block, step in steps.items()} == {0: 2, 1: 1}


def test_shares_follow_the_tokens_that_arrive():
    steps = build("evit:keep=0.7,block=4+7+10", num_class_tokens=1)
    # 30 -> 21 + fused = 22 -> 16 + 1 = 17 -> 12
    assert {block: step.num_kept for block, step in steps.items()} == {3: 21, 6: 16, 9: 12}
    steps = build("random:keep=0.5,block=1+3")
    assert [(len(step.kept), step.num_kept) for step in steps.values()] == [(15, 15), (8, 8)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tomee:r=3",
            "unknown reduction 'tomee'; known: tome, random, average, evit, dpcknn, atc, rlt;"
            " did you mean 'tome'?",
        ),
        (
            "tome:k=3",
            "unknown option 'k' of reduction tome; known: r, schedule",
        ),
        ("tome", "reduction tome must set r, as in tome:r=65"),
        ("random:block=3", "reduction random:block=3 must set keep, as in random:keep=128,block=4"),
        ("tome:r=many", "r (many) of reduction tome must be a number"),
        ("tome:r=3,schedule=up", "tome schedule (up) must be one of constant, decreasing"),
        (
            "random:keep=30",
            "keep (30) of reduction random:keep=30,block=4,seed=0 must be above 0 and below the 30"
            " tokens that arrive",
        ),
        (
            "dpcknn:keep=9,block=13",
            "block (13) of reduction dpcknn:keep=9,block=13,k=5 must be from 1 to 12,"
            " as in block=4+7",
        ),
        ("atc:keep=9,linkage=ward", "atc linkage (ward) must be one of average, complete, single"),
        ("average:grid=2x3", "grid (2x3) of reduction average must read TxHxW"),
        (
            "average:grid=3x3x3",
            "semantic grid 3x3x3 is larger than the token grid 2x3x5 along time: 3 > 2;"
            " choose at most 2",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_rule(text, message):
    with pytest.raises(ConfigError) as raised:
        build(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(("number", "advice"), [(0, "create it with class_token"), (2, "use tome")])
def test_evit_chooses_by_just_one_class_token(number, advice):
    with pytest.raises(ConfigError) as raised:
        build("evit:keep=9", num_class_tokens=number)
    assert str(raised.value) == (
        f"evit chooses by the class token and wants just one, but this model has {number}; {advice}"
    )
