"""`stvit-video export`, from a checkpoint to a file that another process could run."""

import dataclasses
import json
import shutil

import onnx
import pytest
import torch

from stvit_video.cli import main
from stvit_video.exporting import formats
from stvit_video.exporting.formats import FORMATS
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import VARIANTS, create_model

READING = {"sampling": "segments", "target_fps": 12.0, "short_video": "loop"}
VIEWS = {"num_clips": 2, "num_crops": 3, "combine": "mean_logit"}


@pytest.fixture(scope="module")
def make_checkpoint(tmp_path_factory):
    """Write a checkpoint of a small network, by its options, whose every weight is random."""

    def make(name="demo_tiny", *, views=VIEWS, classes=3, dim=24, **options):
        torch.manual_seed(1)
        with pytest.MonkeyPatch.context() as patch:
            row = dataclasses.replace(VARIANTS[name], dim=dim, depth=2, num_heads=2)
            patch.setitem(VARIANTS, name, row)
            model = create_model(name, num_classes=classes, image_size=32, **options)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        folder = tmp_path_factory.mktemp("run")
        names = ("a\x1b[1m", "b", "c")[:classes]
        extra = {"config": {"data": READING, "views": views}}
        write_checkpoint(model, folder, labels=names, extra=extra)
        return folder

    return make


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint):
    return make_checkpoint(semantic="2x2x2@1,layers=1", num_frames=4)


