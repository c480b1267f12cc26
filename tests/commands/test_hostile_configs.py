"""Settings of strangers: one line, at once, without a piece of another file."""

import os
import time

import pytest

from stvit_video.cli import main

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(9 * [f'*{old}'])}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def run(capsys, *words):
    """Run a command that must refuse what it is given -> its one line, without the program."""
    capsys.readouterr()
    start = time.perf_counter()
    assert main([*map(str, words)]) == 2
    assert time.perf_counter() - start < 20
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert len(err) < 700
    return err.partition(": ")[2].rstrip("\n")


ANCHOR = "settings take no anchor (&) and no alias (*); write the values out"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (100_000 * "[", "(line 1: settings must nest at most 20 deep)"),
        ("a:\n  " + 100_000 * "- ", "(line 2: settings must nest at most 20 deep)"),
        (100_000 * "{a: ", "(line 1: settings must nest at most 20 deep)"),
        (f"model:\n  name: '{100_000 * '['}'", "(line 1: settings must nest at most 20 deep)"),
        (LAUGHS, f"(line 1: {ANCHOR})"),
        ("model:\n  name: |\n    " + LAUGHS.replace("\n", "\n    "), f"(line 1: {ANCHOR})"),
        ("x: 1\nmodel: &m {name: demo_tiny}\n", f"(line 2: {ANCHOR})"),
        ("model:\n  <<: {name: demo_tiny}\n",
         "(line 2: settings take no merge key (<<); write the values out)"),
        ("a: [" + 30_000 * "1," + "]", "(line 1: settings must be at most 20000 values)"),
        ("model: {name: demo_tiny", "(line 2: did not find expected ',' or '}')"),
        ("a: !!python/object/apply:os.system [ls]", "(line 1: could not determine a constructor"
         " for the tag 'tag:yaml.org,2002:python/object/apply:os.system')"),
        ("a: 2026-99-99", "(month must be in 1..12)"),
        ("a: " + 9999 * "9", "(Exceeds the limit"),
    ],
)  # fmt: skip
def test_more_than_settings_need_is_refused(tmp_path, capsys, text, line):
    path = tmp_path / "downloaded.yaml"
    path.write_text(text)
    for words in (["train", "--config", path], ["train", f"--config={path}"]):
        assert run(capsys, *words).startswith(f"config file {path} is no YAML of settings {line}")
    words = ["data", "prepare", tmp_path, tmp_path / "new", "--recipe", path]
    assert run(capsys, *words).startswith(f"recipe {path} is no YAML of settings {line}")
    assert run(capsys, "train", "--model", path).startswith(f"config file {path} is no YAML")


def test_settings_are_small_regular_files(tmp_path, capsys):
    path = tmp_path / "a.yaml"
    path.write_text("#" * (2**20 + 1))
    assert run(capsys, "train", "--config", path) == (
        f"config file {path} must be at most 1048576 bytes, it is 1048577"
    )
    path.unlink()
    os.mkfifo(path)
    rule = "must be a regular file, it is"
    for words, kind in (
        (("--config", path), "a pipe"),
        (("--config", "/dev/zero"), "a device"),
        (("--config", tmp_path), "a folder"),
        (("--model", path), "a pipe"),
        (("--data=/dev/zero",), "a device"),
    ):
        given = str(words[-1]).removeprefix("--data=")
        line = f"config file {given} {rule} {kind}; put the file there"
        assert run(capsys, "train", *words) == line


@pytest.mark.parametrize("key", ["config", "model", "data"])
def test_one_config_reads_no_other_file(tmp_path, capsys, key):
    secret = tmp_path / "secret"
    secret.write_text("password: hunter2\n" * 100)
    path = tmp_path / "a.yaml"
    path.write_text(f"{key}: {secret}\n")
    line = run(capsys, "train", "--config", path)
    assert "hunter2" not in line
    assert line == {
        "config": f"config file {path} has config ({secret}), but one names no other file; write"
        " its settings out",
    }.get(key) or line.startswith(
        f"config file {path}: {key} ({secret}) must be a group of settings such as {key}."
    )
    assert "hunter2" not in run(capsys, "train", "--config", secret)
    path.write_text("word " * 10_000)
    line = run(capsys, "train", "--config", path)
    assert line.startswith(f"config file {path} must hold settings by name; it holds 'word word")
    assert len(line) < 400


def test_a_value_of_any_length_is_quoted_short(tmp_path, capsys):
    path = tmp_path / "a.yaml"
    path.write_text(f"model: {{name: demo_tiny}}\ntrain: {{epochs: {5000 * 'x'}}}\n")
    assert len(run(capsys, "train", "--config", path)) < 400
    assert len(run(capsys, "train", "--model", 5000 * "x")) < 400
    assert len(run(capsys, "train", f"--train.epochs={5000 * 'x'}")) < 400
    assert len(run(capsys, "train", f"--{5000 * 'x'}")) < 600


