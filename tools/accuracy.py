"""Train networks with and without token reduction on moving garments, and test them.

    python tools/accuracy.py --images FOLDER --results FILE --rows main --seeds 0 1 2 --steps 8000

Every finished row and seed is a line of FILE at once, and is skipped when the tool is called again:
calls of several days add up. `--rows` are groups or names of `accuracy_rows.py`. Several
processes share one GPU. No choice is made on the test clips: they are seen once, by the trained
network; `--validation_only` leaves them out. `--speed` measures clips a second instead.
`tools/write_accuracy.py` writes docs/results/accuracy.md from the file.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from accuracy_rows import DENSE, ROWS, Row, build
from accuracy_training import Schedule, Trainer, count_macs, example_clips
from moving_garments import SCENES, load_pictures
from result_lines import append, append_speeds, read_results
from result_page import date_and_machine, versions

from stvit_video.measure.throughput import compare_throughput

_SPARE = 1.1
"""Times that a training may take longer than its first steps say."""
_HOPE = 0.7
"""Share of its time so far that the rest may take: other processes end."""


def main() -> None:
    """Train and test what is missing in the file of results."""
    options = read_options()
    load_pictures(
        options.images, torch.device("cpu"), options.scene
    )  # refuses wrong files ahead of all work
    options.deadline = time.time() + options.seconds
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.weights.mkdir(parents=True, exist_ok=True)
    if options.speed:
        measure_speed(options)
        return
    failed = [name for name, error in run_all(options).items() if error]
    if failed:
        raise SystemExit(f"{len(failed)} rows failed: {'; '.join(failed)}")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of Fashion-MNIST")
    parser.add_argument("--results", type=Path, required=True, help="file, one JSON a line")
    parser.add_argument("--weights", type=Path, required=True, help="folder of dense weights")
    parser.add_argument("--rows", nargs="+", default=["main"], help="groups, or names of rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=8000, help="of a training from scratch")
    parser.add_argument("--scene", choices=tuple(SCENES), default="middle")
    parser.add_argument("--batch_size", type=int, default=Schedule.batch_size)
    parser.add_argument("--lr", type=float, default=Schedule.lr)
    parser.add_argument("--tuning_lr", type=float, default=Schedule.tuning_lr)
    parser.add_argument("--seconds", type=float, default=560, help="nothing goes on after them")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--mode", choices=("eager", "blocks", "graph"))
    parser.add_argument("--validation_only", action="store_true")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    options.mode = options.mode or ("graph" if options.device == "cuda" else "eager")
    known = {*ROWS, *(row.group for row in ROWS.values())}
    unknown = set(options.rows) - known
    if unknown:
        parser.error(f"unknown row {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return options


def chosen_rows(names: Iterable[str]) -> list[Row]:
    """Find the rows that are named, alone or by their group."""
    return [row for row in ROWS.values() if {row.name, row.group} & set(names)]


def run_all(options: argparse.Namespace) -> dict[str, BaseException | None]:
    """Run all rows, those that begin with dense weights last; return their errors."""
    rows = chosen_rows(options.rows)
    if options.processes == 1:
        for row in sorted(rows, key=lambda row: row.tuned):
            run_row(row, options)
        return {}
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "2")  # of each process
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        futures: dict[str, Future[None]] = {
            row.name: pool.submit(run_row, row, options) for row in rows if not row.tuned
        }
        if DENSE.name in futures:
            futures[DENSE.name].exception()  # waits
        futures |= {row.name: pool.submit(run_row, row, options) for row in rows if row.tuned}
        errors = {name: future.exception() for name, future in futures.items()}
    for name, error in errors.items():
        if error:
            print(f"{name} failed: {type(error).__name__}: {error}", flush=True)
    return errors


def run_row(row: Row, options: argparse.Namespace) -> None:
    """Train and test a row with all seeds that are missing, as far as the time goes."""
    schedule = Schedule(
        steps=options.steps,
        batch_size=options.batch_size,
        lr=options.lr,
        tuning_lr=options.tuning_lr,
    )
    done = {key(line) for line in read_results(options.results)}
    missing = [
        seed for seed in options.seeds if (row.name, options.scene, options.steps, seed) not in done
    ]
    if row.tuned:
        missing = [seed for seed in missing if weights_file(options, seed).exists()]
    if not missing or time.time() > options.deadline:
        print(f"{row.name}: nothing to do, or no time", flush=True)
        return
    start = time.time()
    parts = load_pictures(options.images, torch.device(options.device), options.scene)
    trainer = Trainer(row, parts, schedule, mode=options.mode)
    print(f"{row.name}: ready after {time.time() - start:.0f} s", flush=True)
    for seed in missing:
        run_seed(trainer, seed, options)


def run_seed(trainer: Trainer, seed: int, options: argparse.Namespace) -> None:
    """Train and test a row with one seed, and keep the result, if the time is enough."""
    row, start = trainer.row, time.time()
    num_steps, lr = trainer.schedule.of(row)
    per_step = trainer.seconds_per_step()
    print(f"{row.name}, seed {seed}: {1000 * per_step:.1f} ms a step", flush=True)
    curve: list[tuple[float, ...]] = []
    untrained, weights = None, None
    if row.tuned:
        weights = torch.load(weights_file(options, seed), weights_only=True)
        weights = {name: value.float() for name, value in weights.items()}
    remaining = num_steps * per_step
    if time.time() + _SPARE * remaining > options.deadline:
        print(f"{row.name}, seed {seed}: wants {remaining:.0f} s, left for later", flush=True)
        return
    begin = time.time()
    excluded = None
    for step, accuracy in trainer.fit(seed, weights):
        curve.append((step, *accuracy))
        if not trainer.is_finite():
            excluded = f"its weights are no numbers any more at step {step}"
            break
        if step == 0 and not options.validation_only:
            untrained = trainer.test("test")
        if step == 0:
            begin = time.time()
            continue
        left = (time.time() - begin) / step * (num_steps - step)
        if time.time() + _HOPE * left > options.deadline:
            print(f"{row.name}, seed {seed}: given up at step {step}, no time", flush=True)
            return
    result = {
        "row": row.name,
        "scene": options.scene,
        "steps": options.steps,
        "seed": seed,
        "macs": count_macs(row, trainer.parts["validation"]),
        "own_steps": num_steps,
        "lr": lr,
        "batch_size": options.batch_size,
        "curve": curve,
        "untrained": untrained,
        "test": None if options.validation_only or excluded else trainer.test("test"),
        "excluded": excluded,
        "ms_per_step": 1000 * per_step,
        "seconds": time.time() - start,
        "where": f"{date_and_machine()}, {versions('torch')}",
    }
    if row == DENSE and result["test"]:
        halves = {name: value.half().cpu() for name, value in trainer.model.state_dict().items()}
        torch.save(halves, weights_file(options, seed))
    append(options.results, result)
    figures = " ".join(f"{x:.1f}" for x in curve[-1][1:])
    print(f"{row.name}, seed {seed}: {figures} after {result['seconds']:.0f} s", flush=True)


def measure_speed(options: argparse.Namespace) -> None:
    """Time inference of all chosen rows side by side, alone on the device."""
    device = torch.device(options.device)
    pictures = load_pictures(options.images, device, options.scene)["validation"]
    rows = [row for row in chosen_rows([DENSE.name, *options.rows]) if not row.tuned]
    models = {row.name: build(row).to(device).eval() for row in rows}
    modes = {
        row.name: "blocks" if options.mode != "eager" and row.has_static_shapes else "off"
        for row in rows
    }
    clips = example_clips(pictures, 2 * options.batch_size)
    reports = compare_throughput(
        models,
        clips,
        num_rounds=15,
        steps_per_round=3,
        compile_mode=modes,
        autocast_dtype=torch.bfloat16 if device.type == "cuda" else None,
    )
    where = f"{date_and_machine()}, {versions('torch')}"
    append_speeds(options.results, reports, where=where)


def weights_file(options: argparse.Namespace, seed: int) -> Path:
    """Where the weights of the dense row are kept, in half precision."""
    return options.weights / f"dense_{options.steps}_{seed}.pt"


def key(line: dict[str, Any]) -> tuple[object, ...] | None:
    """Say which training a line is of; None for one of speed, or one that came to nothing."""
    if "speed_of" in line or line.get("excluded"):
        return None
    return tuple(line[name] for name in ("row", "scene", "steps", "seed"))


if __name__ == "__main__":
    main()
