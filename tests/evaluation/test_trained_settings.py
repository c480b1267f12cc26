"""How a checkpoint is read: as its training did, else as its published weights were."""

import dataclasses

import pytest

from stvit_video import create_model, load_model
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.trained_settings import trained_settings
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import VARIANTS, find_variant


@pytest.fixture
def write(monkeypatch, tmp_path):
    """Write a model whose row has a way of sampling."""

    def write_folder(sampling, **extra):
        row = find_variant("demo_tiny")
        clip = dataclasses.replace(row.preprocessing, sampling=sampling)
        monkeypatch.setitem(VARIANTS, "demo_tiny", dataclasses.replace(row, preprocessing=clip))
        write_checkpoint(create_model("demo_tiny"), tmp_path, **extra)
        return tmp_path

    return write_folder


def sampling_of(folder):
    data, _ = trained_settings(folder, views={}, data={})
    return data.sampling


@pytest.mark.parametrize("sampling", ["segments", "dense"])
def test_a_converted_folder_is_read_as_its_weights_were(write, sampling):
    folder = write(sampling)
    assert sampling_of(folder) == sampling
    assert Predictor(load_model(folder)).data.sampling == sampling
    assert Predictor.load(folder).data.sampling == sampling
    written = (folder / "model.json").read_text()
    assert ('"sampling"' in written) == (sampling == "segments")  # version 0.1 does not know it


def test_what_a_training_says_goes_first(write):
    trained = {"config": {"data": {"sampling": "dense"}}}
    assert sampling_of(write("segments", extra=trained)) == "dense"


def test_umt_was_trained_on_segments_and_videomae_v2_on_dense_clips():
    assert find_variant("umt_base_patch16_224").preprocessing.sampling == "segments"
    assert find_variant("videomae_v2_base_patch16_224").preprocessing.sampling == "dense"
