"""Lists that were misread: each is read as it is meant, or refused in one line."""

import csv

import pytest

from stvit_video.datasets.layouts.stretches import WHOLE, Stretch
from stvit_video.datasets.layouts.table import LAYOUTS, Source, run_manifest
from stvit_video.datasets.manifest import read_manifest
from stvit_video.errors import ConfigError, DatasetError, MissingFileError


def found(tmp_path, text, layout="list", name="list.txt", labels=None, root=None):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    names = None
    if labels is not None:
        names = tmp_path / "names.txt"
        names.write_text("".join(f"{label}\n" for label in labels))
    source = Source(layout=layout, root=root or tmp_path, annotations=path, labels=names, split="")
    return LAYOUTS[layout](source)


def refusal(tmp_path, text, **settings):
    with pytest.raises(DatasetError) as error:
        found(tmp_path, text, **settings)
    message = str(error.value)
    assert "\n" not in message
    return message.replace(str(tmp_path / settings.get("name", "list.txt")), "LIST")


def labels_of(annotated):
    return {video.name: video.label for video in annotated.videos}


def test_numbers_stay_numbers_and_minus_one_is_unlabelled(tmp_path):
    annotated = found(tmp_path, "clip.mp4 -1\nv.avi 2\nx.mp4 10\n")
    assert labels_of(annotated) == {"clip.mp4": -1, "v.avi": 2, "x.mp4": 10}
    assert annotated.class_names == tuple(map(str, range(11)))
    assert annotated.notes == ("read as path, label; 3 rows, 11 classes",)


def test_labels_of_pandas_are_numbers_too(tmp_path):
    annotated = found(tmp_path, "path,label\na.mp4,1.0\nb.mp4,\nc.mp4,0.\n")
    assert labels_of(annotated) == {"a.mp4": 1, "b.mp4": -1, "c.mp4": 0}
    assert annotated.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a.mp4 1\nb.mp4 run\n",
            "LIST line 2: label (run) is a name, but 1 above is a number; write all labels alike",
        ),
        (
            "a.mp4 run\nb.mp4 3\n",
            "LIST line 2: label (3) is a number, but run above is a name; write all labels alike",
        ),
        (
            "a.mp4 -2\n",
            "LIST line 1: label (-2) must be -1, where it is not known, or the index of a class,"
            " below 100000 where --labels does not say how many there are",
        ),
        (
            "a.mp4 0\nb.mp4 99999999999\n",
            "LIST line 2: label (99999999999) must be -1, where it is not known, or the index of a"
            " class, below 100000 where --labels does not say how many there are",
        ),
        (
            "test.mp4 0 3\n",
            "LIST line 1: num_frames (0) must be at least 1; where both numbers are labels, read it"
            " as multi-label-list",
        ),
        (
            "clip.mp4 0 300 17\n",
            "LIST line 1: label (300 17) must be one number or one name; keep one label a video,"
            " and one separator between all fields, read it as multi-label-list, or name the"
            " columns in a header such as path,start_frame,end_frame,label",
        ),
        (
            "clip,kind\na.mp4,3\nb.mp4,4\n",
            "LIST begins with 'clip,kind', which names no video and no column; call the"
            " columns path, label, num_frames, start_frame, end_frame, start_seconds, end_seconds",
        ),
        (
            "0,a.mp4,3\n1,b.mp4,4\n",
            "LIST begins each line with its number; write it without an index column (pandas:"
            " index=False), or with a header such as id,path,label",
        ),
        (
            "path,label,class_name\na.mp4,3,run\n",
            "LIST has several columns that could be the label; keep one of label, class,"
            " class_name, class_id, label_id, category, action, y, target, label_name, labels",
        ),
        (
            "path,label,start,end\na.mp4,3,1,2\n",
            "LIST has the column 'start', which could be seconds or frames; call it start_seconds"
            " or start_frame",
        ),
        (
            "path,label,start_frame,end_frame\na.mp4,3,20,20\n",
            "LIST line 2: the stretch ends (20) where it begins (20)",
        ),
        (
            "path,label,start_frame,end_sec\na.mp4,3,20,30\n",
            "LIST line 2: the stretch is in frames and in seconds; keep one of them",
        ),
        (
            "path,label,start_frame\na.mp4,3,2.5\n",
            "LIST line 2: start_frame (2.5) must be a number of at least 0",
        ),
        (
            "path,label,start_time\na.mp4,3,soon\n",
            "LIST line 2: start_seconds (soon) must be a number of at least 0",
        ),
        (
            "path,frames,label,split\na.mp4,many,3,x\n",
            "LIST line 2: num_frames (many) must be a whole number",
        ),
        ("# nothing yet\n", "LIST names no videos, only comments"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, text, message):
    assert refusal(tmp_path, text) == message


