"""Manifests as they are written, read and refused."""

from pathlib import Path

import pytest

from stvit_video.datasets.coverage import missing_path
from stvit_video.datasets.from_settings import read_videos
from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.manifest import (
    Manifest,
    VideoRecord,
    check_labels,
    labels_path,
    read_manifest,
    write_manifest,
)
from stvit_video.errors import DatasetError, MissingFileError


def _error(path, text=None, **settings):
    if text is not None:
        path.write_text(text)
    with pytest.raises((DatasetError, MissingFileError)) as error:
        read_manifest(path, **settings)
    return str(error.value)


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    manifest = Manifest(
        (
            VideoRecord(
                tmp_path / "a b,c.mp4", 1, 250, 29.97, 340, 256, "h264", "closed", "ok", "x"
            ),
            VideoRecord(tmp_path.parent / 'elsewhere "q".webm', 0),
            VideoRecord(tmp_path / "unlabelled.mp4", -1),
        ),
        ("massaging person's head", "petting animal (not cat)"),
    )
    write_manifest(manifest, tmp_path / "train.csv")
    assert read_manifest(tmp_path / "train.csv") == manifest
    lines = (tmp_path / "train.csv").read_text().splitlines()
    assert lines[0] == "path,label,num_frames,fps,width,height,codec,gop,verdict,backend,made_for"
    assert lines[1] == '"a b,c.mp4",petting animal (not cat),250,29.97,340,256,h264,closed,ok,x,'
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.csv"]


def test_paths_are_written_relative_to_the_manifest_from_wherever_it_is_written(
    tmp_path, monkeypatch
):
    (tmp_path / "lists").mkdir()
    for here, before in ((tmp_path, f"{tmp_path}/"), (tmp_path / "lists", "")):
        monkeypatch.chdir(here)
        paths = ["v.mp4", "sub/../w.mp4", tmp_path / "lists" / "a" / "x.mp4", "/y.mp4"]
        records = [VideoRecord(Path(path), 0) for path in paths]
        write_manifest(Manifest(records, ("run",)), tmp_path / "lists" / "m.csv")
        lines = (tmp_path / "lists" / "m.csv").read_text().splitlines()[1:]
        written = [line.split(",")[0] for line in lines]
        assert written == [f"{before}v.mp4", f"{before}w.mp4", "a/x.mp4", "/y.mp4"]


