"""Cards and configs that were damaged or made up: one line, at once, before anything is built."""

import dataclasses
import json
import os
import re
import time

import pytest
import torch
from safetensors.torch import save_file

from stvit_video import create_model, load_model
from stvit_video.cli import main
from stvit_video.errors import CheckpointError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.models.build import _check_positions
from stvit_video.models.checkpoint import find_card, write_checkpoint
from stvit_video.models.registry import find_variant
from stvit_video.untrusted import read_json

HUGE = 10**9


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    model = create_model("demo_tiny", num_frames=2, image_size=32, num_classes=3)
    return write_checkpoint(model, folder, labels=("a", "b", "c")).parent


@pytest.fixture
def folder(whole, tmp_path):
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    return tmp_path


def change(folder, path, value):
    """Set one value of the card, by its dotted name."""
    card = json.loads((folder / "model.json").read_text())
    *above, last = path.split(".")
    inner = card
    for name in above:
        inner = inner.setdefault(name, {})
    inner[last] = value
    (folder / "model.json").write_text(json.dumps(card))


def refusal(folder):
    start = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert time.perf_counter() - start < 10
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(str(folder), "F")


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("num_classes", HUGE, "F/model.json: num_classes (1000000000) must be in 0..100000"),
        ("num_classes", -1, "F/model.json: num_classes (-1) must be in 0..100000"),
        ("num_classes", "3", "F/model.json: num_classes (3) must be a whole number in 0..100000"),
        ("labels", "abc", "F/model.json: labels (abc) must be a list of text, one a class"),
        ("labels", [1, 2, 3], "F/model.json: labels (1, 2, 3) must be a list of text, one a class"),
        ("overrides", [], "F/model.json: overrides ([]) must be names with values in braces"),
        ("extra", "x", "F/model.json: extra (x) must be names with values in braces"),
        ("source", 5, "F/model.json: source (5) must be text"),
        ("model", ["a"], "F/model.json: model.name (a) must be text"),
        ("semantic", 5, "F/model.json: model.semantic (5) must be text"),
        ("attentive_blocks", 10**6,
         "F/model.json: model.attentive_blocks (1000000) must be in 0..100"),
        ("preprocessing.std", [0.2, 0, 1], "F/model.json: preprocessing.std (0.0) must be above 0"),
        ("preprocessing.std", [0.2, float("nan"), 1],
         "F/model.json: preprocessing.std (nan) must be finite"),
        ("preprocessing.mean", [float("inf"), 0, 1],
         "F/model.json: preprocessing.mean (inf) must be finite"),
        ("preprocessing.mean", [10**400, 0, 1], re.compile(
         r"F/model\.json: preprocessing\.mean \(10+\.\.\.\) must be finite")),
        ("preprocessing.frame_stride", HUGE,
         "F/model.json: preprocessing.frame_stride (1000000000) must be in 1..100000"),
        ("preprocessing.image_size", 10**7, "F/model.json: a clip of num_frames (2) x image_size"
         " (10000000) squared must be at most 67108864 pixels"),
        ("preprocessing.num_frames", HUGE, "F/model.json: a clip of num_frames (1000000000) x"
         " image_size (32) squared must be at most 67108864 pixels"),
        ("overrides.depth", 10**6,
         "F/model.json: size depth (1000000) must be in 0..1000, and at most 2**20 in all"),
        ("overrides.dim", -64,
         "F/model.json: size dim (-64) must be in 0..131072, and at most 2**20 in all"),
        ("overrides.dim", "64", "F/model.json: size dim (64) must be a whole number"),
        ("overrides.norm_eps", float("nan"), "F/model.json: size norm_eps (nan) must be finite"),
        ("overrides.activation", "os.system",
         "F/model.json: size activation (os.system) must be one of gelu, gelu_tanh"),
        ("overrides.dims", 5, "F/model.json: unknown size 'dims'; did you mean 'dim'?"),
        ("overrides.num_heads", 0, re.compile("F has sizes that do not go together: .*")),
        ("overrides.table_grid", [1000, 1000, 1], re.compile(
         r"a card with 1000000 tokens of \d+ numbers must have at most 67108864 .*")),
        ("overrides.dim", 192, re.compile(
         r"F does not fit demo_tiny: model\.json makes \S+ \(.*\), but model\.safetensors has it as"
         r" \(.*\); get both files from one place")),
        ("overrides.depth", 1000, re.compile(
         r"F does not fit demo_tiny: model\.json makes \S+ \(.*, but .* as none; .*")),
        ("num_classes", 99_999, re.compile(".*labels.*|.*head.weight.*")),
    ],
)  # fmt: skip
def test_a_value_that_no_card_has_is_one_line(folder, path, value, text):
    change(folder, path, value)
    found = refusal(folder)
    assert text.fullmatch(found) if isinstance(text, re.Pattern) else found == text


