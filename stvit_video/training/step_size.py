"""What one step of the optimiser reads, over all processes, and the learning rate that follows."""

from typing import NamedTuple, Self

from lightning.pytorch import Trainer

from stvit_video.training.optimizer import Schedule


class StepSize(NamedTuple):
    """Videos and clips of a step, and how they come together."""

    videos_per_batch: int
    """Of one process."""
    clips_per_video: int
    num_processes: int
    num_batches: int
    """Batches whose gradients are added up."""

    @classmethod
    def of(cls, trainer: Trainer) -> Self:
        """Read it from a trainer whose processes have started."""
        loader = trainer.train_dataloader
        assert loader is not None
        return cls(
            videos_per_batch=loader.batch_size,
            clips_per_video=loader.clips_per_item,
            num_processes=trainer.world_size,
            num_batches=trainer.accumulate_grad_batches,
        )

    @property
    def videos(self) -> int:
        """Videos of a step."""
        return self.videos_per_batch * self.num_processes * self.num_batches

    def describe(self, schedule: Schedule, *, noun: str = "videos") -> str:
        """Say what a step reads and the highest learning rate."""
        unit = "clips" if noun == "videos" else noun
        parts = [f"{self.videos_per_batch * self.clips_per_video} {unit}"]
        for count, what in ((self.num_processes, "processes"), (self.num_batches, "batches")):
            parts += [f"{count} {what}"] if count > 1 else []
        rate, settings = f"{schedule.highest_lr:.4g}", schedule.settings
        if settings.lr_per_videos is not None:
            rate += f" ({settings.lr:g} x {self.videos} / {settings.lr_per_videos})"
        read = f"{self.videos} {noun}"
        if noun == "videos":
            read += f", {self.videos * self.clips_per_video} clips"
        made_of = f" ({' x '.join(parts)})" if noun == "videos" or len(parts) > 1 else ""
        return f"a step reads {read}{made_of}; highest learning rate {rate}"
