import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stvit_video.errors import ConfigError
from stvit_video.models.layers.embed import ClipEmbed, PatchEmbed
from stvit_video.models.layers.positions import resize_positions, sinusoid_positions
from stvit_video.tokens.grid import Grid


def test_embedding_equals_a_convolution_with_its_weights():
    convolution = nn.Conv3d(3, 11, kernel_size=(2, 4, 5), stride=(2, 4, 5))
    embed = PatchEmbed(11, tubelet_size=(2, 4, 5))
    state = convolution.state_dict()
    embed.load_state_dict({f"proj.{name}": weight for name, weight in state.items()})
    clip = torch.randn(2, 3, 6, 8, 15)
    tokens, grid = embed(clip)
    assert grid == Grid(3, 2, 3)
    torch.testing.assert_close(tokens, convolution(clip).flatten(2).transpose(1, 2))


def test_the_weight_of_a_2d_convolution_loads_for_single_frames():
    convolution = nn.Conv2d(3, 7, kernel_size=4, stride=4)
    embed = PatchEmbed(7, tubelet_size=(1, 4, 4))
    state = convolution.state_dict()
    embed.load_state_dict({f"proj.{name}": weight for name, weight in state.items()})
    image = torch.randn(2, 3, 8, 12)
    tokens, _ = embed(image[:, :, None])
    torch.testing.assert_close(tokens, convolution(image).flatten(2).transpose(1, 2))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (2, 16, 3, 8, 8),
            "clip (2, 16, 3, 8, 8) must be (B, C, T, H, W) with C = 3; axis 1 has 16",
        ),
        ((3, 8, 8), "clip (3, 8, 8) must be (B, C, T, H, W) with C = 3; it has 3 axes"),
        ((2, 3, 5, 8, 8), "num_frames (5) must be a multiple of 2, the tubelet's"),
        ((2, 3, 4, 6, 8), "height (6) must be a multiple of 4, the tubelet's"),
        ((2, 3, 4, 8, 0), "width (0) must be a multiple of 4, the tubelet's"),
    ],
)
def test_a_clip_with_wrong_axes_is_an_error_that_says_what_was_seen(shape, message):
    with pytest.raises(ConfigError) as error:
        PatchEmbed(5, tubelet_size=(2, 4, 4))(torch.zeros(shape))
    assert str(error.value) == message


def test_sinusoids_are_those_of_the_formula():
    table = sinusoid_positions(7, 6)[0]
    for position in (0, 1, 6):
        for i in range(3):
            angle = torch.tensor(position / 10000 ** (2 * i / 6))
            torch.testing.assert_close(table[position, 2 * i], angle.sin())
            torch.testing.assert_close(table[position, 2 * i + 1], angle.cos())


def test_positions_of_the_native_grid_are_untouched():
    positions = torch.randn(1, 30, 5)
    assert resize_positions(positions, Grid(2, 3, 5), Grid(2, 3, 5)) is positions


def test_positions_are_resized_bicubic_in_space_and_linear_in_time():
    native, grid = Grid(2, 3, 5), Grid(3, 6, 7)
    positions = torch.randn(1, 1 + native.size, 2)
    resized = resize_positions(positions, native, grid)
    torch.testing.assert_close(resized[:, :1], positions[:, :1])
    frames = positions[0, 1:].unflatten(0, native).permute(0, 3, 1, 2)
    frames = F.interpolate(frames, size=(6, 7), mode="bicubic")
    expected = torch.stack([frames[0], frames.mean(0), frames[1]])  # the middle lies half way
    torch.testing.assert_close(resized[0, 1:].unflatten(0, grid).permute(0, 3, 1, 2), expected)


def test_positions_of_an_image_repeat_over_time():
    positions = torch.randn(1, 6, 3)
    resized = resize_positions(positions, Grid(1, 2, 3), Grid(4, 2, 3))
    torch.testing.assert_close(resized, positions.repeat(1, 4, 1))


def test_class_token_and_positions_are_added():
    embed = ClipEmbed(
        5,
        tubelet_size=(1, 2, 2),
        native_size=(2, 4, 6),
        has_class_token=True,
        positions="learned",
    )
    clip = torch.randn(3, 3, 2, 4, 6)
    tokens, grid = embed(clip)
    patches, _ = embed.patch(clip)
    expected = torch.cat([embed.cls_token.expand(3, -1, -1), patches], 1) + embed.pos_embed
    torch.testing.assert_close(tokens, expected)
    assert grid == Grid(2, 2, 3)