def test_a_head_larger_than_the_file_is_refused_before_it_is_built(folder):
    change(folder, "num_classes", 99_999)
    change(folder, "labels", [])
    assert refusal(folder) == (
        "F does not fit demo_tiny: model.json makes head.weight (99999, 96), but model.safetensors"
        " has it as (3, 96); get both files from one place"
    )


@pytest.mark.parametrize("nested", ["[" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, "[" * 500_000])
def test_a_deep_card_is_one_line(folder, nested):
    (folder / "model.json").write_text(nested)
    assert refusal(folder) == "F/model.json must nest at most 50 deep"


def test_brackets_and_quotes_in_text_are_no_depth(tmp_path):
    text = {"a": "[" * 100 + '\\"{' * 100}
    (tmp_path / "a.json").write_text(json.dumps(text))
    assert read_json(tmp_path / "a.json", CheckpointError) == text
    start = time.perf_counter()
    (tmp_path / "a.json").write_text('"' + '\\"' * 400_000)  # a quote that is never closed
    with pytest.raises(CheckpointError, match="is not JSON"):
        read_json(tmp_path / "a.json", CheckpointError)
    assert time.perf_counter() - start < 10


def test_a_large_card_is_one_line(folder):
    change(folder, "extra.text", "x" * 2**20)
    assert re.fullmatch(
        r"F/model\.json must be at most 1048576 bytes, it is \d{7}", refusal(folder)
    )


def test_text_that_is_none_is_one_line(folder):
    (folder / "model.json").write_bytes(b'{"a": "\xff"}')
    assert refusal(folder) == "F/model.json is no text in UTF-8 (byte 7)"
    (folder / "model.json").write_text("9" * 5000)
    assert refusal(folder).startswith("F/model.json is not JSON (Exceeds the limit")


@pytest.mark.parametrize("name", ["model.json", "config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_regular_files_are_opened(folder, name, kind):
    (folder / "model.json").unlink()
    path = folder / name
    make = {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda p: p.symlink_to("/dev/zero")}
    make[kind](path)
    shown = "a " + kind
    assert refusal(folder) == f"F/{name} must be a regular file, it is {shown}; put the file there"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "other.pth"])
def test_a_pipe_in_place_of_weights_does_not_hang(tmp_path, name, capsys):
    os.mkfifo(tmp_path / name)
    assert main(["convert", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "holds no weights" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / name), "--output", str(tmp_path / "out")]) == 2
    assert "must be a regular file, it is a pipe" in capsys.readouterr().err


