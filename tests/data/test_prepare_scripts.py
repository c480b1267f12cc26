"""Each script of `data/prepare` on tiny videos laid out as the real data set is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stvit_video.datasets.layouts.class_names import read_class_names
from stvit_video.datasets.manifest import read_manifest

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (REPOSITORY / "data" / "prepare").glob("*.sh"))
SCRIPTS.remove("steps")
AVI = {"codec": "mpeg4", "options": {}}
WEBM = {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}}
KINETICS_HEADER = "label,youtube_id,time_start,time_end,split\n"


def _listed(manifest: Path) -> list[tuple[str, str, int, str]]:
    """Path, class, frames and verdict of each video."""
    found = read_manifest(manifest)
    return [
        (
            record.path.relative_to(manifest.parent).as_posix(),
            found.class_names[record.label],
            record.num_frames,
            record.verdict,
        )
        for record in found.records
    ]


def _state(data: Path, name: str) -> dict[Path, int]:
    """When each new video was written, and how long the journals of the steps are."""
    videos = {path: path.stat().st_mtime_ns for path in (data / name).rglob("*.mp4")}
    return videos | {path: path.stat().st_size for path in (data / name).rglob("*.jsonl")}


def _recipe_paths(name: str) -> set[Path]:
    """What the recipes say of where a data set lies."""
    recipes = (REPOSITORY / "configs").rglob("*.yaml")
    settings = [yaml.safe_load(recipe.read_text())["data"] for recipe in recipes]
    paths = {Path(recipe[part]) for recipe in settings for part in ("train", "val")}
    return {path for path in paths if path.parts[:2] == ("data", name)}


def _write_kinetics(root: Path, write_numbered, *, names: tuple[str, str]) -> None:
    """CVDF's layout: train/ val/ replacement/ with flat files, and one csv a split."""
    good, other = names
    (root / "annotations").mkdir(parents=True)
    train = f"{good},-5kbO14z9zU,15,25,train\n{other},__zZ_0Ag-hE,0,10,train\n"
    train += f"{other},gone_video-,3,13,train\n"
    (root / "annotations" / "train.csv").write_text(KINETICS_HEADER + train)
    val = f'"{other}",a_b-c_d-e_f,120,130,val\n'
    (root / "annotations" / "val.csv").write_text(KINETICS_HEADER + val)
    for folder in ("train", "val", "replacement"):
        (root / folder).mkdir()
    write_numbered(root / "train" / "-5kbO14z9zU_000015_000025.mp4", 5)
    (root / "train" / "__zZ_0Ag-hE_000000_000010.mp4").touch()
    write_numbered(root / "replacement" / "__zZ_0Ag-hE_000000_000010.mp4", 7)
    write_numbered(root / "val" / "a_b-c_d-e_f_000120_000130.mp4", 6)


def test_kinetics400_goes_from_csv_and_mp4_to_what_its_recipes_read(
    tmp_path, data, run_script, write_numbered
):
    names = ("massaging person's head", "petting animal (not cat)")
    _write_kinetics(tmp_path / "k400", write_numbered, names=names)
    first = run_script("kinetics400", "k400", "k400/annotations")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == "kinetics400: train\nkinetics400: val\n"
    train, val = data / "kinetics400" / "train.csv", data / "kinetics400" / "val.csv"
    assert {tmp_path / path for path in _recipe_paths("kinetics400")} == {train, val}
    assert _listed(train) == [
        ("prepared/videos/train/-5kbO14z9zU_000015_000025.mp4", names[0], 5, "ok"),
        ("prepared/videos/replacement/__zZ_0Ag-hE_000000_000010.mp4", names[1], 7, "ok"),
    ]
    assert _listed(val) == [
        ("prepared/videos/val/a_b-c_d-e_f_000120_000130.mp4", names[1], 6, "ok")
    ]
    classes = read_class_names(data / "classes" / "kinetics400.txt")
    assert read_manifest(train).class_names == read_manifest(val).class_names == classes
    assert train.with_name("train.missing.txt").read_text() == "gone_video-_000003_000013\n"
    scanned = read_manifest(data / "kinetics400" / "source" / "train.csv")
    assert [record.verdict for record in scanned.records] == ["ok", "ok"]

    before = _state(data, "kinetics400")
    assert run_script("kinetics400", "k400", "k400/annotations").returncode == 0
    assert _state(data, "kinetics400") == before

    write_numbered(tmp_path / "k400" / "train" / "gone_video-_000003_000013.mp4", 4)
    stopped = data / "kinetics400" / "prepared" / "videos" / "val" / "a_b-c_d-e_f_000120_000130.mp4"
    stopped.unlink()
    (tmp_path / "k400").rename(tmp_path / "moved")
    assert run_script("kinetics400", "moved", "moved/annotations").returncode == 0
    new = {path for path, state in _state(data, "kinetics400").items() if before.get(path) != state}
    assert {path.name for path in new if path.suffix == ".mp4"} == {
        *("gone_video-_000003_000013.mp4", "a_b-c_d-e_f_000120_000130.mp4"),
    }
    assert len(_listed(train)) == 3
    assert not train.with_name("train.missing.txt").exists()


