"""Frame mAP: worked by hand, against plain loops, and numbers of the official evaluation."""

import numpy as np
import pytest
import torch

from stvit_video.detection.actions.frame_ap import (
    Actions,
    as_actions,
    box_overlap,
    frame_average_precision,
    mean_of,
)
from stvit_video.detection.actions.meter import FrameMeanAveragePrecision
from stvit_video.detection.average_precision import average_precision


def actions(*rows):
    frame, label, score, *sides = zip(*rows, strict=True)
    return Actions(
        np.array(frame),
        np.array(sides, dtype=np.float32).T,
        np.array(label),
        np.array(score, dtype=np.float32),
    )


def random_case(seed, *, num_frames=6, num_classes=4, annotated=2, found=4):
    """Annotated boxes, and found ones that lie about them; no two scores are equal."""
    draw = np.random.default_rng(seed)
    number = num_frames * annotated
    frame = np.repeat(np.arange(num_frames), annotated)
    corners = np.sort(np.round(draw.random((number, 2, 2)), 3), axis=1)
    boxes = corners.reshape(number, 4).astype(np.float32)
    boxes[:, 2:] += 0.05
    labels = draw.integers(0, num_classes - 1, number)
    of = np.repeat(np.arange(number), found)
    moved = boxes[of] + draw.normal(0, 0.03, (len(of), 4)).astype(np.float32)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 0.01)
    guess = draw.integers(0, num_classes, len(of)), draw.random(len(of)) < 0.6
    named = np.where(draw.random(len(of)) < 0.6, labels[of], guess[0])
    scores = (draw.permutation(len(of)) / len(of)).astype(np.float32)
    return Actions(frame, boxes, labels, np.ones(number)), Actions(frame[of], moved, named, scores)


def by_loops(found, truth, num_classes, most):
    """Average precision of each class, one detection after the other."""
    order = np.argsort(-found.score, kind="stable")
    seen, result = {}, []
    kept = []
    for row in order:
        frame = found.frame[row]
        seen[frame] = seen.get(frame, 0) + 1
        if seen[frame] <= most:
            kept.append(row)
    for label in range(num_classes):
        taken, hits = set(), []
        for row in (row for row in kept if found.label[row] == label):
            near = np.flatnonzero((truth.frame == found.frame[row]) & (truth.label == label))
            overlaps = [float(box_overlap(found.box[[row]], truth.box[[t]])[0]) for t in near]
            best = int(np.argmax(overlaps)) if overlaps else -1
            is_right = best >= 0 and overlaps[best] >= 0.5 and near[best] not in taken
            if is_right:
                taken.add(near[best])
            hits.append(is_right)
        total = int((truth.label == label).sum())
        precisions = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
        area = sum(max(precisions[n:]) for n, hit in enumerate(hits) if hit)
        result.append(area / total if total else float("nan"))
    return result


def test_a_box_is_found_once_and_by_the_one_that_it_overlaps_most():
    truth = actions((0, 0, 1, 0, 0, 10, 10), (0, 0, 1, 20, 0, 30, 10), (1, 0, 1, 0, 0, 10, 10))
    found = actions(
        (0, 0, 0.9, 0, 0, 10, 8),  # right
        (0, 0, 0.8, 0, 0, 10, 10),  # overlaps more, but comes later
        (1, 0, 0.7, 0, 6, 10, 16),  # overlaps by a quarter
        (0, 0, 0.6, 21, 0, 31, 10),  # right
    )
    precisions = frame_average_precision(found, truth, num_classes=2)
    assert precisions[0] == pytest.approx((1 + 1 / 2) / 3)
    assert np.isnan(precisions[1])
    assert mean_of(precisions) == pytest.approx(0.5)


def test_what_is_not_annotated_in_a_frame_lowers_the_precision():
    truth = actions((0, 0, 1, 0, 0, 10, 10))
    found = actions((0, 0, 0.5, 0, 0, 10, 10), (7, 0, 0.9, 0, 0, 10, 10))
    assert frame_average_precision(found, truth, num_classes=1).tolist() == [0.5]