def test_a_config_overwrites_no_file_that_is_no_result(tmp_path, capsys):
    other = tmp_path / "thesis.txt"
    other.write_text("mine")
    path = tmp_path / "a.yaml"
    path.write_text(f"pattern: demo*\njson: {other}\n")
    assert run(capsys, "models", "--config", path) == (
        f"config file {path}: json ({other}) is there and no result of a command; name another file"
    )
    assert other.read_text() == "mine"
    path.write_text(f"json: {tmp_path / 'models.json'}\n")
    for _ in range(2):
        assert main(["models", "demo*", "--config", str(path)]) == 0


def test_settings_may_hold_what_looks_like_yaml(tmp_path, capsys):
    path = tmp_path / "a.yaml"
    path.write_text("title: 'A & B [draft], 50 % {x}: *'\nmodels: [nothing]\noutput: o\n")
    assert "nothing" in run(capsys, "report", "--config", path)


@pytest.fixture
def somebody(tmp_path):
    """A folder of somebody else, with files that a run writes, too."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in ("config.yaml", "metrics.json", "model.json", "report.json", "config.json"):
        (folder / name).write_text('{"mine": 1}\n')
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


COMMANDS = {
    "train": "model: {{name: demo_tiny}}\ndata: {{train: {data}}}\naugmentation: {{flip: 0}}\n"
    "train: {{epochs: 1, devices: cpu}}\noutput_dir: {folder}\n",
    "probe": "model: {{name: demo_tiny, pretrained: {data}}}\n"
    "data: {{train: {data}, val: {data}}}\n"
    "device: cpu\noutput_dir: {folder}\n",
    "report": "models: [demo_tiny]\noutput: {folder}\n",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_config_does_not_lead_into_a_folder_of_somebody(
    tmp_path, capsys, somebody, class_folder_root, command
):
    config = tmp_path / "downloaded.yaml"
    config.write_text(COMMANDS[command].format(data=class_folder_root, folder=somebody))
    before = contents(somebody)
    name = "output" if command == "report" else "output_dir"
    rule = "which this command did not write there; choose a new folder"
    assert run(capsys, command, "--config", config) == (
        f"{name} ({somebody}) holds config.json, {rule}"
    )
    assert contents(somebody) == before
    for path in somebody.iterdir():
        path.unlink()
    (somebody / "thesis.txt").write_text("mine")
    assert run(capsys, command, "--config", config) == (
        f"{name} ({somebody}) holds thesis.txt, {rule}"
    )
    assert contents(somebody) == {"thesis.txt": b"mine"}


@pytest.mark.parametrize("to", ["stvit-video", "transformers"])
def test_convert_writes_into_no_folder_of_somebody(tmp_path, capsys, somebody, to):
    import torch

    from stvit_video import create_model

    weights = tmp_path / "w.pth"
    torch.save(create_model("demo_tiny").state_dict(), weights)
    before = contents(somebody)
    words = ["convert", weights, "--model", "demo_tiny", "--output", somebody, "--to", to]
    assert run(capsys, *words).startswith(f"output ({somebody}) holds config.json, which this")
    assert contents(somebody) == before
    new = tmp_path / "new"
    again = ["convert", str(weights), "--model", "demo_tiny", "--output", str(new)]
    for _ in range(2):
        assert main(again) == 0
    (new / "config.yaml").write_text("of a run")
    assert run(capsys, *again).startswith(f"output ({new}) holds config.yaml, which this")


def test_the_folder_is_told_first_and_a_run_is_taken_for_ours(tmp_path, capsys, class_folder_root):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "slurm.out").write_text("a log")
    (folder / ".hidden").write_text("")
    config = tmp_path / "a.yaml"
    text = COMMANDS["train"].format(data=class_folder_root, folder=folder)
    config.write_text(text + "dry_run: false\n")
    size = ["--model.num_frames", "2", "--model.image_size", "32", "--data.num_workers", "0"]
    assert main(["train", "--config", str(config), *size]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        f"training demo_tiny for 1 epoch on {class_folder_root}; output_dir {folder}"
    )
    for name in ("model.safetensors", "model.json"):
        (folder / name).unlink()
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    assert main(["train", "--config", str(config), *size]) == 0  # stopped before a checkpoint
    (folder / "config.yaml").write_text("model: {name: demo_tiny}\n")
    assert "already holds" in run(capsys, "train", "--config", config, "--train.resume", "false")
