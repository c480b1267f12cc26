"""What became of every key of the weights that were loaded."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyReport:
    """What became of every key that was not simply loaded, with the reason."""

    new: dict[str, str] = field(default_factory=dict)
    """Keys of the model that the weights do not have."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Keys of the weights that the model has no use for."""
    changed: dict[str, str] = field(default_factory=dict)
    """Keys whose tensors were resized or inflated."""

    def lines(self) -> list[str]:
        """Say it in one line a reason: `new: head.weight, head.bias (...)`."""
        texts = []
        for title in ("new", "dropped", "changed"):
            by_reason: dict[str, list[str]] = {}
            for key, reason in getattr(self, title).items():
                by_reason.setdefault(reason, []).append(key)
            for reason, keys in by_reason.items():
                more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
                texts.append(f"{title}: {', '.join(keys[:3])}{more} ({reason})")
        return texts
