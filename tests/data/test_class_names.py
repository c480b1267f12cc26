"""The files of class names: how many, in which order, and read as `--labels` reads them."""

from pathlib import Path

import pytest

from stvit_video.datasets.coco.tiny import coco_categories
from stvit_video.datasets.layouts.class_names import read_class_names
from stvit_video.datasets.layouts.kinetics import kinetics400_class_names

CLASSES = Path(__file__).parents[2] / "data" / "classes"
COUNTS = {
    "kinetics400": 400,
    "kinetics600": 600,
    "kinetics700": 700,
    "something_something_v2": 174,
    "ucf101": 101,
    "hmdb51": 51,
    "something_something_v1": 174,
    "jester": 27,
    "diving48": 48,
    "moments_in_time": 339,
    "coco": 80,
}
UNSORTED = ("something_something_v1", "jester", "moments_in_time", "coco")
PUNCTUATED = {"kinetics400": 10, "kinetics600": 19, "kinetics700": 21}


def test_there_is_a_file_for_each_data_set():
    assert {path.stem for path in CLASSES.iterdir()} == COUNTS.keys()


@pytest.mark.parametrize("name", COUNTS)
def test_names_stand_one_a_line_in_the_official_order(name):
    text = (CLASSES / f"{name}.txt").read_text(encoding="ascii")
    names = read_class_names(CLASSES / f"{name}.txt")
    assert text == "".join(f"{name}\n" for name in names)
    assert len(set(names)) == COUNTS[name]
    key = str.lower if name == "ucf101" else None  # classInd.txt: Hammering before HammerThrow
    assert (list(names) == sorted(names, key=key)) == (name not in UNSORTED)


@pytest.mark.parametrize("name", PUNCTUATED)
def test_names_of_kinetics_keep_their_punctuation(name):
    names = read_class_names(CLASSES / f"{name}.txt")
    assert sum(not name.replace(" ", "").isalpha() for name in names) == PUNCTUATED[name]
    assert "massaging person's head" in names


def test_kinetics400_has_the_names_that_the_package_knows():
    assert read_class_names(CLASSES / "kinetics400.txt") == kinetics400_class_names()


def test_coco_has_the_names_that_the_package_knows():
    assert read_class_names(CLASSES / "coco.txt") == tuple(coco_categories().values())


def test_kinetics700_keeps_all_classes_of_kinetics600_but_three_and_one_in_other_capitals():
    names = [set(read_class_names(CLASSES / f"kinetics{number}.txt")) for number in (600, 700)]
    assert names[0] - names[1] == {
        *("bull fighting", "chopping vegetables", "picking fruit"),
        "passing american football (not in game)",
    }
    assert "passing American football (not in game)" in names[1]


@pytest.mark.parametrize(
    ("index", "name", "mirrored"),
    [
        (86, "Pulling something from left to right", "Pulling something from right to left"),
        (93, "Pushing something from left to right", "Pushing something from right to left"),
        (
            166,
            "Turning the camera left while filming something",
            "Turning the camera right while filming something",
        ),
    ],
)
def test_something_something_has_its_directions_side_by_side(index, name, mirrored):
    names = read_class_names(CLASSES / "something_something_v2.txt")
    assert names[index : index + 2] == (name, mirrored)


def test_ucf101_has_the_numbers_of_its_lists():
    names = read_class_names(CLASSES / "ucf101.txt")
    found = {name: names.index(name) + 1 for name in ("ApplyEyeMakeup", "HammerThrow", "YoYo")}
    assert found == {"ApplyEyeMakeup": 1, "HammerThrow": 36, "YoYo": 101}
    assert names.index("Hammering") + 1 == 35
    assert names.index("JumpingJack") + 1 == 47
