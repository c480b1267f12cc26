import json
import shutil

import pytest

from stvit_video.cli import main
from stvit_video.commands.data_prepare import data_prepare
from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.manifest import read_manifest
from stvit_video.datasets.sampler import ItemKey
from stvit_video.datasets.upkeep import file_run
from stvit_video.datasets.upkeep.groups import PictureGroups
from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.datasets.upkeep.workers import Outcome
from stvit_video.errors import DatasetError
from stvit_video.settings.encode import EncodeSettings
from stvit_video.video.decoding.formats import what_it_is
from stvit_video.video.decoding.open import read_frames
from stvit_video.video.numbered import read_number
from stvit_video.video.sampling.scheme import SamplingScheme


@pytest.fixture
def root(tmp_path, class_folder_root):
    root = tmp_path / "videos"
    shutil.copytree(class_folder_root, root)
    (root / "waving" / "words.mp4").write_text("no pictures " * 50)
    return root


def test_a_folder_is_prepared_with_its_classes_and_a_manifest(root, tmp_path, capsys):
    before = {path: path.read_bytes() for path in sorted(root.rglob("*.mp4"))}
    data_prepare(root, tmp_path / "new", encode=EncodeSettings(gop=4), num_workers=2)
    manifest = read_manifest(tmp_path / "new" / "manifest.csv")
    assert manifest.class_names == ("pushing left", "waving")
    good = [record for record in manifest.records if record.verdict == "ok"]
    assert [(r.path.name, r.label, r.num_frames) for r in good] == [
        ("video_11.mp4", 0, 11),
        ("video_13.mp4", 0, 13),
        ("video_17.mp4", 0, 17),
        ("video_14.mp4", 1, 14),
        ("video_19.mp4", 1, 19),
    ]
    assert good[0].path == tmp_path / "new" / "pushing left" / "video_11.mp4"
    numbers = [read_number(p.numpy()) for p in read_frames(good[2].path, [0, 5, 16])]
    assert numbers == [0, 5, 16]
    bad = next(record for record in manifest.records if record.verdict != "ok")
    assert (bad.path, bad.verdict) == (root / "waving" / "words.mp4", "not a video")
    assert {path: path.read_bytes() for path in sorted(root.rglob("*.mp4"))} == before
    printed = capsys.readouterr().out
    assert (
        f"{bad.path}: not a video: {what_it_is(b'words')}\n5 of 6 videos prepared: 74 frames, "
        in printed
    )


def test_only_what_is_missing_or_changed_is_prepared_again(root, tmp_path, monkeypatch):
    (root / "waving" / "words.mp4").unlink()
    new = tmp_path / "new"
    data_prepare(root, new, num_workers=2)
    asked = []

    def run_killable(function, jobs, **how):
        jobs = list(jobs)
        asked.append([job.source.name for job in jobs])
        bad = ScanResult(verdict="corrupt")
        return (Outcome(item=job, result=bad, failure="", seconds=0.0) for job in jobs)

    monkeypatch.setattr(file_run, "run_killable", run_killable)
    data_prepare(root, new)
    (new / "waving" / "video_14.mp4").write_bytes(b"cut short")
    data_prepare(root, new)
    (new / "waving" / "video_14.mp4").unlink()
    data_prepare(root, new)
    shutil.copy(root / "waving" / "video_19.mp4", root / "pushing left" / "video_11.mp4")
    data_prepare(root, new)
    with pytest.raises(DatasetError, match=r"^none of 5 videos is ok; .*video_11.mp4: corrupt$"):
        data_prepare(root, new, encode=EncodeSettings(crf=30))
    assert asked[:3] == [[], ["video_14.mp4"], ["video_14.mp4"]]
    assert asked[3] == ["video_11.mp4", "video_14.mp4"]
    assert len(asked[4]) == 5


def test_the_summary_is_written_as_json(root, tmp_path):
    data_prepare(root, tmp_path / "new", num_workers=2, json=tmp_path / "out.json")
    summary = json.loads((tmp_path / "out.json").read_text())
    assert summary["videos"]["num_ok"] == 5
    assert summary["videos"]["verdicts"] == {"ok": 5, "not a video": 1}
    sizes = [path.stat().st_size for path in (tmp_path / "new").rglob("*.mp4")]
    assert summary["prepared_mib"] == round(sum(sizes) / 2**20, 3)


