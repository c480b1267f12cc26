"""What users get wrong, through the command line: one line on standard error, exit status 2."""

import json
import re
import shutil
import subprocess
import sys

import av
import numpy as np
import pytest

from stvit_video.cli import main
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import create_model
from stvit_video.video.decoding.formats import what_it_is


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    model = create_model("demo_tiny", num_classes=2, num_frames=2, image_size=32)
    write_checkpoint(model, folder, labels=("pushing", "waving"))
    return folder


@pytest.fixture
def fails(capsys):
    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        opening = r"training \S+ for \d+ epochs? on \S+; output_dir \S+\n"  # before all is read
        assert status == 2
        assert re.fullmatch(f"({opening})?" if arguments[0] == "train" else "", captured.out)
        assert captured.err.count("\n") == 1
        return captured.err.removesuffix("\n").removeprefix(f"stvit-video {arguments[0]}: ")

    return run


def write_tone(path):
    """Write an mp4 that holds sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        samples = np.zeros((1, 4096), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def train_arguments(data, *extra):
    small = ("--model.name", "demo_tiny", "--model.image_size", "32", "--model.num_frames", "4")
    fast = ("--data.num_workers", "0", "--train.devices", "cpu", "--train.epochs", "1")
    where = ("--data.train", data, "--output_dir", data.parent / "run")
    return ("train", *small, *fast, *where, *extra)


def test_a_missing_file(fails, checkpoint, tmp_path):
    path = tmp_path / "nothing.mp4"
    assert fails("predict", path, "--checkpoint", checkpoint) == f"{path}: missing (auto, open)"


def test_an_empty_file(fails, checkpoint, tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    assert fails("predict", path, "--checkpoint", checkpoint) == f"{path}: empty (auto, open)"


def test_a_folder_of_which_no_video_decodes(fails, checkpoint, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    arguments = ("predict", folder, "--checkpoint", checkpoint, "--num_workers", "0")
    assert fails(*arguments) == f"folder {folder} holds no videos, at any depth"
    for name in ("b.mp4", "a.mp4"):
        (folder / name).touch()
    first = f"{folder / 'a.mp4'}: empty (auto, open)"
    assert fails(*arguments) == f"none of the 2 videos decodes: {first}"


def test_text_named_mp4(fails, checkpoint, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("a list of things to do\n" * 50)
    text = f"{path}: not a video: {what_it_is(b'words')} (auto, open)"
    assert fails("predict", path, "--checkpoint", checkpoint) == text


def test_sound_without_pictures(fails, checkpoint, tmp_path):
    path = tmp_path / "tone.mp4"
    write_tone(path)
    text = f"{path}: no video stream (auto, open)"
    assert fails("predict", path, "--checkpoint", checkpoint) == text


def test_a_truncated_video(fails, checkpoint, numbered_video, tmp_path):
    path = tmp_path / "cut.mp4"
    content = numbered_video.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    text = fails("predict", path, "--checkpoint", checkpoint)
    there = len(content) // 2
    assert re.fullmatch(
        rf"{re.escape(str(path))}: truncated: header says (\d+) bytes, {there} are there"
        r" \(auto, open\)",
        text,
    )


def test_an_unknown_model(fails, class_folder_root):
    arguments = train_arguments(class_folder_root, "--model.name", "demo_tin")
    assert fails(*arguments) == (
        "unknown model 'demo_tin'; did you mean 'demo_tiny'? (stvit-video models lists all)"
    )


def test_a_semantic_grid_larger_than_the_token_grid(fails, class_folder_root):
    arguments = train_arguments(class_folder_root, "--model.semantic", "8x2x2@2")
    assert fails(*arguments) == (
        "semantic grid 8x2x2 is larger than the token grid 2x4x4 along time: 8 > 2;"
        " choose at most 2"
    )


def test_a_block_out_of_range(fails, class_folder_root):
    arguments = train_arguments(class_folder_root, "--model.semantic", "2x2x2@9")
    assert fails(*arguments) == (
        "semantic setting 2x2x2@9 begins after block 9 and needs 2 blocks, but ends with block 6;"
        " choose a block from 0 to 4"
    )


def test_an_unknown_setting(fails, class_folder_root):
    arguments = train_arguments(class_folder_root, "--train.epoch", "3")
    assert fails(*arguments) == "unknown setting train.epoch; did you mean 'epochs'?"


def test_a_checkpoint_of_another_model(fails, checkpoint, class_folder_root):
    arguments = ("--model.name", "deit_tiny_patch16_224", "--model.pretrained", checkpoint)
    assert fails(*train_arguments(class_folder_root, *arguments)) == (
        f"{checkpoint} holds weights of demo_tiny, not of deit_tiny_patch16_224"
    )


def test_a_checkpoint_folder_that_says_one_model_and_holds_another(
    fails, checkpoint, numbered_video, tmp_path
):
    folder = tmp_path / "mixed"
    shutil.copytree(checkpoint, folder)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"model": "deit_tiny_patch16_224"}))
    text = fails("predict", numbered_video, "--checkpoint", folder)
    assert text.startswith(f"{folder} does not fit deit_tiny_patch16_224: ")


def test_a_checkpoint_that_is_not_there(fails, numbered_video, tmp_path):
    text = fails("predict", numbered_video, "--checkpoint", tmp_path / "run")
    assert text == f"checkpoint {tmp_path / 'run'} does not exist; give the folder of a run"


def test_a_label_outside_the_class_range(fails, numbered_video, tmp_path):
    manifest = tmp_path / "train.csv"
    manifest.write_text(f"path,label\n{numbered_video},waving\n{numbered_video},7\n")
    (tmp_path / "train.labels.txt").write_text("pushing\nwaving\n")
    assert fails(*train_arguments(manifest)) == f"{manifest} line 3: label 7 outside 0..1"
    assert not (tmp_path / "run").exists()


def test_an_empty_class_folder(fails, numbered_video, tmp_path):
    for name in ("pushing", "waving"):
        (tmp_path / "data" / name).mkdir(parents=True)
    shutil.copy(numbered_video, tmp_path / "data" / "waving")
    assert fails(*train_arguments(tmp_path / "data")) == (
        f"class folder {tmp_path / 'data' / 'pushing'} holds no videos; add some or remove it"
    )


def test_a_data_folder_that_is_not_there(fails, checkpoint, tmp_path):
    text = f"data folder {tmp_path / 'no'} does not exist; it must hold class folders"
    assert fails(*train_arguments(tmp_path / "no")) == text
    assert fails("evaluate", tmp_path / "no", "--checkpoint", checkpoint) == text


def test_a_flip_that_would_make_a_clip_of_no_class(fails, class_folder_root):
    assert fails(*train_arguments(class_folder_root)) == (
        "class 'pushing left' becomes 'pushing right' in a mirror, which is no class;"
        " set augmentation.flip to 0"
    )


def test_a_device_that_is_not_there(fails, checkpoint, class_folder_root):
    text = fails("evaluate", class_folder_root, "--checkpoint", checkpoint, "--device", "tpu")
    assert text == "device (tpu) is not here; use auto, cpu or cuda"


def test_views_that_cannot_be(fails, checkpoint, numbered_video):
    arguments = ("predict", numbered_video, "--checkpoint", checkpoint)
    assert fails(*arguments, "--num_crops", "2") == "num_crops (2) must be one of 1, 3"
    assert fails(*arguments, "--num_clips", "0") == "num_clips (0) must be at least 1"
    assert fails(*arguments, "--combine", "max") == (
        "combine (max) must be one of mean_probability, mean_logit"
    )


def test_a_demo_folder_that_holds_something(fails, tmp_path):
    (tmp_path / "mine.txt").touch()
    assert fails("demo", "--output_dir", tmp_path) == (
        f"output_dir ({tmp_path}) is not empty; choose a new folder"
    )


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--train.devices=4", "train.devices (4) must be at most the 0 GPUs of this machine"),
        ("--train.devices=0", "train.devices (0) must be at least 1"),
        ("--train.devices=-1", "train.devices (-1) must be at least 1"),
        ("--train.precision=fp8", "train.precision (fp8) must be one of 32-true, bf16-mixed, 16-m"),
        ("--optimizer.lr=.nan", "optimizer.lr (nan) must be finite"),
        ("--optimizer.warmup_epochs=100", "optimizer.warmup_epochs (100) must be at most train.ep"),
        ("--augmentation.crop_area=[1.0,0.5]", "augmentation.crop_area (1.0, 0.5) must be the le"),
        ("--augmentation.rand_augment=many", "augmentation.rand_augment (many) must read like ra"),
        ("--train.seed=-1", "train.seed (-1) must be in 0..4294967295"),
        ("--model.semantic=2x2x2@2-3", "semantic setting 2x2x2@2-3 begins after block 2 and need"),
        ("--json={}/no/x.json", "json ({}/no/x.json) cannot be written: there is no folder "),
        ("--data.val={}/no", "data folder {}/no does not exist; it must hold class folders"),
        (
            "--model.pretrained={}/no",
            "{}/no does not exist; give a file, a folder or a hub id such",
        ),
        ("--config={}/no.yaml", "config file {}/no.yaml does not exist"),
    ],
)
def test_a_setting_of_train_that_cannot_be_leaves_no_folder(
    fails, class_folder_root, tmp_path, option, text, monkeypatch
):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    arguments = ("--augmentation.flip", "0", "--output_dir", tmp_path / "run")
    line = fails(
        *train_arguments(class_folder_root, *arguments, option.replace("{}", str(tmp_path)))
    )
    assert line.startswith(text.replace("{}", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_what_users_write_by_habit_is_taken(class_folder_root, tmp_path, capsys):
    """`--model NAME`, dashes in names, lists without brackets."""
    arguments = train_arguments(class_folder_root, "--output_dir", tmp_path / "run")
    tidy = {"--model.name": "--model", "--data.num_workers": "--data.num-workers"}
    words = [tidy.get(str(word), str(word)) for word in arguments]
    assert main([*words, "--augmentation.flip=0", "--augmentation.crop-area", "0.5", "1"]) == 0
    settings = (tmp_path / "run" / "config.yaml").read_text()
    assert "crop_area:\n  - 0.5\n  - 1.0\n" in settings
    capsys.readouterr()


def test_paths_are_told_before_the_slow_imports(tmp_path):
    code = (
        "import sys; from stvit_video.cli import main; status = main(sys.argv[1:]);"
        "print(status, [m for m in ('torch', 'numpy', 'rich', 'av') if m in sys.modules])"
    )
    for arguments in (
        ["evaluate", "nowhere", "--checkpoint", "x"],
        ["predict", "nowhere.mp4", "--checkpoint", "owner/name"],
        ["convert", "nowhere", "--model", "x", "--output", "y"],
        ["data", "scan", "nowhere.csv"],
        ["benchmark", "demo_tiny", "--videos", "nowhere"],
        ["models", "--json", "no/such/x.json"],
    ):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
        assert done.stdout == "2 []\n"
        assert re.search("nowhere|no/such", done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "videos.csv")])
def test_a_file_that_may_not_be_read_is_named(fails, checkpoint, tmp_path, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("stvit_video.detection.evaluate_command.load_model", refuse)
    assert (
        fails("evaluate", tmp_path, "--checkpoint", checkpoint) == "videos.csv: Permission denied"
    )
