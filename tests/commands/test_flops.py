"""The command as its user types it."""

import csv
import io
import json

import pytest

from stvit_video.cli import main
from stvit_video.measure.compare.cost import model_cost


def test_models_stand_side_by_side_with_their_ratio(capsys):
    models = ["deit_tiny_patch16_224", "deit_tiny_patch16_224:1x4x4@4"]
    status = main(["flops", *models, "--views", "3", "--tables", "summary", "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert status == 0
    assert [row["model"] for row in rows] == models
    dense, semantic = rows
    assert float(dense["GMACs/view"]) == pytest.approx(1.25, rel=0.01)
    assert float(semantic["GMACs/view"]) == pytest.approx(0.52, rel=0.01)
    assert float(dense["GMACs/video"]) == pytest.approx(3 * float(dense["GMACs/view"]))
    assert float(dense["GFLOPs/video"]) == pytest.approx(6 * float(dense["GMACs/view"]))
    assert float(semantic["x fewer"]) == pytest.approx(2.4, rel=0.01)
    assert (dense["tokens"], semantic["tokens"]) == ("197", "196 -> 16")
    assert dense["clustering"] == ""


def test_the_json_holds_every_part_and_they_sum_up(tmp_path):
    path = tmp_path / "cost.json"
    main(["flops", "demo_tiny:2x4x4@2:frames=8:size=64", "--json", str(path)])
    [cost] = json.loads(path.read_text())
    assert list(cost["macs_by_stage"]) == [
        "embed",
        "blocks 1-2",
        "blocks 3-6: clustering",
        "blocks 3-6",
        "head",
    ]
    assert sum(cost["macs_by_stage"].values()) == cost["macs_per_view"]
    assert sum(cost["macs_by_operator"].values()) == cost["macs_per_view"]
    assert cost["clustering_macs_per_view"] == cost["macs_by_stage"]["blocks 3-6: clustering"]
    assert cost["flops_per_view"] == 2 * cost["macs_per_view"]
    assert cost["uncounted_operators"] == {}


@pytest.mark.parametrize(
    ("setting", "clustering"),
    [
        ("random:keep=30,block=2", 0),
        # one class query in each of 3 heads, 197 keys of width 64
        ("evit:keep=30,block=2", 3 * 197 * 64),
        # distances between 196 tokens of width 192
        ("dpcknn:keep=30,block=2", 196 * 196 * 192),
        # keys of one head's width
        ("atc:keep=190,block=2", 196 * 196 * 64),
        # 99 even tokens against 98 odd ones, then half as many, and so on
        ("tome:r=300", (99 * 98 + 50 * 49 + 25 * 25 + 13 * 13 + 7 * 7 + 4 * 4 + 3 * 2 + 2) * 64),
    ],
)
def test_what_a_reducer_spends_on_choosing_is_its_own_line(setting, clustering):
    cost = model_cost(f"deit_tiny_patch16_224:{setting}")
    assert cost.clustering_macs == clustering
    assert sum(cost.stages.values()) == cost.flops.macs


@pytest.mark.parametrize("setting", ["16@2", "16@2-5"])
def test_choosing_centres_by_content_compares_every_pair_and_averages(setting):
    cost = model_cost(f"demo_tiny:{setting}")
    tokens, kept, width = 256, 16, 96
    own = tokens * tokens * width + tokens * width  # to each other and to their mean
    assert cost.clustering_macs == own + kept * tokens * width
    assert sum(cost.stages.values()) == cost.flops.macs


def test_parts_of_a_peer_are_its_layers():
    cost = model_cost("timm:deit_small_patch16_224")
    assert list(cost.stages) == ["model.patch_embed", "model.blocks", "model.head"]
    assert sum(cost.stages.values()) == cost.flops.macs


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "16x@2",
            "model demo_tiny:16x@2 has a part '16x@2' that is none of TxHxW@BLOCK, COUNT@BLOCK,"
            " frames=N, stride=N, size=N, class_token, fused, tome, random, average, evit, dpcknn,"
            " atc, rlt",
        ),
        ("0@2", "semantic.grid (0) must be at least 1"),
        (
            "300@2",
            "semantic setting 300@2 chooses 300 centres among 256 tokens; choose at most 256",
        ),
        (
            "16@9",
            "semantic setting 16@9 begins after block 9, but ends with block 6; choose a block from"
            " 0 to 6",
        ),
    ],
)
def test_wrong_numbers_of_centres_end_in_one_line(capsys, setting, message):
    assert main(["flops", f"demo_tiny:{setting}"]) == 2
    assert capsys.readouterr().err == f"stvit-video flops: {message}\n"


def test_wrong_models_and_views_end_in_one_line(capsys):
    assert main(["flops", "demo_tinny"]) == 2
    assert main(["flops", "demo_tiny", "--views", "0"]) == 2
    assert capsys.readouterr().err == (
        "stvit-video flops: unknown model 'demo_tinny'; did you mean 'demo_tiny'?"
        " (stvit-video models lists all)\n"
        "stvit-video flops: views (0) must be at least 1\n"
    )
