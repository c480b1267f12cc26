import pytest

from stvit_video.datasets.upkeep.groups import PictureGroups, plan_groups
from stvit_video.errors import ConfigError


@pytest.mark.parametrize(
    ("purpose", "stride", "gop", "groups"),
    [
        ("any", None, None, ("any", 16, 1)),
        ("any", None, 8, ("any", 8, 1)),
        ("segments", None, None, ("segments", 1, 1)),
        ("segments", None, 1, ("segments", 1, 1)),
        ("dense", 1, None, ("any", 16, 1)),
        ("dense", 2, None, ("dense2", 32, 2)),
        ("dense", 4, None, ("dense4", 32, 4)),
        ("dense", 4, 64, ("dense4", 64, 4)),
        ("dense", 6, None, ("dense6", 30, 6)),
        ("dense", 17, None, ("dense17", 17, 17)),
        ("dense", 32, None, ("dense16", 32, 16)),
        ("dense", 38, None, ("dense2", 32, 2)),
    ],
)
def test_a_purpose_chooses_the_groups(purpose, stride, gop, groups):
    assert plan_groups(purpose, stride=stride, gop=gop) == PictureGroups(*groups)


@pytest.mark.parametrize(
    ("purpose", "stride", "gop", "text"),
    [
        ("any", 4, None, "stride (4) is for dense clips; give --for dense with it"),
        ("segments", None, 8, "encode.gop (8) must be 1 for segments; leave it out"),
        (
            "dense",
            None,
            None,
            "stride must be given for dense clips, such as --for dense --stride 4",
        ),
        ("dense", 4, 30, "encode.gop (30) must be a multiple of 4, the step of the clips"),
        (
            "dense",
            19,
            None,
            "stride (19) must be at most 17 or have a divisor from 2 to 17; give --for any",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(purpose, stride, gop, text):
    with pytest.raises(ConfigError) as caught:
        plan_groups(purpose, stride=stride, gop=gop)
    assert str(caught.value) == text
