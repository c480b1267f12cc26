"""Classify by Ray Data: a model for each GPU or share of the processors, on any number of machines.

A shard is one task. Where the process of a model dies, Ray starts another and its shard again;
shards are named after their videos and written whole, so that nothing is there twice.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stvit_video.errors import ConfigError
from stvit_video.evaluation.answers import ReadingPlan
from stvit_video.evaluation.bulk import Counted, Engine, MakePredictor, fill_shard
from stvit_video.evaluation.shards import PredictionFolder, in_blocks


def ray_engine(
    make: MakePredictor, plan: ReadingPlan, *, shard_size: int, replicas: int | None
) -> Engine:
    """Return what classifies on the machines of a Ray cluster, or on this one.

    `make` runs where a model is wanted. There are `replicas` models; by default one for each GPU
    or, where there is none, one for `num_workers` + 1 processors.

    Raises:
        ConfigError: Ray is not installed.
    """
    ray = _load_ray()

    def fill(folder: PredictionFolder, paths: Iterable[Path]) -> Iterator[Counted]:
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        resources = ray.cluster_resources()
        needs, most = _share(resources, plan)
        blocks = [
            {"paths": [os.fsencode(path) for path in block]}
            for block in in_blocks(paths, shard_size)
        ]
        if not blocks:
            return
        num_models = min(replicas or most, len(blocks))
        tasks = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map(
            _Filler,
            fn_constructor_args=(make, plan, folder),
            compute=ray.data.ActorPoolStrategy(size=num_models),
            **needs,
        )
        for row in tasks.iter_rows():
            yield Counted(int(row["num_done"]), int(row["num_failed"]))

    return fill


class _Filler:
    """A model in a process of Ray."""

    def __init__(self, make: MakePredictor, plan: ReadingPlan, folder: PredictionFolder) -> None:
        self.predictor = make()
        self.plan = plan
        self.folder = folder

    def __call__(self, row: dict[str, Any]) -> dict[str, int]:
        """Write the shard of a row."""
        paths = [Path(os.fsdecode(path)) for path in row["paths"]]
        return fill_shard(self.predictor, self.plan, self.folder, paths)._asdict()


def _share(resources: dict[str, float], plan: ReadingPlan) -> tuple[dict[str, float], int]:
    """Return what a model takes of a cluster, and how many fit."""
    processors, gpus = resources.get("CPU", 1.0), int(resources.get("GPU", 0))
    if gpus:
        own = min(plan.num_workers + 1.0, max(processors // gpus, 1.0))
        return {"num_cpus": own, "num_gpus": 1.0}, gpus
    own = min(plan.num_workers + 1.0, processors)
    return {"num_cpus": own}, max(int(processors // own), 1)


def _load_ray() -> Any:
    """Import Ray, which is an extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(
            "engine (ray) is not installed; pip install 'stvit-video[ray]', or leave out --engine"
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    return ray
