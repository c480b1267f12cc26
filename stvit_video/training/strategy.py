"""Which devices and processes train, and what each of them holds."""

import os
import warnings
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from stvit_video.errors import ConfigError
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.training import TrainConfig


def is_on_gpu(settings: TrainConfig) -> bool:
    """Whether a GPU of CUDA trains."""
    return settings.devices != "cpu" and torch.cuda.is_available()


def feeding_device(settings: TrainConfig) -> torch.device:
    """Where batches are made whole: the GPU of this process, whichever it will be."""
    return torch.device("cuda" if is_on_gpu(settings) else "cpu")


def accelerator_of(settings: TrainConfig) -> str:
    """Return Lightning's word for the kind of device."""
    if settings.devices == "cpu":
        return "cpu"
    return "auto" if settings.devices == "auto" else "gpu"


def devices_of(settings: TrainConfig) -> int | Literal["auto"]:
    """Return how many devices of this machine train; on CPUs, one for each process."""
    if is_on_gpu(settings):
        assert settings.devices != "cpu"
        return settings.devices
    return _processes_here()


def build_strategy(settings: TrainConfig) -> str | Strategy:
    """Share gradients, or all, among several processes, and send no buffers around.

    Validation is shared exactly, so that processes may run unequal numbers of batches: a buffer
    sent before each would wait for ever. Our buffers are tables that never change.
    """
    if settings.strategy == "fsdp":
        return _ShardedStrategy()
    devices = devices_of(settings)
    num_processes = torch.cuda.device_count() if devices == "auto" else devices
    if num_processes == 1 and settings.num_nodes == 1:
        return "auto"
    return _DataParallelStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)


def shard(model: VideoModel, mesh: DeviceMesh, *, in_bfloat16: bool) -> None:
    """Keep a part of each weight in each process of `mesh`, whole only while its block runs.

    `in_bfloat16` computes in bfloat16; weights, moments and sums of gradients stay float32.
    """
    policy = MixedPrecisionPolicy()
    if in_bfloat16:
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for block in _blocks(model):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    register_fsdp_forward_method(model, "forward_with_tokens")


def compile_network(forward: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """Compile a forward pass as one graph, also where gradients are averaged.

    torch would cut it at the buckets of DDP, so that sums overlap the backward pass: 46.3 instead
    of 43.0 ms a step of VideoMAE-B `4x4x4@4` on two H100, where one takes 40.7.
    """
    torch._dynamo.config.optimize_ddp = False
    return torch.compile(forward)


def compile_blocks(model: VideoModel) -> None:
    """Compile each block of a network by itself, once for all that are alike."""
    torch._dynamo.config.recompile_limit = 1000  # past it they would quietly run as they are
    for block in _blocks(model):
        block.compile()


def _blocks(model: nn.Module) -> list[nn.Module]:
    """Return all blocks of a network, those over frames included."""
    lists = [getattr(module, "blocks", None) for module in model.modules()]
    return [block for blocks in lists if isinstance(blocks, nn.ModuleList) for block in blocks]


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights, put together; all processes must ask, and the first gets them."""
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return model.state_dict()
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast(dict[str, Tensor], get_model_state_dict(model, options=options))


class _DataParallelStrategy(DDPStrategy):
    """DDP made on the stream that trains.

    Lightning makes it on another, so that every gradient waits for an event: 55.0 instead of
    53.0 ms a step of VideoMAE-B `4x4x4@4` on two H100.
    """

    def _setup_model(self, model: nn.Module) -> DistributedDataParallel:
        devices = self.determine_ddp_device_ids()
        with warnings.catch_warnings():  # its new name is not known to torch 2.6
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            return DistributedDataParallel(model, device_ids=devices, **self._ddp_kwargs)


class _ShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all processes, with checkpoints in one file, as without."""

    def __init__(self) -> None:
        super().__init__(save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Learn how many processes there are before they are laid out."""
        assert self.cluster_environment is not None
        self._data_parallel_size = self.num_nodes * self.num_processes
        self._tensor_parallel_size = 1
        super().setup_environment()


def check_processes(settings: TrainConfig) -> None:
    """Refuse a number of processes that torchrun or SLURM started and the settings do not make.

    Raises:
        ConfigError: naming both.
    """
    if TorchElasticEnvironment.detect():
        starter, started = "torchrun", int(os.environ["WORLD_SIZE"])
    elif SLURMEnvironment.detect():
        starter, started = "SLURM", int(os.environ["SLURM_NTASKS"])
    else:
        return
    devices = devices_of(settings)
    here = torch.cuda.device_count() if devices == "auto" else devices
    if here * settings.num_nodes != started:
        raise ConfigError(
            f"train.num_nodes ({settings.num_nodes}) x {here} devices of each makes"
            f" {here * settings.num_nodes} processes, but {starter} started {started}; set"
            " train.num_nodes and train.devices to what it starts"
        )


def _processes_here() -> int:
    """Return how many processes torchrun started on this machine; else 1."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
