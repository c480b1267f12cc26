"""Write docs/models.md, every model of the registry with its cost and licence, and README's rows.

Run by hand when a row changes: `.venv/bin/python tools/model_table.py`. Counts run on the meta
device, so size costs nothing; a test compares the file with what this writes.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch

from stvit_video.files import write_file
from stvit_video.measure.compare.cost import model_cost
from stvit_video.models.families.swin.variant import StvitRVariant, SwinVariant
from stvit_video.models.network.frame_transformer import FrameTransformer
from stvit_video.models.registry import create_model, find_variant, list_models

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"
README = ROOT / "README.md"
README_MODELS = (
    *("timesformer_base_patch16_224", "vivit_base_patch16x2_224", "vivit_base_fe_patch16x2_224"),
    *("videomae_small_patch16_224", "videomae_base_patch16_224", "videomae_large_patch16_224"),
    *("videomae_v2_giant_patch14_224", "umt_large_patch16_224"),
    *("vjepa2_large_patch16_256", "vjepa2_giant_patch16_384"),
    "internvideo2_large_patch14_224",
    "videoprism_base_patch18_288",
    *("siglip2_base_patch16_224", "dinov3_base_patch16_256", "pe_core_large_patch14_336"),
    *("video_swin_tiny_patch2x4x4_224", "video_swin_base_patch2x4x4_224"),
    *("deit_small_patch16_224", "swin_small_patch4_window7_224"),
    "stvit_r_swin_small_patch4_window7_224",
)
HEAD = """# Models

Written by `tools/model_table.py` from the registry; do not edit.

Frames x stride x size is what the published weights were trained on; any other input works too.
GMACs are multiply-add pairs of one view, in units of 10^9: what papers print as "GFLOPs". The
semantic setting is an example that fits the model: any other goes into
`create_model(name, semantic=...)`. STViT-R networks are semantic as released. Licence is that of
the published weights, which are not part of this project.

"""
COLUMNS = (
    *("model", "parameters (M)", "frames x stride x size", "tokens", "GMACs"),
    *("semantic setting", "semantic tokens", "semantic GMACs", "source", "licence of weights"),
)
COLUMN_HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


class Row(NamedTuple):
    """One line of the table."""

    name: str
    millions: float
    clip: str
    tokens: int
    macs: int
    semantic: str
    semantic_tokens: int | None
    semantic_macs: int | None
    source: str
    license: str

    def __str__(self) -> str:
        """Write it in Markdown."""
        macs = "-" if self.semantic_macs is None else f"{self.semantic_macs / 1e9:.1f}"
        return (
            f"| `{self.name}` | {self.millions:.1f} | {self.clip} | {self.tokens}"
            f" | {self.macs / 1e9:.1f} | {f'`{self.semantic}`' if self.semantic else '-'}"
            f" | {self.semantic_tokens or '-'} | {macs} | {self.source} | {self.license} |"
        )


def example_setting(name: str, model: Any) -> str:
    """Choose a setting that fits the model: after a third of the blocks, about 4x4 tokens a step.

    Networks that see one step at a time, and windowed ones, cluster every step on its own. STViT-R
    brings its own setting, and has no dense form.
    """
    variant = find_variant(name)
    size = model.preprocessing
    steps, height, _ = model.embed.patch.grid(size.num_frames, size.image_size, size.image_size)
    scope = "" if steps == 1 else ",scope=frame"
    if isinstance(variant, StvitRVariant):
        return ""
    if isinstance(variant, SwinVariant):
        return f"{steps}x6x6@2{scope}"
    side = 4 * height // 14
    after = len(model.blocks) // 3
    if isinstance(model, FrameTransformer):
        return f"{steps}x{side}x{side}@{after}{scope}"
    return f"{max(1, steps // 2)}x{side}x{side}@{after}"


def make_row(name: str) -> Row:
    """Build and count one model."""
    with torch.device("meta"):
        model: Any = create_model(name)
    semantic, variant, size = example_setting(name, model), find_variant(name), model.preprocessing
    tokens = model.token_counts()
    cost = None
    if semantic:
        cost = model_cost(f"{name}:{semantic}").flops.macs
        with torch.device("meta"):
            sparse: Any = create_model(name, semantic=semantic)
        tokens = sparse.token_counts()
    return Row(
        name=name,
        millions=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        clip=f"{size.num_frames} x {size.frame_stride} x {size.image_size}",
        tokens=tokens["input"],
        macs=model_cost(name).flops.macs,
        semantic=semantic,
        semantic_tokens=tokens["semantic"],
        semantic_macs=cost,
        source=variant.source,
        license=variant.license,
    )


def make_page(names: list[str]) -> str:
    """Write the whole page."""
    return HEAD + table([str(make_row(name)) for name in names])


def table(rows: list[str]) -> str:
    """Write rows with their head in Markdown."""
    return "".join(f"{line}\n" for line in (COLUMN_HEAD, *rows))


def with_table(readme: str, page: str) -> str:
    """Put the page's rows of `README_MODELS` between the marks of the README."""
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    before, rest = readme.split("<!-- models -->\n")
    _, after = rest.split("<!-- /models -->\n")
    chosen = table([rows[name] for name in README_MODELS])
    return f"{before}<!-- models -->\n{chosen}<!-- /models -->\n{after}"


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_file(path, text)


def main() -> None:
    """Write page and README, or the rows of some models to the terminal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", help="print the rows of these models instead")
    pattern = parser.parse_args().pattern
    if pattern is not None:
        print(make_page(list_models(pattern)), end="")
        return
    replace_file(PAGE, make_page(list_models()))
    replace_file(README, with_table(README.read_text(), PAGE.read_text()))


if __name__ == "__main__":
    main()
