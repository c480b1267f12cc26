import pytest
import torch
from torch import nn

from stvit_video.measure.flops import count_flops
from stvit_video.measure.meta_convolution import output_size

CASES = [
    (nn.Conv1d(2, 6, 3, padding=1), (1, 2, 11)),
    (nn.Conv2d(4, 6, (3, 5), stride=(2, 3), padding=(1, 2), groups=2), (1, 4, 13, 17)),
    (nn.Conv2d(2, 3, 3, dilation=2), (1, 2, 13, 7)),
    (nn.Conv2d(2, 3, 3, padding="same", dilation=2), (1, 2, 13, 7)),
    (nn.Conv3d(3, 5, (2, 4, 3), stride=(2, 4, 3), padding="valid"), (1, 3, 4, 8, 9)),
    (nn.Conv3d(6, 6, 3, padding=1, groups=6), (1, 6, 2, 3, 5)),
]


@pytest.mark.parametrize(("layer", "shape"), CASES)
def test_the_meta_device_counts_what_the_cpu_counts(layer, shape):
    on_cpu = count_flops(layer, torch.rand(shape))
    on_meta = count_flops(layer.to("meta"), torch.empty(shape, device="meta"))
    assert on_meta.by_operator == on_cpu.by_operator == {"conv": on_cpu.macs}
    assert on_cpu.macs > 0


@pytest.mark.parametrize(("layer", "shape"), CASES)
def test_the_shape_is_that_of_the_real_convolution(layer, shape):
    layer = type(layer)(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    x = torch.rand(shape)
    found = output_size(
        x, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
    )
    assert found == list(layer(x).shape)
