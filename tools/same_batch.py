"""A loader that serves one batch from memory again and again: training without reading."""

import os
from collections.abc import Iterator

import torch

from stvit_video.datasets.batches import Batch


class SameBatch:
    """What a trainer asks of a loader; the batch lies on the device of this process."""

    clips_per_item = 1

    def __init__(self, batch: Batch, times: int) -> None:
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        self.batch = batch._replace(clip=batch.clip.to(device), label=batch.label.to(device))
        self.times = times
        self.batch_size = len(batch.clip)

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.times):
            yield self.batch
