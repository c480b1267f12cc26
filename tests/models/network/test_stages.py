import pytest

from stvit_video.errors import ConfigError
from stvit_video.models.network.stages import plan_stages
from stvit_video.settings.grammar import parse_semantic
from stvit_video.tokens.grid import Grid


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("4x2x2@1-3", "needs 3 blocks, but ends with block 3; choose 4x2x2@0-3 or 4x2x2@1-4"),
        ("4x2x2@1-2", "needs 3 blocks, but ends with block 2; choose 4x2x2@1-4"),
        ("4x2x2@5-6", "needs 3 blocks, but ends with block 6; choose a block from 0 to 3"),
        ("4x2x2@5", "needs 2 blocks, but ends with block 6; choose a block from 0 to 4"),
        (
            "4x2x2@2,layers=6",
            "needs 6 blocks, but ends with block 6; choose 4x2x2@0,layers=6",
        ),
        (
            "4x2x2@2,layers=7",
            "needs 7 blocks, but ends with block 6; the model has 6 for it, after block 0",
        ),
        (
            "4x2x2@0-3+2x2x2@4-5",
            "needs 3 blocks, but ends with block 5; the model has 3 for it, after block 3",
        ),
    ],
)
def test_a_setting_without_room_is_told_what_fits(text, advice):
    with pytest.raises(ConfigError) as caught:
        plan_stages(parse_semantic(text), depth=6, dim=8, grid=Grid(4, 2, 3))
    assert str(caught.value).split(" and ")[1] == advice
    if "choose 4" in advice:
        for fitting in advice.split("choose ")[1].split(" or "):
            plan_stages(parse_semantic(fitting), depth=6, dim=8, grid=Grid(4, 2, 3))


def test_recovery_without_a_block_needs_one_less_but_not_none():
    def plan(text):
        return plan_stages(parse_semantic(text), depth=6, dim=8, grid=Grid(4, 2, 3))

    assert [run.blocks for run in plan("5@2-3,layers=1,recovery=nearest")] == [
        range(2),
        range(2, 3),
        range(3, 6),
    ]
    with pytest.raises(ConfigError) as caught:
        plan("5@2-3,layers=1")
    assert str(caught.value).split(" and ")[1].startswith("needs 2 blocks, but ends with block 3;")
    with pytest.raises(ConfigError) as caught:
        plan("5@3-3,recovery=nearest")
    assert str(caught.value).split(" and ")[1] == (
        "needs 1 block, but ends with block 3; choose a block from 0 to 2 or 5@3-4,recovery=nearest"
    )
