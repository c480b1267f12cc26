"""Every row of the registry, dense, semantic and recovered, in full size on the meta device."""

import re

import pytest
import torch

from stvit_video.models.families.swin.variant import StvitRVariant, SwinVariant
from stvit_video.models.registry import create_model, find_variant, list_models


def settings_of(name):
    """The dense model, one that clusters, and one that recovers."""
    if isinstance(find_variant(name), StvitRVariant):
        return (None,)
    preprocessing = find_variant(name).preprocessing
    with torch.device("meta"):
        model = create_model(name)
    size = preprocessing.image_size
    steps, height, _ = model.embed.patch.grid(preprocessing.num_frames, size, size)
    side = 6 if isinstance(find_variant(name), SwinVariant) else 2 * height // 7
    scope = "" if steps == 1 else ",scope=frame"
    return (None, f"{steps}x{side}x{side}@2{scope}", f"{steps}x{side}x{side}@2-6{scope}")


@pytest.mark.parametrize("name", list_models())
def test_a_model_classifies_and_every_parameter_receives_a_gradient(name):
    preprocessing = find_variant(name).preprocessing
    shape = (2, 3, preprocessing.num_frames, preprocessing.image_size, preprocessing.image_size)
    keys = []
    for semantic in settings_of(name):
        with torch.device("meta"):
            model = create_model(name, semantic=semantic, num_classes=7)
            logits = model(torch.empty(shape))
        assert logits.shape == (2, 7)
        logits.sum().backward()
        without = [key for key, value in model.named_parameters() if value.grad is None]
        assert without == [], semantic
        keys.append({re.sub(r".*global_centers.*", "new", key) for key in model.state_dict()})
    assert all(own - keys[0] <= {"new"} for own in keys), "semantic keys are those of the dense one"