def test_comments_are_left_out_and_may_name_the_columns(tmp_path):
    annotated = found(tmp_path, "# path label\na.mp4 3\n# the rest is new\nb.mp4 0\n")
    assert labels_of(annotated) == {"a.mp4": 3, "b.mp4": 0}
    assert annotated.notes == (
        "read as path, label; 2 rows, 4 classes",
        "1 line that begin with # left out",
    )


def test_columns_without_use_are_named(tmp_path):
    annotated = found(tmp_path, ",path,split,label\n0,a.mp4,val,2\n1,b.mp4,val,0\n")
    assert labels_of(annotated) == {"a.mp4": 2, "b.mp4": 0}
    assert annotated.notes[1] == "columns that are not read: one without a name, split"


def test_stretches_are_kept_apart(tmp_path):
    annotated = found(
        tmp_path,
        "video_path,label,start_frame,end_frame\na.mp4,1,0,30\na.mp4,0,30,90\nb.mp4,1,,\n",
    )
    assert [(video.name, video.label, video.stretch) for video in annotated.videos] == [
        ("a.mp4", 1, Stretch(0, 30)),
        ("a.mp4", 0, Stretch(30, 90)),
        ("b.mp4", 1, WHOLE),
    ]
    times = found(tmp_path, "path,label,start_time,end_time\na.mp4,1,00:01:02.5,65\n")
    assert times.videos[0].stretch == Stretch(62.5, 65.0, in_seconds=True)


def test_rows_that_repeat_a_video_are_counted(tmp_path):
    annotated = found(tmp_path, "a.mp4 1\nb.mp4 0\na.mp4 0\na.mp4 1\nb.mp4 1\n")
    assert labels_of(annotated) == {"a.mp4": 1, "b.mp4": 0}
    assert annotated.notes[1:] == (
        f"2 rows repeat a video with another label; the first: {tmp_path / 'list.txt'} line 3",
        f"1 row repeats a video with the same label; the first: {tmp_path / 'list.txt'} line 4",
    )


