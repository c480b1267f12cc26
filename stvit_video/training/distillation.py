"""Learning from a trained model: what a student loses by answering unlike its teacher.

Legend: B clips, C colours, T H W frames and pixels, N patch tokens, D width, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.checkpoint import load_model
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.training import DistillConfig


class Distillation:
    """Mixes the loss against the labels with the distance to a teacher, which sees the same clips.

    Answers are compared by the divergence of Hinton et al. (arXiv 1503.02531), of several labels a
    video class by class; tokens by the mean square of the distance of the normed ones.
    """

    def __init__(self, teacher: VideoModel, settings: DistillConfig, *, multi_label: bool) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.settings = settings
        self.multi_label = multi_label

    @property
    def needs_tokens(self) -> bool:
        """Whether tokens are compared, too."""
        return self.settings.tokens > 0

    def to(self, device: torch.device) -> None:
        """Bring the teacher to where clips are."""
        self.teacher.to(device)

    def __call__(self, loss: Tensor, clip: Tensor, logits: Tensor, tokens: Tensor | None) -> Tensor:
        """Return the whole loss, a scalar.

        `loss` is that against the labels of clips (B, C, T, H, W), `logits` (B, K) and `tokens`
        (B, N, D) what the student makes of them.
        """
        with torch.no_grad():
            expected, patches = self.teacher.forward_with_tokens(clip)
        share = self.settings.weight
        loss = (1 - share) * loss + share * self._divergence(logits.float(), expected.float())
        if tokens is not None:
            loss = loss + self.settings.tokens * F.mse_loss(tokens.float(), patches.float())
        return loss

    def _divergence(self, logits: Tensor, expected: Tensor) -> Tensor:
        heat = self.settings.temperature
        logits, expected = logits / heat, expected / heat
        if self.multi_label:
            return heat**2 * F.binary_cross_entropy_with_logits(logits, expected.sigmoid())
        ours, theirs = logits.log_softmax(dim=1), expected.log_softmax(dim=1)
        return heat**2 * F.kl_div(ours, theirs, log_target=True, reduction="batchmean")


def load_teacher(
    settings: DistillConfig, student: VideoModel, *, class_names: tuple[str, ...], multi_label: bool
) -> Distillation | None:
    """Load the teacher of `settings`; None without one.

    Raises:
        CheckpointError: it has other classes, or sees other clips.
        ConfigError: tokens are to be compared that the student does not bring back.
    """
    if settings.teacher is None:
        return None
    teacher = load_model(settings.teacher)
    source = f"distill.teacher ({settings.teacher})"
    if teacher.num_classes != len(class_names) or (teacher.labels or class_names) != class_names:
        raise CheckpointError(
            f"{source} knows other classes than the {len(class_names)} of data.train; take a model"
            " that was trained on them"
        )
    theirs, ours = teacher.preprocessing, student.preprocessing
    if theirs != ours:
        raise CheckpointError(
            f"{source} sees other clips than the model: {theirs}, not {ours}; set model.num_frames,"
            " model.frame_stride and model.image_size to its own"
        )
    if settings.tokens:
        _check_tokens(teacher, student, settings)
    return Distillation(teacher, settings, multi_label=multi_label)


def _check_tokens(teacher: VideoModel, student: VideoModel, settings: DistillConfig) -> None:
    shape = student.preprocessing
    clip = torch.zeros(1, 3, shape.num_frames, shape.image_size, shape.image_size)
    with torch.no_grad():
        sizes = [tuple(m.forward_with_tokens(clip)[1].shape[1:]) for m in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise ConfigError(
            f"distill.tokens ({settings.tokens:g}) compares tokens one by one, but the model ends"
            f" with {sizes[0][0]} of width {sizes[0][1]} and its teacher with {sizes[1][0]} of"
            f" width {sizes[1][1]}; recover them (model.semantic ...@4-12), or set it to 0"
        )
