"""Count wrong frames of every backend on every kind of file, by pictures that carry their number.

    python tools/check_exactness.py --output docs/results/decoder_exactness.md

The files are those of tests/video/decoding/test_exactness.py.
"""

import argparse
import importlib.util
import random
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.video.decoding.open import open_video, probe_video

KINDS_PATH = Path(__file__).parents[1] / "tests/video/decoding/test_exactness.py"


def load_kinds() -> Any:
    """Import the test file that knows how to write each kind."""
    spec = importlib.util.spec_from_file_location("exactness_kinds", KINDS_PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def count_wrong_clips(kinds: Any, path: Path, backend: str, num_clips: int) -> str:
    """Read random clips of 5 frames, each with a fresh reader; count those with a wrong one."""
    pictures = kinds._shown_pictures(path)
    expected = kinds._numbers(pictures, path.name)
    randomness = random.Random(path.name)
    num_wrong = num_errors = 0
    for _ in range(num_clips):
        indices = kinds._random_clip(randomness, len(expected))
        try:
            with open_video(path, backend=backend) as decoder:
                frames = decoder.frames(indices).numpy()
            numbers = kinds._numbers(frames, path.name)
            is_right = frames.shape[1:] == pictures.shape[1:]
        except VideoDecodeError:
            num_errors += 1
            continue
        num_wrong += not is_right or numbers != [expected[i] for i in indices.tolist()]
    if num_errors == num_clips:
        return "error"
    return f"{num_wrong}" + (f" + {num_errors} errors" if num_errors else "")


def main() -> int:
    """Write the files, count, report; 1 where `auto` or PyAV served a wrong frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_clips", type=int, default=60)
    parser.add_argument("--kinds", nargs="*", help="names of files; all unless given")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    kinds = load_kinds()
    backends = ["auto", "pyav", "decord", "torchcodec"]
    lines = [
        "# Frame exactness",
        "",
        f"Clips of {options.num_clips} random ones (5 frames each, a fresh reader per clip) that"
        " hold a frame with another number, of another size, or turned or cut otherwise than a"
        " player does.",
        f"Made by `python tools/check_exactness.py` on {date.today().isoformat()}.",
        "",
        f"| file | `auto` takes | {' | '.join(backends)} |",
        "|---" * (2 + len(backends)) + "|",
    ]
    is_exact = True
    with tempfile.TemporaryDirectory() as folder:
        for name in options.kinds or kinds.KINDS:
            write = kinds.KINDS[name][1]
            path = Path(folder) / name
            write(path)
            cells = []
            for backend in backends:
                try:
                    cells.append(count_wrong_clips(kinds, path, backend, options.num_clips))
                except ConfigError:
                    cells.append("not installed")
            is_exact = is_exact and cells[:2] == ["0", "0"]
            lines.append(f"| {name} | {probe_video(path).backend} | {' | '.join(cells)} |")
            print(lines[-1])
    text = "\n".join(lines) + "\n"
    if options.output is not None:
        options.output.write_text(text)
    return 0 if is_exact else 1


if __name__ == "__main__":
    sys.exit(main())