def test_backslashes_and_other_suffixes(tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("run/a.mp4", "b.webm"):
        (tmp_path / name).touch()
    annotated = found(tmp_path, "run\\a.mp4 1\nb.mp4 0\n")
    assert [video.path for video in annotated.videos] == [tmp_path / "run" / "a.mp4", None]
    assert annotated.notes[1:] == (
        "paths with backslashes, read as slashes: 1; the first: run\\a.mp4",
        "missing, but there with another suffix: 1, such as b.webm for b.mp4; write the list with"
        " those names",
    )


def test_a_path_that_no_disk_takes_is_missing(tmp_path):
    annotated = found(tmp_path, f"{'x' * 5000}.mp4 1\na\0b.mp4 0\n")
    assert [video.path for video in annotated.videos] == [None, None]


@pytest.mark.parametrize(
    "text",
    [
        '[{"video": "a.mp4", "label": 2}, {"video": "b.mp4", "label": null}]',
        '[["a.mp4", 2], ["b.mp4", -1]]',
        '{"a.mp4": 2.0, "b.mp4": "-1"}',
        '{"path": "a.mp4", "class_id": 2}\n{"path": "b.mp4", "class_id": ""}\n',
    ],
)
def test_lists_in_json(tmp_path, text):
    annotated = found(tmp_path, text, name="list.json")
    assert labels_of(annotated) == {"a.mp4": 2, "b.mp4": -1}
    assert annotated.notes == ("read as path, label; 2 rows, 3 classes",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[{"id": "1", "template": "x"}]',
            "LIST record 0 has 'template'; read it as ssv2 (Something-Something)",
        ),
        (
            '[{"vid_name": "x", "label": 1}]',
            "LIST record 0 has 'vid_name'; read it as diving48",
        ),
        (
            '{"x": {"annotations": {"label": "run"}}}',
            'LIST record 0: label ({"annotations": {"label": "run"}}) must be one number or one'
            " text; a list with several labels a video is written as lines and read as"
            " multi-label-list",
        ),
        ('{"database": {}}', "LIST has 'database'; no layout reads lists of ActivityNet"),
        ('[{"url": "a.mp4", "label": 1}]', "LIST record 0 has 'url', 'label'; one must be one of"),
        ('[{"path": "a.mp4", "label": [1, 2]}]', "LIST record 0: label ([1, 2]) must be one numb"),
        ('[{"path": "a.mp4", "label": true}]', "LIST record 0: label (true) must be one number"),
        ('[{"video": "a.mp4", "path": "b.mp4"}]', "LIST record 0 has several values that could"),
        ("[3]", "LIST record 0 must be a record with video and label, or a pair of both"),
        ("[]", "LIST must be a list of records with video and label, and hold one"),
        ('[{"path": "a.mp4"', "LIST begins as JSON, but is none: "),
        ("[" * 100_000, "LIST begins as JSON, but is none: "),
    ],
)
def test_json_of_another_kind_is_named(tmp_path, text, message):
    assert refusal(tmp_path, text, name="list.json").startswith(message)


def write_manifest(tmp_path, layout, annotations, *, num_workers=1, labels=None):
    return run_manifest(
        layout,
        tmp_path,
        output=tmp_path / "out.csv",
        annotations=annotations,
        labels=labels,
        split="",
        num_workers=num_workers,
    )


def test_seconds_become_frames_of_the_file(tmp_path, write_numbered):
    write_numbered(tmp_path / "a.mp4", num_frames=40, fps=10)
    listing = tmp_path / "list.csv"
    listing.write_text("path,label,start_sec,end_sec\na.mp4,0,0.5,2.04\na.mp4,1,2,\n")
    with pytest.raises(ConfigError, match=r"num_workers \(0\) opens no file, but the stretches"):
        write_manifest(tmp_path, "list", listing, num_workers=0)
    write_manifest(tmp_path, "list", listing)
    records = read_manifest(tmp_path / "out.csv").records
    assert [(record.start_frame, record.end_frame) for record in records] == [(5, 20), (20, -1)]
    with (tmp_path / "out.csv").open() as file:
        assert next(csv.reader(file))[-2:] == ["start_frame", "end_frame"]


def test_names_of_another_data_set_are_noticed(tmp_path, write_numbered):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"class {i}\n" for i in range(600)))
    listing = tmp_path / "train.csv"
    listing.write_text(
        "label,youtube_id,time_start,time_end,split\nclass 3,-0zsbcR2fRk,0,10,train\n"
    )
    write_numbered(tmp_path / "-0zsbcR2fRk_000000_000010.mp4", num_frames=4)
    with pytest.raises(DatasetError) as error:
        write_manifest(tmp_path, "kinetics700", listing, labels=names)
    assert str(error.value) == (
        "layout kinetics700 has 700 classes, but the names are 600, as those of kinetics600; give"
        " its own with --labels"
    )
    names.write_text("".join(f"class {i}\n" for i in range(20)))
    summary = write_manifest(tmp_path, "kinetics700", listing, labels=names)
    assert summary.notes == ["20 classes are named, kinetics700 has 700"]


