"""Use the wheel as a stranger does: newest release of everything, no constraints, no checkout.

    python tools/try_install.py                    # the oldest and the newest Python found here
    python tools/try_install.py /path/to/python3   # these

Builds the wheel, installs it in a fresh environment for each Python, and there runs the tests of
the decoders and, in an empty folder, `stvit-video recipes, train, evaluate, predict` on tiny
videos. Needs uv, of which the environment of `make test` has one. A step that fails names itself.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
NEEDED_IN_WHEEL = ("stvit_video/py.typed", "stvit_video/recipes/demo/demo_tiny_8x2_64.yaml")
TESTS = [f"tests/video/decoding/test_{name}.py" for name in ("conversion", "open", "processes")]
WRITE_VIDEOS = """
from pathlib import Path
from stvit_video.video.numbered import numbered_picture, write_pictures

for split in ("train", "val"):
    for label, first in (("left", 0), ("right", 100)):
        for number in range(first, first + 3):
            path = Path(split, label, f"{number}.mp4")
            path.parent.mkdir(parents=True, exist_ok=True)
            pictures = [numbered_picture(number + i, width=96, height=64) for i in range(24)]
            write_pictures(path, pictures, options={"x264-params": "log=-1"})
"""
TRAIN = [
    *("train", "--model.name", "demo_tiny", "--model.semantic", "4x2x2@2"),
    *("--data.train", "train", "--data.val", "val", "--data.num_workers", "2"),
    *("--train.epochs", "1", "--train.batch_size", "2", "--train.devices", "cpu"),
    *("--output_dir", "run"),
]
SHOWN = ("av", "decord", "lightning", "numpy", "timm", "torch", "torchvision")
"""Packages whose version is printed: those that break us."""


class StepError(Exception):
    """A step that failed: which, for which Python, and perhaps what it printed."""


def main() -> int:
    """Try each Python named, or the oldest and the newest."""
    parser = argparse.ArgumentParser(description="Use the wheel as a stranger does.")
    parser.add_argument("pythons", nargs="*", help="executables; else the oldest and the newest")
    arguments = parser.parse_args().pythons
    uv = find_uv()
    versions = python_versions()
    pythons = arguments or list(dict.fromkeys([versions[min(versions)], versions[max(versions)]]))
    try:
        with tempfile.TemporaryDirectory() as folder:
            wheel = build_wheel(uv, Path(folder, "dist"))
            for python in pythons:
                place = Path(folder, "place")
                place.mkdir()
                try_python(uv, python, wheel, place)
                shutil.rmtree(place)
    except StepError as error:
        print(*error.args[1:], f"try_install: {error.args[0]}", sep="\n", file=sys.stderr)
        return 1
    return 0


def find_uv() -> str:
    """Find uv beside this Python or on the path."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    uv = shutil.which("uv", path=places)
    if uv is None:
        sys.exit("try_install: no uv beside this Python or on the path; run `make test` first")
    return uv


def python_versions() -> dict[tuple[int, ...], str]:
    """Version -> executable of every Python here that the package may run on; pyenv's too."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders += sorted(pyenv.glob("versions/*/bin"))
    code = "import sys; print(*sys.version_info[:3], sys.version_info.releaselevel)"
    found: dict[tuple[int, ...], str] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("python3.[0-9]*"))):
        if not path.name.removeprefix("python3.").isdecimal():
            continue  # python3.11-config
        ran = subprocess.run([path, "-c", code], capture_output=True, text=True)
        *numbers, level = ran.stdout.split() or [""]
        version = tuple(map(int, numbers))
        if level == "final" and version >= OLDEST:
            found.setdefault(version, str(path))
    return found


def build_wheel(uv: str, folder: Path) -> Path:
    """Build the wheel and look whether it holds what only users of a wheel need."""
    run("build the wheel", [uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], ROOT)
    wheel = next(folder.glob("*.whl"))
    missing = set(NEEDED_IN_WHEEL) - set(zipfile.ZipFile(wheel).namelist())
    if missing:
        raise StepError(f"build the wheel failed: it lacks {', '.join(sorted(missing))}")
    return wheel


def try_python(uv: str, python: str, wheel: Path, place: Path) -> None:
    """Install the wheel for one Python, and do with it what the README does first."""
    environment = place / "environment"
    work = place / "work"
    work.mkdir()
    bin_folder = environment / "bin"
    own, command = bin_folder / "python", bin_folder / "stvit-video"

    def step(name: str, words: list[str | Path], folder: Path = work) -> str:
        return run(f"{name} with {python}", words, folder)

    step("make the environment", [uv, "venv", "--quiet", "--python", python, environment])
    step("install", [uv, "pip", "install", "--quiet", "--python", own, wheel, "pytest"])
    frozen = step("list the packages", [uv, "pip", "freeze", "--quiet", "--python", own])
    print("        ", *[line for line in frozen.split() if line.split("==")[0] in SHOWN])
    one_thread = ["env", "OMP_NUM_THREADS=1"]  # as `make unit`: forked tests inherit the threads
    step("test the decoders", [*one_thread, bin_folder / "pytest", "--quiet", *TESTS], ROOT)
    step("write videos", [own, "-c", WRITE_VIDEOS])
    step("recipes", [command, "recipes", "demo/demo_tiny_8x2_64"])
    step("train", [command, *TRAIN])
    step("evaluate", [command, "evaluate", "val", "--checkpoint", "run"])
    step("predict", [command, "predict", "val/left/0.mp4", "--checkpoint", "run", "--json", "p"])
    labels = {entry["label"] for entry in json.loads((work / "p").read_text())["topk"]}
    if labels != {"left", "right"}:
        raise StepError(f"predict with {python} failed: its labels are {sorted(labels)}")


def run(name: str, words: list[str | Path], folder: Path) -> str:
    """Run one step in `folder`, say how long it took, and return what it printed.

    Raises:
        StepError: it ended with another status than 0, or not within ten minutes.
    """
    start = time.perf_counter()
    try:
        ran = subprocess.run(
            list(map(str, words)),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")},
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{name} failed: not done after {error.timeout:.0f} s") from error
    if ran.returncode:
        raise StepError(f"{name} failed with status {ran.returncode}", ran.stdout)
    print(f"{time.perf_counter() - start:5.1f} s  {name}", flush=True)
    for line in ran.stdout.splitlines():
        if "Warning" in line:
            print(f"         {line}")
    return ran.stdout


if __name__ == "__main__":
    sys.exit(main())
