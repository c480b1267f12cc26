"""Turn the results of `tools/detection_accuracy.py` into a page with a table and a plot.

python tools/write_detection.py docs/results/detection.jsonl docs/results/detection.md
"""

from typing import Any

from detection_accuracy import NETWORK, ROWS
from result_lines import read_results
from result_page import page_parser
from rows_of_seeds import Lines, by_row, difference, mean, with_spread

from stvit_video.files import write_file
from stvit_video.report.page import Section, markdown_page
from stvit_video.report.plot_look import Axes
from stvit_video.report.plots import point_plot
from stvit_video.report.tables import Cell, Column, Table, make_table

FIGURES = {
    **{f"bbox_map{size}": f"box {name}" for size, name in (("", "AP"), ("_small", "small"))},
    "bbox_map_large": "box large",
    **{f"segm_map{size}": f"mask {name}" for size, name in (("", "AP"), ("_small", "small"))},
    "segm_map_large": "mask large",
}
"""Figure of a line -> its column."""


def main() -> None:
    """Read the file, write the page and its plot."""
    options = page_parser(__doc__, "detection_accuracy.py").parse_args()
    lines = read_results(options.results)
    speeds = {line["speed_of"]: line for line in lines if "speed_of" in line}
    trained = [line for line in lines if "speed_of" not in line]
    if not trained:
        raise SystemExit(f"{options.results} holds no trained row")
    steps = max(line["steps"] for line in trained)
    rows = by_row((line for line in trained if line["steps"] == steps), ROWS)
    section = Section(
        title="What was measured",
        text=introduction(rows, speeds),
        tables=(precision_table(rows, speeds),),
        pictures=(
            point_plot(
                "detection_map.png",
                "mask AP over multiply-adds",
                {
                    row: (found[0]["macs"] / 1e9, mean(found, "segm_map"))
                    for row, found in rows.items()
                },
                Axes(
                    x="GMACs of the network, an image of 224 x 224",
                    y="mask AP, %",
                    x_better="lower",
                    y_better="higher",
                ),
            ),
        ),
    )
    for picture in section.pictures:
        write_file(options.page.parent / picture.name, picture.content)
    title = "Detectors on garments: dense, recovered, reduced"
    write_file(options.page, markdown_page(title, [section], is_markdown=True))


def introduction(rows: dict[str, Lines], speeds: dict[str, dict[str, Any]]) -> str:
    """Say what was done, where."""
    first = next(iter(rows.values()))[0]
    where = {line["where"] for found in rows.values() for line in found}
    where |= {line["where"] for line in speeds.values()}
    return (
        "Written by `tools/write_detection.py`; do not edit. Fashion-MNIST garments of 16 to 200"
        " pixels on clutter, up to eight an image of 224 x 224 (`tools/garment_scenes.py`), found"
        f" by torchvision's Mask R-CNN on `{NETWORK}` from random weights:"
        f" {first['steps']} steps of {first['batch_size']} images, AdamW, highest learning rate"
        f" {first['lr']}, half a cosine, bfloat16; the same images a seed in all rows."
        f" COCO's AP on {first['num_test']} images of the official test garments, seen once, after"
        " the last step. small: up to 32 x 32 pixels, large: above 96 x 96. `±` is the standard"
        " deviation over seeds, `to dense` the difference of box and mask AP, seed by seed."
        " Speed: the network with its maps, compiled, bfloat16, side by side in one run."
        f" {'; '.join(sorted(where))}."
    )


def precision_table(rows: dict[str, Lines], speeds: dict[str, dict[str, Any]]) -> Table:
    """Lay out every row: cost, speed, precision."""
    dense = rows.get("dense", [])
    table: list[list[Cell]] = []
    for row, found in rows.items():
        speed = speeds.get(row)
        cells: list[Cell] = [row, len(found), found[0]["macs"] / 1e9]
        cells.append(None if speed is None else f"{speed['ratio']:.2f}")
        cells += [with_spread(found, figure) for figure in FIGURES]
        cells += [difference(found, dense, figure) for figure in ("bbox_map", "segm_map")]
        table.append(cells)
    columns = ["row", "seeds", Column(title="GMACs", format=".2f"), "speed"]
    columns += [*FIGURES.values(), "box to dense", "mask to dense"]
    return make_table("average precision, %", columns, table)


if __name__ == "__main__":
    main()