@pytest.mark.parametrize("name", ["kinetics600", "kinetics700", "kinetics700_2020"])
def test_the_larger_kinetics_keep_the_index_of_every_class(
    name, tmp_path, data, run_script, write_numbered
):
    """Class folders with underscores, and the names of DeepMind's own csv files."""
    root = tmp_path / "copy"
    _write_kinetics(root, write_numbered, names=("zumba", "abseiling"))
    (root / "annotations" / "val.csv").rename(root / "annotations" / "validate.csv")
    folder = root / "val" / "hugging_(not_baby)"
    folder.mkdir()
    write_numbered(folder / "0123456789a_000001_000011.mp4", 8)
    with (root / "annotations" / "validate.csv").open("a") as file:
        file.write("hugging (not baby),0123456789a,1,11,val\n")
    assert run_script(name, "copy", "copy/annotations").returncode == 0
    val = data / name / "val.csv"
    assert _listed(val) == [
        ("prepared/videos/val/a_b-c_d-e_f_000120_000130.mp4", "abseiling", 6, "ok"),
        (
            "prepared/videos/val/hugging_(not_baby)/0123456789a_000001_000011.mp4",
            "hugging (not baby)",
            8,
            "ok",
        ),
    ]
    number = name.removesuffix("_2020")
    classes = read_class_names(data / "classes" / f"{number}.txt")
    assert read_manifest(val).class_names == classes
    assert [record.label for record in read_manifest(data / name / "train.csv").records] == [
        *(int(number.removeprefix("kinetics")) - 1, 0),
    ]


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_something_something_goes_from_json_and_webm_to_what_its_recipes_read(
    prefix, tmp_path, data, run_script, write_numbered
):
    videos, annotations = tmp_path / "20bn-something-something-v2", tmp_path / "labels"
    videos.mkdir()
    annotations.mkdir()
    templates = {
        "74225": "Pulling [something] from right to left",
        "78687": "Approaching [something] with your camera",
        "116154": "Putting [something], [something] and [something] on the table",
    }
    records = [
        {"id": number, "label": "words", "template": template, "placeholders": ["words"]}
        for number, template in templates.items()
    ]
    (annotations / f"{prefix}train.json").write_text(json.dumps(records[:2]))
    (annotations / f"{prefix}validation.json").write_text(json.dumps(records[2:]))
    for length, number in enumerate(templates, start=5):
        write_numbered(videos / f"{number}.webm", length, **WEBM)
    script = ("something_something_v2", videos.name, "labels")
    assert run_script(*script).returncode == 0
    train, val = (data / script[0] / f"{part}.csv" for part in ("train", "val"))
    assert {tmp_path / path for path in _recipe_paths(script[0])} == {train, val}
    assert _listed(train) == [
        ("prepared/videos/74225.mp4", "Pulling something from right to left", 5, "ok"),
        ("prepared/videos/78687.mp4", "Approaching something with your camera", 6, "ok"),
    ]
    label = "Putting something, something and something on the table"
    assert _listed(val) == [("prepared/videos/116154.mp4", label, 7, "ok")]
    assert [record.label for record in read_manifest(train).records] == [87, 0]
    classes = read_class_names(data / "classes" / "something_something_v2.txt")
    assert read_manifest(train).class_names == read_manifest(val).class_names == classes
    before = _state(data, script[0])
    assert run_script(*script).returncode == 0
    assert _state(data, script[0]) == before


