import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.models.layers.attention import Attention


def reference(attend, tokens, context, mask=None):
    dim = tokens.shape[-1]
    weight, bias = attend.qkv.weight, attend.qkv.bias
    q = tokens @ weight[:dim].T + bias[:dim]
    k = context @ weight[dim : 2 * dim].T + bias[dim : 2 * dim]
    v = context @ weight[2 * dim :].T + bias[2 * dim :]
    outputs, weights = [], []
    for qh, kh, vh in zip(*(x.chunk(attend.num_heads, -1) for x in (q, k, v)), strict=True):
        scores = qh @ kh.transpose(1, 2) / (dim // attend.num_heads) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        weights.append(scores.softmax(-1))
        outputs.append(weights[-1] @ vh)
    return attend.proj(torch.cat(outputs, -1)), sum(weights) / len(weights)


def test_self_attention_equals_the_formula():
    attend = Attention(6, num_heads=3)
    tokens = torch.randn(2, 5, 6)
    torch.testing.assert_close(attend(tokens), reference(attend, tokens, tokens)[0])


def test_cross_attention_uses_the_weights_of_self_attention():
    attend = Attention(6, num_heads=2)
    tokens, context = torch.randn(2, 5, 6), torch.randn(2, 7, 6)
    torch.testing.assert_close(attend(tokens, context), reference(attend, tokens, context)[0])
    torch.testing.assert_close(attend(tokens, tokens), attend(tokens))


def test_a_mask_hides_keys_and_weights_say_what_was_read():
    attend = Attention(6, num_heads=2)
    tokens, context = torch.randn(2, 5, 6), torch.randn(2, 7, 6)
    mask = torch.rand(2, 1, 7) < 0.6
    mask[..., 0] = True
    expected, weights = reference(attend, tokens, context, mask)
    torch.testing.assert_close(attend(tokens, context, mask[:, None]), expected)
    torch.testing.assert_close(attend.weights(tokens, context, mask[:, None]), weights)


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError) as error:
        Attention(7, num_heads=2)
    assert str(error.value) == "dim (7) must be divisible by num_heads (2)"
