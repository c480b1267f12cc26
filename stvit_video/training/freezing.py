"""Parts of a network that do not learn."""

from typing import Any

from torch import nn

from stvit_video.errors import ConfigError
from stvit_video.settings.training import TrainConfig, parse_freeze
from stvit_video.training.optimizer import is_new


def freeze(model: nn.Module, settings: TrainConfig) -> list[nn.Module]:
    """Let nothing learn in what `settings` names; return the modules that are wholly frozen.

    They are in eval mode then, in which nothing is dropped, and belong there.

    Raises:
        ConfigError: there are no such blocks.
    """
    if settings.freeze is None:
        return []
    network: Any = getattr(model, "network", model)  # that of a detector
    if (numbers := parse_freeze(settings.freeze)) is None:
        parameters = [p for name, p in model.named_parameters() if not is_new(name)]
    elif numbers.stop > len(network.blocks):
        raise ConfigError(
            f"train.freeze ({settings.freeze}) must name blocks in 0..{len(network.blocks) - 1}"
        )
    else:
        starts = tuple(f"blocks.{number}." for number in numbers)
        starts += ("embed.",) if numbers.start == 0 else ()
        parameters = [p for name, p in network.named_parameters() if name.startswith(starts)]
    for parameter in parameters:
        parameter.requires_grad_(False)
    return [module.eval() for module in model.modules() if _is_frozen(module)]


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)
