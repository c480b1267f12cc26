"""`stvit-video data scan`: decode every video once and note what is wrong."""

from stvit_video.files import OutputFile, ResultFile
from stvit_video.settings.bounds import Positive, Whole
from stvit_video.settings.data import ScanBackend
from stvit_video.settings.paths import VideosPath


def data_scan(
    manifest: VideosPath,
    *,
    output: OutputFile | None = None,
    num_workers: Whole = 0,
    timeout_seconds: Positive = 120.0,
    backend: ScanBackend = "auto",
    fresh: bool = False,
    json: ResultFile | None = None,
) -> None:
    """Decode every video once and write what was found into the manifest.

    A scan that was stopped goes on where it was: results are kept in MANIFEST.scan.jsonl. The bad
    videos, with their reasons, are listed in MANIFEST.bad.txt.

    Args:
        manifest: Manifest to scan and fill, or a folder of class folders.
        output: Where to write the filled manifest; by default it replaces `manifest`.
        num_workers: Processes that decode; 0 takes one for every core.
        timeout_seconds: Longest time for one video; then its process is killed.
        backend: auto also opens sound videos with decord; pyav keeps strangers' files from it.
        fresh: Forget earlier results and scan every video again.
        json: Write the summary as JSON; `-` is standard output.
    """
    from stvit_video.datasets.upkeep.scan_run import check_faults, print_scan, run_scan
    from stvit_video.report.json_file import result_console, write_json

    summary, target = run_scan(
        manifest,
        output,
        num_workers=num_workers,
        timeout_seconds=timeout_seconds,
        backend=backend,
        fresh=fresh,
    )
    write_json(summary, json)
    print_scan(summary, target, result_console(json))
    check_faults(summary)
