"""The example that classifies without torch sees what `Predictor` sees, and scores as it does."""

import dataclasses
import importlib.util
import itertools
import json
import sys
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
import torch

from stvit_video.datasets.from_settings import build_prediction_loader
from stvit_video.evaluation.predictor import Predictor
from stvit_video.exporting.run import export_checkpoint
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import VARIANTS, create_model
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig
from stvit_video.video.numbered import write_pictures
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.sampling.scheme import SamplingScheme

EXAMPLE = Path(__file__).parents[2] / "examples" / "classify_onnx.py"
WITHOUT = """
import runpy, sys
for name in ("torch", "torchvision", "stvit_video"):
    sys.modules[name] = None  # an import of it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("classify_onnx", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def turned_video(tmp_path_factory, numbered_video):
    path = tmp_path_factory.mktemp("turned") / "a.mp4"
    with av.open(str(numbered_video)) as reader, av.open(str(path), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        stream.set_display_rotation(90)
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    return path


def make_checkpoint(folder, *, multi_label=False, data=None, views=None, **preprocessing):
    torch.manual_seed(1)
    row = VARIANTS["demo_tiny"]
    look = dataclasses.replace(row.preprocessing, **preprocessing)
    sizes = {"dim": 24, "depth": 2, "num_heads": 2, "preprocessing": look}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "demo_tiny", dataclasses.replace(row, **sizes))
        model = create_model("demo_tiny", num_classes=3, semantic="2x2x2@1,layers=1")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.multi_label = multi_label
    config = {"data": data or {}, "views": views or {}}
    write_checkpoint(model, folder, labels=("a", "b", "c"), extra={"config": config})
    return folder


@pytest.mark.parametrize("sampling", ["dense", "segments", "uniform"])
def test_frames_are_chosen_as_ours(example, sampling):
    seen = set()
    rules, rates = ("repeat_last", "loop", "clamp"), ((1, None), (4, None), (3, 12.5))
    counts = itertools.product((1, 5, 8), (1, 2, 3, 7), (1, 4, 7, 23, 60, 301))
    for (num_frames, num_clips, length), short_video, (stride, target_fps) in itertools.product(
        counts, rules, rates
    ):
        scheme = SamplingScheme(
            kind=sampling,
            num_frames=num_frames,
            frame_stride=stride,
            target_fps=target_fps,
            num_clips=num_clips,
            short_video=short_video,
        )
        card = dataclasses.asdict(scheme) | {"sampling": sampling}
        expected = scheme(length, fps=29.97).tolist()
        assert example.choose_frames(length, 29.97, card) == expected, card
        seen.add(str(expected))
    assert len(seen) > 50


@pytest.mark.parametrize("size", [(64, 80), (240, 320), (77, 51), (30, 40), (360, 640), (33, 500)])
def test_pixels_are_resized_and_cropped_as_ours(example, size):
    """Equal where torch resizes uint8 as such, with AVX2; elsewhere it goes by way of floats."""
    frames = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    look = Preprocessing(num_frames=1, frame_stride=1, image_size=48)
    card = {"image_size": 48, "num_crops": 3, "short_side": 55}
    transform = build_transform(look, num_crops=3, short_side=55 / 48, normalize=False)
    is_exact = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    resized = example.resize_short_side(frames[0], 55)
    for place in range(3):
        ours = transform(torch.from_numpy(frames), place)[:, 0].permute(1, 2, 0).numpy()
        theirs = example.crop(resized, place, card)
        assert np.abs(ours.astype(int) - theirs).max() <= (0 if is_exact else 1)


@pytest.mark.parametrize("which", ["numbered_video", "turned_video", "counting_video"])
def test_clips_are_those_of_a_loader(example, which, request):
    video = request.getfixturevalue(which)
    look = Preprocessing(num_frames=4, frame_stride=3, image_size=28)
    data = DataConfig(num_workers=0, target_fps=12.0, backend="pyav")
    views = ViewConfig(num_clips=2, num_crops=3, short_side=8 / 7)
    (batch,) = build_prediction_loader([video], look, data=data, views=views, batch_size=6)
    card = {"sampling": "dense", "num_frames": 4, "frame_stride": 3, "target_fps": 12.0}
    card |= {"short_video": "repeat_last", "num_clips": 2, "num_crops": 3}
    clips = example.read_clips(video, card | {"short_side": 32, "image_size": 28})
    ours = batch.clip.permute(0, 2, 3, 4, 1).numpy()
    assert clips.shape == ours.shape == (6, 4, 28, 28, 3)
    assert len({clip.tobytes() for clip in clips}) > 1
    assert np.abs(clips.astype(int) - ours).max() <= 1
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        assert np.array_equal(clips, ours)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, numbered_video):
    """A checkpoint of 2 clips and 3 crops, and its file of ONNX."""
    folder = tmp_path_factory.mktemp("exported")
    views = {"num_clips": 2, "num_crops": 3}
    make_checkpoint(folder / "run", data={"sampling": "uniform"}, views=views)
    path = folder / "x.onnx"
    export_checkpoint(folder / "run", path, format="onnx", video=numbered_video)
    return folder / "run", path


def test_scores_are_those_of_the_predictor_without_torch_or_us(
    exported, numbered_video, turned_video, run_code
):
    folder, path = exported
    videos = (numbered_video, turned_video)
    out = run_code(WITHOUT, EXAMPLE, path, *videos, "--json", "--top_k", 3, PYTHONPATH="")
    predictor = Predictor.load(folder, device="cpu")
    for line, video in zip(out.splitlines(), videos, strict=True):
        answer = json.loads(line)
        assert answer["video"] == str(video)
        ours = predictor.predict(video, top_k=3).topk
        assert [e["label"] for e in answer["topk"]] == [e["label"] for e in ours]
        for theirs, own in zip(answer["topk"], ours, strict=True):
            assert theirs["score"] == pytest.approx(own["score"], abs=1e-5)
        assert max(e["score"] for e in ours) - min(e["score"] for e in ours) > 0.01


def test_normalised_clips_of_blue_first_and_scores_of_each_class_alone(example, tmp_path):
    video = tmp_path / "red.mkv"
    red = np.broadcast_to(np.array([230, 90, 20], np.uint8), (48, 64, 3))
    pictures = (np.roll(red * (np.arange(64)[:, None] > 20), 3 * i, axis=1) for i in range(11))
    write_pictures(video, pictures, codec="ffv1", pix_fmt="bgr0")
    folder = make_checkpoint(
        tmp_path / "run",
        channel_order="bgr",
        mean=(0.1, 0.4, 0.9),
        short_side=1.25,
        multi_label=True,
    )
    path = tmp_path / "x.onnx"
    export_checkpoint(folder, path, format="onnx", input_dtype="float32", video=video)
    session, card = example.load(path)
    scores = example.classify(session, card, video)
    ours = Predictor.load(folder, device="cpu").predict(video, top_k=3).topk
    assert {e["label"]: pytest.approx(e["score"], abs=1e-5) for e in ours} == dict(
        zip("abc", scores, strict=True)
    )


def test_what_cannot_be_read_is_told_in_a_line(example, exported, tmp_path, monkeypatch, capsys):
    def line_of(*words):
        monkeypatch.setattr(sys, "argv", ["classify_onnx.py", *map(str, words)])
        assert example.main() == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        return captured.err.removeprefix("classify_onnx.py: ").rstrip("\n")

    _, path = exported
    words = tmp_path / "a\x1b[1m.mp4"
    words.write_text("no video")
    assert line_of(path, words).startswith(f"{tmp_path}/a?[1m.mp4: ")
    model = onnx.load(path)
    assert line_of(tmp_path / "y.onnx", words) == f"{tmp_path / 'y.onnx'} does not exist"
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "y.onnx")
    assert line_of(tmp_path / "y.onnx", words) == (
        f"{tmp_path / 'y.onnx'} was not written by stvit-video export"
    )


def test_it_imports_nothing_but_three_packages():
    text = EXAMPLE.read_text()
    imported = {line.split()[1].split(".")[0] for line in text.splitlines()
                if line.startswith(("import ", "from "))}  # fmt: skip
    assert imported - set(sys.stdlib_module_names) == {"av", "numpy", "onnxruntime"}
