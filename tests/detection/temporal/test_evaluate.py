"""Segments through the command: a classifier, real videos, ActivityNet's files."""

import json

import numpy as np
import pytest
import torch

from stvit_video import create_model
from stvit_video.cli import main
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.video.numbered import write_pictures


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model that tells dark from bright, and a video of 12 s that is bright from 3 s to 7 s."""
    folder = tmp_path_factory.mktemp("segments")
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=2, num_frames=4, frame_stride=1)
    clips = torch.stack([torch.full((3, 4, 64, 64), value) for value in (-2.0, 2.0)])
    with torch.no_grad():
        state = model.eval().forward_tokens(clips)
        features = model.head_input(state)
        direction = features[1] - features[0]
        middle = features.mean(0)
        model.head.weight.copy_(torch.stack([-direction, direction]) / direction.norm() ** 2 * 8)
        model.head.bias.copy_(-model.head.weight @ middle)
    write_checkpoint(model, folder / "model", labels=("dark", "bright"))
    pictures = (
        np.full((64, 64, 3), 235 if 30 <= number < 70 else 20, dtype=np.uint8)
        for number in range(120)
    )
    write_pictures(folder / "v_abc.mp4", pictures, fps=10, options={"x264-params": "log=-1"})
    segments = [{"segment": [3, 7], "label": "bright"}, {"segment": [0, 3], "label": "dark"}]
    segments += [{"segment": [7, 12], "label": "dark"}]
    database = {"abc": {"subset": "validation", "duration": 12.0, "annotations": segments}}
    (folder / "net.json").write_text(json.dumps({"database": database}))
    return folder


def evaluate(place, *more, annotations="net.json"):
    words = [
        "evaluate",
        str(place / annotations),
        "--checkpoint",
        str(place / "model"),
        "--device=cpu",
    ]
    return main([*words, "--num_workers=0", *more])


def test_segments_are_found_and_measured(place, capsys):
    report, results = place / "report.json", place / "results.json"
    status = evaluate(place, "--window=1s", f"--json={report}", f"--predictions={results}")
    assert status == 0
    found = json.loads(results.read_text())["results"]["abc"]
    best = {row["label"]: row["segment"] for row in sorted(found, key=lambda row: row["score"])}
    assert best["bright"] == [3, 7]
    assert {tuple(row["segment"]) for row in found if row["label"] == "dark"} == {(0, 3), (7, 12)}
    measured = json.loads(report.read_text())
    assert measured["map_at"]["0.95"] == 1
    assert measured["activitynet_map"] == measured["thumos_map"] == 1
    assert (measured["num_videos"], measured["num_annotated"]) == (1, 3)
    assert "0.5:0.05:0.95 (ActivityNet)" in capsys.readouterr().out


def test_videos_that_do_not_decode_are_counted_and_left_out(place, capsys):
    record = json.loads((place / "net.json").read_text())
    record["database"]["broken"] = record["database"]["abc"]
    (place / "two.json").write_text(json.dumps(record))
    (place / "broken.mp4").write_bytes(b"no video")
    report = place / "two_report.json"
    assert evaluate(place, "--window=1s", f"--json={report}", annotations="two.json") == 0
    measured = json.loads(report.read_text())
    assert (measured["num_videos"], measured["num_annotated"]) == (2, 3)
    assert measured["map_at"]["0.5"] == 1
    (failed,) = measured["failed"]
    assert failed.startswith(f"{place}/broken.mp4: ")


def test_what_cannot_be_measured_is_refused(place, capsys):
    record = json.loads((place / "net.json").read_text())
    record["database"]["abc"]["annotations"][0]["label"] = "brigth"
    (place / "typo.json").write_text(json.dumps(record))
    del record["database"]["abc"]["annotations"][0]
    for words, annotations, said in (
        (["--window=1s"], "typo.json", "has the class 'brigth', which is none of the 2 of the"
         " model; did you mean 'bright'?"),
        (["--window=1s", "--subset=testing"], "net.json", "no videos of the subset 'testing'"),
        (["--window=1s", "--media=MEDIA"], "net.json", "names 'abc', of which"),
        (["--stride=1s", "--output_dir=out"], "net.json", "output_dir (out) has no place in"),
        (["--media=MEDIA"], "net.json", "has no place in evaluating the classes of whole videos"),
    ):  # fmt: skip
        words = [word.replace("MEDIA", str(place / "model")) for word in words]
        assert evaluate(place, *words, annotations=annotations) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
