"""Heads and poolers of weights, where the model has others."""

import logging

from stvit_video.models.key_report import KeyReport
from stvit_video.models.layers.attentive import num_pooler_blocks
from stvit_video.models.weights.names import Weights

_log = logging.getLogger(__name__)


def fit_pooler(weights: Weights, target: Weights, report: KeyReport) -> None:
    """Keep an attentive pooler only where the model has the same; a head belongs to its pooler."""
    wanted, had = ([key for key in keys if key.startswith("pooler.")] for keys in (target, weights))
    if num_pooler_blocks(wanted) == num_pooler_blocks(had):
        return
    report.new.update(dict.fromkeys(wanted, "attentive pooler, to be trained"))
    for key in (*had, "head.weight", "head.bias"):
        if weights.pop(key, None) is not None:
            report.dropped[key] = "another pooler wanted"


def fit_head(weights: Weights, target: Weights, report: KeyReport, title: str) -> None:
    """Keep a head only where the model has one of its size; `title` begins the line of another."""
    has_head, wants_head = "head.weight" in weights, "head.weight" in target
    if has_head and wants_head and weights["head.weight"].shape == target["head.weight"].shape:
        return
    wanted = target["head.weight"].shape[0] if wants_head else 0
    had = weights["head.weight"].shape[0] if has_head else 0
    for key in ("head.weight", "head.bias"):
        if has_head and weights.pop(key, None) is not None:
            report.dropped[key] = f"head of {had} classes, {wanted} wanted"
        if wants_head:
            report.new[key] = f"head of {wanted} classes, to be trained"
    if wants_head:
        was = f"{had} classes" if had else "no head"
        was = "a head behind another pooler" if "head.weight" in report.dropped and not had else was
        was = "a head of another width" if had == wanted else was
        _log.warning(
            "%s: %s in the weights, so the head of %s is new and untrained", title, was, wanted
        )
    for key in ("norm.weight", "norm.bias", "reader.norm.weight", "reader.norm.bias"):
        if key in target and key not in weights:
            report.new[key] = "norm ahead of the head"
