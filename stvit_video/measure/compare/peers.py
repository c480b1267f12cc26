"""Models of other libraries as shipped, random weights, behind our input: for comparisons only.

Legend: B clips, C colours, T H W frames and pixels, K classes.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.settings.model import Preprocessing


class Peer(NamedTuple):
    """How one model of another library is made."""

    library: str
    """What must be installed."""
    build: Callable[[], nn.Module]
    """Makes the model, clip (B, C, T, H, W) -> logits (B, K)."""
    num_frames: int
    image_size: int


class HuggingFaceClassifier(nn.Module):
    """Feeds a transformers video model, which wants (B, T, C, H, W) and returns a record."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clip: Tensor) -> Tensor:
        """Classify: clip (B, C, T, H, W) -> logits (B, K)."""
        return self.model(clip.transpose(1, 2)).logits


class SlowFastClassifier(nn.Module):
    """Feeds SlowFast both of its pathways: every fourth frame, and every frame."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clip: Tensor) -> Tensor:
        """Classify: clip (B, C, T, H, W) -> logits (B, K)."""
        return self.model([clip[:, :, ::4], clip])


class ImageClassifier(nn.Module):
    """Feeds an image model the one frame of a clip."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clip: Tensor) -> Tensor:
        """Classify: clip (B, C, 1, H, W) -> logits (B, K)."""
        return self.model(clip.squeeze(2))


def create_peer(name: str) -> nn.Module:
    """Build `library:model` with random weights; it has `preprocessing` as our models have.

    Raises:
        ConfigError: an unknown name, or its library is not installed.
    """
    peer = find_peer(name)
    try:
        importlib.import_module(peer.library)
    except ImportError as error:
        raise ConfigError(
            f"peer {name} needs {peer.library}; pip install {peer.library}"
        ) from error
    model = peer.build()
    model.preprocessing = Preprocessing(  # type: ignore[assignment]
        num_frames=peer.num_frames, frame_stride=1, image_size=peer.image_size
    )
    return model


def find_peer(name: str) -> Peer:
    """Look a peer up.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in PEERS:
        raise ConfigError(
            f"unknown peer {name!r}; known: {', '.join(PEERS)}{did_you_mean(name, list(PEERS))}"
        )
    return PEERS[name]


def _hugging_face(family: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        config = getattr(transformers, f"{family}Config")(**{"num_labels": 400} | settings)
        return HuggingFaceClassifier(
            getattr(transformers, f"{family}ForVideoClassification")(config)
        )

    return build


_vjepa2_large = _hugging_face("VJEPA2", num_labels=174, crop_size=256, frames_per_clip=16)


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision.models import video

        return getattr(video, name)(weights=None)

    return build


def _timm(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import timm

        return ImageClassifier(timm.create_model(name))

    return build


def _slowfast() -> nn.Module:
    from pytorchvideo.models.slowfast import create_slowfast

    return SlowFastClassifier(create_slowfast())


def _x3d_m() -> nn.Module:
    from pytorchvideo.models.x3d import create_x3d

    return create_x3d(
        input_clip_length=16, input_crop_size=224, depth_factor=2.2, head_activation=None
    )


def _mvit_b() -> nn.Module:
    from pytorchvideo.models.hub.vision_transformers import mvit_base_16x4

    with torch.device("cpu"):  # it reads numbers from a tensor
        model = mvit_base_16x4(pretrained=False)
    return model.to(torch.get_default_device())


PEERS: dict[str, Peer] = {
    "hf:videomae_base": Peer("transformers", _hugging_face("VideoMAE"), 16, 224),
    "hf:timesformer_base": Peer("transformers", _hugging_face("Timesformer", num_frames=8), 8, 224),
    "hf:vivit_base": Peer("transformers", _hugging_face("Vivit"), 32, 224),
    "hf:vjepa2_large": Peer("transformers", _vjepa2_large, 16, 256),
    "torchvision:swin3d_t": Peer("torchvision", _torchvision("swin3d_t"), 32, 224),
    "torchvision:swin3d_s": Peer("torchvision", _torchvision("swin3d_s"), 32, 224),
    "torchvision:swin3d_b": Peer("torchvision", _torchvision("swin3d_b"), 32, 224),
    "torchvision:mvit_v2_s": Peer("torchvision", _torchvision("mvit_v2_s"), 16, 224),
    "pytorchvideo:slowfast_r50": Peer("pytorchvideo", _slowfast, 32, 224),
    "pytorchvideo:x3d_m": Peer("pytorchvideo", _x3d_m, 16, 224),
    "pytorchvideo:mvit_base_16x4": Peer("pytorchvideo", _mvit_b, 16, 224),
    "timm:vit_base_patch16_224": Peer("timm", _timm("vit_base_patch16_224"), 1, 224),
    "timm:deit_small_patch16_224": Peer("timm", _timm("deit_small_patch16_224"), 1, 224),
    "timm:deit_base_patch16_224": Peer("timm", _timm("deit_base_patch16_224"), 1, 224),
}
"""Peers by name."""
