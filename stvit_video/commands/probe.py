"""`stvit-video probe`: train small heads on the features of a frozen network."""

from stvit_video.files import OutputFolder, ResultFile
from stvit_video.settings.bounds import Count
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.probe import ProbeConfig, ProbeRun
from stvit_video.settings.views import ViewConfig

_VIEWS = ViewConfig()
_PROBE = ProbeConfig()


def probe_(  # noqa: PLR0913 this is a command line
    *,
    model: ModelConfig,
    data: DataConfig,
    views: ViewConfig = _VIEWS,
    probe: ProbeConfig = _PROBE,
    output_dir: OutputFolder,
    features: OutputFolder | None = None,
    batch_size: Count = 16,
    device: str = "auto",
    json: ResultFile | None = None,
) -> None:
    """Train linear or attentive probes on the features of a network that does not learn.

    Args:
        model: Which network; `model.pretrained` are its weights, `model.attentive_blocks` makes the
            probes attentive.
        data: Where the videos are.
        views: Views of each video that features are computed of; probes learn from each, and
            validation averages their scores; with `views.join_clips` attentive probes read all
            clips of a crop at once.
        probe: How the probes learn.
        output_dir: Run folder, for the model with the best probe, the settings and the metrics.
        features: Keep the features in this folder, for other probes of the same network; by default
            in `output_dir`.
        batch_size: Views per forward pass of the network.
        device: auto (all GPUs of this machine, else the CPU), cpu, cuda or cuda:1.
        json: Write the metrics here as well; `-` is standard output.
    """
    from rich.console import Console

    from stvit_video.evaluation.team import is_first_process
    from stvit_video.models.device import choose_devices
    from stvit_video.probing.features import FeatureCache
    from stvit_video.probing.report import print_report
    from stvit_video.probing.run import run_probing
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.terminal import say

    run = ProbeRun(model=model, data=data, views=views, probe=probe)
    console = result_console(json) if is_first_process() else Console(quiet=True)
    cache = FeatureCache(
        path=features or output_dir / "features",
        data=data,
        views=views,
        devices=choose_devices(device),
        batch_size=batch_size,
        console=console,
    )
    report = run_probing(run, output_dir, cache)
    if report is not None:
        write_json(report, json)
        print_report(report, console)
        say(console, f"{output_dir}: the model with the best probe; evaluate and predict take it")
