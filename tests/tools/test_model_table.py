"""docs/models.md says what the registry says. The slow test counts every model again."""

import importlib.util
from pathlib import Path

import pytest

from stvit_video.models.registry import list_models

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("model_table", ROOT / "tools" / "model_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs" / "models.md").read_text()


def test_every_model_of_the_registry_has_its_row(page):
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list_models()


@pytest.mark.parametrize(
    "name", ["deit_tiny_patch16_224", "demo_tiny", "videomae_small_patch16_224"]
)
def test_a_row_is_what_the_model_is(tool, page, name):
    assert f"{tool.make_row(name)}\n" in page


def test_source_and_licence_are_those_of_the_registry(tool, page):
    for name in list_models():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` "))
        variant = tool.find_variant(name)
        size = variant.preprocessing
        clip = f"{size.num_frames} x {size.frame_stride} x {size.image_size}"
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert (cells[2], *cells[-2:]) == (clip, variant.source, variant.license)


@pytest.mark.slow
def test_the_whole_page_is_up_to_date(tool, page):
    assert tool.make_page(list_models()) == page


def test_the_table_of_the_readme_holds_rows_of_the_page(tool, page):
    readme = (ROOT / "README.md").read_text()
    assert tool.with_table(readme, page) == readme
    assert all(f"| `{name}` |" in readme for name in tool.README_MODELS)
