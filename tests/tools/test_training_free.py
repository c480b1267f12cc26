"""The tools that show what far centres cost, in accuracy and in time."""

import argparse
import sys
from pathlib import Path

import pytest
import torch

from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import Places, TokenSet

TOOLS = Path(__file__).parents[2] / "tools"
FEW = {
    "joint, mean": ("4x2x2@1", "16@1", "tome:r=24"),
    "divided": ("4x1x6@1,centers=far,scope=frame",),
}


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)


@pytest.mark.usefixtures("tools")
def test_moving_digits_move_and_are_labelled():
    import moving_digits

    pictures = moving_digits.load_pictures(torch.device("cpu"))
    assert (len(pictures["train"].digit), len(pictures["test"].digit)) == (1200, 597)
    clips, labels = moving_digits.draw_clips(pictures["test"], 80, torch.Generator().manual_seed(0))
    assert clips.shape == (80, 3, 8, 24, 24)
    assert set(labels.tolist()) <= set(range(40))
    motion = labels % 4
    bright = (clips[:, 0] > 1.2).float()
    for number, (dy, dx) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
        own = bright[motion == number]
        moved = own[:, :-1].roll((dy, dx), dims=(2, 3))
        assert (moved == own[:, 1:]).float().mean() > 0.99
        assert (own[:, :-1] == own[:, 1:]).float().mean() < 0.99


@pytest.mark.slow  # it trains
@pytest.mark.usefixtures("tools")
def test_what_was_measured_becomes_tables_and_a_plot(tmp_path, monkeypatch):
    import training_free
    from training_free_page import compare, join, read, write_results

    monkeypatch.setattr(training_free, "SETTINGS", FEW)
    options = argparse.Namespace(steps=2, tested=50, device="cpu")
    for backbone in FEW:
        for seed in (0, 1):
            training_free.test_backbone(tmp_path, options, backbone, seed)
    for seed in (0, 1):
        for how in ("a tenth", "from scratch"):
            options.steps = 30
            training_free.train_further(tmp_path, options, "joint, mean", "16@1", seed, how)
    write_results(tmp_path, tmp_path)
    page = (tmp_path / "training_free.md").read_text()
    assert page.index("Without training: joint, mean") < page.index("Without training: divided")
    assert "| far centres | `16@1` | 17.0 | -75 |" in page
    assert (tmp_path / "training_free.png").read_bytes()[:4] == b"\x89PNG"
    results = join(read(tmp_path))["joint, mean"]
    right = [results["16@1"]["no training"][seed]["right"].count("1") for seed in (0, 1)]
    found = compare(results, "16@1", "no training")
    assert (round(found["mmacs"], 1), found["top1"]) == (17.0, sum(right))  # of 2 x 50 clips, in %


@pytest.mark.usefixtures("tools")
def test_differences_to_dense_are_paired():
    from training_free_page import compare

    def seeds(*rights):
        measured = {i: {"macs": 2e6, "right": right} for i, right in enumerate(rights)}
        return {"no training": measured}

    results = {"dense": seeds("1110", "1100"), "16@1": seeds("1100", "0100")}
    assert compare(results, "16@1", "no training") == {
        "mmacs": 2,
        "top1": 37.5,
        "difference": -25,
        # of each clip, mean over seeds: -1/2, 0, -1/2, 0
        "error": pytest.approx(100 * (0.25 / 3) ** 0.5 / 2),
        "spread": pytest.approx(100 * 0.25 / 2**0.5),
    }


@pytest.mark.usefixtures("tools")
def test_what_loses_all_stands_on_the_edge_of_the_plot():
    from training_free_page import difference_and_error

    assert difference_and_error({"difference": -58.5, "error": 0.8}) == (-58.5, 0.8)
    assert difference_and_error({"difference": -81.0, "error": 0.7}) == (-60, 0.0)


@pytest.mark.usefixtures("tools")
def test_the_page_is_what_the_committed_results_give(tmp_path):
    from training_free_page import write_page

    results = TOOLS.parent / "docs" / "results"
    (tmp_path / "training_free.jsonl").write_bytes((results / "training_free.jsonl").read_bytes())
    write_page(tmp_path)
    assert (tmp_path / "training_free.md").read_text() == (results / "training_free.md").read_text()
    assert (tmp_path / "training_free.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("tools")
def test_the_choice_of_centres_is_timed_beside_whole_models(tmp_path, monkeypatch):
    import benchmark_centers

    words = ["--models", "demo_tiny", "demo_tiny:8@2", "--batch_size", "1", "--rounds", "2"]
    words += ["--centers", "8", "--compile", "off", "--device", "cpu", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmark_centers.py", *words])
    benchmark_centers.main()
    lines = (tmp_path / "centers_speed.md").read_text().splitlines()
    rows = [[c.strip() for c in x.strip("|").split("|")] for x in lines if x.startswith("| ")][2:]
    assert [row[0] for row in rows] == [
        "demo_tiny",
        "demo_tiny:8@2",
        "compare all tokens",
        "compare, choose 8",
        "compare, choose 8, average",
    ]
    assert (rows[0][4], rows[2][2]) == ("100.0", "-")
    assert all(float(row[3]) > 0 for row in rows)


@pytest.mark.usefixtures("tools")
def test_attended_places_are_means_by_attention_and_end_with_the_block():
    import training_free
    from attended_places import attended_places

    torch.manual_seed(0)
    model = training_free.build("rotary", "4x2x2@1").eval()
    clip = torch.randn(2, 3, 8, 24, 24)
    usual = model.forward_tokens(clip).places
    with attended_places():
        places = model.forward_tokens(clip).places
    stage = model.stages[1]
    state = model.stages[0](TokenSet(*model.embed(clip)), model.blocks_of(range(1)))
    centers = stage.generator.pool(state.tokens, state.grid, Grid(4, 2, 2))
    weights = model.blocks[1].attention_weights(
        centers, state.tokens, None, Places(usual, state.places)
    )
    torch.testing.assert_close(places, weights @ state.places)
    torch.testing.assert_close(model.forward_tokens(clip).places, usual)
