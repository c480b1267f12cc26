import dataclasses
import json
import os
import stat

import pytest
import torch
from torch import nn

from stvit_video.errors import CheckpointError, MissingFileError
from stvit_video.models import registry
from stvit_video.models.card import ModelCard, read_card, write_card
from stvit_video.models.checkpoint import load_model, write_checkpoint
from stvit_video.models.registry import create_model
from stvit_video.settings.model import ModelConfig

LABELS = ("a", "b", "c")
CLIP = {"num_frames": 4, "image_size": 24}


def _demo(**options):
    return create_model("demo_tiny", num_classes=3, **CLIP, **options).eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"semantic": "2x2x2@1,pool=learned"},
        {"semantic": "1x2x2@1-4+2x3x3@4"},
        {"reduction": "tome:r=2"},
    ],
    ids=str,
)
def test_a_model_comes_back_as_it_was(tmp_path, options):
    model = _demo(**options)
    write_checkpoint(model, tmp_path / "run", labels=LABELS, extra={"top1": 81.5})
    again = load_model(tmp_path / "run")
    clip = torch.randn(2, 3, 4, 24, 24)
    assert torch.equal(again(clip), model(clip))
    assert again.recipe.options.semantic == model.recipe.options.semantic
    assert str(again.recipe.options.reducer) == str(model.recipe.options.reducer)
    assert (again.labels, again.preprocessing) == (LABELS, model.preprocessing)
    assert again.key_report.lines() == []
    assert not again.training
    assert read_card(tmp_path / "run").extra == {"top1": 81.5}


def test_sizes_that_differ_from_the_row_come_back(tmp_path, monkeypatch):
    row = registry.VARIANTS["vivit_base_patch16x2_224"]
    tiny = dataclasses.replace(row, dim=24, depth=2, num_heads=3, norm_eps=0.1, activation=nn.GELU)
    with monkeypatch.context() as patch:
        patch.setitem(registry.VARIANTS, "vivit_base_patch16x2_224", tiny)
        model = create_model("vivit_base_patch16x2_224", num_frames=4, image_size=32).eval()
    write_checkpoint(model, tmp_path)
    assert read_card(tmp_path).overrides == {
        "dim": 24,
        "depth": 2,
        "num_heads": 3,
        "norm_eps": 0.1,
        "activation": "gelu",
    }
    clip = torch.randn(1, 3, 4, 32, 32)
    assert torch.equal(load_model(tmp_path)(clip), model(clip))


def test_source_and_licence_stay_through_a_second_writing(tmp_path):
    write_checkpoint(_demo(), tmp_path / "a", source="owner/name")
    write_checkpoint(load_model(tmp_path / "a"), tmp_path / "b")
    card = read_card(tmp_path / "b")
    assert (card.source, card.license) == ("owner/name", "Apache-2.0")


def test_nothing_but_the_two_files_is_left(tmp_path):
    write_checkpoint(_demo(), tmp_path)
    write_checkpoint(_demo(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_labels_that_do_not_fit_the_classes_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        write_checkpoint(_demo(), tmp_path / "run", labels=("a", "b"))
    assert str(caught.value) == "labels (2) of demo_tiny must be as many as its classes (3)"
    assert not (tmp_path / "run").exists()


def test_a_network_of_others_is_not_written(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        write_checkpoint(nn.Linear(2, 3), tmp_path)
    assert str(caught.value) == (
        "cannot write Linear: only models of create_model and sparsify are written"
    )


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    write_checkpoint(_demo(), tmp_path)
    with pytest.raises(CheckpointError) as caught:
        create_model("deit_tiny_patch16_224", pretrained=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds weights of demo_tiny, not of deit_tiny_patch16_224"
    )


def test_another_setting_and_head_can_be_asked_for(tmp_path):
    write_checkpoint(_demo(semantic="2x2x2@1"), tmp_path, labels=LABELS)
    model = create_model("demo_tiny", pretrained=tmp_path, semantic="1x3x3@1", num_classes=5)
    assert model.key_report.lines() == [
        "new: head.weight, head.bias (head of 5 classes, to be trained)",
        "new: stages.1.generator.global_centers (semantic tokens, to be trained)",
        "dropped: stages.1.generator.global_centers (semantic tokens of another setting)",
        "dropped: head.weight, head.bias (head of 3 classes, 5 wanted)",
    ]
    assert model.preprocessing.num_frames == 4


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        load_model(tmp_path / "none")
    assert str(caught.value) == (
        f"checkpoint {tmp_path / 'none'} does not exist; give the folder of a run"
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"labells": []}, " has an unknown key 'labells'; did you mean 'labels'?"),
        ({"format": "other 2"}, " must have the format 'stvit-video 1'; was it written by us?"),
        ({"preprocessing": None}, ": preprocessing (None) must be names with values in braces"),
    ],
)
def test_a_card_that_does_not_say_what_it_should_is_refused(tmp_path, change, fault):
    write_checkpoint(_demo(), tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path)
    assert str(caught.value) == f"{path}{fault}"


def test_a_card_that_is_cut_off_is_refused(tmp_path):
    write_checkpoint(_demo(), tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(CheckpointError, match=r"model\.json is not JSON \(Expecting"):
        load_model(tmp_path)


def test_a_folder_without_card_says_how_to_get_one(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        read_card(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds no model.json; write one with stvit-video convert"
    )


def test_unknown_sizes_of_a_card_are_refused(tmp_path):
    write_checkpoint(_demo(), tmp_path)
    card = read_card(tmp_path)
    write_card(dataclasses.replace(card, overrides={"dims": 3}), tmp_path)
    with pytest.raises(CheckpointError, match=r"unknown size 'dims'; did you mean 'dim'\?"):
        load_model(tmp_path)


def test_a_card_knows_that_labels_and_classes_agree():
    preprocessing = _demo().preprocessing
    config = ModelConfig(name="x")
    with pytest.raises(CheckpointError, match=r"labels \(1\) of x must be as many"):
        ModelCard(config=config, num_classes=2, preprocessing=preprocessing, labels=("a",))


CARD_OF_VERSION_0_1 = """{
  "format": "stvit-video 1",
  "model": "demo_tiny",
  "semantic": null,
  "reduction": "tome:r=8,schedule=constant",
  "class_token": true,
  "num_classes": 2,
  "preprocessing": {
    "num_frames": 8,
    "frame_stride": 1,
    "image_size": 64,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "channel_order": "rgb"
  },
  "overrides": {},
  "labels": ["a", "b"],
  "source": "this project",
  "license": "Apache-2.0",
  "extra": {}
}"""


def test_cards_of_version_0_1_are_read_and_written_as_they_were(tmp_path):
    (tmp_path / "model.json").write_text(CARD_OF_VERSION_0_1)
    card = read_card(tmp_path)
    assert card.config == ModelConfig(
        name="demo_tiny", reduction="tome:r=8,schedule=constant", class_token=True
    )
    written = json.loads(write_card(card, tmp_path).read_text())
    assert written == json.loads(CARD_OF_VERSION_0_1)


def test_the_files_of_a_checkpoint_have_the_rights_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_checkpoint(create_model("demo_tiny"), str(tmp_path))
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"model.safetensors": 0o640, "model.json": 0o640}
