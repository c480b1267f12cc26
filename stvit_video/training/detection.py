"""Training on the objects in images.

Legend: B images in a batch, each of its own size.
"""

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor

from stvit_video.datasets.coco.annotations import CocoSet
from stvit_video.detection.networks.build import Detector
from stvit_video.detection.pictures.answers import detect
from stvit_video.detection.pictures.average_precision import Prediction, measure_precision
from stvit_video.detection.pictures.evaluate import as_predictions
from stvit_video.settings.training import OptimizerConfig, TrainConfig
from stvit_video.training.processes import gathered
from stvit_video.training.task import TrainingTask


class DetectionTask(TrainingTask):
    """Finds the objects in uint8 images by a detector of torchvision, whose losses are added up."""

    noun = "images"
    model: Detector

    def __init__(
        self,
        model: Detector,
        *,
        num_images: int,
        val_set: CocoSet | None,
        optimizer: OptimizerConfig,
        train: TrainConfig,
        max_failed_share: float = 0.01,
        name_image: Callable[[int], str] = "image {}".format,
    ) -> None:
        super().__init__(
            model,
            num_items=num_images,
            optimizer=optimizer,
            train=train,
            max_failed_share=max_failed_share,
            name_item=name_image,
        )
        self.val_set = val_set
        self.found: list[tuple[int, list[Prediction]]] = []
        """Image id and objects of each validation image so far."""

    @property
    def scored(self) -> Detector:
        """What is validated and exported: the detector, or the average over its steps."""
        return cast(Detector, super().scored)

    def batch_loss(self, batch: Any, *, seed: int) -> Tensor | None:
        """Return the sum of the losses of torchvision, None where there is no image."""
        if not batch.images:
            return None
        with self.drawing(seed):
            return self._losses(batch.images, batch.targets)

    def blank_loss(self) -> Tensor:
        """Return a loss of zero that all weights take part in, to keep step with others."""
        image = torch.zeros(3, 64, 64, dtype=torch.uint8, device=self.device)
        target = {
            "boxes": torch.zeros(0, 4, device=self.device),
            "labels": torch.zeros(0, dtype=torch.int64, device=self.device),
            "masks": torch.zeros(0, 64, 64, dtype=torch.uint8, device=self.device),
        }
        return self._losses([image], [target]) * 0

    def items_of(self, batch: Any) -> list[int]:
        """Return the images of a batch."""
        return list(batch.index.tolist())

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Find the objects of some images."""
        assert self.val_set is not None
        self.val_failures.update({f.image_index: str(f.error) for f in batch.failures})
        answers = detect(self.scored, batch.images)
        for index, answer in zip(batch.index.tolist(), answers, strict=True):
            image_id = self.val_set.images[index].id
            self.found.append((image_id, as_predictions(answer, image_id, self.val_set)))

    def on_validation_epoch_end(self) -> None:
        """Compare what all processes found."""
        assert self.val_set is not None
        found = gathered(self.found)
        self.found = []
        if not found:
            return
        predictions = [prediction for _, own in found for prediction in own]
        kinds: dict[str, Literal["bbox", "segm"]] = {"val_map": "bbox"}
        if self.model.finds_masks:
            kinds["val_mask_map"] = "segm"
        for name, kind in kinds.items():
            ids = [image_id for image_id, _ in found]
            precision = measure_precision(self.val_set, predictions, image_ids=ids, kind=kind)
            if precision.ap is not None:
                self.log(name, precision.ap, logger=False)

    def _losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> Tensor:
        losses = self.model(_as_floats(images), targets)
        return torch.stack(list(losses.values())).sum()


def _as_floats(images: list[Tensor]) -> list[Tensor]:
    """Return uint8 images as torchvision's detectors take them: in 0..1."""
    return [image.float() / 255 for image in images]
