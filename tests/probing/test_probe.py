"""A probe on kept features says what the network with its pooler and head says."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from stvit_video import create_model
from stvit_video.probing.features import FeatureExtractor, FeatureFolder, open_features
from stvit_video.probing.heads import Probe, ProbeGrid
from stvit_video.settings.probe import ProbeConfig

SMALL = {"num_classes": 3, "num_frames": 4, "image_size": 32}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_token": True},
        {"attentive_blocks": 2},
        {"attentive_blocks": 2, "class_token": True},
        {"attentive_blocks": 1, "semantic": "5@2"},
        {"attentive_blocks": 1, "reduction": "tome:r=4"},
    ],
    ids=str,
)
def test_it_reads_features_as_its_model_reads_clips(options):
    torch.manual_seed(0)
    model = create_model("demo_tiny", **SMALL, **options).eval()
    for parameter in (*model.norm.parameters(), *model.head.parameters()):
        torch.nn.init.normal_(parameter)
    probe = Probe(model).eval()
    if not model.attentive_blocks:
        probe.mean.normal_()
        probe.std.uniform_(0.5, 2)
    probe.put_into(model)
    clip = torch.randn(2, 3, 4, 32, 32)
    features = FeatureExtractor(model, tokens=model.attentive_blocks > 0)(clip)
    torch.testing.assert_close(probe(features), model(clip), rtol=1e-4, atol=1e-4)


def test_vectors_are_kept_in_single_precision_and_tokens_in_half(tmp_path):
    layouts = [FeatureFolder(tmp_path, num_views=2, shape=s).layout for s in ((7,), (5, 7))]
    assert [layout["logits"].base.itemsize for layout in layouts] == [4, 2]
    assert [layout["logits"].shape for layout in layouts] == [(2, 7), (2, 5, 7)]


def test_a_number_that_never_changes_in_training_does_not_blow_up_later(tmp_path):
    model = create_model("demo_tiny", **SMALL)
    given = torch.randn(4, 1, 96)
    given[:, :, 5] = 300.0
    folder = FeatureFolder(tmp_path, num_views=1, shape=(96,))
    with folder.new_log() as log:
        log.add([0, 1, 2, 3], list(given))
    settings = ProbeConfig(lrs=(1e-3,), weight_decays=(0.0,), epochs=1)
    grid = ProbeGrid.of(model, settings, device=torch.device("cpu"))
    grid.fit(open_features(folder, ()), torch.tensor([0, 1, 2, 0]), lambda _: None)
    probe = grid.probes[0]
    other = given[:, 0].clone()
    other[:, 5] += 0.1
    assert float((probe(other) - probe(given[:, 0])).detach().abs().max()) < 0.1


def test_probes_learn_as_a_loop_of_torch_does(tmp_path):
    """Views in an order drawn by the seed, AdamW with decay of matrices, half a cosine."""
    torch.manual_seed(0)
    model = create_model("demo_tiny", **SMALL)
    given = torch.randn(7, 2, 96) * 3 + 1  # videos, views, numbers
    labels = torch.arange(7) % 3
    folder = FeatureFolder(tmp_path, num_views=2, shape=(96,))
    with folder.new_log() as log:
        log.add([4, 1, 0, 6], [given[n] for n in (4, 1, 0, 6)])
    with folder.new_log() as log:
        log.add([2, 5, 3], [given[n] for n in (2, 5, 3)])
    settings = ProbeConfig(
        lrs=(0.02, 0.01),
        weight_decays=(0.5,),
        epochs=3,
        batch_size=4,
        warmup_epochs=1,
        label_smoothing=0.1,
        seed=3,
    )
    grid = ProbeGrid.of(model, settings, device=torch.device("cpu"))
    counted = []
    losses = grid.fit(open_features(folder, ()), labels, counted.append)
    assert counted == [1, 1, 1]

    rows = given.flatten(0, 1)
    rows = (rows - rows.mean(0)) / rows.std(0, correction=0)
    head = copy.deepcopy(model.head)
    optimizer = torch.optim.AdamW([head.weight], lr=0.02, weight_decay=0.5)
    optimizer.add_param_group({"params": [head.bias], "weight_decay": 0.0})
    generator = torch.Generator().manual_seed(3)
    for epoch in range(3):
        total, order = 0.0, torch.randperm(14, generator=generator)
        for step, batch in enumerate(order.split(4)):
            done = 4 * epoch + step
            share = (done + 1) / 4 if done < 4 else 0.5 + 0.5 * math.cos(math.pi * (done - 4) / 8)
            for group in optimizer.param_groups:
                group["lr"] = 0.02 * share
            logits = head(rows[batch])
            loss = F.cross_entropy(logits, labels[batch // 2], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
    torch.testing.assert_close(grid.probes[0].head.weight, head.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(grid.probes[0].head.bias, head.bias, rtol=1e-4, atol=1e-5)
    assert losses[0] == pytest.approx(total / 14, rel=1e-4)
    assert losses[1] != pytest.approx(losses[0], rel=1e-3)
    scores = grid.score(open_features(folder, ()), "mean_probability")[0]
    expected = head(rows).softmax(-1).unflatten(0, (7, 2)).mean(1)
    torch.testing.assert_close(scores, expected.detach(), rtol=1e-4, atol=1e-5)


def test_clips_of_a_crop_are_read_as_one_view(tmp_path):
    given = torch.arange(2 * 6 * 5 * 3).view(2, 6, 5, 3).float()  # videos, views, tokens, numbers
    folder = FeatureFolder(tmp_path, num_views=6, shape=(5, 3))
    with folder.new_log() as log:
        log.add([1, 0], [given[1], given[0]])
    features = open_features(folder, (), num_joined=2)
    assert (features.num_views, features.shape) == (3, (10, 3))
    read = features.of(torch.tensor([0, 1]), torch.tensor([2, 0]))
    expected = torch.stack([given[0, [2, 5]].flatten(0, 1), given[1, [0, 3]].flatten(0, 1)])
    assert torch.equal(read.float(), expected)
    (views,) = features.in_order(100)
    assert views.shape == (2, 3, 10, 3)
    assert torch.equal(views[0, 2].float(), expected[0])
