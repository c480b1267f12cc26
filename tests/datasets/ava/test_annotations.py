"""AVA's files: boxes, label maps, detected persons, excluded key frames."""

import numpy as np
import pytest

from stvit_video.datasets.ava.annotations import (
    check_films,
    read_actions,
    read_excluded,
    read_persons,
)
from stvit_video.datasets.ava.label_map import ActionLabels, columns_of, read_label_map
from stvit_video.errors import DatasetError

LABELS = ActionLabels(("bend", "stand", "walk"), (1, 12, 14))


@pytest.fixture
def written(tmp_path):
    def write(text, name="ava.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_rows_of_one_box_are_one_person_with_several_actions(written):
    path = written(
        "zebra,0902,0.1,0.2,0.3,0.4,12,7\n"
        "zebra,902.0,0.1,0.2,0.3,0.4,1,7\n"
        "zebra,0902,0.1,0.2,0.3,0.4,1,7\n"
        "zebra,0902,0.5,0.2,0.9,0.4,14,8\n"
        "zebra,0903,,,,,,\n"
        "ape,0904.5,0,0,1,1,5,1\n"
        "ape,0901\n"
    )
    found = read_actions(path, LABELS)
    assert found.keys() == [("zebra", 902), ("zebra", 903), ("ape", 901), ("ape", 904.5)]
    assert found.boxes_of(0) == slice(0, 2)
    np.testing.assert_allclose(found.boxes[:2], [[0.1, 0.2, 0.3, 0.4], [0.5, 0.2, 0.9, 0.4]])
    assert found.targets(slice(0, 2), num_classes=3).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert found.boxes_of(1) == found.boxes_of(2) == slice(2, 2)
    assert found.targets(found.boxes_of(3), num_classes=3).tolist() == [[0, 0, 0]]  # not measured
    assert found.scores.tolist() == [1, 1, 1]


def test_parts_of_the_key_frames_keep_their_boxes(written):
    path = written(
        "a,1,0,0,.5,.5,1,0\nb,2\nc,3,0,0,.5,1,12,0\nc,3,.5,0,1,1,14,1\nd,4,0,0,1,1,12,1\n"
    )
    found = read_actions(path, LABELS)
    rest = found.without({("a", 1.0)}).with_boxes()
    assert rest.keys() == [("c", 3), ("d", 4)]
    assert rest.boxes_of(0) == slice(0, 2)
    assert rest.targets(slice(0, 3), num_classes=3).tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_detected_persons_have_scores_and_no_action(written):
    path = written(
        "video_id,second,x1,y1,x2,y2,action,score\n"
        "f,0902,0.1,0.2,0.3,0.4,,0.95\nf,0902,0.2,0.2,0.3,0.4,12,0.5\n"
        "f,0902,0.1,0.2,0.3,0.4,14,0.95\nf,0903,-0.001,0.2,1.002,0.4,,1\n"
    )
    every = read_persons(path)
    assert every.keys() == [("f", 902), ("f", 903)]
    np.testing.assert_allclose(every.scores, [0.95, 0.5, 1])
    assert every.boxes[2].tolist() == pytest.approx([0, 0.2, 1, 0.4])
    assert not len(every.label_box)
    best = read_persons(path, threshold=0.95)
    assert np.diff(best.box_starts).tolist() == [1, 1]


def test_excluded_key_frames_are_named_by_film_and_second(written):
    assert read_excluded(written("a,0902\nb,1000.0\n")) == {("a", 902.0), ("b", 1000.0)}


BAD = {
    "f,902,0.1,0.2,0.3,0.4,12,0\nf,902,0.1,0.2,1.3,0.4,12,0": "line 2: x2 (1.3) must be in 0..1",
    "f,902,0.3,0.2,0.3,0.4,12,0": "line 1: x2 (0.3) must be above x1",
    "f,902,0.1,0.5,0.3,0.4,12,0": "line 1: y2 (0.4) must be above y1",
    "f,902,0.1,0.2,,0.4,12,0": "line 1: x2 (nan) must be in 0..1",
    "f,902,0.1,0.2,0.3,0.4,15,0": "line 1: action_id (15) must be a whole number in 1..14",
    "f,902,0.1,0.2,0.3,0.4,1.5,0": "line 1: action_id (1.5) must be a whole number in 1..14",
    "f,902,0.1,0.2,0.3,0.4,,0": "line 1: action_id (nan) must be a whole number",
    "f,902,,,,,12,0": "line 1: action_id (12) has no box",
    "f,902,0.1,0.2,0.3,0.4,12,0.5": "line 1: person_id (0.5) must be a whole number; scores are",
    "f,902,0.1,0.2,0.3,0.4,12,0\n\nf,902,a,0.2,0.3,0.4,12,0": "line 3: x1 (a) must be a number",
    "f,-3,0.1,0.2,0.3,0.4,12,0": "line 1: second (-3) must be a number from 0",
    "f,902,0.1": "line 1: 3 columns, but a row must be video_id,second,x1,y1,x2,y2,action_id",
    "": "holds no rows; each must be video_id",
    "video_id,second,x1,y1,x2,y2,action_id,person_id": "holds no rows",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_a_bad_row_is_named_with_its_line_and_the_rule(written, text):
    path = written(text)
    with pytest.raises(DatasetError) as refused:
        read_actions(path, LABELS)
    assert str(refused.value).startswith(f"{path} ")
    assert BAD[text] in str(refused.value)


def test_persons_need_a_score_within_0_and_1(written):
    for row, shown in (("f,1,0,0,1,1,,1.5", "1.5"), ("f,1,0,0,1,1,", "nan")):
        with pytest.raises(DatasetError, match=rf"line 1: score \({shown}\) must be in 0..1"):
            read_persons(written(row))


def test_films_without_a_file_are_counted(written):
    path = written("a,1,0,0,1,1,1,0\nb,1,0,0,1,1,1,0\n")
    found = read_actions(path, LABELS)
    with pytest.raises(DatasetError, match=r"names 'b'.*\(1 of 2 films are missing\)"):
        check_films(found, {"a"}, place=path, folder=path.parent)


def test_both_spellings_of_a_label_map_are_read(written):
    items = 'item {\n  name: "bend/bow (at the waist)"\n  id: 3\n}\nitem { id: 1 name: "id: 7" }\n'
    found = read_label_map(written(items, "map.pbtxt"))
    assert found == (("id: 7", "bend/bow (at the waist)"), (1, 3))
    spelled = 'label {\n  name: "stand"\n  label_id: 12\n  label_type: PERSON_MOVEMENT\n}\n'
    assert read_label_map(written(spelled, "map.pbtxt")) == (("stand",), (12,))


def test_a_bad_label_map_is_refused(written):
    for text, said in {
        "stand\nwalk\n": "names no actions; it must hold entries",
        'item { name: "a" id: 0 }': "id (0) must be a whole number from 1",
        'item { name: "a" }': "entry 1 must have a name in quotes and an id",
        'item { name: "a" id: 1 } item { name: "b" id: 1 }': "has the id 1 twice",
        'item { name: "a" id: 1 } item { name: "a" id: 2 }': "has the name 'a' twice",
    }.items():
        with pytest.raises(DatasetError) as refused:
            read_label_map(written(text, "map.pbtxt"))
        assert said in str(refused.value)


def test_measured_actions_stand_among_those_of_a_model():
    known = ("bend", "sit", "stand", "walk")
    assert columns_of(LABELS, known, place="map") == [0, 2, 3]
    with pytest.raises(DatasetError, match=r"map has the action 'bend'.*; did you mean 'bends'"):
        columns_of(LABELS, ("bends", "stand", "walk"), place="map")