def test_ucf101_writes_each_video_once_for_its_three_folds(
    tmp_path, data, run_script, write_numbered
):
    rows = {
        "Hammering/v_Hammering_g01_c01.avi": 35,
        "HammerThrow/v_HammerThrow_g01_c01.avi": 36,
        "HandstandPushups/v_HandStandPushups_g01_c02.avi": 37,
    }
    for length, name in enumerate(rows, start=5):
        (tmp_path / "UCF-101" / name).parent.mkdir(parents=True)
        write_numbered(tmp_path / "UCF-101" / name, length, **AVI)
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    names = list(rows)
    for fold, held_out in enumerate(names, start=1):
        train = "".join(f"{name} {rows[name]}\r\n" for name in names if name != held_out)
        (lists / f"trainlist0{fold}.txt").write_text(train)
        (lists / f"testlist0{fold}.txt").write_text(f"{held_out}\r\n")
    assert run_script("ucf101", "UCF-101", "ucfTrainTestlist").returncode == 0
    assert _listed(data / "ucf101" / "train2.csv") == [
        ("prepared/videos/Hammering/v_Hammering_g01_c01.mp4", "Hammering", 5, "ok"),
        (
            "prepared/videos/HandstandPushups/v_HandStandPushups_g01_c02.mp4",
            "HandstandPushups",
            7,
            "ok",
        ),
    ]
    assert _listed(data / "ucf101" / "test2.csv") == [
        ("prepared/videos/HammerThrow/v_HammerThrow_g01_c01.mp4", "HammerThrow", 6, "ok")
    ]
    assert [record.label for record in read_manifest(data / "ucf101" / "train3.csv").records] == [
        *(34, 35),
    ]
    classes = read_class_names(data / "classes" / "ucf101.txt")
    for part in ("train", "test"):
        for fold in (1, 2, 3):
            assert read_manifest(data / "ucf101" / f"{part}{fold}.csv").class_names == classes
    before = _state(data, "ucf101")
    assert len([path for path in before if path.suffix == ".mp4"]) == 3
    assert run_script("ucf101", "UCF-101", "ucfTrainTestlist").returncode == 0
    assert _state(data, "ucf101") == before


def test_hmdb51_takes_the_marked_videos_of_each_fold(tmp_path, data, run_script, write_numbered):
    splits = tmp_path / "testTrainMulti_7030_splits"
    splits.mkdir()
    marks = {"brush_hair": "120", "wave": "102"}
    for length, (name, mark) in enumerate(marks.items(), start=5):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for number in range(3):
            write_numbered(tmp_path / "videos" / name / f"{name}_{number}.avi", length, **AVI)
        for fold in range(3):
            turned = mark[fold:] + mark[:fold]
            rows = "".join(f"{name}_{number}.avi {turned[number]} \n" for number in range(3))
            (splits / f"{name}_test_split{fold + 1}.txt").write_text(rows)
    assert run_script("hmdb51", "videos", splits.name).returncode == 0
    assert _listed(data / "hmdb51" / "train1.csv") == [
        ("prepared/videos/brush_hair/brush_hair_0.mp4", "brush_hair", 5, "ok"),
        ("prepared/videos/wave/wave_0.mp4", "wave", 6, "ok"),
    ]
    assert [row[0] for row in _listed(data / "hmdb51" / "test2.csv")] == [
        *("prepared/videos/brush_hair/brush_hair_0.mp4", "prepared/videos/wave/wave_1.mp4"),
    ]
    manifest = read_manifest(data / "hmdb51" / "test3.csv")
    assert [record.label for record in manifest.records] == [0, 50]
    assert manifest.class_names == read_class_names(data / "classes" / "hmdb51.txt")
    before = _state(data, "hmdb51")
    assert len([path for path in before if path.suffix == ".mp4"]) == 6
    assert run_script("hmdb51", "videos", splits.name).returncode == 0
    assert _state(data, "hmdb51") == before