def test_only_the_best_of_a_frame_count_over_all_classes():
    truth = actions((0, 0, 1, 0, 0, 10, 10), (1, 0, 1, 0, 0, 10, 10))
    others = [(0, 1, 0.9, 0, 0, 10, 10)] * 50
    found = actions(*others, (0, 0, 0.1, 0, 0, 10, 10), (1, 0, 0.1, 0, 0, 10, 10))
    assert frame_average_precision(found, truth, num_classes=2)[0] == 0.5
    every = frame_average_precision(found, truth, num_classes=2, most_in_frame=None)
    assert every[0] == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_plain_loops_find(seed):
    truth, found = random_case(seed, num_frames=9, annotated=3, found=9)
    got = frame_average_precision(found, truth, num_classes=4, most_in_frame=20)
    np.testing.assert_allclose(got, by_loops(found, truth, 4, 20), atol=1e-12)
    assert 0 < np.nanmean(got) < 1


def test_it_is_what_the_official_evaluation_finds():
    """The numbers are of ActivityNet's get_ava_performance.py, which was run on these boxes."""
    draw = np.random.default_rng(7)
    boxes = np.array([[0.1, 0.1, 0.5, 0.9], [0.4, 0.2, 0.8, 0.9], [0.0, 0.3, 0.3, 0.7]])
    frame = np.repeat(np.arange(5), 3)
    box = (np.tile(boxes, (5, 1)) + np.repeat(np.arange(5), 3)[:, None] * 0.01).astype(np.float32)
    truth = Actions(frame, box, np.arange(15) % 4, np.ones(15))
    of = np.repeat(np.arange(15), 3)
    moved = (box[of] + draw.normal(0, 0.06, (45, 4))).astype(np.float32)
    label = np.where(draw.random(45) < 0.6, truth.label[of], draw.integers(0, 5, 45))
    found = Actions(frame[of], moved, label, (draw.permutation(45) / 45).astype(np.float32))
    got = frame_average_precision(found, truth, num_classes=5)
    np.testing.assert_allclose(got[:4], OFFICIAL, atol=1e-9)
    assert np.isnan(got[4])


OFFICIAL = [0.95, 0.5416666666666666, 1.0, 0.6444444444444444]


def test_precision_at_a_recall_is_the_highest_from_there_on():
    hits = np.array([False, True, True, False, True])
    assert average_precision(hits, 4) == pytest.approx((2 / 3 + 2 / 3 + 3 / 5) / 4)
    assert average_precision(np.zeros(0, dtype=bool), 2) == 0
    assert np.isnan(average_precision(np.zeros(0, dtype=bool), 0))


def test_a_training_measures_the_same_over_its_batches():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 3, generator=generator)
    labels = (torch.rand(12, 3, generator=generator) < 0.4).float()
    labels[:, 2] = 0
    boxes = torch.tensor([[0.0, 0, 9, 9], [20, 0, 30, 9]]).repeat(6, 1)
    frames = torch.arange(6).repeat_interleave(2)
    metric = FrameMeanAveragePrecision()
    for rows in (slice(0, 5), slice(5, 5), slice(5, 12)):
        metric.update(frames[rows], boxes[rows], logits[rows], labels[rows])
    every = np.ones((12, 3), dtype=bool)
    found = as_actions(frames.numpy(), boxes.numpy(), logits.numpy(), every)
    truth = as_actions(frames.numpy(), boxes.numpy(), every, labels.numpy() > 0)
    expected = np.mean(frame_average_precision(found, truth, num_classes=3)[:2])
    assert float(metric.compute()) == pytest.approx(float(expected))
    metric.reset()
    metric.update(frames[:0], boxes[:0], logits[:0], labels[:0])
    assert torch.isnan(metric.compute())
