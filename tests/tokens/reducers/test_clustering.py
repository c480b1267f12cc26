"""Reducers that cluster: DPC-KNN and agglomeration, against slow references in plain Python."""

import math

import pytest
import torch

from stvit_video.tokens.grid import Grid
from stvit_video.tokens.reducers.agglomerative import Agglomeration, agglomerate
from stvit_video.tokens.reducers.dpc_knn import DensityPeaks, density_peaks
from stvit_video.tokens.reducers.reducer import AttentionInputs, merge_clusters
from stvit_video.tokens.token_set import TokenSet


def groups(cluster):
    """Cluster numbers -> the partition as a set of sets."""
    members = {}
    for token, number in enumerate(cluster):
        members.setdefault(number, set()).add(token)
    return {frozenset(group) for group in members.values()}


def slow_density_peaks(x, num_clusters, k):
    n, dim = len(x), len(x[0])
    d = [[math.dist(x[i], x[j]) / math.sqrt(dim) for j in range(n)] for i in range(n)]
    density = [math.exp(-sum(v * v for v in sorted(row)[:k]) / k) for row in d]
    furthest = max(max(row) for row in d)
    peak = [
        min([d[i][j] for j in range(n) if density[j] > density[i]], default=furthest)
        for i in range(n)
    ]
    score = [density[i] * peak[i] for i in range(n)]
    centres = sorted(range(n), key=lambda i: -score[i])[:num_clusters]
    cluster = [min(range(num_clusters), key=lambda c: d[i][centres[c]]) for i in range(n)]
    for number, centre in enumerate(centres):
        cluster[centre] = number
    return cluster


@pytest.mark.parametrize(("num_clusters", "k"), [(3, 5), (7, 2), (12, 3)])
def test_density_peaks_agree_with_the_reference(num_clusters, k):
    x = torch.randn(2, 13, 3, generator=torch.Generator().manual_seed(k))
    found = density_peaks(x, num_clusters, num_neighbours=k)
    for clip in range(2):
        assert found[clip].tolist() == slow_density_peaks(x[clip].tolist(), num_clusters, k)


def test_equal_tokens_still_give_every_cluster_a_member():
    cluster = density_peaks(torch.ones(2, 7, 3), 4, num_neighbours=2)
    assert all(len(set(one)) == 4 for one in cluster.tolist())


def slow_agglomerate(x, num_clusters, linkage):
    unit = [[v / math.hypot(*row) for v in row] for row in x]
    d = [[1 - sum(p * q for p, q in zip(a, b, strict=True)) for b in unit] for a in unit]
    clusters = [[i] for i in range(len(x))]
    reduce = {"average": lambda v: sum(v) / len(v), "complete": max, "single": min}[linkage]
    while len(clusters) > num_clusters:
        pairs = [(a, b) for a in range(len(clusters)) for b in range(a + 1, len(clusters))]
        a, b = min(
            pairs, key=lambda p: reduce([d[i][j] for i in clusters[p[0]] for j in clusters[p[1]]])
        )
        clusters[a] += clusters.pop(b)
    return {frozenset(group) for group in clusters}


@pytest.mark.parametrize("linkage", ["average", "complete", "single"])
@pytest.mark.parametrize("num_clusters", [1, 4, 11])
def test_agglomeration_agrees_with_the_reference(num_clusters, linkage):
    x = torch.randn(3, 11, 5, generator=torch.Generator().manual_seed(7))
    found = agglomerate(x, num_clusters, linkage=linkage)
    for clip in range(3):
        numbers = found[clip].tolist()
        assert groups(numbers) == slow_agglomerate(x[clip].tolist(), num_clusters, linkage)
        assert list(dict.fromkeys(numbers)) == list(range(num_clusters))


def test_merging_clusters_averages_by_size():
    tokens = torch.tensor([[[2.0], [8.0], [5.0]], [[1.0], [3.0], [5.0]]])
    size = torch.tensor([[[3.0], [1.0], [2.0]], [[1.0], [1.0], [1.0]]])
    cluster = torch.tensor([[1, 1, 0], [0, 1, 1]])
    merged, sizes = merge_clusters(tokens, size, cluster, 2)
    assert merged[..., 0].tolist() == [[5, 3.5], [1, 4]]
    assert sizes[..., 0].tolist() == [[2, 4], [1, 2]]


@pytest.mark.parametrize("step", [DensityPeaks(3, num_neighbours=2), Agglomeration(3)])
def test_a_clustering_step_spares_the_class_token_and_keeps_the_total_size(step):
    tokens, keys = torch.randn(2, 12, 5), torch.randn(2, 3, 12, 7)
    size = torch.randint(1, 5, (2, 12, 1)).float()
    state = step(TokenSet(tokens, Grid(1, 1, 11), size), AttentionInputs(keys, keys))
    assert state.grid == (1, 1, 3)
    assert torch.equal(state.tokens[:, 0], tokens[:, 0])
    assert torch.equal(state.size[:, 0], size[:, 0])
    torch.testing.assert_close(state.size.sum(1), size.sum(1))
    patches = slice(1, None)
    torch.testing.assert_close(
        (state.tokens * state.size)[:, patches].sum(1), (tokens * size)[:, patches].sum(1)
    )


def test_agglomeration_reads_keys_averaged_over_heads_and_density_peaks_the_tokens():
    tokens, keys = torch.randn(2, 11, 5), torch.randn(2, 3, 11, 7)
    state = TokenSet(tokens, Grid(1, 1, 11), None)
    attention = AttentionInputs(torch.zeros_like(keys), keys)
    for step, cluster in (
        (Agglomeration(4), agglomerate(keys.mean(1), 4, linkage="average")),
        (DensityPeaks(4), density_peaks(tokens, 4, num_neighbours=5)),
    ):
        want, _ = merge_clusters(tokens, torch.ones(2, 11, 1), cluster, 4)
        assert torch.equal(step(state, attention).tokens, want)


def test_choosing_leaves_no_trace_in_the_graph_but_merging_does():
    tokens = torch.randn(2, 11, 5, requires_grad=True)
    keys = torch.randn(2, 3, 11, 7, requires_grad=True)
    for step in (Agglomeration(4), DensityPeaks(4)):
        state = step(TokenSet(tokens, Grid(1, 1, 11), None), AttentionInputs(keys, keys))
        token_grad, key_grad = torch.autograd.grad(
            state.tokens.square().sum(), [tokens, keys], allow_unused=True
        )
        assert (token_grad.abs().sum(-1) > 0).all()
        assert key_grad is None
