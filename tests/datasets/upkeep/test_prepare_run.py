"""Work that must not be lost: names, lists, full disks, links, other spellings."""

import json
import os
import shutil

import numpy as np
import pytest

from stvit_video.commands.data_prepare import data_prepare
from stvit_video.datasets.index_store import IndexStore
from stvit_video.datasets.manifest import read_manifest
from stvit_video.datasets.upkeep import prepare_run
from stvit_video.datasets.upkeep.file_run import FileRun, WorkerError
from stvit_video.errors import ConfigError, DatasetError, WriteError
from stvit_video.video.decoding.open import read_frames
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures


@pytest.fixture
def videos(tmp_path, class_folder_root):
    shutil.copytree(class_folder_root, tmp_path / "videos")
    return tmp_path / "videos"


def _write_list(path, *names):
    path.write_text("path,label\n" + "".join(f"{name},0\n" for name in names))
    return path


def _first_number(path):
    return read_number(read_frames(path, [0])[0].numpy())


def _write_from(path, first):
    pictures = (numbered_picture(first + i, width=96, height=64) for i in range(5))
    write_pictures(path, pictures, codec="mpeg4" if path.suffix == ".avi" else "libx264")


def test_sources_that_share_a_name_stay_different_videos(tmp_path):
    (tmp_path / "a").mkdir()
    names = ["a/v.mp4", "a/v.avi", "a/v.mp4.mp4"]
    for number, name in enumerate(names):
        _write_from(tmp_path / name, 100 * number)
    data_prepare(_write_list(tmp_path / "l.csv", *names), tmp_path / "new", num_workers=2)
    records = read_manifest(tmp_path / "new" / "l.csv").records
    assert [_first_number(record.path) for record in records] == [0, 100, 200]
    assert len({record.path for record in records}) == 3


def test_one_file_under_several_spellings_is_encoded_once(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "e").mkdir()
    _write_from(tmp_path / "e" / "v.mp4", 300)
    (tmp_path / "a" / "link.mp4").symlink_to(tmp_path / "e" / "v.mp4")
    names = ["e/v.mp4", "./a/../e/v.mp4", "a/link.mp4", "e/./v.mp4"]
    data_prepare(
        _write_list(tmp_path / "l.csv", *names),
        tmp_path / "new",
        num_workers=2,
        json=tmp_path / "out.json",
    )
    assert json.loads((tmp_path / "out.json").read_text())["videos"]["num_videos"] == 1
    records = read_manifest(tmp_path / "new" / "l.csv").records
    assert [record.path for record in records] == 4 * [tmp_path / "new" / "e" / "v.mp4"]
    assert [path.name for path in (tmp_path / "new").rglob("*.mp4")] == ["v.mp4"]


def test_two_lists_share_a_folder_and_each_keeps_its_own(tmp_path, videos):
    train = _write_list(tmp_path / "train.csv", "videos/waving/video_14.mp4")
    val = _write_list(tmp_path / "val.csv", "videos/waving/video_19.mp4")
    for part in (train, val):
        data_prepare(part, tmp_path / "new", num_workers=1)
    for part, number in (("train", 14), ("val", 19)):
        (record,) = read_manifest(tmp_path / "new" / f"{part}.csv").records
        assert (record.num_frames, record.verdict) == (number, "ok")


def test_a_list_of_other_videos_by_the_same_name_is_refused(tmp_path, videos):
    data_prepare(
        _write_list(tmp_path / "l.csv", "videos/waving/video_14.mp4"),
        tmp_path / "new",
        num_workers=1,
    )
    (tmp_path / "other").mkdir()
    other = _write_list(tmp_path / "other" / "l.csv", "../videos/waving/video_19.mp4")
    before = (tmp_path / "new" / "l.csv").read_text()
    with pytest.raises(ConfigError) as caught:
        data_prepare(other, tmp_path / "new")
    output = tmp_path / "new" / "l.csv"
    assert str(caught.value) == f"output ({output}) lists other videos; choose another file"
    assert output.read_text() == before


def test_a_list_of_sources_in_the_output_folder_is_not_overwritten(tmp_path, videos):
    manifest = _write_list(videos / "manifest.csv", "waving/video_14.mp4")
    before = manifest.read_text()
    with pytest.raises(ConfigError) as caught:
        data_prepare(manifest, videos)
    assert str(caught.value) == f"output ({manifest}) lists the sources; choose another file"
    assert manifest.read_text() == before


def test_a_video_made_from_another_source_is_not_overwritten(tmp_path):
    for part, number in (("train", 100), ("val", 200)):
        (tmp_path / part / "cat").mkdir(parents=True)
        _write_from(tmp_path / part / "cat" / "1.mp4", number)
    data_prepare(tmp_path / "train", tmp_path / "new", num_workers=1)
    with pytest.raises(DatasetError) as caught:
        data_prepare(tmp_path / "val", tmp_path / "new", output=tmp_path / "val.csv")
    assert str(caught.value) == (
        f"preparing into {tmp_path / 'new'} would overwrite {tmp_path / 'new' / 'cat' / '1.mp4'},"
        f" made from {tmp_path / 'train' / 'cat' / '1.mp4'}; choose another output folder"
    )
    assert _first_number(tmp_path / "new" / "cat" / "1.mp4") == 100
    (tmp_path / "train").rename(tmp_path / "moved")  # nothing is lost then
    data_prepare(tmp_path / "val", tmp_path / "new", output=tmp_path / "val.csv", num_workers=1)
    assert _first_number(tmp_path / "new" / "cat" / "1.mp4") == 200


