"""Swin, Video Swin, and STViT-R on both."""

from dataclasses import replace
from functools import partial

from stvit_video.models.families.swin import stvit_r_weights as stvit_r_names
from stvit_video.models.families.swin import weights as swin_names
from stvit_video.models.families.swin.inflate import fit_swin
from stvit_video.models.families.swin.plan import DETECTION
from stvit_video.models.families.swin.variant import StvitRVariant, SwinVariant
from stvit_video.models.variant import Variant
from stvit_video.settings.model import Preprocessing

_IMAGE = Preprocessing(num_frames=1, frame_stride=1, image_size=224)
_VIDEO = Preprocessing(num_frames=32, frame_stride=2, image_size=224)

_swin = partial(
    SwinVariant,
    preprocessing=_IMAGE,
    num_classes=1000,
    window_size=(1, 7, 7),
    source="Swin, arXiv 2103.14030",
    license="MIT",
    rename=swin_names.rename_image,
    facts=swin_names.facts,
    fit=fit_swin,
)
_video_swin = partial(
    SwinVariant,
    preprocessing=_VIDEO,
    num_classes=400,
    window_size=(8, 7, 7),
    tubelet_frames=2,
    source="Video Swin, arXiv 2106.13230",
    license="Apache-2.0",
    rename=swin_names.rename_video,
    facts=swin_names.facts,
    image_rename=swin_names.rename_image,
    fit=fit_swin,
)
_stvit_r = partial(
    StvitRVariant,
    preprocessing=_IMAGE,
    num_classes=1000,
    window_size=(1, 7, 7),
    source="STViT-R, arXiv 2303.08685",
    license="MIT",
    rename=stvit_r_names.rename,
    facts=stvit_r_names.facts,
    fit=fit_swin,
)
_below_detectors = partial(
    _stvit_r,
    preprocessing=replace(_IMAGE, image_size=800),
    style=DETECTION,
    adds_centers=True,
    source="STViT-R below Cascade Mask R-CNN, arXiv 2303.08685",
)
_video_r = partial(
    StvitRVariant,
    preprocessing=_VIDEO,
    num_classes=400,
    window_size=(8, 7, 7),
    tubelet_frames=2,
    source="this project: STViT-R, arXiv 2303.08685, on Video Swin",
    license="Apache-2.0",
    rename=swin_names.rename_video,
    image_rename=stvit_r_names.rename,
    fit=fit_swin,
)
_NARROW, _WIDE = (3, 6, 12, 24), (4, 8, 16, 32)
_SHALLOW, _DEEP = (2, 2, 6, 2), (2, 2, 18, 2)

VARIANTS: dict[str, Variant] = {
    "swin_tiny_patch4_window7_224": _swin(dim=96, depths=_SHALLOW, num_heads=_NARROW),
    "swin_small_patch4_window7_224": _swin(dim=96, depths=_DEEP, num_heads=_NARROW),
    "swin_base_patch4_window7_224": _swin(dim=128, depths=_DEEP, num_heads=_WIDE),
    "video_swin_tiny_patch2x4x4_224": _video_swin(dim=96, depths=_SHALLOW, num_heads=_NARROW),
    "video_swin_small_patch2x4x4_224": _video_swin(dim=96, depths=_DEEP, num_heads=_NARROW),
    "video_swin_base_patch2x4x4_224": _video_swin(dim=128, depths=_DEEP, num_heads=_WIDE),
    "video_swin_base_patch2x4x4_window16_224": _video_swin(
        dim=128, depths=_DEEP, num_heads=_WIDE, window_size=(16, 7, 7)
    ),
    "stvit_r_swin_small_patch4_window7_224": _stvit_r(dim=96, depths=_DEEP, num_heads=_NARROW),
    "stvit_r_swin_base_patch4_window7_224": _stvit_r(dim=128, depths=_DEEP, num_heads=_WIDE),
    "stvit_r_swin_small_patch4_window7_800": _below_detectors(
        dim=96, depths=_DEEP, num_heads=_NARROW
    ),
    "stvit_r_swin_base_patch4_window7_800": _below_detectors(
        dim=128, depths=_DEEP, num_heads=_WIDE
    ),
    "stvit_r_video_swin_small_patch2x4x4_224": _video_r(dim=96, depths=_DEEP, num_heads=_NARROW),
    "stvit_r_video_swin_base_patch2x4x4_224": _video_r(dim=128, depths=_DEEP, num_heads=_WIDE),
}
