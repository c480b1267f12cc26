"""Reducers that keep tokens: random drop, EViT, run lengths; and average pooling."""

import math

import pytest
import torch

from stvit_video.tokens.grid import Grid
from stvit_video.tokens.reducers.average_pooling import WindowAverage
from stvit_video.tokens.reducers.evit import ClassAttentionTopK, class_attention
from stvit_video.tokens.reducers.random_drop import RandomDrop
from stvit_video.tokens.reducers.reducer import AttentionInputs
from stvit_video.tokens.reducers.run_length import changed_tubelets, find_runs
from stvit_video.tokens.token_set import TokenSet

NO_ATTENTION = AttentionInputs(torch.empty(0), torch.empty(0))


def numbered_tokens(num_clips, num_tokens):
    return torch.arange(num_clips * num_tokens).reshape(num_clips, num_tokens, 1).float()


def test_random_drop_keeps_order_and_class_token_and_repeats_in_evaluation():
    step = RandomDrop(30, 7).eval()
    state = TokenSet(numbered_tokens(2, 31), Grid(2, 3, 5), None)
    first, second = step(state, NO_ATTENTION), step(state, NO_ATTENTION)
    kept = first.tokens[0, :, 0].tolist()
    assert torch.equal(first.tokens, second.tokens)
    assert kept[0] == 0
    assert kept == sorted(set(kept))
    assert len(kept) == 8
    assert kept != list(range(8))
    assert first.grid == (1, 1, 7)
    assert RandomDrop(30, 7, seed=1).kept.tolist() != step.kept.tolist()


def test_random_drop_draws_per_clip_in_training_and_favours_no_token():
    step = RandomDrop(5, 2).train()
    state = TokenSet(numbered_tokens(1, 5).repeat(4000, 1, 1), Grid(1, 1, 5), None)
    kept = step(state, NO_ATTENTION).tokens[..., 0].long()
    counts = torch.bincount(kept.flatten(), minlength=5)
    assert (kept[:, 0] < kept[:, 1]).all()
    assert (counts / 4000 - 0.4).abs().max() < 0.04


def test_average_pooling_is_the_mean_of_each_window_on_the_small_grid():
    tokens = torch.cat([torch.full((1, 1, 1), -1.0), numbered_tokens(1, 24)], dim=1)
    state = TokenSet(tokens, Grid(2, 2, 6), None)
    pooled = WindowAverage(Grid(1, 2, 3))(state, NO_ATTENTION)
    # window (h=0, w=0): tokens 0, 1 of frame 0 and 12, 13 of frame 1
    want = [-1.0] + [(a + a + 1 + a + 12 + a + 13) / 4 for a in (0, 2, 4, 6, 8, 10)]
    assert pooled.tokens.flatten().tolist() == want
    assert pooled.grid == (1, 2, 3)


def test_class_attention_is_the_softmax_of_scaled_products_over_all_tokens():
    q, k = torch.randn(2, 3, 5, 7).double(), torch.randn(2, 3, 5, 7).double()
    found = class_attention(q, k)
    for clip in range(2):
        want = [0.0] * 4
        for head in range(3):
            scores = [
                math.exp(sum((q[clip, head, 0] * k[clip, head, j]).tolist()) / math.sqrt(7))
                for j in range(5)
            ]
            for j in range(4):
                want[j] += scores[j + 1] / sum(scores) / 3
        torch.testing.assert_close(found[clip], torch.tensor(want).double())


def test_evit_keeps_the_best_in_falling_order_and_sums_the_rest_by_weight():
    q = torch.ones(1, 1, 6, 1)
    k = torch.tensor([0.0, 1.0, 4.0, 2.0, 5.0, 3.0])[None, None, :, None]
    tokens = torch.tensor([9.0, 10, 20, 30, 40, 50])[None, :, None]
    state = ClassAttentionTopK(2)(TokenSet(tokens, Grid(1, 1, 5), None), AttentionInputs(q, k))
    total = sum(math.exp(v) for v in range(6))
    fused = (10 * math.exp(1) + 30 * math.exp(2) + 50 * math.exp(3)) / total
    assert state.tokens.flatten().tolist() == pytest.approx([9, 40, 20, fused])
    assert state.grid == (1, 1, 3)


def slow_changed(clip, tubelet, threshold):
    num_channels, num_frames, height, width = clip.shape
    tt, ph, pw = tubelet
    changed = torch.zeros(num_frames // tt, height // ph, width // pw, dtype=torch.bool)
    for t in range(num_frames // tt):
        for i in range(height // ph):
            for j in range(width // pw):
                total = 0.0
                for c in range(num_channels):
                    for y in range(i * ph, (i + 1) * ph):
                        for x in range(j * pw, (j + 1) * pw):
                            last = clip[c, t * tt + tt - 1, y, x]
                            total += abs(last - clip[c, max(t - 1, 0) * tt, y, x]).item()
                changed[t, i, j] = t == 0 or total / (num_channels * ph * pw) > threshold
    return changed


@pytest.mark.parametrize("tubelet", [(2, 2, 3), (1, 4, 2)])
def test_changed_tubelets_agree_with_the_reference(tubelet):
    clip = torch.rand(2, 3, 8, 4, 6)
    found = changed_tubelets(clip, tubelet_size=tubelet, threshold=0.33)
    want = torch.stack([slow_changed(one, tubelet, 0.33) for one in clip])
    assert torch.equal(found, want)
    assert 0 < want[:, 1:].float().mean() < 1


def test_a_clip_of_one_step_keeps_all():
    changed = changed_tubelets(torch.zeros(2, 3, 2, 4, 6), tubelet_size=(2, 2, 3), threshold=0.1)
    assert changed.shape == (2, 1, 2, 2)
    assert changed.all()


def test_runs_list_where_each_begins_and_how_long_it_lasts():
    changed = torch.tensor([[[1, 1], [0, 1], [0, 0], [1, 0]], [[1, 1], [0, 0], [0, 0], [0, 0]]])
    runs = find_runs(changed.bool()[:, :, None])
    assert runs.token.tolist() == [[0, 1, 3, 6], [0, 1, 1, 1]]
    assert runs.length.tolist() == [[3, 1, 3, 1], [4, 4, 0, 0]]
