"""A probe on kept features says what the network with its pooler and head says."""

import pytest
import torch

from stvit_video import create_model
from stvit_video.probing.features import FeatureExtractor, FeatureFolder
from stvit_video.probing.heads import Probe

SMALL = {"num_classes": 3, "num_frames": 4, "image_size": 32}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_token": True},
        {"attentive_blocks": 2},
        {"attentive_blocks": 2, "class_token": True},
        {"attentive_blocks": 1, "semantic": "5@2"},
        {"attentive_blocks": 1, "reduction": "tome:r=4"},
    ],
    ids=str,
)
def test_it_reads_features_as_its_model_reads_clips(options):
    torch.manual_seed(0)
    model = create_model("demo_tiny", **SMALL, **options).eval()
    for parameter in (*model.norm.parameters(), *model.head.parameters()):
        torch.nn.init.normal_(parameter)
    probe = Probe(model).eval()
    if not model.attentive_blocks:
        probe.mean.normal_()
        probe.std.uniform_(0.5, 2)
    probe.put_into(model)
    clip = torch.randn(2, 3, 4, 32, 32)
    features = FeatureExtractor(model, tokens=model.attentive_blocks > 0)(clip)
    torch.testing.assert_close(probe(features), model(clip), rtol=1e-4, atol=1e-4)


def test_vectors_are_kept_in_single_precision_and_tokens_in_half(tmp_path):
    layouts = [FeatureFolder(tmp_path, num_views=2, shape=s).layout for s in ((7,), (5, 7))]
    assert [layout["logits"].base.itemsize for layout in layouts] == [4, 2]
    assert [layout["logits"].shape for layout in layouts] == [(2, 7), (2, 5, 7)]
