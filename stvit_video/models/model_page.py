"""The page of a model on the hub: what it is, what it reads, how it was trained, on what."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stvit_video.models.card import ModelCard
from stvit_video.report.tables import make_table, markdown_text, markdown_words

_LOCAL = ("train", "val", "teacher", "pretrained", "pretrained_probe")
"""Settings that name a place on the machine of the training; what is told is the last name."""
_MOST_CLASSES = 1000
"""That a page names."""


def model_page(
    card: ModelCard, *, repo_id: str, license: str | None = None, metrics: Mapping[str, Any]
) -> str:
    """Write README.md of a repository: `metrics` are those of the last epoch, if any.

    `license` is that of the weights; by default that of the published ones they began from.
    """
    head = {
        "license": (license or card.license).lower(),
        "library_name": "stvit-video",
        "pipeline_tag": "video-classification",
        "tags": ["video", "token-reduction", card.config.name],
    }
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
        f"# {markdown_words(repo_id.split('/')[-1])}\n",
        _describe(card, repo_id),
        *_results(metrics),
        *_classes(card),
        *_training(card),
    ]
    return "\n".join(parts)


def without_places(card: ModelCard) -> dict[str, Any]:
    """Return what a card keeps besides the network, with names instead of local paths."""
    kept: dict[str, Any] = json.loads(json.dumps(card.extra))
    config = kept.get("config")
    for section in config.values() if isinstance(config, dict) else ():
        if isinstance(section, dict):
            for name in _LOCAL:
                if isinstance(section.get(name), str):
                    section[name] = Path(section[name]).name
    return kept


def _describe(card: ModelCard, repo_id: str) -> str:
    shape, config = card.preprocessing, card.config
    how = "dense blocks"
    if config.semantic:
        how = f"semantic tokens (STViT), setting {config.semantic}"
    elif config.reduction:
        how = f"token reduction {config.reduction}"
    rows: list[tuple[str, str | int]] = [
        ("network", f"{config.name}, {how}"),
        ("from", card.source),
        ("classes", card.num_classes),
        ("frames of a clip", shape.num_frames),
        ("frames from one to the next", shape.frame_stride),
        ("sampling", shape.sampling),
        ("height and width", f"{shape.image_size} pixels"),
        ("short side before the crop", f"{shape.short_side:g} times that"),
        ("colours", f"{shape.channel_order}, mean {shape.mean}, deviation {shape.std}"),
    ]
    table = markdown_text(make_table("", ["what", "value"], [[a, str(b)] for a, b in rows]))
    return (
        f"{table}\n```python\nimport stvit_video\n\n"
        f'predictor = stvit_video.Predictor.load("{repo_id}")\n'
        'print(predictor.predict("clip.mp4").topk[0])\n```\n\n'
        f"    stvit-video predict clip.mp4 --checkpoint {repo_id}\n"
    )


def _results(metrics: Mapping[str, Any]) -> Iterator[str]:
    names = {
        "val_top1": "top-1 on the validation videos, %",
        "val_map": "mean average precision on the validation videos, %",
    }
    rows = [
        [names[name], f"{100 * value:.2f}"]
        for name in names
        if isinstance(value := metrics.get(name), int | float)
    ]
    if rows:
        yield "## Results\n"
        yield markdown_text(make_table("", ["measure", "value"], rows))
        yield "As the training measured it, after its last epoch.\n"


def _classes(card: ModelCard) -> Iterator[str]:
    if card.labels:
        shown = ", ".join(map(markdown_words, card.labels[:_MOST_CLASSES]))
        more = len(card.labels) - _MOST_CLASSES
        yield "## Classes\n"
        yield shown + (f" and {more} more" if more > 0 else "") + "\n"


def _training(card: ModelCard) -> Iterator[str]:
    config = without_places(card).get("config")
    if isinstance(config, dict):
        data = config.get("data")
        train = data.get("train") if isinstance(data, dict) else None
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True).replace("```", "'''")
        yield "## Training\n"
        yield f"Data: {markdown_words(str(train))}. All settings of `stvit-video train`:\n"
        yield f"```yaml\n{text}```\n"