@pytest.fixture
def fails(tmp_path, capsys):
    """Run an export that must fail: its one line; nothing is left in the folder."""

    def run(*arguments):
        assert main(["export", *map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1), captured.err
        assert list(tmp_path.iterdir()) == []
        return captured.err.removeprefix("stvit-video export: ").rstrip("\n")

    return run


def test_a_file_of_onnx_says_all_that_its_reader_must_know(
    checkpoint, numbered_video, tmp_path, capsys
):
    path = tmp_path / "x.onnx"
    arguments = ["export", str(checkpoint), "--output", str(path), "--video", str(numbered_video)]
    assert main([*arguments, "--json", "-"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]
    assert (report["num_bytes"], report["format"]) == (path.stat().st_size, "onnx")
    assert [(a["num_clips"], a["same_class"]) for a in report["agreements"]] == [(1, 1), (2, 2)]
    assert all(a["relative_difference"] < 1e-5 for a in report["agreements"])
    assert f"{path}: demo_tiny, 2x2x2@1,layers=1, onnx, opset 20, " in captured.err
    assert "clips: uint8 (clips, 4, 32, 32, 3), BTHWC\n" in captured.err
    model = onnx.load(path)
    onnx.checker.check_model(model)
    (inputs,) = model.graph.input
    sizes = [d.dim_param or d.dim_value for d in inputs.type.tensor_type.shape.dim]
    assert (inputs.name, sizes) == ("clips", ["clips", 4, 32, 32, 3])
    assert inputs.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 20
    card = json.loads({entry.key: entry.value for entry in model.metadata_props}["stvit_video"])
    expected = READING | VIEWS | {
        "format": "stvit-video export 1",
        "model": "demo_tiny",
        "semantic": "2x2x2@1,layers=1",
        "input_dtype": "uint8",
        "channel_order": "rgb",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "num_frames": 4,
        "frame_stride": 1,
        "short_side": 32,
        "image_size": 32,
        "scores": "softmax",
        "labels": ["a\x1b[1m", "b", "c"],
        "opset": 20,
    }  # fmt: skip
    assert {name: card[name] for name in expected} == expected


def test_a_program_of_torch_takes_any_number_of_frames(make_checkpoint, tmp_path, capsys):
    path = tmp_path / "x.pt2"
    folder = make_checkpoint(semantic="3@1", num_frames=4)
    arguments = ["export", str(folder), "--format", "torch", "--output", str(path)]
    assert main([*arguments, "--dynamic_frames", "true", "--input", "float32"]) == 0
    out = capsys.readouterr().out
    assert "clips: float32 (clips, 3, frames, 32, 32), BCTHW; frames: 2 x N" in out
    assert out.count(" of 4 ") == 3  # clips, of 4, 4 and 6 frames
    run, card = FORMATS["torch"].load(path)
    assert json.loads(card)["input_shape"] == ["clips", 3, "frames", 32, 32]
    assert run(torch.zeros(5, 3, 10, 32, 32)).shape == (5, 3)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_code_computes_what_the_network_does(make_checkpoint, tmp_path, capsys):
    path = tmp_path / "x.pt2"
    folder = make_checkpoint(semantic="1x2x2@1,layers=1", num_frames=2)
    assert main(["export", str(folder), "--format", "aoti", "--output", str(path)]) == 0
    assert " demo_tiny, 1x2x2@1,layers=1, aoti, " in capsys.readouterr().out
    run, card = FORMATS["aoti"].load(path)
    assert json.loads(card)["labels"] == ["a\x1b[1m", "b", "c"]
    assert run(torch.zeros(5, 2, 32, 32, 3, dtype=torch.uint8)).shape == (5, 3)


def test_a_file_that_computes_something_else_gets_no_name(checkpoint, fails, tmp_path):
    line = fails(checkpoint, "--output", tmp_path / "x.onnx", "--tolerance", "1e-12")
    head, _, tail = line.partition(" differs from the network by ")
    assert head == "the file of demo_tiny at 1 clips of 4 frames"
    assert tail.endswith(" of the largest logit, above tolerance (1e-12); nothing was written")


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_a_full_disk_is_told(make_checkpoint, small_disk, capsys, format):
    path = small_disk / f"x{FORMATS[format].suffix}"
    folder = make_checkpoint(dim=192, num_frames=2)
    assert main(["export", str(folder), "--output", str(path), "--format", format]) == 2
    assert capsys.readouterr().err.startswith(f"stvit-video export: {path} cannot be written: ")
    assert list(small_disk.iterdir()) == []


def test_a_suffix_of_another_format_is_refused_before_the_work(checkpoint, fails, tmp_path):
    assert fails(checkpoint, "--format", "aoti", "--output", tmp_path / "x.onnx") == (
        f"output ({tmp_path / 'x.onnx'}) must end with .pt2 for the format aoti"
    )


def test_a_device_is_for_formats_that_are_made_for_one(checkpoint, fails, tmp_path):
    assert fails(checkpoint, "--output", tmp_path / "x.onnx", "--device", "cuda") == (
        "device (cuda) is for the formats aoti and torch; a file of onnx is made on the cpu and"
        " runs anywhere"
    )


def test_what_a_format_needs_is_asked_for_before_the_work(checkpoint, fails, tmp_path, monkeypatch):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    assert fails(checkpoint, "--output", tmp_path / "x.onnx") == (
        "format onnx needs onnx, onnxscript, onnxruntime; run pip install 'stvit-video[export]'"
    )
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert fails(checkpoint, "--format", "aoti", "--output", tmp_path / "x.pt2") == (
        "format aoti needs the C++ compiler no-such-compiler, which is not there; install it, or"
        " name another in the environment variable CXX"
    )


def test_frames_that_cannot_vary_are_told(make_checkpoint, fails, tmp_path):
    """Some programs say so themselves, others not before they run on other frames."""
    image = make_checkpoint("vit_tiny_patch16_224")
    asked = ("--dynamic_frames", "true", "--output")
    assert fails(image, "--format", "torch", *asked, tmp_path / "x.pt2") == (
        "vit_tiny_patch16_224 cannot be exported with dynamic frames, as it is laid out for 1;"
        " leave --dynamic_frames out"
    )
    tubes = make_checkpoint(semantic="4x2x2@1,scope=tube,layers=1")
    assert fails(tubes, *asked, tmp_path / "x.onnx") == (
        "the file of demo_tiny at 4 clips of 10 frames does not run, as the network is laid out for"
        " others; leave --dynamic_frames out; nothing was written"
    )


def test_a_reducer_that_onnx_cannot_hold_is_told(make_checkpoint, fails, tmp_path):
    folder = make_checkpoint(reduction="atc:keep=5,block=1", num_frames=2)
    line = fails(folder, "--output", tmp_path / "x.onnx")
    assert line.startswith(
        "demo_tiny:atc:keep=5,block=1,linkage=average cannot be written as ONNX: "
    )


def test_networks_that_do_not_classify_one_clip_are_refused(make_checkpoint, fails, tmp_path):
    output = tmp_path / "x.onnx"
    folder = make_checkpoint(classes=0)
    assert fails(folder, "--output", output) == (
        f"checkpoint {folder} has no head; export one that classifies"
    )
    folder = make_checkpoint(views={"join_clips": True})
    assert fails(folder, "--output", output) == (
        f"checkpoint {folder} reads all clips of a crop at once (views.join_clips), but an exported"
        " file takes one at a time; set join_clips to false in its model.json"
    )
