"""Folders of other libraries, and ids of the hub, without saying which model they hold."""

import pytest
import torch
import transformers

from stvit_video.errors import CheckpointError, MissingFileError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.models.checkpoint import find_card, load_model


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A ViT-Ti of transformers in a folder, as its hub has them."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        id2label={0: "left", 1: "right"},
        label2id={"left": 0, "right": 1},
    )
    model = transformers.ViTForImageClassification(config).eval()
    folder = tmp_path_factory.mktemp("hub") / "vit"
    model.save_pretrained(folder)
    return model, folder


def test_a_folder_of_transformers_says_which_model_it_is(theirs):
    model, folder = theirs
    ours = load_model(folder)
    assert (ours.name, ours.labels, ours.training) == (
        "vit_tiny_patch16_224",
        ("left", "right"),
        False,
    )
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(images[:, :, None]), model(images).logits, rtol=1e-4, atol=1e-5
        )
    assert find_card(folder) is None


def test_an_id_of_the_hub_is_a_folder_from_there(theirs, monkeypatch, counting_video):
    _, folder = theirs
    asked = []

    def download(repository, **_):
        asked.append(repository)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    prediction = Predictor.load("someone/vit", device="cpu").predict(counting_video)
    assert prediction.model == "vit_tiny_patch16_224"
    assert {entry["label"] for entry in prediction.topk} == {"left", "right"}
    assert set(asked) == {"someone/vit"}


def test_a_folder_that_does_not_say_what_it_holds_is_named(theirs, tmp_path):
    _, folder = theirs
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError) as raised:
        load_model(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path} does not say which model it holds; name it with"
        f" stvit-video convert {tmp_path} --model NAME"
    )


def test_a_path_that_is_no_id_either_is_missing(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist; give the folder of a run"):
        load_model(tmp_path / "runs" / "none")
