"""ToMe against a slow reference in plain Python, written from the paper."""

import math

import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.reducers.reducer import AttentionInputs
from stvit_video.tokens.reducers.tome import (
    TokenMerging,
    match_tokens,
    merge_by_size,
    merge_schedule,
    merge_tokens,
)
from stvit_video.tokens.token_set import TokenSet


def cosine(a, b):
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    return dot / math.sqrt(sum(p * p for p in a)) / math.sqrt(sum(q * q for q in b))


def reference(metric, x, size, r, num_class_tokens):
    """One clip as lists: merged tokens and sizes in the published order."""
    even, odd = list(range(0, len(x), 2)), list(range(1, len(x), 2))
    r = min(r, (len(x) - num_class_tokens) // 2)
    partners = odd[1:] if num_class_tokens > 1 else odd
    best = {}
    for i in even:
        if not (num_class_tokens and i == 0):
            best[i] = max((cosine(metric[i], metric[j]), -j) for j in partners)
    order = sorted(best, key=lambda i: -best[i][0]) + ([0] if num_class_tokens else [])
    gone, stay = order[:r], order[r:]
    if num_class_tokens:
        stay = sorted(stay)
    groups = [[i] for i in stay]
    groups += [[j, *(i for i in gone if -best[i][1] == j)] for j in odd]
    if num_class_tokens > 1:  # the distillation token, number 1, stays the second
        groups.insert(1, groups.pop(groups.index([1])))
    merged, sizes = [], []
    for group in groups:
        total = sum(size[i] for i in group)
        sizes.append(total)
        merged.append([sum(size[i] * x[i][c] for i in group) / total for c in range(len(x[0]))])
    return merged, sizes


@pytest.mark.parametrize("num_class_tokens", [0, 1, 2])
@pytest.mark.parametrize(("num_tokens", "r"), [(11, 3), (12, 5), (13, 99), (7, 1)])
def test_merging_agrees_with_the_reference(num_tokens, r, num_class_tokens):
    generator = torch.Generator().manual_seed(num_tokens)
    metric = torch.randn(3, num_tokens, 5, generator=generator, dtype=torch.float64)
    x = torch.randn(3, num_tokens, 2, generator=generator, dtype=torch.float64)
    size = torch.randint(1, 9, (3, num_tokens, 1), generator=generator).double()
    matching = match_tokens(metric, r, num_class_tokens=num_class_tokens)
    merged, sizes = merge_by_size(x, size, matching)
    for clip in range(3):
        want, want_sizes = reference(
            metric[clip].tolist(),
            x[clip].tolist(),
            size[clip, :, 0].tolist(),
            r,
            num_class_tokens,
        )
        torch.testing.assert_close(merged[clip], torch.tensor(want, dtype=torch.float64))
        assert sizes[clip, :, 0].tolist() == want_sizes


def test_the_class_token_stays_first_and_alone():
    metric = torch.ones(1, 9, 3)  # the class token is as similar as any
    matching = match_tokens(metric, 4, num_class_tokens=1)
    merged = merge_tokens(torch.arange(9.0)[None, :, None], matching, reduce="sum")
    assert merged[0, 0, 0] == 0
    assert matching.unmerged.tolist() == [[0]]
    assert merged.sum() == 36


def test_a_mean_merge_counts_every_member_once():
    metric = torch.tensor([[[1.0, 0], [1, 0], [1, 0], [0, 1]]])
    matching = match_tokens(metric, 2, num_class_tokens=0)
    merged = merge_tokens(torch.tensor([[[3.0], [6], [12], [5]]]), matching, reduce="mean")
    assert merged.flatten().tolist() == [7, 5]


def test_a_step_compares_keys_averaged_over_heads_and_tracks_sizes():
    keys = torch.randn(2, 3, 11, 5)
    tokens = torch.randn(2, 11, 7)
    step = TokenMerging(2)
    state = step(TokenSet(tokens, Grid(1, 2, 5), None), AttentionInputs(keys, keys))
    matching = match_tokens(keys.mean(1), 2, num_class_tokens=1)
    want, size = merge_by_size(tokens, torch.ones(2, 11, 1), matching)
    assert torch.equal(state.tokens, want)
    assert torch.equal(state.size, size)
    assert state.grid == (1, 1, 8)


@pytest.mark.parametrize(
    ("schedule", "merges"), [("constant", [8] * 5), ("decreasing", [16, 12, 8, 4, 0])]
)
def test_both_schedules_merge_the_same_number_in_all(schedule, merges):
    assert merge_schedule(8, 5, schedule) == merges


def test_an_odd_decreasing_schedule_rounds_down():
    assert merge_schedule(65, 4, "decreasing") == [130, 86, 43, 0]


def test_no_pair_is_an_error():
    with pytest.raises(ConfigError, match=r"^tome r \(0\) must be at least 1$"):
        merge_schedule(0, 4, "constant")
