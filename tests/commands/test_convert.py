import json

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import AutoModelForImageClassification

from stvit_video.cli import main
from stvit_video.models.checkpoint import load_model


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(2)
    return VisionTransformer(embed_dim=192, depth=12, num_heads=3, num_classes=3).eval()


@pytest.fixture
def source(vit, tmp_path):
    path = tmp_path / "vit.pth"
    torch.save({"model": vit.state_dict(), "epoch": 7}, path)
    return path


def test_what_is_written_computes_what_the_source_computes(source, vit, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("0 archery\n1 bowling\n2 yoga\n")
    folder = tmp_path / "out"
    arguments = ["convert", str(source), "--model", "vit_tiny_patch16_224", "--output", str(folder)]
    assert main([*arguments, "--labels", str(tmp_path / "names.txt"), "--json", "-"]) == 0
    written = json.loads(capsys.readouterr().out)
    model = load_model(folder)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(model(image[:, :, None]), vit(image), atol=1e-4)
    assert model.labels == ("archery", "bowling", "yoga")
    assert written == {
        "weights": str(folder / "model.safetensors"),
        "model": "vit_tiny_patch16_224",
        "to": "stvit-video",
        "architecture": None,
        "semantic": None,
        "source": str(source),
        "license": "Apache-2.0",
        "parameters": sum(parameter.numel() for parameter in vit.parameters()),
        "labels": ["archery", "bowling", "yoga"],
        "keys": {"new": {}, "dropped": {}, "changed": {}},
        "notes": [],
    }
    card = json.loads((folder / "model.json").read_text())
    assert (card["source"], card["license"]) == (str(source), "Apache-2.0")


def test_the_entry_of_a_file_can_be_chosen(source, vit, tmp_path, capsys):
    raw = {key: torch.zeros_like(value) for key, value in vit.state_dict().items()}
    torch.save({"model": raw, "model_ema": vit.state_dict()}, source)
    folder = tmp_path / "out"
    arguments = ["convert", str(source), "--model", "vit_tiny_patch16_224", "--output", str(folder)]
    assert main([*arguments, "--entry", "model_ema"]) == 0
    assert torch.equal(load_model(folder).head.weight, vit.head.weight)
    assert main([*arguments, "--entry", "ema"]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(f"{source} has no entry 'ema' (pretrained_entry); it has model, model_ema")
    )


def test_a_semantic_model_begins_from_dense_weights_and_says_what_is_new(source, tmp_path, capsys):
    folder = tmp_path / "out"
    arguments = ["convert", str(source), "--model", "vit_tiny_patch16_224", "--output", str(folder)]
    assert main([*arguments, "--semantic", "1x4x4@4"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "new: stages.1.generator.global_centers (semantic tokens, to be trained)",
        f"{folder}/model.safetensors: vit_tiny_patch16_224, 5.5 M parameters, licence Apache-2.0",
    ]
    assert load_model(folder).token_counts() == {"input": 196, "semantic": 16}


def test_transformers_reads_what_is_written_for_it(source, vit, tmp_path, capsys):
    """Over a folder of ours, which says the model itself."""
    (tmp_path / "names.txt").write_text("archery\nbowling\nyoga\n")
    ours, folder = tmp_path / "ours", tmp_path / "out"
    named = ["--model", "vit_tiny_patch16_224", "--labels", str(tmp_path / "names.txt")]
    assert main(["convert", str(source), *named, "--output", str(ours)]) == 0
    capsys.readouterr()
    arguments = ["convert", str(ours), "--output", str(folder), "--to", "transformers"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == (
        f"{folder}/model.safetensors: ViTForImageClassification, 5.5 M parameters, licence"
        " Apache-2.0\n"
    )
    theirs = AutoModelForImageClassification.from_pretrained(folder)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = vit(image)
        assert (theirs(image).logits - expected).abs().max() <= 1e-5
        assert (load_model(folder)(image[:, :, None]) - expected).abs().max() <= 1e-5
    assert theirs.config.id2label == {0: "archery", 1: "bowling", 2: "yoga"}
    assert main([*arguments, "--json", "-"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["to"] == "transformers"
    assert written["architecture"] == "ViTForImageClassification"
    assert (written["model"], written["notes"]) == ("vit_tiny_patch16_224", [])


def test_a_file_does_not_say_its_model(source, tmp_path, capsys):
    assert main(["convert", str(source), "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        f"stvit-video convert: {source} does not say which model it holds; name it with"
        f" stvit-video convert {source} --model NAME\n"
    )


@pytest.mark.parametrize(
    ("fault", "model", "options", "message"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:999]),
            "vit_tiny_patch16_224",
            [],
            "{source} (999 bytes) is truncated or no checkpoint; download it again",
        ),
        (
            lambda path: path.unlink(),
            "vit_tiny_patch16_224",
            [],
            "{source} does not exist; give a file, a folder or a hub id such as"
            " MCG-NJU/videomae-base-finetuned-kinetics",
        ),
        (
            lambda path: torch.save({"model": torch.nn.Linear(2, 3)}, path),
            "vit_tiny_patch16_224",
            [],
            "{source} asks to run torch.nn.modules.linear.Linear while it is read; only tensors"
            " and plain values are accepted: get the weights as safetensors, or a file of the state"
            " dict alone",
        ),
        (
            lambda path: None,
            "videomae_small_patch16_224",
            [],
            "{source} does not fit videomae_small_patch16_224: no weights of VideoMAE: they have"
            " embed.cls_token",
        ),
        (
            lambda path: None,
            "vit_small_patch16_224",
            [],
            "{source} does not fit vit_small_patch16_224: embed.cls_token is (1, 1, 192), the"
            " model's (1, 1, 384)",
        ),
        (
            lambda path: None,
            "vit_tiny_patch16_224",
            ["--semantic", "1x15x4@4"],
            "semantic grid 1x15x4 is larger than the token grid 1x14x14 along height: 15 > 14;"
            " choose at most 14",
        ),
        (
            lambda path: None,
            "vit_tiny_patch16_224",
            ["--semantic", "1x4x4@4", "--to", "transformers"],
            "semantic (1x4x4@4) has no place in ViTForImageClassification of transformers; write"
            " the dense network of these weights, stvit_video.sparsify(model, None)",
        ),
        (
            lambda path: None,
            "vit_tiny_patch16_224",
            ["--labels", "names.txt"],
            "labels (2) of vit_tiny_patch16_224 must be as many as its classes (3)",
        ),
        (
            lambda path: None,
            "vit_tiny_patch16_224",
            ["--labels", "none.txt"],
            "file of class names none.txt does not exist",
        ),
    ],
    ids=["truncated", "missing", "code", "family", "size", "grid", "unsaid", "labels", "no labels"],
)
def test_a_fault_is_one_line_and_status_2(
    source, tmp_path, monkeypatch, capsys, fault, model, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("archery\nbowling\n")
    fault(source)
    arguments = ["convert", str(source), "--model", model, "--output", "out", *options]
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"stvit-video convert: {message.format(source=source)}"]
    assert not (tmp_path / "out").exists()
