"""`stvit-video models`: list the models."""

from stvit_video.files import ResultFile


def models(
    pattern: str = "*", *, semantic: str | None = None, json: ResultFile | None = None
) -> None:
    """List the models: size, input and tokens; with `--json` also source and licence of weights.

    Args:
        pattern: Shell pattern of names, as in `videomae*`.
        semantic: Setting such as 8x4x4@4, to see what it makes of them.
        json: Write the list here; `-` is standard output.
    """
    from stvit_video.errors import ConfigError
    from stvit_video.models.listing import describe_model
    from stvit_video.models.registry import list_models
    from stvit_video.report.drawn_table import print_table
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.tables import Column, make_table

    names = list_models(pattern)
    if not names:
        raise ConfigError(f"pattern ({pattern}) matches no model; stvit-video models lists all")
    rows = [describe_model(name, semantic) for name in names]
    if all(row["refusal"] for row in rows):
        raise ConfigError(rows[0]["refusal"])
    table = make_table(
        "models" if semantic is None else f"models with {semantic}",
        [
            *("name", Column(title="M params", format=".1f"), "clip", "tokens"),
            *(() if semantic is None else ("semantic",)),
        ],
        [
            [
                *(row["name"], row["parameters"] / 1e6),
                f"{row['num_frames']}x{row['frame_stride']}, {row['image_size']} px",
                row["tokens"],
                *(() if semantic is None else (row["semantic_tokens"] or "does not fit",)),
            ]
            for row in rows
        ],
        note="clip: frames x stride, height and width; --json tells source and licence of weights"
        + ("" if semantic is None else ", and why a setting does not fit"),
    )
    write_json(rows, json)
    print_table(result_console(json), table)
