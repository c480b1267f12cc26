import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stvit_video.cli import COMMANDS, build_parser, load_command, main, parse_command
from stvit_video.errors import ConfigError
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig

CONFIG = """
model: {name: demo_tiny, semantic: 4x2x2@2}
data: {train: videos}
optimizer: {lr: 1e-3}
output_dir: run
"""


def parse(arguments, name="train"):
    return parse_command(build_parser(name, load_command(name)), arguments)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return path


def test_help_lists_every_command_and_imports_neither_torch_nor_a_command():
    code = (
        "import sys; from stvit_video.cli import main; status = main(['--help']);"
        "loaded = [m for m in sys.modules if m.split('.')[0] in ('torch', 'numpy', 'jsonargparse')"
        " or m.startswith('stvit_video.commands')]; print(status, loaded)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "0 []"
    for name in COMMANDS:
        assert f"  {name} " in result.stdout


def test_the_help_of_a_command_explains_its_settings(capsys):
    assert main(["train", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "--model.semantic" in out
    assert "cluster to 8x4x4 tokens after block 4" in out
    assert "Run folder" in out


def test_no_command_shows_the_overview(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: stvit-video COMMAND")


@pytest.mark.parametrize("arguments", [["data"], ["data", "-h"], ["data", "--help"]])
def test_a_group_of_commands_explains_itself(arguments, capsys):
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: stvit-video data COMMAND [--config FILE] [--setting VALUE ...]"
    assert [line.split()[:2] for line in lines if line.startswith("  ")] == [
        name.split() for name in COMMANDS if name.startswith("data ")
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_function_whose_signature_is_its_command_line(name):
    parser = build_parser(name, load_command(name))
    assert parser.prog == f"stvit-video {name}"


@pytest.mark.parametrize(
    "name", ["demo", "train", "evaluate", "predict", "models", "flops", "benchmark"]
)
def test_every_command_with_a_result_writes_json(name):
    parser = build_parser(name, load_command(name))
    assert "json" in [action.dest for action in parser._actions]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'? (--help lists all)"),
        (
            ["data", "scn"],
            "data 'scn' is no command; data takes manifest, scan, prepare, rate;"
            " did you mean 'scan'?",
        ),
    ],
)
def test_an_unknown_command_names_the_nearest(arguments, text, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"stvit-video: {text}\n"


def test_a_file_sets_and_the_command_line_overrides(config):
    values = parse(["--config", str(config), "--optimizer.lr", "3e-4", "--model.drop_path", "0.1"])
    assert values["model"] == ModelConfig(name="demo_tiny", semantic="4x2x2@2", drop_path=0.1)
    assert values["optimizer"] == OptimizerConfig(lr=3e-4)
    assert values["output_dir"] == Path("run")
    assert "config" not in values


def test_null_switches_semantic_tokens_off(config):
    assert parse(["--config", str(config), "--model.semantic", "null"])["model"].semantic is None


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ("modle: {name: x}", "unknown setting modle.name; did you mean 'model.name'?"),
        ("views: {num_clip: 3}", "unknown setting views.num_clip; did you mean 'num_clips'?"),
        ("output: x", "unknown setting output; did you mean 'output_dir'?"),
        ("train: {epochs: many}", "train.epochs (many) must be a whole number at least 1"),
        ("views: {num_crops: 2}", "views.num_crops (2) must be one of 1, 3"),
        ("data: {target_fps: fast}", "data.target_fps (fast) must be a number above 0"),
        ("train: {epochs: 0}", "train.epochs (0) must be at least 1"),
    ],
)
def test_a_wrong_line_of_a_file_is_an_error_that_names_it(config, extra, text):
    config.write_text(f"{CONFIG}{extra}\n")
    with pytest.raises(ConfigError) as caught:
        parse(["--config", str(config)])
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--outputdir", "x"], "unknown setting outputdir; did you mean 'output_dir'?"),
        (["--outputdir=x"], "unknown setting outputdir; did you mean 'output_dir'?"),
        (["stray"], "unexpected argument 'stray'"),
        (["--model.semantic", "4x2@1"], "semantic setting (4x2@1) must read TxHxW@BLOCK, as in"),
    ],
)
def test_a_wrong_argument_is_an_error_that_names_it(config, arguments, text):
    with pytest.raises(ConfigError) as caught:
        parse(["--config", str(config), *arguments])
    assert str(caught.value).startswith(text)


def test_missing_settings_are_named():
    with pytest.raises(ConfigError) as caught:
        parse(["--data.train", "x"])
    assert str(caught.value) == (
        "missing model.name, output_dir; give it on the command line or in a --config file;"
        " example: stvit-video train"
        " --model demo_tiny --data.train videos/train --output_dir runs/mine"
    )


def test_a_missing_config_file_is_named():
    with pytest.raises(ConfigError, match=r"^config file /nowhere.yaml does not exist$"):
        parse(["--config", "/nowhere.yaml"])


def test_a_position_may_be_left_out():
    assert parse([], "models")["pattern"] == "*"
    assert parse(["videomae*"], "models")["pattern"] == "videomae*"


def test_a_fault_of_the_user_is_one_line_and_status_2(capsys):
    assert main(["models", "resnet*"]) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        "stvit-video models: pattern (resnet*) matches no model; stvit-video models lists all\n"
    )
    assert captured.out == ""


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "stvit-video 0.1.0\n"


def test_a_path_that_no_disk_takes_is_one_line(tmp_path, capsys):
    assert main(["data", "scan", "x" * 5000]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("stvit-video data scan: xxxx")
    assert told[0].endswith("File name too long")


def test_a_checkpoint_given_without_its_option_is_recognised(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.json").touch()
    run = str(tmp_path / "run")
    for words in (["predict", "a.mp4", run], ["evaluate", run], ["evaluate", run, "videos"]):
        assert main(words) == 2
        assert capsys.readouterr().err.endswith(
            f"; {tmp_path / 'run'} holds a model: --checkpoint {tmp_path / 'run'}\n"
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_begins_with_what_must_be_given_and_ends_with_an_example(name, capsys):
    assert main([*name.split(), "--help"]) == 0
    usage, *_, example = capsys.readouterr().out.strip().splitlines()
    assert usage.endswith(" [--SETTING VALUE ...]")
    parser = build_parser(name, load_command(name))
    for action in parser._actions:
        if action.required:
            assert (action.option_strings or [action.dest])[0] in usage
    assert example == f"example: stvit-video {name} {COMMANDS[name].example}"
    parse_command(parser, shlex.split(COMMANDS[name].example))


def test_the_help_says_what_a_setting_takes_in_a_word(capsys):
    assert main(["predict", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.index("must be given:") < out.rindex("--checkpoint TEXT") < out.index("options:")
    for words in ("--top_k NUMBER", "--json PATH", "--min_score NUMBER", "--window TEXT"):
        assert words in out
