"""Models pushed to the hub: what is uploaded, and that it is the model again."""

import json
import shutil

import huggingface_hub
import pytest
import torch
import yaml

import stvit_video
from stvit_video.errors import CheckpointError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import create_model

CONFIG = {
    "data": {"train": "/home/me/secret/ssv2/train.csv", "val": None, "sampling": "segments"},
    "model": {"name": "demo_tiny", "pretrained": "/home/me/weights.bin"},
    "train": {"epochs": 3},
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder in the place of the hub, and what it was told."""
    there, told = tmp_path / "hub", {}

    class Api:
        def __init__(self, token=None):
            told["token"] = token

        def create_repo(self, repo_id, *, private, exist_ok):
            told["private"] = private
            return f"https://huggingface.co/{repo_id}"

        def upload_folder(self, *, folder_path, repo_id, commit_message):
            shutil.copytree(folder_path, there)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(there))
    return there, told


@pytest.fixture
def run_dir(tmp_path):
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=2, semantic="4x2x2@2")
    folder = tmp_path / "run"
    write_checkpoint(model, folder, labels=("a_b", "<c>"), extra={"config": CONFIG})
    epochs = [{"val_top1": 0.5}, {"val_top1": 0.8125, "val_map": None}]
    (folder / "metrics.json").write_text(json.dumps({"epochs": epochs}))
    (folder / "steps.csv").write_text("not for others")
    return folder


def test_a_run_is_pushed_and_comes_back(hub, run_dir):
    there, told = hub
    address = stvit_video.push_to_hub(run_dir, "me/digits", private=True, token="hf_x")
    assert address == "https://huggingface.co/me/digits"
    assert told == {"token": "hf_x", "private": True}
    assert sorted(p.name for p in there.iterdir()) == [
        *("README.md", "model.json", "model.safetensors")
    ]
    one, other = stvit_video.load_model(run_dir), stvit_video.from_pretrained("me/digits")
    clip = torch.randn(1, 3, 8, 64, 64)
    assert torch.equal(one(clip), other(clip))
    assert other.labels == ("a_b", "<c>")


def test_the_page_says_recipe_data_licence_and_preprocessing(hub, run_dir):
    there, _ = hub
    stvit_video.push_to_hub(run_dir, "me/digits", license="CC-BY-NC-4.0")
    page = (there / "README.md").read_text()
    _, head, body = page.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "license": "cc-by-nc-4.0",
        "library_name": "stvit-video",
        "pipeline_tag": "video-classification",
        "tags": ["video", "token-reduction", "demo_tiny"],
    }
    for line in (
        "# digits",
        "| network | demo_tiny, semantic tokens (STViT), setting 4x2x2@2 |",
        "| frames of a clip | 8 |",
        "| short side before the crop | 1 times that |",
        "| top-1 on the validation videos, % | 81.25 |",
        "a_b, \\<c\\>",
        "Data: train.csv. All settings of `stvit-video train`:",
        "  epochs: 3",
        'predictor = stvit_video.Predictor.load("me/digits")',
    ):
        assert line in body.splitlines(), line
    card = json.loads((there / "model.json").read_text())
    assert card["extra"]["config"]["model"]["pretrained"] == "weights.bin"
    assert "secret" not in page + json.dumps(card)


def test_a_model_in_memory_is_pushed(hub):
    there, _ = hub
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=2).eval()
    stvit_video.push_to_hub(model, "me/new")
    clip = torch.randn(1, 3, 8, 64, 64)
    assert torch.equal(stvit_video.from_pretrained("me/new")(clip), model(clip))
    page = (there / "README.md").read_text()
    assert "license: apache-2.0\n" in page
    assert "## Training" not in page
    assert "## Results" not in page


def test_what_cannot_be_pushed_is_one_line(hub, run_dir, monkeypatch, tmp_path):
    (run_dir / "model.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        stvit_video.push_to_hub(run_dir, "me/digits")
    assert str(caught.value) == (
        f"{run_dir} holds no model.json; push the folder of a run, or one that `stvit-video"
        " convert` wrote"
    )

    def refuse(*_, **__):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(CheckpointError) as caught:
        stvit_video.push_to_hub(create_model("demo_tiny", num_classes=2), "me/digits")
    assert str(caught.value) == (
        "me/digits cannot be pushed (ConnectionError: no route); check the id, the network, and"
        " `hf auth login`"
    )