def test_what_a_card_says_of_its_training_is_checked_and_goes_no_further(folder):
    change(folder, "extra.config", {"views": {"num_clips": HUGE}})
    with pytest.raises(CheckpointError) as caught:
        Predictor.load(folder)
    assert str(caught.value) == (
        f"{folder}: model.json says views.num_clips (1000000000) must be in 1..1000; mend it there"
    )
    change(folder, "extra.config", {"views": [1], "data": {"num_workers": HUGE, "other": 1}})
    assert Predictor.load(folder).data.num_workers == 2
    for wrong in (None, 5, "x", []):
        change(folder, "extra.config", wrong)
        assert Predictor.load(folder).views.num_clips == 1
    assert find_card(folder).num_classes == 3


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"id2label": ["a"]}, "F has labels without numbers in its config.json"),
        ({"num_labels": HUGE}, "F: config.json cannot be used (ConfigError: num_classes"
         " (1000000000) must be in 0..100000)"),
        ({"image_size": {}}, "F: config.json cannot be used (TypeError: "),
        ({"image_size": "x"}, "F: config.json cannot be used (ValueError: "),
        ({"image_size": 10**7}, "F: a clip of num_frames (16) x image_size (10000000) squared"),
        ({"num_frames": -1}, "F: preprocessing.num_frames (-1) must be at least 1"),
        ({"layer_norm_eps": float("nan")}, "F: config.json cannot be used (ConfigError: norm_eps"),
        ({"layer_norm_eps": -1}, "F: config.json cannot be used (ConfigError: norm_eps (-1.0)"),
        ({"hidden_size": 0}, "F has a config.json without usable"),
        ({"intermediate_size": "x"}, "F has a config.json without usable"),
    ],
)  # fmt: skip
def test_a_config_of_another_library_is_held_to_the_same(tmp_path, config, text, monkeypatch):
    usual = {
        **{"model_type": "videomae", "hidden_size": 384, "num_hidden_layers": 12},
        **{"num_attention_heads": 6, "intermediate_size": 1536, "patch_size": 16},
        **{"tubelet_size": 2, "num_frames": 16, "image_size": 224},
    }
    (tmp_path / "config.json").write_text(json.dumps(usual | config))
    ours = {"embed.patch.proj.weight": torch.zeros(1), "blocks.0.norm1.weight": torch.zeros(1)}
    renamed = {"videomae." + name: value for name, value in ours.items()}
    save_file(ours if "F: a" in text or "F: p" in text else renamed, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        create_model("videomae_small_patch16_224", pretrained=tmp_path)
    found = str(caught.value).replace(str(tmp_path), "F")
    assert found.startswith(text), found


def test_of_a_readme_only_the_head_is_read(folder):
    (folder / "model.json").unlink()
    from stvit_video.models.weights.describe import describe_folder

    (folder / "README.md").write_text("---\nlicense: mit\n---\n" + "x" * 2**21)
    assert describe_folder(folder, "F").license == "mit"
    (folder / "README.md").write_text("---\n" + "x: y\n" * 2**20 + "license: mit\n---\n")
    assert describe_folder(folder, "F").license == ""
    (folder / "README.md").write_text(f"---\nlicense: {'m' * 9999}\n---\n")
    assert describe_folder(folder, "F").license == "m" * 100


@pytest.mark.parametrize(
    ("name", "num_frames", "image_size"),
    [
        ("dinov3_7b_patch16_256", 32, 1024),
        ("vjepa2_1_gigantic_patch16_384", 128, 512),
        ("video_swin_base_patch2x4x4_224", 64, 384),
        ("videomae_v2_giant_patch14_224", 64, 448),
    ],
)
def test_long_and_large_clips_are_no_forgery(name, num_frames, image_size):
    _check_positions(row_of(name, num_frames, image_size))


def test_a_fixed_table_without_end_is_refused():
    told = r"with 147456 tokens of 1408 numbers must have at most 67108864 numbers in all; it is"
    with pytest.raises(CheckpointError, match=told):
        _check_positions(row_of("videomae_v2_giant_patch14_224", 128, 672))


def row_of(name, num_frames, image_size):
    row = find_variant(name)
    size = dataclasses.replace(row.preprocessing, num_frames=num_frames, image_size=image_size)
    return dataclasses.replace(row, preprocessing=size)
