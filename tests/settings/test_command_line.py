from typing import Annotated

import pytest

from stvit_video.settings.bounds import Count, Share
from stvit_video.settings.command_line import explain, tidy_arguments

KINDS = {
    "model.name": str,
    "model.num_frames": Count | None,
    "sizes": list[Count],
    "area": Annotated[tuple[Share, Share], "a rule"],
    "num_clips": Count,
    "data.train": str,
}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("--num-clips 2", "--num_clips 2"),
        ("--num-clips=2", "--num_clips=2"),
        ("--model.num-frames 8 a-b", "--model.num_frames 8 a-b"),
        ("--sizes 4", "--sizes=[4]"),
        ("--sizes=4", "--sizes=[4]"),
        ("--sizes 1 8 --num_clips 2", "--sizes=[1,8] --num_clips 2"),
        ("--sizes 1, 8", "--sizes=[1,8]"),
        ("--sizes 1,8", "--sizes=[1,8]"),
        ("--sizes [1,8]", "--sizes=[1,8]"),
        ("--sizes 4 demo_tiny", "--sizes=[4] demo_tiny"),
        ("--sizes much", "--sizes=[much]"),
        ("--sizes", "--sizes"),
        ("--area .5 1e0", "--area=[.5,1e0]"),
        ("--model demo_tiny", "--model.name demo_tiny"),
        ("--model=demo_tiny", "--model.name=demo_tiny"),
        ("--model {name:x}", "--model {name:x}"),
        ("--model --sizes 4", "--model --sizes=[4]"),
        ("--data videos", "--data videos"),
        ("-x --sizes+ 3", "-x --sizes+ 3"),
        ("--num_clips=", "--num_clips "),
    ],
)
def test_arguments_become_what_the_parser_takes(arguments, wanted):
    assert " ".join(tidy_arguments(arguments.split(), KINDS)) == wanted


def test_a_file_of_settings_is_no_name_of_a_model(tmp_path):
    path = tmp_path / "model.yaml"
    path.touch()
    assert tidy_arguments(["--model", str(path)], KINDS) == ["--model", str(path)]
    folder = ["--model", str(tmp_path)]  # one of a model's name may lie about
    assert tidy_arguments(folder, KINDS) == ["--model.name", str(tmp_path)]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            "Group 'model' does not accept option 'nam'",
            "unknown setting model.nam; did you mean 'name'?",
        ),
        (
            "unrecognized arguments: --num_clip=3 x",
            "unknown setting num_clip; did you mean 'num_clips'?",
        ),
        ("unrecognized arguments: stray x", "unexpected argument 'stray'"),
        (
            "argument --num_clips: expected one argument",
            "num_clips needs a value: a whole number at least 1",
        ),
        (
            "Parser key \"config\": File does not exist: '/no.yaml'",
            "config file /no.yaml does not exist",
        ),
        (
            "Parser key \"config\": Path is not a file: '/tmp'",
            "config file: Path is not a file: '/tmp'",
        ),
        (
            "Problems parsing config: mapping values\n  are not allowed",
            "config file is no YAML: mapping values are not allowed",
        ),
        (
            "Unexpected config: - 1\n",
            "config file must hold settings such as model.name: ...; it holds '- 1'",
        ),
        (
            "Parser key \"model\":\nUnable to load config '3'\n  - Parser key",
            "model (3) must be a group of settings such as model.name, or a YAML file of them",
        ),
        (
            "Parser key \"num_clips\":\n  Expected a <class 'int'>. Got value: ",
            "num_clips () must be a whole number at least 1",
        ),
        (
            "Parser key \"num_clips\":\n  Expected a <class 'int'>. Got value:"
            " NestedArg(key='x', val='3')",
            "unknown setting num_clips.x; did you mean 'num_clips'?",
        ),
        (
            "Parser key \"sizes\":\n  Expected a <class 'list'>. Got value: ['x']",
            "sizes ([x]) must be a list, each a whole number at least 1",
        ),
        (
            'Parser key "model.num_frames":\n  Does not validate against any of the Union'
            " subtypes\n  Subtypes: [int, <class 'NoneType'>]\n  Errors:\n    - Expected a"
            " <class 'int'>. Got value: x\n  Given value type: <class 'str'>\n  Given value: x",
            "model.num_frames (x) must be a whole number at least 1",
        ),
    ],
)
def test_what_the_parser_says_becomes_our_words(message, text):
    assert explain(message, KINDS) == text
