"""Detectors: losses, gradients, unequal images, weights in and out, one line for what is wrong."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from stvit_video import create_model, load_model, write_checkpoint
from stvit_video.detection.networks.build import wire
from stvit_video.detection.networks.checkpoint import load_detector, write_detector
from stvit_video.detection.networks.create import create_detector
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.registry import VARIANTS
from stvit_video.settings.detection import DetectorConfig
from tests.detection.networks.conftest import PLAIN, STVIT_R, SWIN

SMALL = {"num_classes": 4, "min_size": 64, "max_size": 96}


def images():
    random = torch.Generator().manual_seed(7)
    return [torch.rand(3, *size, generator=random) for size in ((60, 83), (100, 64))]


def targets():
    masks = torch.zeros(1, 60, 83, dtype=torch.uint8)
    masks[:, 10:40, 20:60] = 1
    found = {"boxes": torch.tensor([[20.0, 10, 60, 40]]), "labels": torch.tensor([2])}
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return [found | {"masks": masks}, nothing | {"masks": torch.zeros(0, 100, 64).byte()}]


LOSSES = {
    "mask_rcnn": {
        *("loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"),
    },
    "faster_rcnn": {
        *("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"),
    },
    "retinanet": {"classification", "bbox_regression"},
}


@pytest.mark.parametrize(
    ("name", "semantic", "kind"),
    [
        (SWIN, None, "mask_rcnn"),
        (SWIN, "1x6x6@1-6", "retinanet"),
        (STVIT_R, None, "faster_rcnn"),
        (PLAIN, "1x3x3@1-4", "mask_rcnn"),
        (PLAIN, None, "retinanet"),
    ],
)
def test_gradients_reach_every_weight_and_unequal_images_are_answered(name, semantic, kind):
    torch.manual_seed(0)
    detector = create_detector(name, detector=kind, semantic=semantic, **SMALL)
    losses = detector(images(), targets())
    assert set(losses) == LOSSES[kind]
    torch.stack(list(losses.values())).sum().backward()
    assert [n for n, p in detector.named_parameters() if p.grad is None] == []
    moving = [p.grad.abs().sum() > 0 for p in detector.network.parameters()]
    assert sum(moving) > 0.9 * len(moving)
    with torch.no_grad():
        answers = detector.eval()(images())
    assert len(answers) == 2
    for answer, image in zip(answers, images(), strict=True):
        height, width = image.shape[1:]
        assert (
            (answer["boxes"] >= 0) & (answer["boxes"] <= torch.tensor([width, height] * 2))
        ).all()
        assert ((answer["labels"] >= 1) & (answer["labels"] < 4)).all()
        if kind == "mask_rcnn":
            assert answer["masks"].shape[1:] == (1, height, width)


def test_what_reads_whole_clips_is_left_out(monkeypatch):
    name = "internvideo2_base_patch14_224"
    row = replace(VARIANTS[name], dim=24, depth=2, num_heads=2, reader_heads=4)
    monkeypatch.setitem(VARIANTS, name, row)
    detector = create_detector(name, **SMALL)
    torch.stack(list(detector(images(), targets()).values())).sum().backward()
    assert [n for n, p in detector.named_parameters() if p.grad is None] == []


def test_means_of_the_colours_follow_their_order():
    network = create_model(PLAIN, num_classes=0)
    network.preprocessing = replace(
        network.preprocessing, channel_order="bgr", mean=(0.1, 0.2, 0.3)
    )
    settings = DetectorConfig(name="faster_rcnn", min_size=64, max_size=96)
    detector = wire(network, settings, num_classes=3)
    seen = []
    network.embed.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    image = torch.tensor([0.3, 0.2, 0.1])[:, None, None].expand(3, 64, 64)  # RGB
    with torch.no_grad():
        detector.eval()([image])
    assert seen[0].shape[:2] == (1, 3)
    torch.testing.assert_close(seen[0], torch.zeros_like(seen[0]), atol=1e-5, rtol=0)


def test_an_image_without_objects_alone_has_a_loss():
    detector = create_detector(SWIN, **SMALL)
    losses = detector(images()[1:], targets()[1:])
    assert all(loss.isfinite() for loss in losses.values())
    assert float(losses["loss_mask"].detach()) == 0


def test_the_sizes_are_those_that_are_asked_for():
    detector = create_detector(
        SWIN, num_classes=2, min_size=64, max_size=80, train_min_sizes=[32, 48]
    )
    seen = []
    detector.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    image = torch.rand(3, 60, 83)
    with torch.no_grad():
        detector.eval()([image])
    assert seen.pop() == (1, 3, 64, 96)  # 58 x 80, filled up to multiples of 32
    torch.manual_seed(0)
    target = {"boxes": torch.tensor([[20.0, 10, 60, 40]]), "labels": torch.tensor([1])}
    target["masks"] = torch.ones(1, 60, 83, dtype=torch.uint8)
    detector.train()
    for _ in range(8):
        detector([image], [target])
    assert {tuple(shape[2:]) for shape in seen} == {(32, 64), (64, 96)}


@pytest.mark.parametrize("name", [SWIN, STVIT_R, PLAIN])
def test_the_backbone_exports_and_answers_the_same(name):
    backbone = create_detector(name, **SMALL).backbone.eval()
    image = torch.rand(1, 3, 64, 96)
    program = torch.export.export(backbone, (image,))
    with torch.no_grad():
        ours, exported = backbone(image), program.module()(image)
    assert list(ours) == ["0", "1", "2", "3", "pool"]
    for key, value in ours.items():
        torch.testing.assert_close(exported[key], value)


def test_layers_that_are_near_the_images_learn_slower_and_tables_do_not_decay():
    from stvit_video.training.optimizer import parameter_groups

    detector = create_detector(SWIN, **SMALL)
    groups = parameter_groups(detector, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    rates = {
        id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }
    named = dict(detector.named_parameters())
    assert rates[id(named["backbone.fpn.inner_blocks.0.0.weight"])] == (1.0, 0.1)
    assert rates[id(named["backbone.pyramid.model.blocks.11.attn.proj.weight"])][0] == 0.5
    first = rates[id(named["backbone.pyramid.model.embed.patch.proj.weight"])][0]
    assert first == 0.5**10  # nine blocks, each with its merging, and the embedding
    table = "backbone.pyramid.model.blocks.0.attn.relative_position_bias_table"
    assert rates[id(named[table])][1] == 0.0


def test_a_detector_survives_its_folder_and_is_no_classifier(tmp_path):
    torch.manual_seed(0)
    detector = create_detector(SWIN, semantic="1x6x6@1-6", score_threshold=0.0, **SMALL).eval()
    detector.labels = ("shirt", "bag", "boot")
    write_detector(detector, tmp_path / "run")
    again = load_detector(tmp_path / "run")
    assert again.labels == detector.labels
    assert again.settings == detector.settings
    with torch.no_grad():
        for mine, found in zip(detector(images()), again(images()), strict=True):
            for key, value in mine.items():
                assert torch.equal(value, found[key])
    with pytest.raises(CheckpointError, match=r"run holds a detector, not a classifier$"):
        load_model(tmp_path / "run")
    warm = create_detector(SWIN, pretrained=tmp_path / "run", **SMALL)
    assert str(warm.network.recipe.options.semantic[0]).startswith("1x6x6@1-6")
    for key, value in detector.state_dict().items():
        assert torch.equal(warm.state_dict()[key], value)


def test_other_classes_get_new_heads_above_the_same_network(tmp_path, caplog):
    detector = create_detector(SWIN, **SMALL)
    write_detector(detector, tmp_path / "run")
    other = create_detector(SWIN, pretrained=tmp_path / "run", **SMALL | {"num_classes": 7})
    assert "heads of another kind or number of classes" in caplog.text
    assert other.num_classes == 7
    mine, theirs = detector.state_dict(), other.state_dict()
    same = {key for key in mine if mine[key].shape == theirs[key].shape}
    assert all(torch.equal(mine[key], theirs[key]) for key in same)
    assert {key.split(".")[2] for key in mine.keys() - same} == {
        "cls_score",
        "bbox_pred",
        "mask_fcn_logits",
    }
    with pytest.raises(CheckpointError, match=f"holds a detector on {SWIN}, not on {PLAIN}$"):
        create_detector(PLAIN, pretrained=tmp_path / "run", **SMALL)


def test_a_classifier_starts_a_detector_without_its_head(tmp_path):
    model = create_model(SWIN, num_classes=5)
    write_checkpoint(model, tmp_path / "run")
    detector = create_detector(SWIN, pretrained=tmp_path / "run", **SMALL)
    own = detector.network.state_dict()
    assert own.keys() == model.state_dict().keys() - {"head.weight", "head.bias"}
    assert all(torch.equal(own[key], model.state_dict()[key]) for key in own)


def published(network, norms):
    """Name weights as Swin's and STViT-R's detectors of mmdetection do, with neck and heads."""
    starts, stage = {}, 0
    for number, block in enumerate(network.blocks):
        merging = hasattr(block, "reduction")
        starts[number] = (stage, number, merging)
        stage += merging
    firsts = [min(n for n, (s, _, _) in starts.items() if s == stage) for stage in range(4)]
    named = {}
    for key, value in network.state_dict().items():
        if key.startswith("blocks."):
            _, number, rest = key.split(".", 2)
            stage, number, merging = starts[int(number)]
            part = "downsample" if merging else f"blocks.{number - firsts[stage]}"
            key = f"layers.{stage}.{part}.{rest}"
        named[f"backbone.{key}"] = value
    renames = {"embed.patch.proj.": "patch_embed.proj.", "embed.norm.": "patch_embed.norm."}
    if "backbone.embed.patch.proj.0.weight" in named:
        renames = {
            "embed.patch.proj.0.": "patch_embed.proj.0.c.",
            "embed.patch.proj.1.": "patch_embed.proj.0.bn.",
            "embed.patch.proj.3.": "patch_embed.proj.2.c.",
            "embed.patch.proj.4.": "patch_embed.proj.2.bn.",
            "scale1.gamma": "layer_scale_1",
            "scale2.gamma": "layer_scale_2",
        }
    found = {}
    for key, value in named.items():
        for ours, theirs in renames.items():
            key = key.replace(ours, theirs)
        key = key.replace("backbone.norm.", "backbone.norm3.")
        if key.endswith("patch_embed.proj.weight"):
            value = value.unflatten(1, (3, 4, 4))
        if "layer_scale" not in key and ".attn.qkv." in key and is_crossing(named, key):
            dim = value.shape[0] // 3
            found[key.replace("qkv", "q")] = value[:dim].clone()
            found[key.replace("qkv", "kv")] = value[dim:].clone()
        else:
            found[key] = value
    for level, norm in enumerate(norms):
        found[f"backbone.norm{level}.weight"], found[f"backbone.norm{level}.bias"] = norm
    found["neck.lateral_convs.0.conv.weight"] = torch.zeros(4, 4, 1, 1)
    found["roi_head.bbox_head.0.fc_cls.weight"] = torch.zeros(81, 4)
    found["rpn_head.rpn_conv.weight"] = torch.zeros(4, 4, 3, 3)
    return found


def is_crossing(named, key):
    """Blocks of a unit have q apart from k and v: those with scaled branches."""
    block = key.split(".attn.")[0]
    return f"{block}.scale1.gamma" in named


@pytest.mark.parametrize("name", [SWIN, STVIT_R])
def test_published_detection_checkpoints_fill_network_and_norms(tmp_path, name):
    network = create_model(name, num_classes=0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    norms = [(torch.randn(8 * 2**n), torch.randn(8 * 2**n)) for n in range(3)]
    torch.save({"state_dict": published(network, norms), "meta": {}}, tmp_path / "det.pth")
    detector = create_detector(name, pretrained=tmp_path / "det.pth", **SMALL)
    own = detector.network.state_dict()
    assert all(torch.equal(own[key], value) for key, value in network.state_dict().items())
    for level, (weight, bias) in enumerate(norms):
        assert torch.equal(detector.backbone.pyramid.norms[str(level)].weight, weight)
        assert torch.equal(detector.backbone.pyramid.norms[str(level)].bias, bias)
    torch.save(published(network, [norms[0], norms[0], norms[2]]), tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match=r"norm1\.\w+ has \(8,\), the map \(16,\)$"):
        create_detector(name, pretrained=tmp_path / "wrong.pth", **SMALL)
    dropped = detector.network.key_report.dropped
    assert {"neck.lateral_convs.0.conv.weight", "roi_head.bbox_head.0.fc_cls.weight"} <= set(
        dropped
    )


def test_a_dense_swin_fills_the_layers_of_stvit_r_that_it_has(tmp_path):
    name = "stvit_r_swin_small_patch4_window7_224"
    dense = create_model(SWIN, num_classes=5)
    plain = {key.removeprefix("backbone."): value for key, value in published(dense, []).items()}
    plain["norm.weight"], plain["norm.bias"] = plain.pop("norm3.weight"), plain.pop("norm3.bias")
    kept = {key: value for key, value in plain.items() if not key.startswith(("neck", "r"))}
    save_file(kept, tmp_path / "swin.safetensors")
    for asked in (name, STVIT_R):
        model = create_model(asked, num_classes=5, pretrained=tmp_path / "swin.safetensors")
        mine, theirs = model.state_dict(), dense.state_dict()
        shared = mine.keys() & theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in shared)
        assert len(shared) > 100
        new = set(model.key_report.new)
        assert mine.keys() - shared == new
        assert {key.split(".")[0] for key in new} == {"embed", "blocks"}
        tables = {key for key in model.key_report.dropped if "bias_table" in key}
        assert len(tables) == 5  # of the unit: the first block of stage 3 keeps its own


def test_labels_and_files_that_do_not_belong_together_are_refused_in_a_line(tmp_path):
    detector = create_detector(SWIN, **SMALL)
    with pytest.raises(
        CheckpointError, match=r"labels \(2\) must be as many as its classes .* \(3\)"
    ):
        write_detector(detector, tmp_path / "run", labels=("a", "b"))
    write_detector(detector, tmp_path / "run")
    path = tmp_path / "run" / "model.json"
    card = json.loads(path.read_text())
    faults = {
        ("num_classes", 9): "model.json makes roi_heads.box_predictor.bbox_pred.bias (36,)",
        ("name", "yolo"): "name (yolo) must be one of",
        ("min_size", 10**6): "detector.min_size (1000000) must be at most detector.max_size (96)",
        ("depth", 3): "detector must hold name, min_size",
    }
    for (key, value), text in faults.items():
        changed = card | {"extra": {"detector": card["extra"]["detector"] | {key: value}}}
        path.write_text(json.dumps(changed))
        with pytest.raises(CheckpointError) as raised:
            load_detector(tmp_path / "run")
        assert text in str(raised.value)
        assert "\n" not in str(raised.value)
    path.write_text(json.dumps(card))
    weights = load_file(tmp_path / "run" / "model.safetensors")
    weights.pop("backbone.fpn.inner_blocks.0.0.bias")
    save_file(weights, tmp_path / "run" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"inner_blocks\.0\.0\.bias .* has it as none"):
        load_detector(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"overrides": {"num_heads": [0, 0, 0, 0]}}, "has sizes that do not go together: "),
        ({"overrides": {"window_size": [1, 0, 0]}}, " does not fit together: model.json makes "),
        (
            {
                "model": "videomae_v2_giant_patch14_224",
                "overrides": {},
                "preprocessing": {"num_frames": 128, "frame_stride": 1, "image_size": 672},
            },
            "a card with 147456 tokens of 1408 numbers must have at most",
        ),
    ],
)
def test_cards_of_networks_that_cannot_be_are_refused_before_they_are_built(tmp_path, change, text):
    write_detector(create_detector(SWIN, **SMALL), tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError) as raised:
        load_detector(tmp_path)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_folder_of_another_library_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"holds config\.json of a model of another library"):
        write_detector(create_detector(SWIN, **SMALL), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_maps_of_another_detector_are_not_taken_up_in_part(tmp_path):
    write_detector(create_detector(SWIN, detector="retinanet", **SMALL), tmp_path)
    with pytest.raises(CheckpointError, match=r"does not fit: backbone\.\S+ is missing or of ano"):
        create_detector(SWIN, pretrained=tmp_path, **SMALL)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_classes": 1}, "num_classes (1) must be at least 2: the background counts as one"),
        ({"detector": "cascade"}, "must be one of mask_rcnn, faster_rcnn, retinanet, actions"),
        ({"detector": "actions"}, "detector (actions) must be mask_rcnn, faster_rcnn or retinanet"),
        ({"min_size": 2000}, "detector.min_size (2000) must be at most detector.max_size (1333)"),
        ({"pretrained": "no/such.pth"}, "no/such.pth does not exist"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_line(options, text):
    with pytest.raises((ConfigError, CheckpointError, OSError)) as raised:
        create_detector(SWIN, **{"num_classes": 3} | options)
    assert text in str(raised.value)


def test_unknown_networks_are_named():
    with pytest.raises(ConfigError, match="unknown model 'swin'"):
        create_detector("swin", num_classes=3)
