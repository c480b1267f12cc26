import pytest
import torch
from torch.nn import functional as F

from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.clusters import _beside_places, cluster_tokens
from stvit_video.tokens.semantic.farthest import cluster_farthest, compare_tokens


def naive(tokens, num_centers):
    """The rule, word by word, for the tokens (N, D) of one clip."""
    features = tokens / tokens.norm(dim=1, keepdim=True)
    like_mean = features @ features.mean(dim=0)
    centers = [int(like_mean.argmin())]
    while len(centers) < num_centers:
        closest = (features @ features[centers].T).max(dim=1).values
        closest[centers] = torch.inf
        centers.append(int(closest.argmin()))
    nearest = (features @ features[centers].T).argmax(dim=1)
    nearest[centers] = torch.arange(num_centers)
    return nearest


@pytest.mark.parametrize("num_centers", [1, 2, 7, 30])
def test_each_token_goes_to_the_nearest_of_the_farthest_points(num_centers):
    tokens = torch.randn(3, 30, 5, generator=torch.Generator().manual_seed(0))
    nearest = cluster_farthest(tokens, num_centers)
    for own, clip in zip(nearest, tokens, strict=True):
        assert own.tolist() == naive(clip, num_centers).tolist()
    assert nearest.dtype == torch.int64


def test_what_is_rare_gets_a_centre_of_its_own():
    tokens = torch.tensor([[1.0, 0, 0]] * 20 + [[0, 1.0, 0]] * 3 + [[0, 0, 1.0]])[None]
    tokens = tokens * torch.linspace(0.5, 2, 24)[:, None]  # lengths do not count
    (nearest,) = cluster_farthest(tokens, 3)
    assert [len(set(nearest[part].tolist())) for part in (slice(20), slice(20, 23))] == [1, 1]
    assert sorted(nearest.bincount().tolist()) == [1, 3, 20]


def test_no_centre_is_empty_where_all_tokens_are_equal():
    (nearest,) = cluster_farthest(torch.ones(1, 9, 4), 5)
    assert nearest.bincount(minlength=5).tolist() == [5, 1, 1, 1, 1]


def test_the_order_of_the_tokens_changes_the_order_of_the_answers_alone():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 40, 6, generator=generator)
    order = torch.randperm(40, generator=generator)
    assert torch.equal(cluster_farthest(tokens[:, order], 9), cluster_farthest(tokens, 9)[:, order])


def test_means_sizes_and_shares_are_those_of_the_members():
    tokens = torch.randn(2, 24, 5)
    clusters = cluster_tokens(tokens, Grid(2, 3, 4), num_regions=1, num_centers=6)
    assert clusters.size.sum(dim=1).tolist() == [[24], [24]]
    for clip in range(2):
        for k in range(6):
            own = tokens[clip][clusters.nearest[clip] == k]
            assert clusters.size[clip, k] == len(own)
            torch.testing.assert_close(clusters.means[clip, k], own.mean(dim=0))
    torch.testing.assert_close(clusters.shares() @ tokens, clusters.means)


def test_with_regions_places_are_clustered_by_all_that_they_hold_through_time():
    """Of 4 places two are alike in the first frame, but only one of them in the second, too."""
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    frames = [[first, first, second, second], [first, first, first, second]]
    tokens = torch.stack([torch.stack(frame) for frame in frames]).flatten(0, 1)[None]
    tokens = tokens * torch.linspace(1, 1.1, 8)[:, None]
    clusters = cluster_tokens(tokens, Grid(2, 1, 4), num_regions=2, num_centers=3)
    early, late = clusters.nearest[0].view(2, 4).tolist()
    assert late == [k + 3 for k in early]
    assert early[0] == early[1]
    assert len(set(early)) == 3
    assert clusters.size.view(2, 3)[:, early[0]].tolist() == [2, 2]
    torch.testing.assert_close(clusters.means[0, early[0]], tokens[0, :2].mean(dim=0))
    torch.testing.assert_close(clusters.means[0, late[0]], tokens[0, 4:6].mean(dim=0))


def test_frames_that_do_not_share_out_evenly_each_belong_to_one_region():
    clusters = cluster_tokens(torch.randn(1, 10, 3), Grid(5, 1, 2), num_regions=2, num_centers=2)
    assert clusters.size.view(2, 2).sum(dim=1).tolist() == [6, 4]


def test_gradients_reach_each_token_by_its_share():
    tokens = torch.randn(1, 12, 4, requires_grad=True)
    clusters = cluster_tokens(tokens, Grid(1, 3, 4), num_regions=1, num_centers=4)
    (gradient,) = torch.autograd.grad(clusters.means.sum(), tokens)
    sizes = clusters.size[0, clusters.nearest[0]]
    torch.testing.assert_close(gradient[0], (1 / sizes).expand(12, 4))


def test_tokens_that_hold_no_positions_are_clustered_by_place_as_well():
    tokens = torch.ones(1, 8, 5)
    places = torch.zeros(1, 8, 3)
    places[..., 2] = torch.tensor([0, 5, 0.1, 5.1, 0.2, 5.2, 0.3, 5.3])
    grid = Grid(1, 1, 8)
    alike = cluster_tokens(tokens, grid, num_regions=1, num_centers=2)
    apart = cluster_tokens(tokens, grid, num_regions=1, num_centers=2, places=places)
    assert alike.size.flatten().tolist() == [7, 1]
    first = apart.nearest[0, 0]
    assert (apart.nearest[0] == first).tolist() == [True, False] * 4
    torch.testing.assert_close(apart.means, torch.ones(1, 2, 5))


@pytest.mark.parametrize("batch", [1, 2])
def test_content_and_place_count_alike(batch):
    """Whatever the length of a token: the cosine is the mean of that of contents and of places."""
    tokens = torch.randn(2, 6, 8) * torch.arange(1.0, 7.0)[:, None]
    places = 4 * torch.rand(batch, 6, 3)
    similarity, _ = compare_tokens(_beside_places(tokens, places))
    content = F.cosine_similarity(tokens[:, :, None], tokens[:, None], dim=-1)
    angles = (places[:, :, None] - places[:, None])[..., None] * 10000 ** -(torch.arange(10) / 10)
    expected = (content + angles.cos().mean(dim=(-2, -1))) / 2
    torch.testing.assert_close(similarity, expected, rtol=0, atol=1e-6)


def test_places_of_a_frame_are_clustered_by_place_as_well():
    places = torch.zeros(1, 8, 3)
    places[..., 2] = torch.tensor([0, 5, 0.1, 5.1]).repeat(2)
    tokens, grid = torch.ones(1, 8, 5), Grid(2, 1, 4)
    clusters = cluster_tokens(tokens, grid, num_regions=2, num_centers=2, places=places)
    assert clusters.nearest[0, 0] == clusters.nearest[0, 2] != clusters.nearest[0, 1]
    assert clusters.size.flatten().tolist() == [2, 2, 2, 2]