def test_a_folder_in_place_of_a_list_is_told(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "trainlist01.txt").touch()
    with pytest.raises(DatasetError) as error:
        write_manifest(tmp_path, "ucf101", tmp_path / "lists")
    assert str(error.value) == (
        f"annotation file {tmp_path / 'lists'} is a folder; give one of its files: trainlist01.txt"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,labels\na.mp4,1\n", "has the column 'labels', which a manifest calls 'label'; turn"),
        (
            "path,label,start\na.mp4,1,2\n",
            "has the column 'start', which a manifest calls 'start_f",
        ),
        ("path,label,length\na.mp4,1,2\n", None),
        ("path,label,time_start\na.mp4,1,2\n", "has the column 'time_start', which a manifest c"),
        ("path,label\na.mp4,0\nb.mp4,99999999\n", "has the label 99999999; it must be -1, where"),
        ("path,label\na.mp4,-3\n", "has the label -3; it must be -1, where it is not known, or"),
    ],
)
def test_manifests_by_hand(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    if message is None:
        assert len(read_manifest(tmp_path / "m.csv").records) == 1
        return
    with pytest.raises(DatasetError) as error:
        read_manifest(tmp_path / "m.csv")
    assert str(error.value).startswith(f"manifest {tmp_path / 'm.csv'} {message}")


def test_a_manifest_by_hand_keeps_numbers_and_minus_one(tmp_path):
    (tmp_path / "m.csv").write_text("path,label\nclip.mp4,-1\nv.mp4,2\nx.mp4,10.0\n")
    videos = read_manifest(tmp_path / "m.csv")
    assert [record.label for record in videos.records] == [-1, 2, 10]
    assert videos.num_classes == 11


LONG = "x" * 200_000


@pytest.mark.parametrize(
    ("layout", "name", "text", "message"),
    [
        (
            "list",
            "l.csv",
            f"path,split,label\na.mp4,{LONG},3\n",
            "line 2 is no CSV: field larger th",
        ),
        (
            "kinetics400",
            "k.csv",
            f"label,youtube_id,time_start,time_end,split\n{LONG},-0zsbcR2fRk,0,10,train\n",
            "is no CSV: field larger than field limit",
        ),
        (
            "kinetics400",
            "k.csv",
            "label,youtube_id,time_start,time_end,split\nyoga,-0zsbcR2fRk,1e400,10,train\n",
            "line 2: not a row of Kinetics",
        ),
        ("ssv2", "s.json", "[" * 100_000, "s.json is no JSON: "),
        ("diving48", "d.json", "[" * 100_000, "Diving48_vocab.json"),
        ("charades", "c.csv", f"id,actions\n{LONG},\n", "Charades_v1_classes.txt"),
    ],
)
def test_what_no_list_holds_is_one_line(tmp_path, layout, name, text, message):
    (tmp_path / "labels.json").write_text('{"Holding something": "0"}')
    with pytest.raises((DatasetError, MissingFileError), match=message) as error:
        found(tmp_path, text, layout=layout, name=name)
    assert "\n" not in str(error.value)


def test_a_long_path_in_a_list_of_several_labels_is_missing(tmp_path):
    annotated = found(tmp_path, f"{LONG}.mp4 1 2\n", layout="multi-label-list")
    assert annotated.videos[0].path is None


def test_a_fault_behind_a_field_that_no_reader_takes_is_told(tmp_path):
    (tmp_path / "m.csv").write_text(f"path,label,num_frames\n{LONG},0,3\na.mp4,0,many\n")
    with pytest.raises(DatasetError, match=r"m\.csv line \d: num_frames \(many\) must be a number"):
        read_manifest(tmp_path / "m.csv")
