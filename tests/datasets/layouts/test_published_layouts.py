"""Jester, Something-Something V1, Diving48, Moments, Charades, EPIC, as they are published."""

import json

import pytest

from stvit_video.datasets.layouts.stretches import WHOLE, Stretch
from stvit_video.datasets.layouts.table import LAYOUTS, Source
from stvit_video.errors import DatasetError, MissingFileError

CHARADES = "id,subject,actions,length\n"
EPIC = "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"


def find(tmp_path, layout, name, files=(), labels=None):
    """Read annotation `name`; `files` are the videos, empty."""
    for file in files:
        (tmp_path / "videos" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / file).touch()
    (tmp_path / "videos").mkdir(exist_ok=True)
    return LAYOUTS[layout](
        Source(
            layout=layout,
            root=tmp_path / "videos",
            annotations=tmp_path / name,
            labels=labels,
            split="",
        )
    )


def refusal(tmp_path, layout, name, **settings):
    with pytest.raises((DatasetError, MissingFileError)) as error:
        find(tmp_path, layout, name, **settings)
    assert "\n" not in str(error.value)
    return str(error.value).replace(f"{tmp_path}/", "")


def told(annotated):
    root = "videos"
    return [
        (video.name, video.label, video.path and video.path.as_posix().partition(f"{root}/")[2])
        for video in annotated.videos
    ]


@pytest.mark.parametrize(
    ("layout", "prefix"), [("jester", "jester-v1"), ("ssv1", "something-something-v1")]
)
def test_jester_and_something_something_v1(tmp_path, layout, prefix):
    (tmp_path / f"{prefix}-labels.csv").write_text("Swiping Left\nDrumming Fingers\n")
    (tmp_path / f"{prefix}-train.csv").write_text("34870;Drumming Fingers\n7;Swiping Left\n")
    (tmp_path / f"{prefix}-test.csv").write_text("9\n")
    annotated = find(tmp_path, layout, f"{prefix}-train.csv", ["34870.webm", "in/7.mp4"])
    assert annotated.class_names == ("Swiping Left", "Drumming Fingers")
    assert told(annotated) == [("34870", 1, "34870.webm"), ("7", 0, "in/7.mp4")]
    assert told(find(tmp_path, layout, f"{prefix}-test.csv")) == [("9", -1, None)]


def test_what_is_wrong_with_jester_is_told(tmp_path):
    (tmp_path / "jester-v1-train.csv").write_text("1;Swiping Left\n")
    assert refusal(tmp_path, "jester", "jester-v1-train.csv") == (
        "no jester-v1-labels.csv beside jester-v1-train.csv; give it with --labels"
    )
    (tmp_path / "jester-v1-labels.csv").write_text("Swiping Left\n")
    (tmp_path / "videos" / "1").mkdir(parents=True)
    assert refusal(tmp_path, "jester", "jester-v1-train.csv") == (
        "videos holds folders of pictures, '1' the first; make a video of each before, as its card"
        " in data/cards says"
    )
    (tmp_path / "jester-v1-train.csv").write_text("1;Swiping Right\n")
    assert refusal(tmp_path, "jester", "jester-v1-train.csv") == (
        "jester-v1-train.csv line 1: label 'Swiping Right' is none of the 1 classes; did you mean"
        " 'Swiping Left'?"
    )
    (tmp_path / "jester-v1-train.csv").write_text("path,label\n")
    assert refusal(tmp_path, "jester", "jester-v1-train.csv") == (
        "jester-v1-train.csv line 1: 'path,label' is no id; expected lines such as 34870;Drumming"
    )


def test_diving48(tmp_path):
    vocabulary = [["Back", "15som", "05Twis", "FREE"], ["Forward", "1som", "NoTwis", "PIKE"]]
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps(vocabulary))
    record = {"vid_name": "_8Vy3dlHg2w_00000", "label": 1, "start_frame": 0, "end_frame": 158}
    records = [record, {"vid_name": "x_00001", "label": 0}]
    (tmp_path / "Diving48_V2_train.json").write_text(json.dumps(records))
    annotated = find(tmp_path, "diving48", "Diving48_V2_train.json", ["_8Vy3dlHg2w_00000.mp4"])
    assert annotated.class_names == ("Back+15som+05Twis+FREE", "Forward+1som+NoTwis+PIKE")
    assert told(annotated) == [
        ("_8Vy3dlHg2w_00000", 1, "_8Vy3dlHg2w_00000.mp4"),
        ("x_00001", 0, None),
    ]
    assert [video.stretch for video in annotated.videos] == [Stretch(0, 158), WHOLE]
    (tmp_path / "Diving48_V2_train.json").write_text(json.dumps([record | {"label": 2}]))
    assert refusal(tmp_path, "diving48", "Diving48_V2_train.json") == (
        "Diving48_V2_train.json record 0: label (2) outside 0..1"
    )
    (tmp_path / "Diving48_V2_train.json").write_text('[{"id": 3}]')
    assert refusal(tmp_path, "diving48", "Diving48_V2_train.json") == (
        "Diving48_V2_train.json record 0: no vid_name and label; expected those of Diving48"
    )


