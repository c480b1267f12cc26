"""What values a setting may have; the messages name it by its dotted path."""

from stvit_video.errors import ConfigError


def check_least(section: str, settings: object, **least: int) -> None:
    """Refuse values below a bound; None is not given.

    Raises:
        ConfigError: naming the setting, its value and the bound.
    """
    for name, bound in least.items():
        value = getattr(settings, name)
        if value is not None and value < bound:
            raise ConfigError(f"{section}.{name} ({value}) must be at least {bound}")


def check_choice(section: str, settings: object, **allowed: tuple[object, ...]) -> None:
    """Refuse values that are none of the allowed ones.

    Raises:
        ConfigError: naming the setting, its value and what may stand there.
    """
    for name, values in allowed.items():
        value = getattr(settings, name)
        if value not in values:
            known = f"{', '.join(map(str, values[:-1]))} or {values[-1]}"
            raise ConfigError(f"{section}.{name} ({value}) must be {known}")