def test_a_link_planted_where_a_video_will_be_written_is_not_followed(tmp_path, videos):
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "new" / "waving").mkdir(parents=True)
    (tmp_path / "new" / "waving" / ".video_14.partial.mp4").symlink_to(tmp_path / "precious")
    data_prepare(videos, tmp_path / "new", num_workers=1)
    assert (tmp_path / "precious").read_text() == "keep"
    assert _first_number(tmp_path / "new" / "waving" / "video_14.mp4") == 0


def test_a_full_disk_stops_the_run_and_keeps_what_is_whole(tmp_path, small_disk, monkeypatch):
    ended = []
    end_early = FileRun.end_early
    monkeypatch.setattr(FileRun, "end_early", lambda run: ended.append(run) or end_early(run))
    noise = np.random.default_rng(0)
    (tmp_path / "v" / "x").mkdir(parents=True)
    for number in range(9):
        pictures = (noise.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(20))
        write_pictures(tmp_path / "v" / "x" / f"{number}.mp4", pictures)
    new = small_disk / "new"
    with pytest.raises(WriteError) as caught:
        data_prepare(tmp_path / "v", new, num_workers=2)
    assert ended
    whole = sorted(path for path in (new / "x").iterdir())
    assert 1 < len(whole) < 9
    assert str(caught.value) == (
        f"{new} cannot be written: No space left on device; {len(whole)} of 9 videos are done,"
        " the same command goes on"
    )
    records = read_manifest(new / "manifest.csv").records
    assert [(record.path, record.verdict) for record in records] == [(p, "ok") for p in whole]
    assert all(len(read_frames(path, [0, 19])) == 2 for path in whole)
    times = [path.stat().st_mtime_ns for path in whole]
    with pytest.raises(WriteError):
        data_prepare(tmp_path / "v", new, num_workers=1)
    assert [path.stat().st_mtime_ns for path in whole] == times


def test_a_video_that_cannot_be_written_is_an_error_at_the_end(tmp_path, videos):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "waving").write_text("a file where the folder should be")
    with pytest.raises(WriteError) as caught:
        data_prepare(videos, tmp_path / "new", num_workers=1)
    manifest = tmp_path / "new" / "manifest.csv"
    assert str(caught.value) == f"2 of 5 videos were not written; {manifest} says which"
    verdicts = [record.verdict for record in read_manifest(manifest).records]
    assert verdicts == ["ok", "ok", "ok", "not written", "not written"]


def test_an_error_of_ours_is_no_verdict_on_the_videos(tmp_path, videos, monkeypatch):
    monkeypatch.setattr(prepare_run, "reencode_video", os.fspath)  # no path: TypeError
    with pytest.raises(WorkerError, match=r"^no fault of the videos:\nTraceback(.|\n)*TypeError: "):
        data_prepare(videos, tmp_path / "new", num_workers=2)
    assert not (tmp_path / "new" / "manifest.csv").exists()


def test_a_run_that_goes_on_looks_at_each_file_once(tmp_path, videos, monkeypatch):
    data_prepare(videos, tmp_path / "new", num_workers=1)
    looks = []
    look = os.stat

    def count(path, *how, **options):
        if str(path).endswith(".mp4"):
            looks.append(os.path.relpath(path, tmp_path))
        return look(path, *how, **options)

    monkeypatch.setattr(os, "stat", count)
    monkeypatch.setattr(prepare_run, "measure_reading", lambda pairs, groups: None)
    data_prepare(videos, tmp_path / "new", num_workers=1)
    monkeypatch.undo()
    assert len(looks) == len(set(looks)) == 10  # five sources, five targets


def test_what_is_known_of_the_packets_stands_beside_the_new_list(tmp_path, videos):
    data_prepare(videos, tmp_path / "new", for_="dense", stride=4, num_workers=2)
    store = IndexStore(tmp_path / "new" / "manifest.index")
    records = read_manifest(tmp_path / "new" / "manifest.csv").records
    assert len(store) == len(records) > 0
    for record in records:
        index = store.find(record.path)
        assert index.info.num_frames == record.num_frames
        assert index.num_bytes == record.path.stat().st_size


def test_the_summary_says_how_fast_clips_are_read_before_and_after(tmp_path, videos, capsys):
    out = tmp_path / "out.json"
    data_prepare(videos, tmp_path / "new", for_="dense", stride=2, num_workers=2, json=out)
    summary = json.loads(out.read_text())
    assert summary["groups"] == {"made_for": "dense2", "gop": 32, "step": 2}
    reading = summary["reading"]
    assert reading["source_clips_per_second"] > 0
    assert reading["prepared_clips_per_second"] > 0
    assert (reading["num_videos"], reading["sampling"]["frame_stride"]) == (5, 2)
    data_prepare(videos, tmp_path / "all", for_="segments", num_workers=2)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("one core reads ")
    assert line.endswith(" clips/s of 16 segments, tried on 5 videos")


def test_nothing_prepared_is_an_error(tmp_path, videos, monkeypatch):
    for path in videos.rglob("*.mp4"):
        path.write_text("words " * 99)
    with pytest.raises(DatasetError) as caught:
        data_prepare(videos, tmp_path / "new", num_workers=2)
    first = videos / "pushing left" / "video_11.mp4"
    assert str(caught.value) == f"none of 5 videos is ok; {first}: not a video"


def test_files_that_are_no_videos_by_their_name_are_counted(tmp_path, videos, capsys):
    (videos / "waving" / "notes.txt").write_text("words")
    (videos / "waving" / "pictures.zip").write_text("words")
    (videos / "waving" / "b.txt").write_text("words")
    data_prepare(videos, tmp_path / "new", num_workers=2)
    assert "files left out by their suffix: .txt 2, .zip 1\n" in capsys.readouterr().out
