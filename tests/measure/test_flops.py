"""MACs by three roads: closed form, fvcore with our handles, torch's own counter."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import stvit_video.models.layers.time_attention
import stvit_video.tokens.semantic.farthest  # noqa: F401 both register operators
from stvit_video.errors import ConfigError
from stvit_video.measure.flops import count_flops


class _CrossAttention(nn.Module):
    def __init__(self, dim, num_heads, num_context_tokens):
        super().__init__()
        self.num_heads = num_heads
        self.context = nn.Parameter(torch.randn(1, num_context_tokens, dim))
        self.key_bias = nn.Parameter(torch.randn(1, 1, 1, num_context_tokens))
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens):
        q = self.query(tokens).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in self.key_value(self.context).chunk(2, dim=-1)
        )
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=self.key_bias)
        return self.out(x.transpose(1, 2).flatten(2))


class _Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def torch_macs(model, clip):
    """The count of torch's own counter; it knows attention under the MATH backend only."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.eval()(clip)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_with_a_key_bias_counts_projections_scores_and_mixing(device):
    n, m, dim = 5, 7, 6
    model = _CrossAttention(dim, 2, m).to(device)
    tokens = torch.randn(1, n, dim, device=device)
    report = count_flops(model, tokens, num_views=3)
    projections = (2 * n + 2 * m) * dim * dim
    scores_and_mixing = 2 * n * m * dim
    assert report.macs == projections + scores_and_mixing
    assert report.by_operator == {
        "linear": projections,
        "scaled_dot_product_attention": scores_and_mixing,
    }
    assert report.by_module["key_value"] == 2 * m * dim * dim
    assert report.by_module[""] == report.macs
    assert report.flops == 2 * report.macs
    assert report.macs_per_video == 3 * report.macs
    assert report.flops_per_video == 6 * report.macs
    assert report.num_parameters == m * dim + m + 4 * dim * dim + 4 * dim
    assert report.macs == torch_macs(model, tokens)


@pytest.mark.parametrize(
    ("function", "shape", "macs"),
    [
        (lambda x: F.interpolate(x, size=(3, 5), mode="bilinear"), (1, 2, 7, 11), 2 * 15 * 4),
        (lambda x: F.interpolate(x, size=(3, 5), mode="bicubic"), (1, 2, 7, 11), 2 * 15 * 16),
        (lambda x: F.interpolate(x, size=(2, 3, 5), mode="trilinear"), (1, 7, 3, 2, 2), 7 * 30 * 8),
        (lambda x: F.interpolate(x, size=(3, 5), mode="nearest"), (1, 2, 7, 11), 0),
        (
            lambda x: F.grid_sample(x, x.new_zeros(1, 3, 5, 7, 3), align_corners=False),
            (1, 2, 2, 3, 5),
            2 * 105 * 8,
        ),
        (lambda x: torch.cdist(x, x[:, :3]), (1, 5, 7), 5 * 3 * 7),
        (lambda x: torch.baddbmm(x[:, :, :5], x, x.transpose(1, 2)), (1, 5, 7), 5 * 7 * 5),
        (
            lambda x: torch._addmm_activation(x[0, :3, 0], x[0], x.new_zeros(7, 3), use_gelu=True),
            (1, 5, 7),
            5 * 7 * 3,
        ),
        (lambda x: x[0] @ x[0, 0], (1, 5, 7), 35),
        (lambda x: x[0] @ x.new_zeros(2, 7, 3), (1, 5, 7), 2 * 5 * 3 * 7),
        (lambda x: torch.einsum("bnd,bmd->bnm", x, x[:, :2]), (1, 5, 7), 5 * 2 * 7),
        (lambda x: x.gather(1, x.sum(-1).argsort()[..., None].expand_as(x)), (1, 5, 7), 0),
        (lambda x: F.layer_norm(F.softmax(F.gelu(x), dim=-1), (7,)), (1, 5, 7), 0),
        (lambda x: F.conv3d(x, x.new_zeros(3, 2, 2, 2, 2), stride=2), (1, 2, 4, 6, 8), 24 * 48),
    ],
)
def test_an_operator_counts_its_multiply_adds(function, shape, macs):
    assert count_flops(_Function(function), torch.rand(shape)).macs == macs


def test_the_kernel_of_attention_along_time_counts_as_attention():
    clips, tokens, heads, width, frames = 1, 24, 2, 16, 4
    function = _Function(lambda x: torch.ops.stvit_video.attend_in_time(x, frames))
    qkv = torch.empty(clips, tokens, 3, heads, width, device="meta")
    sequences = tokens // frames * heads
    assert count_flops(function, qkv).macs == sequences * 2 * frames**2 * width


def test_the_kernel_that_chooses_centres_is_free():
    function = _Function(lambda x: torch.ops.stvit_video.choose_farthest(x @ x.mT, x[:, 0, 0], 3))
    tokens, width = 24, 16
    report = count_flops(function, torch.empty(1, tokens, width, device="meta"))
    assert report.macs == tokens**2 * width


def test_a_batch_of_two_views_is_refused():
    with pytest.raises(ValueError, match=r"^clip must hold one view, got batch size 2$"):
        count_flops(nn.Linear(3, 2), torch.rand(2, 3))


def test_an_operator_without_a_count_is_an_error_unless_allowed():
    model = _Function(lambda x: torch.linalg.qr(x).Q @ x)
    with pytest.raises(ConfigError) as raised:
        count_flops(model, torch.rand(1, 3, 3))
    assert str(raised.value) == (
        "no count for aten::linalg_qr in _Function; allow uncounted operators to see the rest"
    )
    report = count_flops(model, torch.rand(1, 3, 3), allow_uncounted=True)
    assert report.uncounted == {"aten::linalg_qr": 1}
    assert report.macs == 27


def test_counting_leaves_the_model_in_the_mode_it_came_in():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    count_flops(model.train(), torch.rand(1, 3))
    assert model.training
    count_flops(model.eval(), torch.rand(1, 3))
    assert not model.training


def test_a_shared_layer_counts_in_the_stage_that_calls_it():
    class Stage(nn.Module):
        def forward(self, x, layer):
            return layer(x)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 5)])
            self.stages = nn.ModuleList([Stage(), Stage()])

        def forward(self, x):
            for stage, layer in zip(self.stages, self.layers, strict=True):
                x = stage(x, layer)
            return x

    by_module = count_flops(Network(), torch.rand(1, 7, 3)).by_module
    assert (by_module["stages.0"], by_module["stages.1"]) == (63, 105)
    assert (by_module["layers.0"], by_module["layers.1"]) == (63, 105)
