"""Training a part of a network, and learning from another one."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from stvit_video.cli import main
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import create_model
from stvit_video.settings.training import DistillConfig, TrainConfig
from stvit_video.training.distillation import load_teacher
from stvit_video.training.freezing import freeze
from stvit_video.video.pixels.crops import normalize_clip
from tests.training.test_fit import CLASSES, SETTINGS, batches, classifier, train

SMALL = {"num_classes": 2, "num_frames": 2, "image_size": 16}


def learning(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("words", "learns"),
    [
        ("backbone", {"head", "pooler", "stages.1.generator"}),
        ("blocks 0-2", {"blocks.3", "head", "norm", "pooler", "stages.1.generator"}),
        ("blocks 1-3", {"blocks.0", "embed", "head", "norm", "pooler", "stages.1.generator"}),
    ],
)
def test_what_is_frozen_does_not_learn(words, learns):
    model = create_model("demo_tiny", semantic="1x1x2@2", attentive_blocks=2, **SMALL)
    depth = len(model.blocks)
    freeze(model, TrainConfig(freeze=words))
    rest = {f"blocks.{number}" for number in range(4, depth)} if "blocks" in words else set()
    expected = {
        name
        for name, _ in model.named_parameters()
        if name.startswith(tuple(f"{part}." for part in learns | rest))
    }
    assert learning(model) == expected
    assert expected


def test_frozen_weights_stay_and_nothing_is_dropped_in_them(tmp_path):
    settings = dataclasses.replace(SETTINGS, freeze="blocks 0-1")
    module = classifier(train=settings)
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    modes = []
    for block in module.model.blocks:
        block.register_forward_hook(lambda block, *_: modes.append(block.training))
    train(module, tmp_path, settings=settings)
    changed = {
        name for name, value in module.model.state_dict().items() if (value != before[name]).any()
    }
    assert not any(name.startswith(("embed.", "blocks.0.", "blocks.1.")) for name in changed)
    assert {"head.weight", "blocks.2.attn.qkv.weight"} <= changed
    depth = len(module.model.blocks)
    assert modes[:depth] == [False, False] + [True] * (depth - 2)
    assert module.model.training


@pytest.mark.parametrize("words", ["head", "blocks 5", "blocks 3-1", "blocks 0-x", "block 0-1"])
def test_other_words_are_refused(words):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(freeze=words)
    assert str(caught.value) == (
        f"train.freeze ({words}) must be backbone, or blocks such as blocks 0-7"
    )


def test_blocks_that_are_not_there_are_refused():
    model = create_model("demo_tiny", **SMALL)
    with pytest.raises(ConfigError) as caught:
        freeze(model, TrainConfig(freeze="blocks 0-99"))
    last = len(model.blocks) - 1
    assert str(caught.value) == f"train.freeze (blocks 0-99) must name blocks in 0..{last}"


@pytest.fixture
def teacher(tmp_path):
    torch.manual_seed(1)
    model = create_model("demo_tiny", **SMALL)
    write_checkpoint(model, tmp_path / "teacher", labels=CLASSES)
    return tmp_path / "teacher"


def load(source, student, *, multi_label=False, **settings):
    config = DistillConfig(teacher=str(source), **settings)
    return load_teacher(config, student, class_names=CLASSES, multi_label=multi_label)


def test_the_loss_is_that_of_hinton_and_the_distance_of_normed_tokens(teacher):
    student = create_model("demo_tiny", semantic="1x1x2@2-6", **SMALL)
    distillation = load(teacher, student, weight=0.3, temperature=2.0, tokens=0.7)
    clip = torch.randn(3, 3, 2, 16, 16)
    logits, tokens = student.forward_with_tokens(clip)
    label_loss = F.cross_entropy(logits, torch.tensor([0, 1, 1]))
    found = distillation(label_loss, clip, logits, tokens)
    other = distillation.teacher
    p = (other(clip) / 2).softmax(dim=1)
    q = (logits / 2).softmax(dim=1)
    divergence = 4 * (p * (p / q).log()).sum(dim=1).mean()
    maps = [m.forward_features(clip) for m in (student, other)]
    expected = 0.7 * label_loss + 0.3 * divergence + 0.7 * (maps[0] - maps[1]).square().mean()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert not any(p.requires_grad for p in other.parameters())


def test_of_several_labels_each_class_is_compared_by_itself(teacher):
    student = create_model("demo_tiny", **SMALL)
    distillation = load(teacher, student, weight=1.0, temperature=2.0, multi_label=True)
    clip = torch.randn(3, 3, 2, 16, 16)
    logits = student(clip)
    p, q = (distillation.teacher(clip) / 2).sigmoid(), (logits / 2).sigmoid()
    expected = -4 * (p * q.log() + (1 - p) * (1 - q).log()).mean()
    found = distillation(torch.tensor(9.0), clip, logits, None)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_student_comes_to_answer_as_its_teacher(teacher, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=12)
    made = batches(3, seed=1)
    answers = {}
    for weight in (0.0, 1.0):
        module = classifier(train=settings)
        module.distillation = load(teacher, module.model, weight=weight)
        train(module, tmp_path / str(weight), settings=settings, train_batches=made)
        clips = normalize_clip(torch.cat([b.clip for b in made]), module.model.preprocessing)
        with torch.no_grad():
            mine, theirs = module.model.eval()(clips), module.distillation.teacher(clips)
        answers[weight] = float((mine.softmax(1) - theirs.softmax(1)).abs().mean())
    assert answers[1.0] < 0.5 * answers[0.0], answers
    assert not any(name.startswith("distillation") for name in module.state_dict())


def test_teachers_of_other_classes_or_clips_are_refused(teacher, tmp_path):
    student = create_model("demo_tiny", **SMALL)
    config = DistillConfig(teacher=str(teacher))
    with pytest.raises(CheckpointError) as caught:
        load_teacher(config, student, class_names=("a", "b"), multi_label=False)
    assert str(caught.value) == (
        f"distill.teacher ({teacher}) knows other classes than the 2 of data.train; take a model"
        " that was trained on them"
    )
    longer = create_model("demo_tiny", num_classes=2, num_frames=4, image_size=16)
    with pytest.raises(CheckpointError, match=r"sees other clips than the model: .*num_frames=2"):
        load(teacher, longer)
    semantic = create_model("demo_tiny", semantic="1x1x2@2", **SMALL)
    with pytest.raises(ConfigError) as caught:
        load(teacher, semantic, tokens=1.0)
    assert str(caught.value).startswith("distill.tokens (1) compares tokens one by one, but the")
    assert load_teacher(DistillConfig(), student, class_names=CLASSES, multi_label=False) is None


def test_train_learns_from_a_teacher_and_freezes(class_folder_root, tmp_path, capsys):
    data = ["--data.train", str(class_folder_root), "--train.devices", "cpu"]
    data += ["--model.num_frames", "2", "--model.image_size", "32", "--train.epochs", "1"]
    data += ["--augmentation.flip", "0", "--data.num_workers", "0"]
    first = ["train", "--model.name", "demo_tiny", *data, "--output_dir", str(tmp_path / "dense")]
    assert main(first) == 0, capsys.readouterr().err
    second = ["train", "--model.name", "demo_tiny", *data, "--model.semantic", "1x1x2@2-6"]
    second += ["--model.pretrained", str(tmp_path / "dense"), "--distill.tokens", "0.5"]
    second += ["--distill.teacher", str(tmp_path / "dense"), "--train.freeze", "blocks 0-1"]
    assert main([*second, "--output_dir", str(tmp_path / "semantic")]) == 0
    dense, semantic = (load_file(tmp_path / d / "model.safetensors") for d in ("dense", "semantic"))
    for name, value in semantic.items():
        if name.startswith(("embed.", "blocks.0.", "blocks.1.")):
            assert torch.equal(value, dense[name]), name
    assert not torch.equal(semantic["head.weight"], dense["head.weight"])
    capsys.readouterr()
    third = [*second, "--output_dir", str(tmp_path / "semantic"), "--train.epochs", "2"]
    third[third.index("blocks 0-1")] = "backbone"
    assert main(third) == 2
    assert "train.freeze (backbone, it was blocks 0-1) cannot change" in capsys.readouterr().err
