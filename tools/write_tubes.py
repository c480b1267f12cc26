"""Turn the results of `tools/tube_accuracy.py` into a page, a table for each length of training.

python tools/write_tubes.py docs/results/tubes.jsonl docs/results/tubes.md
"""

from moving_garments import NUM_FRAMES, SIZE
from result_lines import read_results
from result_page import page_parser
from rows_of_seeds import Lines, by_row, difference, with_spread
from tube_accuracy import ROWS

from stvit_video.files import write_file
from stvit_video.report.page import Section, markdown_page
from stvit_video.report.tables import Cell, Column, Table, make_table

FIGURES = {"map": "frame mAP", "garment": "garments", "motion": "motions"}
"""Figure of a line -> its column."""


def main() -> None:
    """Read the file, write the page."""
    options = page_parser(__doc__, "tube_accuracy.py").parse_args()
    lines = read_results(options.results)
    if not lines:
        raise SystemExit(f"{options.results} holds no trained row")
    steps = sorted({line["steps"] for line in lines})
    tables = [precision_table([x for x in lines if x["steps"] == count], count) for count in steps]
    section = Section(title="What was measured", text=introduction(lines), tables=tuple(tables))
    title = "What moves how in a box: dense, recovered, reduced"
    write_file(options.page, markdown_page(title, [section], is_markdown=True))


def introduction(lines: Lines) -> str:
    """Say what was done, where, and what went wrong."""
    first = lines[0]
    broken = [
        f"`{line['row']}`, {line['steps']} steps, seed {line['seed']}"
        for line in lines
        if line["test"] is None
    ]
    return (
        "Written by `tools/write_tubes.py`; do not edit. Two moving Fashion-MNIST garments in"
        f" {NUM_FRAMES} frames of {SIZE} x {SIZE} (`tools/moving_garments.py`); a box around each"
        " in the middle frame; to be said: the garment (10) and its motion (8), from features of"
        " the box in the space-time grid (`stvit_video.detection.actions`) of a ViT of 8 blocks,"
        " 192 wide, from random weights: batches of"
        f" {first['batch_size']}, AdamW, highest learning rate {first['lr']}, half a cosine,"
        f" bfloat16. Frame mAP on {first['num_test']} clips of the official test garments, seen"
        " once, after the last step. `clustered` and `averaged` are read from their coarse grid"
        " of 4 x 4 x 4. `±` is the standard deviation over seeds, `to dense` the difference of"
        " frame mAP, seed by seed."
        + (f" Ended in weights that are no numbers: {'; '.join(broken)}." if broken else "")
        + f" {'; '.join(sorted({line['where'] for line in lines}))}."
    )


def precision_table(lines: Lines, steps: int) -> Table:
    """Lay out every row of a number of steps: cost and precision."""
    rows = by_row((line for line in lines if line["test"] is not None), ROWS)
    dense = rows.get("dense", [])
    table: list[list[Cell]] = []
    for row, found in rows.items():
        name = f"{row}, `{ROWS[row].setting}`" if ROWS[row].setting else row
        cells: list[Cell] = [name, len(found), found[0]["macs"] / 1e9]
        cells += [with_spread(found, figure) for figure in FIGURES]
        table.append([*cells, difference(found, dense, "map")])
    columns = ["row", "seeds", Column(title="GMACs", format=".2f"), *FIGURES.values(), "to dense"]
    return make_table(f"{steps} steps, %", columns, table)


if __name__ == "__main__":
    main()