def test_moments_in_time(tmp_path):
    (tmp_path / "moments_categories.txt").write_text("clapping,1\npraying,0\n")
    (tmp_path / "trainingSet.csv").write_text(
        "clapping/a-b_1.mp4,clapping,3,1\npraying/c.mp4,praying,4,0\n"
    )
    annotated = find(tmp_path, "moments", "trainingSet.csv", ["clapping/a-b_1.mp4"])
    assert annotated.class_names == ("praying", "clapping")
    assert told(annotated) == [
        ("clapping/a-b_1.mp4", 1, "clapping/a-b_1.mp4"),
        ("praying/c.mp4", 0, None),
    ]
    annotated = find(tmp_path, "moments", "trainingSet.csv", ["training/praying/c.mp4"])
    assert told(annotated)[1] == ("praying/c.mp4", 0, "training/praying/c.mp4")
    (tmp_path / "trainingSet.csv").write_text("a.mp4,clapping\n")
    assert refusal(tmp_path, "moments", "trainingSet.csv") == (
        "trainingSet.csv line 1: not a row of Moments in Time; expected class/file,class"
    )
    (tmp_path / "moments_categories.txt").write_text("clapping,1\n")
    assert refusal(tmp_path, "moments", "trainingSet.csv") == (
        "moments_categories.txt must give each of 0..0 once"
    )


def test_charades_has_all_actions_of_a_video(tmp_path):
    (tmp_path / "Charades_v1_classes.txt").write_text(
        "c000 Holding some clothes\nc001 Putting clothes somewhere\nc002 Taking a dish; or two\n"
    )
    (tmp_path / "Charades_v1_train.csv").write_text(
        f'{CHARADES}46GP8,HR43,"c002 0.00 12.60;c000 11.90 21.20;c002 20.00 30.96",30.96\n'
        "N11GT,0,,5\n"
    )
    annotated = find(tmp_path, "charades", "Charades_v1_train.csv", ["46GP8.mp4"])
    assert annotated.class_names[2] == "Taking a dish, or two"
    videos = annotated.manifest()
    assert videos.classes_of(videos.records[0]) == ["Holding some clothes", "Taking a dish, or two"]
    assert told(annotated) == [("46GP8", 0, "46GP8.mp4"), ("N11GT", -1, None)]
    assert annotated.notes == ("each video has all its actions; the times of the 3 are not read",)
    (tmp_path / "Charades_v1_train.csv").write_text(f"{CHARADES}46GP8,0,c009 1 2,3\n")
    assert refusal(tmp_path, "charades", "Charades_v1_train.csv") == (
        "Charades_v1_train.csv line 2: 'c009 1 2' is no action such as c092 11.90 21.20"
    )


@pytest.mark.parametrize(("layout", "label"), [("epic-verbs", 1), ("epic-nouns", 0)])
def test_epic_kitchens_reads_stretches(tmp_path, layout, label):
    (tmp_path / "EPIC_100_verb_classes.csv").write_text("id,key,instances\n0,take,x\n1,put,x\n")
    (tmp_path / "EPIC_100_noun_classes.csv").write_text('id,key,instances\n0,"tap",x\n1,plate,x\n')
    (tmp_path / "EPIC_100_train.csv").write_text(
        f"{EPIC}P01_01_0,P01_01,00:00:00.14,00:00:03.37,1,0\n"
        "P01_02_9,P01_02,01:00:01.00,01:00:02.50,1,0\n"
    )
    annotated = find(tmp_path, layout, "EPIC_100_train.csv", ["P01/videos/P01_01.MP4"])
    assert told(annotated) == [
        ("P01_01_0", label, "P01/videos/P01_01.MP4"),
        ("P01_02_9", label, None),
    ]
    assert [video.stretch for video in annotated.videos] == [
        Stretch(0.14, 3.37, in_seconds=True),
        Stretch(3601.0, 3602.5, in_seconds=True),
    ]
    (tmp_path / "EPIC_100_train.csv").write_text(f"{EPIC}x,P01_01,0,1,7,7\n")
    assert "_class 7 outside 0..1" in refusal(tmp_path, layout, "EPIC_100_train.csv")
    (tmp_path / "EPIC_100_train.csv").write_text("video_id,label\nP01_01,1\n")
    assert refusal(tmp_path, layout, "EPIC_100_train.csv") == (
        "EPIC_100_train.csv has no column start_timestamp; expected those of EPIC-KITCHENS"
    )
