"""Maps: as torchvision's Swin gives them, of any size, of every kind of network."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.swin_transformer import SwinTransformer

from stvit_video.detection.networks.create import create_detector
from stvit_video.detection.networks.pyramid import PlainPyramid, build_pyramid
from stvit_video.errors import ConfigError
from stvit_video.models.build import build
from stvit_video.models.registry import create_model
from stvit_video.models.variant import Recipe
from tests.detection.networks.conftest import PLAIN, STVIT_R, SWIN


def pyramid_of(name, **options):
    return build_pyramid(create_model(name, num_classes=0, **options), range(4)).eval()


@pytest.mark.parametrize("size", [(224, 224), (224, 448)])
def test_maps_of_swin_are_those_that_torchvision_would_hand_its_fpn(tmp_path, size):
    theirs = SwinTransformer([4, 4], 8, [1, 1, 6, 1], [1, 2, 4, 8], [7, 7], num_classes=5).eval()
    save_file(theirs.state_dict(), tmp_path / "swin.safetensors")
    nodes = {f"features.{2 * stage + 1}": str(stage) for stage in range(4)}
    extractor = create_feature_extractor(theirs, nodes)
    detector = create_detector(SWIN, num_classes=3, pretrained=tmp_path / "swin.safetensors")
    pyramid = detector.backbone.pyramid.eval()
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = [found.permute(0, 3, 1, 2) for found in extractor(image).values()]
        ours = pyramid(image)
        bare = pyramid.model.forward_pyramid(image[:, :, None])
    assert [tuple(x.shape) for x in ours] == [tuple(x.shape) for x in expected]
    for stage, (mine, found) in enumerate(zip(bare, expected, strict=True)):
        if stage == 3:
            found = theirs.norm(found.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(mine[:, :, 0], found, rtol=1e-4, atol=1e-5)
    for mine in ours:  # as below mmdetection's heads, each map is normed
        channels = mine.permute(0, 2, 3, 1)
        torch.testing.assert_close(
            channels.mean(-1), torch.zeros_like(channels[..., 0]), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(
    ("name", "semantic"),
    [
        *((SWIN, None), (SWIN, "1x6x6@1-6"), (SWIN, "1x6x6@1"), (STVIT_R, None)),
        *((PLAIN, None), (PLAIN, "1x3x3@1-4"), (PLAIN, "1x3x3@1"), (PLAIN, "20@1-4")),
    ],
)
def test_images_of_any_size_have_a_place_for_every_stride(name, semantic):
    pyramid = pyramid_of(name, semantic=semantic)
    for height, width in ((64, 96), (97, 131)):
        with torch.no_grad():
            maps = pyramid(torch.randn(2, 3, height, width))
        assert [x.shape[:2] for x in maps] == [(2, channels) for channels in pyramid.channels]
        if isinstance(pyramid, PlainPyramid):  # whole patches of the coarsest map
            height, width = -(-height // 32) * 32, -(-width // 32) * 32
        sides = [tuple(x.shape[2:]) for x in maps]
        assert sides == [(-(-height // s), -(-width // s)) for s in (4, 8, 16, 32)]
        assert all(found.isfinite().all() for found in maps)


def test_tokens_that_are_not_recovered_are_given_to_the_nearest_places():
    pyramid = pyramid_of(PLAIN, semantic="1x2x2@1")
    with torch.no_grad():
        found = pyramid(torch.randn(1, 3, 128, 128))[2][0]  # (D, 8, 8)
    blocks = found.unflatten(1, (2, 4)).unflatten(3, (2, 4))  # (D, 2, 4, 2, 4)
    assert torch.equal(blocks, blocks[:, :, :1, :, :1].expand_as(blocks))
    assert not torch.equal(found[:, 0, 0], found[:, 0, 4])


def test_patches_of_14_stand_for_16_pixels_of_the_image():
    model = create_model(PLAIN, num_classes=0)
    options = replace(
        model.recipe.options, preprocessing=replace(model.preprocessing, image_size=224)
    )
    variant = replace(model.recipe.variant, tubelet_size=(1, 14, 14))
    network = build(Recipe(name=PLAIN, variant=variant, options=options))
    pyramid = build_pyramid(network, range(4)).eval()
    assert pyramid.stride == 16
    image = torch.zeros(1, 3, 128, 160, requires_grad=True)
    seen = pyramid.model.embed(torch.zeros(1, 3, 1, 112, 140))[1]
    assert tuple(seen) == (1, 8, 10)
    pyramid.model.blocks = torch.nn.ModuleList()  # each place then knows its own patch alone
    pyramid.model.block_ranges = [range(0)]
    pyramid(image)[2][0, 0, 3, 7].backward()
    rows, columns = image.grad[0].abs().sum(0).nonzero().T
    assert (rows.min() >= 47, rows.max() <= 64) == (True, True)
    assert (columns.min() >= 111, columns.max() <= 128) == (True, True)


def test_patches_of_8_are_brought_to_the_same_strides():
    model = create_model(PLAIN, num_classes=0)
    variant = replace(model.recipe.variant, tubelet_size=(1, 8, 8))
    network = build(Recipe(name=PLAIN, variant=variant, options=model.recipe.options))
    with torch.no_grad():
        maps = build_pyramid(network, range(4)).eval()(torch.randn(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(8, 16, 24), (16, 8, 12), (16, 4, 6), (16, 2, 3)]


def test_what_has_no_places_is_refused():
    with pytest.raises(ConfigError, match=r"20@1 leaves no map .* such as by 20@1-4$"):
        pyramid_of(PLAIN, semantic="20@1")
    with pytest.raises(ConfigError, match="schedule=constant leaves no map of the places"):
        pyramid_of(PLAIN, reduction="tome:r=2")


def test_channels_in_the_other_order_are_turned():
    model = create_model(PLAIN, num_classes=0)
    pyramid, image = build_pyramid(model, range(4)).eval(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = pyramid(image)
        model.preprocessing = replace(model.preprocessing, channel_order="bgr")
        turned = pyramid(image.flip(1))
    for one, other in zip(plain, turned, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("layers", "until", "side"), [(1, 3, 14), (2, 4, 21)], ids=["first", "later"]
)
def test_on_large_images_tokens_read_windows_as_below_the_published_detectors(layers, until, side):
    network = create_model(
        STVIT_R, num_classes=0, semantic=f"1x24x24@1-{until},layers={layers},shortcut=false"
    ).eval()
    with torch.no_grad():
        weights = network.forward_assignments(torch.randn(1, 3, 1, 672, 672))[0, :, 0]
    assert weights.shape == (18 * 18, 42, 42)  # windows of 7 keep 3 x 3
    token = 18 * 7 + 10  # of the third window along height, the fourth along width
    rows, columns = weights[token].nonzero().T
    middle = (2 * 7 + 3.5, 3 * 7 + 3.5)
    for found, centre in zip((rows, columns), middle, strict=True):
        assert int(found.max() - found.min()) + 1 == side
        assert abs(float(found.min()) + side / 2 - centre) <= 1
    assert float(weights[token].sum()) == pytest.approx(1, abs=1e-5)  # and no centres beside them
    assert int((weights[token] > 0).sum()) == side**2


def test_the_networks_below_published_detectors_add_centres_and_the_classifiers_do_not():
    released = {STVIT_R: True, "stvit_r_swin_small_patch4_window7_224": False}
    for name, adds in released.items():
        network = create_model(name, num_classes=0)
        settings = [s.generator.setting for s in network.stages if hasattr(s, "generator")]
        assert [(s.shortcut, s.after, s.until) for s in settings] == [(adds, 1, 6)]
