"""The commands: name -> function in commands/, a line of help, an example. Imports none."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

PROGRAM = "stvit-video"


class Command(NamedTuple):
    """Where a command lives."""

    module: str
    """File in `stvit_video/commands`; it holds a function of the same name, or with `_` after."""
    help: str
    """One line."""
    example: str
    """What may follow the name."""


COMMANDS = {
    "demo": Command(
        "demo",
        "train, evaluate, classify and draw on an embedded data set",
        "--output_dir runs/demo",
    ),
    "train": Command(
        "train",
        "train a model on a folder of class folders or a manifest",
        "--model demo_tiny --data.train videos/train --output_dir runs/mine",
    ),
    "probe": Command(
        "probe",
        "train small heads on the features of a frozen model",
        "--model.name vjepa2_large_patch16_256 --data.train a --data.val b --output_dir runs/probe",
    ),
    "evaluate": Command(
        "evaluate",
        "measure the accuracy of a trained model",
        "videos/val --checkpoint runs/mine --num_clips 5 --num_crops 3",
    ),
    "predict": Command(
        "predict",
        "classify videos, as a whole or over their time",
        "clip.mp4 --checkpoint runs/mine",
    ),
    "stream": Command(
        "stream",
        "classify a camera or an address while it runs",
        "/dev/video0 --checkpoint runs/mine",
    ),
    "visualize": Command(
        "visualize",
        "draw which patches each token gathers, through time",
        "clip.mp4 --checkpoint runs/mine --output_dir pictures",
    ),
    "serve": Command(
        "serve",
        "serve a page that shows what models see in a video",
        "--checkpoint runs/mine",
    ),
    "models": Command(
        "models",
        "list the models",
        "'*base*'",
    ),
    "recipes": Command(
        "recipes",
        "list the recipes, or copy one to start from",
        "kinetics400/videomae_base_16x4_224",
    ),
    "convert": Command(
        "convert",
        "turn weights into a checkpoint folder, ours or one of transformers",
        "weights.pth --model videomae_base_patch16_224 --output weights/videomae",
    ),
    "export": Command(
        "export",
        "write a network to a file for ONNX Runtime, TensorRT or torch",
        "runs/mine --output mine.onnx",
    ),
    "flops": Command(
        "flops",
        "count the arithmetic of models, side by side",
        "videomae_base_patch16_224 videomae_base_patch16_224:8x4x4@4",
    ),
    "benchmark": Command(
        "benchmark",
        "time models side by side",
        "demo_tiny demo_tiny:4x2x2@2 --batch_sizes 1 8",
    ),
    "report": Command(
        "report",
        "write a page of tables and plots that compares models",
        "demo_tiny demo_tiny:4x2x2@2 --output page",
    ),
    "data manifest": Command(
        "data_manifest",
        "turn a data set's annotations into a manifest",
        "kinetics400 videos --annotations train.csv --output list.csv",
    ),
    "data scan": Command(
        "data_scan",
        "decode every video once and note what is wrong",
        "videos/train --output train.csv",
    ),
    "data prepare": Command(
        "data_prepare",
        "re-encode videos so that training reads them fast",
        "videos/train prepared --for dense --stride 4",
    ),
    "data rate": Command(
        "data_rate",
        "measure what keeps training waiting, and say what to do",
        "videos/train",
    ),
    "completion": Command(
        "completion",
        "print what makes a shell complete commands, settings and files",
        "bash",
    ),
}


def load_command(name: str) -> Callable[..., Any]:
    """Import the function of a command, and nothing of the others."""
    module_name = COMMANDS[name].module
    module = importlib.import_module(f"stvit_video.commands.{module_name}")
    return getattr(module, f"{module_name}_", None) or getattr(module, module_name)