def test_a_source_is_never_overwritten(root):
    with pytest.raises(DatasetError) as caught:
        data_prepare(root, root)
    assert str(caught.value) == (
        f"preparing into {root} would overwrite {root / 'pushing left' / 'video_11.mp4'};"
        " choose another output folder"
    )


def test_a_source_behind_a_link_is_not_overwritten_either(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(DatasetError, match=r"would overwrite .*video_11\.mp4; choose another"):
        data_prepare(tmp_path / "link", root)


def test_the_command_line_sets_the_encoder_and_names_what_is_wrong(root, tmp_path, capsys):
    words = ["data", "prepare", str(root), str(tmp_path / "new"), "--num_workers", "1"]
    assert main([*words, "--encode.short_side", "32"]) == 0
    assert read_manifest(tmp_path / "new" / "manifest.csv").records[0].height == 32
    capsys.readouterr()
    assert main([*words, "--encode.gop", "0"]) == 2
    error = capsys.readouterr().err
    assert error == "stvit-video data prepare: encode.gop (0) must be in 1..1000\n"


def test_the_list_of_missing_videos_goes_along(root, tmp_path):
    manifest = tmp_path / "val.csv"
    manifest.write_text("path,label\nvideos/waving/video_14.mp4,waving\n")
    (tmp_path / "val.missing.txt").write_text("videos/waving/gone.mp4\n")
    data_prepare(manifest, tmp_path / "new", num_workers=1)
    listed = tmp_path / "new" / "val.missing.txt"
    assert listed.read_text() == "videos/waving/gone.mp4\n"
    (tmp_path / "val.missing.txt").unlink()
    data_prepare(manifest, tmp_path / "new", num_workers=1)
    assert not listed.exists()


def test_the_manifest_of_the_new_videos_stands_where_it_is_asked_for(root, tmp_path, capsys):
    manifest = tmp_path / "source.csv"
    manifest.write_text("path,label\nvideos/waving/video_14.mp4,waving\n")
    (tmp_path / "source.missing.txt").write_text("gone.mp4\n")
    output = tmp_path / "lists" / "val.csv"
    data_prepare(manifest, tmp_path / "new", output=output, num_workers=1)
    (record,) = read_manifest(output).records
    assert record.path.resolve() == tmp_path / "new" / "videos" / "waving" / "video_14.mp4"
    assert (record.num_frames, record.verdict) == (14, "ok")
    assert (tmp_path / "lists" / "val.missing.txt").read_text() == "gone.mp4\n"
    assert not (tmp_path / "new" / "manifest.csv").exists()
    capsys.readouterr()
    words = ["data", "prepare", str(manifest), str(tmp_path / "new"), "--output", str(manifest)]
    assert main(words) == 2
    assert capsys.readouterr().err == (
        f"stvit-video data prepare: output ({manifest}) lists the sources; choose another file\n"
    )


def test_a_pyav_that_changes_colours_is_refused(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("stvit_video.datasets.upkeep.reencode.PYAV_VERSION", 16)
    monkeypatch.setattr("av.__version__", "16.1.0")
    assert main(["data", "prepare", str(root), str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err == (
        "stvit-video data prepare: PyAV (16.1.0) must be 17 or newer to write videos;"
        " pip install 'av>=17'\n"
    )
    assert not (tmp_path / "new").exists()


def test_a_purpose_is_noted_in_the_manifest_and_another_encodes_again(root, tmp_path, capsys):
    (root / "waving" / "words.mp4").unlink()
    words = ["data", "prepare", str(root), str(tmp_path / "new"), "--num_workers", "2"]
    made = {}
    dense = ["--for dense --stride 4", "--for dense --stride 2"]  # with equal gops
    for purpose in ("--for any", *dense, "--for segments", "--encode.gop 1"):
        out = tmp_path / "out.json"
        assert main([*words, *purpose.split(), "--json", str(out)]) == 0
        records = read_manifest(tmp_path / "new" / "manifest.csv").records
        assert {record.made_for for record in records} == {
            json.loads(out.read_text())["groups"]["made_for"]
        }
        made[purpose] = (records[0].made_for, records[0].path.stat().st_mtime_ns)
    assert [name for name, _ in made.values()] == ["any", "dense4", "dense2", "segments", "any"]
    times = [time for _, time in made.values()]
    assert times[0] < times[1] < times[2] < times[3]
    assert times[3] == times[4]  # all intra either way
    assert json.loads(out.read_text())["groups"] == {"made_for": "any", "gop": 1, "step": 1}


def test_training_clips_of_a_dense_file_start_at_multiples_of_its_stride(root, tmp_path):
    (root / "waving" / "words.mp4").unlink()
    data_prepare(root, tmp_path / "new", for_="dense", stride=2, num_workers=2)
    scheme = SamplingScheme(num_frames=3, frame_stride=2, random=True)
    dataset = VideoDataset(
        read_manifest(tmp_path / "new" / "manifest.csv").records,
        sample=scheme,
        transform=lambda frames, crop: frames,
    )
    starts = {
        read_number(dataset[ItemKey(4, seed)].clip[0].numpy())  # 19 frames
        for seed in range(60)
    }
    assert starts == {0, 2, 4, 6, 8, 10, 12, 14}


def test_for_is_spelt_without_the_mark_that_python_needs(root, tmp_path, capsys):
    words = ["data", "prepare", str(root), str(tmp_path / "new")]
    assert main([*words, "--for", "perhaps"]) == 2
    assert capsys.readouterr().err == (
        "stvit-video data prepare: for (perhaps) must be one of dense, segments, any\n"
    )
    assert main([*words, "--for"]) == 2
    assert capsys.readouterr().err == (
        "stvit-video data prepare: for needs a value: one of dense, segments, any\n"
    )
    assert main(["data", "prepare", "--help"]) == 0
    assert "--for FOR" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "model", "words", "groups"),
    [
        ("{}", "{name: demo_tiny}", "", ("any", 16, 1)),  # stride 1
        ("{}", "{name: demo_tiny, frame_stride: 2}", "", ("dense2", 32, 2)),
        ("{}", "{name: videomae_base_patch16_224}", "", ("dense4", 32, 4)),
        ("{}", "{name: videomae_base_patch16_224}", "--stride 2", ("dense2", 32, 2)),
        ("{}", "{name: videomae_base_patch16_224}", "--for segments", ("segments", 1, 1)),
        ("{sampling: segments}", "{name: demo_tiny}", "", ("segments", 1, 1)),
        ("{sampling: segments}", "{name: demo_tiny}", "--for any", ("any", 16, 1)),
        ("{sampling: uniform}", "{name: demo_tiny}", "", ("segments", 1, 1)),
        ("{target_fps: 30}", "{name: videomae_base_patch16_224}", "", ("any", 16, 1)),
    ],
)
def test_a_recipe_says_what_its_training_needs(tmp_path, monkeypatch, data, model, words, groups):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"model: {model}\ndata: {data}\n")
    asked = []

    def run(*paths, **how):
        asked.append(how["groups"])
        raise DatasetError("seen")

    monkeypatch.setattr("stvit_video.datasets.upkeep.prepare_run.run_preparation", run)
    (tmp_path / "videos").mkdir()
    place = [str(tmp_path / "videos"), str(tmp_path / "new")]
    assert main(["data", "prepare", *place, "--recipe", str(recipe), *words.split()]) == 2
    assert asked == [PictureGroups(*groups)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model: [", "recipe {} is no YAML"),
        ("just words", "recipe {} must hold settings by name; it holds 'just words'\n"),
        ("data: {}", "recipe {} must hold the settings of a training, such as model.name\n"),
        ("model: {}", "recipe {} must hold the settings of a training, such as model.name\n"),
        (
            "model: {name: demo_tiny}\ndata: {smapling: dense}",
            "recipe {} has an unknown setting data.smapling; did you mean 'sampling'?\n",
        ),
        ("model: {name: demo_tiny}\ndata: {sampling: dens}", "data.sampling (dens) must be one of"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_named(tmp_path, capsys, text, line):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    words = ["data", "prepare", str(tmp_path), str(tmp_path / "new"), "--recipe", str(recipe)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"stvit-video data prepare: {line.format(recipe)}")


def test_recipes_of_the_package_are_known_by_their_names(tmp_path, capsys):
    words = ["data", "prepare", str(tmp_path), str(tmp_path / "new"), "--recipe", "kinetics400/x"]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(
        "stvit-video data prepare: recipe (kinetics400/x) is none of the 22 (stvit-video"
    )
    words[-1] = "something_something_v2/videomae_base_16x4_224"
    assert main([*words, "--encode.gop", "8"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "stvit-video data prepare: encode.gop (8) must be 1 for segments; leave it out\n"
    )
