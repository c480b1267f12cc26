"""Every setting of every command, with values that it cannot have: one line, status 2, no file."""

import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest

import stvit_video.settings
from stvit_video.cli import COMMANDS, load_command, main
from stvit_video.errors import ConfigError
from stvit_video.files import check_output, check_output_folder, check_result
from stvit_video.settings.bounds import Range
from stvit_video.settings.data import AugmentationConfig, DataConfig

FREE = {"Preprocessing.mean": "the mean of a colour may be any number"}
"""Numbers without a bound, and why."""
NOT_HERE = ["nothing/to/be/here.csv"]
NOT_WRITABLE = {
    check_result: ["a_file/x.json", "videos", "nothing/here.json"],
    check_output: ["a_file/run/x.csv", "videos"],
    check_output_folder: ["a_file", "a_file/run"],
}


def parts(annotation):
    """List what an annotation is made of: itself, and the members of unions and containers."""
    inner = get_args(annotation) if get_origin(annotation) not in (Literal, Annotated) else ()
    return [annotation, *(part for member in inner for part in parts(member))]


def is_number_without_bound(annotation):
    return annotation in (int, float)


def wrong_values(annotation):
    """List values, as typed on a command line, that a setting of this annotation refuses."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        members = [member for member in args if member is not type(None)]
        return [value for value in wrong_values(members[0]) if value not in ("true", "")]
    if origin is Annotated and args[0] in (int, float):
        return ["much", "true", "[1, 2]", *beyond(args[1], args[0])]
    if origin is Annotated:
        return NOT_WRITABLE.get(args[1], NOT_HERE)
    if origin is Literal or annotation is bool:
        return ["perhaps", "7"]
    if (origin is list and args[0] is not str) or args[-1:] == (Ellipsis,):
        return ["much", "[]", *(f"[1, {value}]" for value in wrong_values(args[0]))]
    if origin is tuple:
        good = "[" + ", ".join("1" for _ in args[1:])
        return ["much", "[1]", *(f"{good}, {value}]" for value in wrong_values(args[0]))]
    return ["much", "{demo_tiny: much}", "{demo_tiny: 101}"] if origin is dict else []


def beyond(bounds: Range, kind):
    values = [bound for bound in (bounds.above, bounds.below) if bound is not None]
    values += [bounds.least - 1] if bounds.least is not None else []
    values += [bounds.most + 1] if bounds.most is not None else []
    return [str(kind(value)) for value in values] + (["1.5"] if kind is int else [".nan", ".inf"])


def walk(name, annotation):
    """Yield the settings in a setting, by their dotted names."""
    if dataclasses.is_dataclass(annotation):
        for field in dataclasses.fields(annotation):
            yield from walk(f"{name}.{field.name}", field.type)
    else:
        yield name, annotation


def settings_of(command):
    parameters = inspect.signature(load_command(command)).parameters.values()
    return dict(pair for p in parameters for pair in walk(p.name, p.annotation))


def positions_of(command):
    parameters = inspect.signature(load_command(command)).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]


GOOD = {
    "demo": {},
    "train": {"model.name": "demo_tiny", "data.train": "videos", "output_dir": "out"},
    "probe": {
        "model.name": "demo_tiny",
        "model.pretrained": "videos",
        "data.train": "videos",
        "data.val": "videos",
        "output_dir": "out",
    },
    "evaluate": {"checkpoint": "videos", "videos": "videos"},
    "predict": {"videos": "a_file", "checkpoint": "videos"},
    "visualize": {"video": "a_file", "checkpoint": "videos", "output_dir": "out"},
    "serve": {"checkpoint": "videos"},
    "stream": {"source": "a_file", "checkpoint": "videos"},
    "models": {},
    "recipes": {},
    "convert": {"source": "a_file", "output": "out"},
    "export": {"checkpoint": "videos", "output": "out.onnx"},
    "flops": {"models": "demo_tiny"},
    "benchmark": {"models": "demo_tiny"},
    "report": {"models": "demo_tiny", "output": "out"},
    "data manifest": {"layout": "list", "root": "videos", "output": "out.csv"},
    "data scan": {"manifest": "videos"},
    "data prepare": {"manifest": "videos", "output_dir": "out"},
    "data rate": {"videos": "videos"},
    "completion": {"shell": "bash"},
}
"""Settings of each command that are right as far as is looked before the work."""
MISTYPED = [
    (command, name, value)
    for command in COMMANDS
    for name, annotation in settings_of(command).items()
    for value in wrong_values(annotation)
]
REQUIRED = [
    (command, name)
    for command, settings in GOOD.items()
    for name in settings
    if name not in positions_of(command)[:-1]  # without those, the words after them move up
]


def words(command, settings):
    positions = positions_of(command)
    given = [settings[name] for name in positions if name in settings]
    options = [f"--{name}={value}" for name, value in settings.items() if name not in positions]
    return [*command.split(), *given, *options]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    (folder / "videos").mkdir()
    (folder / "a_file").write_text("no folder")
    return folder


@pytest.fixture
def fails(place, monkeypatch, capsys):
    """Run a command that must fail before it writes anything; return its one line."""

    def run(command, settings):
        monkeypatch.chdir(place)
        before = sorted(place.rglob("*"))
        status = main(words(command, settings))
        captured = capsys.readouterr()
        assert (status, captured.out, captured.err.count("\n")) == (2, "", 1), captured.err
        assert sorted(place.rglob("*")) == before
        return captured.err.removeprefix(f"stvit-video {command}: ")

    return run


def test_the_table_of_good_settings_knows_every_command():
    assert GOOD.keys() == COMMANDS.keys()


@pytest.mark.parametrize(("command", "name", "value"), MISTYPED)
def test_a_value_that_a_setting_cannot_have_is_one_line_that_names_it(fails, command, name, value):
    text = fails(command, GOOD[command] | {name: value})
    assert name in text or (value and value in text), text


@pytest.mark.parametrize(("command", "name"), REQUIRED)
def test_what_must_be_given_is_asked_for(fails, command, name):
    text = fails(command, {key: value for key, value in GOOD[command].items() if key != name})
    assert text.startswith(f"missing {name}; give ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_of_a_command_has_a_bound(command):
    settings = settings_of(command)
    free = [n for n, a in settings.items() if any(map(is_number_without_bound, parts(a)))]
    assert free == []


SETTINGS = [
    found
    for module in pkgutil.iter_modules(stvit_video.settings.__path__, "stvit_video.settings.")
    for found in vars(importlib.import_module(module.name)).values()
    if dataclasses.is_dataclass(found) and found.__module__ == module.name
]


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_number_of_the_settings_has_a_bound_or_a_reason(kind):
    for field in dataclasses.fields(kind):
        if any(map(is_number_without_bound, parts(field.type))):
            assert f"{kind.__name__}.{field.name}" in FREE


NEEDED = {
    "ModelConfig": {"name": "demo_tiny"},
    "Preprocessing": {"num_frames": 8, "frame_stride": 2, "image_size": 64},
    "SemanticConfig": {"grid": (4, 2, 2), "after": 1},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_made_in_python_are_checked_too(kind):
    if kind.__name__ in ("RunConfig", "ProbeRun", "ModelWord", "ReducerConfig"):
        return
    needed = NEEDED.get(kind.__name__, {})
    kind(**needed)
    for field in dataclasses.fields(kind):
        with pytest.raises(ConfigError) as caught:
            kind(**{**needed, field.name: object})
        assert f"{field.name} (<class 'object'>) must be " in str(caught.value)


def test_paths_may_be_text_and_pairs_lists():
    assert DataConfig(train="videos").train == Path("videos")
    assert AugmentationConfig(crop_area=[0.5, 1]).crop_area == (0.5, 1.0)