@pytest.mark.parametrize(
    ("recipe", "made_for"),
    [
        ("", "any"),
        ("kinetics400/videomae_base_16x4_224.yaml", "dense4"),
        ("something_something_v2/videomae_base_16x4_224.yaml", "segments"),
    ],
)
def test_new_videos_suit_the_training_of_a_recipe(
    recipe, made_for, tmp_path, data, run_script, write_numbered
):
    _write_kinetics(tmp_path / "k400", write_numbered, names=("zumba", "abseiling"))
    recipe_path = [str(REPOSITORY / "configs" / recipe)] if recipe else []
    assert run_script("kinetics400", "k400", "k400/annotations", *recipe_path).returncode == 0
    for part in ("train", "val"):
        records = read_manifest(data / "kinetics400" / f"{part}.csv").records
        assert {record.made_for for record in records} == {made_for}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_in_one_line_what_it_wants(name, tmp_path, data, run_script):
    script = f"data/prepare/{name}.sh"
    bare = run_script(name)
    assert bare.returncode == 2
    assert bare.stderr == (
        f"usage: {script} VIDEOS ANNOTATIONS [RECIPE] (two folders, a file;"
        f" data/cards/{_card(name)} says which)\n"
    )
    (tmp_path / "videos").mkdir()
    (tmp_path / "lists").mkdir()
    for arguments, message in (
        (("none", "lists"), f"{script}: video folder none does not exist\n"),
        (("videos", "none"), f"{script}: annotation folder none does not exist\n"),
        (("videos", "lists", "none"), f"{script}: recipe none does not exist\n"),
    ):
        result = run_script(name, *arguments)
        assert (result.returncode, result.stderr) == (2, message)
    assert not (data / name).exists()


def test_a_missing_annotation_file_and_a_failing_step_end_the_script(tmp_path, run_script, capsys):
    (tmp_path / "videos").mkdir()
    (tmp_path / "lists").mkdir()
    result = run_script("kinetics400", "videos", "lists")
    assert (result.returncode, result.stderr) == (
        2,
        "data/prepare/kinetics400.sh: annotation folder lists holds no train.csv\n",
    )
    (tmp_path / "lists" / "train.csv").write_text(KINETICS_HEADER + "yoga,0123456789a,1,11,train\n")
    result = run_script("kinetics400", "videos", "lists")
    assert result.stderr == (
        "data/prepare/kinetics400.sh: annotation folder lists holds no val.csv (or validate.csv)\n"
    )
    (tmp_path / "lists" / "val.csv").write_text(KINETICS_HEADER + "yoga,0123456789a,1,11,val\n")
    result = run_script("kinetics400", "videos", "lists")
    assert (result.returncode, result.stdout) == (2, "kinetics400: train\n")
    assert capsys.readouterr().err == (
        "stvit-video data manifest: none of the 1 annotated videos was found; the first is"
        " 0123456789a_000001_000011\n"
    )


def test_a_program_that_is_not_there_is_told_before_the_work(tmp_path):
    script = REPOSITORY / "data" / "prepare" / "kinetics400.sh"
    command = [script, tmp_path, tmp_path]
    environment = os.environ | {"STVIT_VIDEO": "no-such-program"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        2,
        f"{script}: no-such-program is not on the PATH; activate the environment or set"
        " STVIT_VIDEO\n",
    )


@pytest.mark.slow
def test_a_script_runs_the_program_that_is_on_the_path(tmp_path, data, write_numbered):
    _write_kinetics(tmp_path / "k400", write_numbered, names=("zumba", "abseiling"))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "stvit-video"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m stvit_video "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    command = ["data/prepare/kinetics400.sh", "k400", "k400/annotations"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PATH": path}, check=True)
    assert [row[1:] for row in _listed(data / "kinetics400" / "train.csv")] == [
        *(("zumba", 5, "ok"), ("abseiling", 7, "ok")),
    ]


def _card(name: str) -> str:
    return f"{name.removesuffix('_2020')}.md"
