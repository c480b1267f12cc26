"""Time timelines of long videos, and their memory: 10 seconds, 10 minutes, an hour of 720p.

    python tools/benchmark_inference.py --source bigbuckbunny.mp4 --device cuda --workers 15

The video is the source, put behind itself without a new encoding as often as needed. For each
length and model: windows a second from file to answers; of reading alone (the same pass, without a
model), and of the model alone (from memory); and the most memory of the process and its readers
beyond what they had with the model loaded. Each row is added to --record as it comes.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import torch
from result_page import RESULTS

from stvit_video.datasets.windows import WindowLength
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.windows import WindowReading
from stvit_video.files import write_file
from stvit_video.models.network.fuse import fuse
from stvit_video.models.registry import create_model
from stvit_video.report.page import Section, markdown_page
from stvit_video.report.tables import Column, make_table

LENGTHS = {"10 s": 10, "10 min": 600, "1 h": 3600}
BATCH_SIZE = {"cuda": 32, "cpu": 4}


def main() -> None:
    """Measure what is asked for, then write the page of all that is recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="a video of 1280x720")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--models", nargs="+", default=["videomae_base_patch16_224"])
    parser.add_argument("--settings", nargs="+", default=["dense", "4x4x4@4"])
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    parser.add_argument("--window", type=float, default=2.56, help="seconds")
    parser.add_argument("--stride", type=float, default=2.0, help="seconds")
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 2) - 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch on the CPU")
    parser.add_argument("--record", type=Path, default=RESULTS / "inference.jsonl")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.source is not None:
        with tempfile.TemporaryDirectory() as folder:
            measure(options, Path(folder))
    write_results(options.record)


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Measure every length with every model, in turns."""
    predictors = {
        f"{name} {setting}": build(name, None if setting == "dense" else setting, options.device)
        for name in options.models
        for setting in options.settings
    }
    for words in options.lengths:
        video = folder / f"{LENGTHS[words]}.mp4"
        repeat_video(options.source, video, seconds=LENGTHS[words])
        for model, predictor in predictors.items():
            rows = [time_timeline(predictor, video, options) for _ in range(options.rounds)]
            row = {key: statistics.median(r[key] for r in rows) for key in rows[0]}
            shares = [r["share"] for r in rows]
            record = {
                **conditions(options),
                "length": words,
                "model": model,
                **row,
                "least_share": min(shares),
                "most_share": max(shares),
            }
            with options.record.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(record, flush=True)


def build(name: str, semantic: str | None, device: str) -> Predictor:
    """Make a predictor of random weights, as fast as it goes, and warm it up."""
    torch.manual_seed(0)
    model = fuse(create_model(name, num_classes=400, semantic=semantic).eval())
    is_gpu = device == "cuda"
    predictor = Predictor(
        model, device=device, dtype="bfloat16" if is_gpu else "float32", compile=is_gpu
    )
    shape = model.preprocessing
    size = shape.image_size
    clips = torch.zeros(BATCH_SIZE[device], 3, shape.num_frames, size, size, dtype=torch.uint8)
    with torch.inference_mode():
        for _ in range(3):
            predictor._logits(clips.to(predictor.device))
    return predictor


def time_timeline(
    predictor: Predictor, video: Path, options: argparse.Namespace
) -> dict[str, float]:
    """Time all three ways once; windows a second of each."""
    how = {"window": options.window, "stride": options.stride, "num_workers": options.workers}
    is_gpu = predictor.device.type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    resident = torch.cuda.memory_allocated() if is_gpu else 0
    with watching_memory() as most_bytes:
        begin = time.perf_counter()
        (timeline,) = predictor.timelines([video], **how, batch_size=BATCH_SIZE[options.device])
        seconds = time.perf_counter() - begin
    peak = torch.cuda.max_memory_allocated() - resident if is_gpu else 0
    num_windows = len(timeline.windows)
    decode = num_windows / time_reading(predictor, video, options)
    model = time_model(predictor, num_windows)
    return {
        "windows": num_windows,
        "seconds": seconds,
        "rate": num_windows / seconds,
        "decode_rate": decode,
        "model_rate": model,
        "share": num_windows / seconds / min(decode, model),
        "host_mib": most_bytes[0] / 2**20,
        "gpu_mib": peak / 2**20,
    }


def time_reading(predictor: Predictor, video: Path, options: argparse.Namespace) -> float:
    """Seconds of the same pass over the file, clips brought to the device, without the model."""
    reading = WindowReading(
        predictor.model.preprocessing,
        data=replace(predictor.data, num_workers=options.workers),
        views=predictor.views,
        length=WindowLength(options.window, options.stride),
        device=predictor.device,
    )
    begin = time.perf_counter()
    planned = list(reading.plan([video]))
    for _ in reading.batches(planned, num_chunks=len(planned)):
        pass
    if predictor.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


@torch.inference_mode()
def time_model(predictor: Predictor, num_windows: int) -> float:
    """Windows a second of the model alone, from memory."""
    device = predictor.device
    shape = predictor.model.preprocessing
    size, batch = shape.image_size, BATCH_SIZE[device.type]
    clips = torch.randint(
        256, (batch, 3, shape.num_frames, size, size), dtype=torch.uint8, device=device
    )
    num_batches = max(min(num_windows // batch, 30 if device.type == "cuda" else 2), 1)
    begin = time.perf_counter()
    for _ in range(num_batches):
        predictor._logits(clips)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return num_batches * batch / (time.perf_counter() - begin)


def repeat_video(source: Path, target: Path, *, seconds: float) -> None:
    """Put a video behind itself until it is long enough, packet by packet."""
    with av.open(str(target), "w") as out:
        stream: Any = None
        offset = 0
        while True:
            with av.open(str(source)) as container:
                own = container.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(own)
                    stream.time_base = own.time_base
                length = round(own.frames / Fraction(own.average_rate) / own.time_base)
                for packet in container.demux(own):
                    if packet.dts is None:
                        continue
                    packet.pts += offset
                    packet.dts += offset
                    if packet.pts * own.time_base >= seconds:
                        continue
                    packet.stream = stream
                    out.mux(packet)
            offset += length
            if offset * own.time_base >= seconds:
                return


@contextmanager
def watching_memory() -> Iterator[list[float]]:
    """Note the most memory, in bytes, of this process and its children beyond that at the start.

    Shared pages are parted between those that share them (PSS).
    """
    start, most, stop = resident_bytes(), [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            most[0] = max(most[0], resident_bytes() - start)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def resident_bytes() -> float:
    """Memory of this process and its children, by /proc."""
    total, waiting = 0.0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            tasks = Path(f"/proc/{pid}/task").iterdir()
            for task in tasks:
                waiting += map(int, (task / "children").read_text().split())
        except OSError:  # it has just ended
            continue
        total += 1024 * int(text.split("\nPss:")[1].split()[0])
    return total


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """Say where and how it was measured."""
    is_gpu = options.device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if is_gpu else f"{torch.get_num_threads()} threads",
        "processor": f"{os.cpu_count()} cores, {platform.machine()}",
        "workers": options.workers,
        "window": options.window,
        "stride": options.stride,
        "rounds": options.rounds,
        "torch": version("torch"),
        "av": version("av"),
        "date": datetime.date.today().isoformat(),
    }


def write_results(record: Path) -> None:
    """Write the page of all rows."""
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    tables = []
    for device in dict.fromkeys((row["device"], row["date"], row["workers"]) for row in rows):
        own = [r for r in rows if (r["device"], r["date"], r["workers"]) == device]
        first = own[0]
        tables.append(
            make_table(
                f"{first['device']}, {first['processor']}, {first['workers']} readers,"
                f" {first['date']}",
                [
                    "length",
                    "model",
                    Column(title="windows", format=".0f"),
                    Column(title="seconds", format=".1f"),
                    Column(title="windows/s", format=".3g"),
                    Column(title="reading alone", format=".3g"),
                    Column(title="model alone", format=".3g"),
                    Column(title="share of the slower", format=".2f"),
                    Column(title="least..most", format=""),
                    Column(title="host MiB", format=".0f"),
                    Column(title="GPU MiB", format=".0f"),
                ],
                [
                    [
                        *(r["length"], r["model"], r["windows"], r["seconds"], r["rate"]),
                        *(r["decode_rate"], r["model_rate"], r["share"]),
                        f"{r['least_share']:.2f}..{r['most_share']:.2f}",
                        *(r["host_mib"], r["gpu_mib"]),
                    ]
                    for r in own
                ],
                note=f"torch {first['torch']}, PyAV {first['av']}; windows of {first['window']} s,"
                f" one every {first['stride']} s; medians of {first['rounds']} rounds.",
            )
        )
    sections = [Section(title="Measured", text=PREFACE, tables=tuple(tables))]
    page = markdown_page("Timelines of long videos", sections, is_markdown=True)
    write_file(record.with_suffix(".md"), page)


PREFACE = (
    "1280x720 H.264 at 25 frames a second, a key frame every 5.3 s, of any length by repetition"
    " without a new encoding; random weights, fused, on a GPU in bf16 and compiled. Memory is that"
    " of the process and its readers beyond what it has with the model loaded and warm (PSS), and"
    " on the GPU beyond the weights. The share is windows a second from the file over the slower of"
    " reading alone and model alone, all in one run."
)


if __name__ == "__main__":
    main()
