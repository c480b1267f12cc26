"""From a network to one program for any number of clips.

Legend: B clips, C colours, T frames, S height and width, K classes.
"""

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.export import Dim, ExportedProgram, export
from torch.fx.experimental.symbolic_shapes import ConstraintViolationError

from stvit_video.errors import ExportError
from stvit_video.exporting.card import ExportCard
from stvit_video.models.families.swin.network import SwinTransformer
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.model import Preprocessing
from stvit_video.video.pixels.crops import normalize_clip

MOST_CLIPS, MOST_STEPS = 4096, 1024
"""Of a batch, and time steps of tubelets of a clip."""


class PixelClassifier(nn.Module):
    """A network that takes what decoders give, and so cannot be fed in another range or order."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing

    def forward(self, clips: Tensor) -> Tensor:
        """Classify uint8 RGB clips (B, T, S, S, C): logits (B, K)."""
        return self.model(normalize_clip(clips.permute(0, 4, 1, 2, 3), self.preprocessing))


def to_input(clips: Tensor, card: ExportCard, preprocessing: Preprocessing) -> Tensor:
    """Make the input of a file of uint8 RGB clips (B, C, T, S, S) as loaders give them."""
    if card.input_dtype == "uint8":
        return clips.permute(0, 2, 3, 4, 1).contiguous()  # (B, T, S, S, C)
    return normalize_clip(clips, preprocessing)


def make_program(model: VideoModel, card: ExportCard) -> ExportedProgram:
    """Write the network down as one graph, as the card says; it loses its gradients.

    Raises:
        ExportError: its frames cannot be dynamic.
    """
    device = next(model.parameters()).device
    preprocessing = model.preprocessing
    whole: nn.Module = model
    if card.input_dtype == "uint8":
        whole = PixelClassifier(model, preprocessing)
    size = preprocessing.image_size
    shape = (2, 3, preprocessing.num_frames, size, size)
    example = to_input(torch.zeros(shape, dtype=torch.uint8, device=device), card, preprocessing)
    sizes = {0: Dim("clips", min=1, max=MOST_CLIPS)}
    if card.frames_multiple is not None:
        if isinstance(model, SwinTransformer):  # its windows of unknown length trace without end
            raise _fixed_frames(model)
        steps = Dim("steps", min=2, max=MOST_STEPS)
        sizes[card.input_axes.index("T")] = card.frames_multiple * steps
    whole.eval().requires_grad_(False)  # else attention gets strides that ONNX cannot have
    try:
        with torch.no_grad():
            return export(whole, (example,), dynamic_shapes=(sizes,))
    except (TorchDynamoException, ConstraintViolationError, ValueError) as error:
        if card.frames_multiple is None:
            raise
        raise _fixed_frames(model) from error


def _fixed_frames(model: VideoModel) -> ExportError:
    return ExportError(
        f"{model.name} cannot be exported with dynamic frames, as it is laid out for"
        f" {model.preprocessing.num_frames}; leave --dynamic_frames out"
    )