def test_class_names_that_the_file_does_not_imply_are_kept_beside_it(tmp_path):
    manifest = Manifest((VideoRecord(tmp_path / "a.mp4", 1),), ("zumba", "abseiling", "\u00c4"))
    path = tmp_path / "val.csv"
    write_manifest(manifest, path)
    assert (tmp_path / "val.labels.txt").read_text() == "zumba\nabseiling\n\u00c4\n"
    assert read_manifest(path) == manifest
    write_manifest(Manifest(manifest.records, ("abc", "abseiling")), path)
    assert read_manifest(path).class_names == ("abc", "abseiling")
    write_manifest(Manifest((VideoRecord(tmp_path / "a.mp4", 0),), ("abseiling",)), path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["val.csv"]


def test_classes_named_by_numbers_keep_their_order(tmp_path):
    records = tuple(VideoRecord(tmp_path / f"{i}.mp4", i) for i in range(3))
    manifest = Manifest(records, ("10", "7", "9"))
    write_manifest(manifest, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv") == manifest


def test_given_class_names_decide_the_index(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text("path,label\nx.mp4,run\ny.mp4,jump\n")
    assert [r.label for r in read_manifest(path).records] == [1, 0]
    given = read_manifest(path, class_names=("run", "sit", "jump"))
    assert [r.label for r in given.records] == [0, 2]
    assert given.num_classes == 3


def test_labels_may_be_class_indices(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text("path,label\nx.mp4,4\ny.mp4,0\n")
    manifest = read_manifest(path)
    assert [r.label for r in manifest.records] == [4, 0]
    assert manifest.class_names == ("0", "1", "2", "3", "4")


def test_paths_are_relative_to_the_manifest_and_absolute_ones_stay(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text("path,label\na/x y.mp4,run\n/data/z.mp4,run\n")
    paths = [r.path for r in read_manifest(path).records]
    assert paths == [tmp_path / "a/x y.mp4", Path("/data/z.mp4")]


def test_a_mark_at_the_start_of_the_file_is_no_part_of_the_header(tmp_path):
    path = tmp_path / "val.csv"
    path.write_bytes(b"\xef\xbb\xbfpath,label\r\nx.mp4,run\r\n")
    assert read_manifest(path).records == (VideoRecord(tmp_path / "x.mp4", 0),)


def test_a_missing_manifest_is_named(tmp_path):
    path = tmp_path / "no.csv"
    assert _error(path) == (
        f"manifest {path} does not exist; write one with `stvit-video data manifest`"
    )


def test_an_empty_manifest_is_refused(tmp_path):
    path = tmp_path / "m.csv"
    assert _error(path, "") == f"manifest {path} is empty; it must name at least one video"
    assert _error(path, "path,label\n") == f"manifest {path} names no videos, only its columns"


def test_a_list_without_a_header_is_refused(tmp_path):
    path = tmp_path / "m.csv"
    assert _error(path, "x.mp4,3\ny.mp4,4\n") == (
        f"manifest {path} has no column 'path' but 'x.mp4, 3';"
        " turn a list into a manifest with `stvit-video data manifest`"
    )


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(DatasetError, match="is not a CSV file in UTF-8: 'utf-8' codec"):
        read_manifest(path)


def test_a_label_outside_the_classes_names_its_line(tmp_path):
    path = tmp_path / "m.csv"
    names = ("run", "jump", "sit", "stand", "fall")
    assert _error(path, "path,label\nx.mp4,run\ny.mp4,7\n", class_names=names) == (
        f"{path} line 3: label 7 outside 0..4"
    )
    assert _error(path, "path,label\nx.mp4,-2\n", class_names=names) == (
        f"{path} line 2: label -2 outside 0..4"
    )
    assert _error(path, "path,label\nx.mp4,jumpp\n", class_names=names) == (
        f"{path} line 2: label 'jumpp' is none of the 5 classes; did you mean 'jump'?"
    )


def test_a_count_that_is_no_number_names_its_line(tmp_path):
    path = tmp_path / "m.csv"
    assert _error(path, "path,label,num_frames\nx.mp4,run,many\n") == (
        f"{path} line 2: num_frames (many) must be a number"
    )
    assert _error(path, "path,label\n,run\n") == f"{path} line 2: the path is empty"


def test_labels_are_checked_against_the_model_before_the_first_step():
    records = [VideoRecord(Path("a.mp4"), 2), VideoRecord(Path("b.mp4"), 7)]
    check_labels(records, num_classes=8)
    with pytest.raises(DatasetError) as error:
        check_labels(records, num_classes=5)
    assert str(error.value) == "label 7 of b.mp4 outside 0..4; the model has 5 classes"
    with pytest.raises(DatasetError) as error:
        check_labels(records, num_classes=2)
    assert str(error.value) == (
        "label 2 of a.mp4 (and of 1 more videos) outside 0..1; the model has 2 classes"
    )


def test_an_unknown_label_cannot_be_trained_on():
    with pytest.raises(DatasetError) as error:
        check_labels([VideoRecord(Path("a.mp4"), -1)], num_classes=5)
    assert str(error.value) == "label of a.mp4 is not known; training needs one"


def test_text_is_taken_wherever_paths_are(tmp_path):
    path = str(tmp_path / "m.csv")
    write_manifest(Manifest((VideoRecord(tmp_path / "a.mp4", 1),), ("b", "a")), path)
    assert read_manifest(path) == read_manifest(tmp_path / "m.csv")
    assert read_videos(path).class_names == ("b", "a")
    assert labels_path(path) == tmp_path / "m.labels.txt"
    assert missing_path(path) == tmp_path / "m.missing.txt"
    (tmp_path / "data" / "waving").mkdir(parents=True)
    (tmp_path / "data" / "waving" / "a.mp4").touch()
    assert find_class_folders(str(tmp_path / "data")) == find_class_folders(tmp_path / "data")


@pytest.mark.parametrize(
    ("made_for", "step"), [("", 1), ("any", 1), ("segments", 1), ("dense4", 4), ("dense16", 16)]
)
def test_a_record_says_at_which_step_clips_start_fastest(made_for, step):
    assert VideoRecord(Path("a.mp4"), 0, made_for=made_for).start_step == step
