"""Models to and from the Hugging Face hub."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stvit_video.errors import CheckpointError
from stvit_video.files import write_file
from stvit_video.models.card import CARD_FILE, WEIGHTS_FILE, read_card, write_card
from stvit_video.models.checkpoint import load_model, write_checkpoint
from stvit_video.models.model_page import model_page, without_places
from stvit_video.models.network.video_model import VideoModel
from stvit_video.untrusted import read_json

_METRICS_FILE = "metrics.json"
_METRICS_BYTES = 16 * 2**20


def from_pretrained(source: str | Path) -> VideoModel:
    """Build the model of a hub id (`owner/name`, `owner/name@revision`) or a folder.

    `load_model` by the name that users of the hub look for.

    Raises:
        MissingFileError, CheckpointError: see `load_model`.
    """
    return load_model(source)


def push_to_hub(
    source: VideoModel | str | Path,
    repo_id: str,
    *,
    license: str | None = None,
    private: bool = False,
    token: str | None = None,
    message: str = "Upload with stvit-video",
) -> str:
    """Upload a model, or that of a run folder or a converted one; return the address of its page.

    The repository, made where it is missing, then holds `model.safetensors`, `model.json` and a
    page (README.md): network, preprocessing, recipe, data, classes, licence. Local paths are left
    out. `license` is that of the weights; by default that of the published ones they began from.
    Without a `token` it is that of `hf auth login`.

    Raises:
        CheckpointError: it is no model of ours, or the hub refuses.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        metrics = _gather(source, folder)
        card = read_card(folder)
        page = model_page(card, repo_id=repo_id, license=license, metrics=metrics)
        write_file(folder / "README.md", page)
        write_card(replace(card, extra=without_places(card)), folder)
        return _upload(folder, repo_id, private=private, token=token, message=message)


def _gather(source: VideoModel | str | Path, folder: Path) -> Mapping[str, Any]:
    """Bring weights and card into a folder; return the metrics of the last epoch, if any."""
    if isinstance(source, VideoModel):
        write_checkpoint(source, folder)
        return {}
    given = Path(source).expanduser()
    for name in (CARD_FILE, WEIGHTS_FILE):
        if not (given / name).is_file():
            raise CheckpointError(
                f"{source} holds no {name}; push the folder of a run, or one that `stvit-video"
                " convert` wrote"
            )
        shutil.copyfile(given / name, folder / name)
    if not (given / _METRICS_FILE).is_file():
        return {}
    metrics = read_json(given / _METRICS_FILE, CheckpointError, most=_METRICS_BYTES)
    epochs = metrics.get("epochs") if isinstance(metrics, dict) else None
    last = epochs[-1] if isinstance(epochs, list) and epochs else {}
    return last if isinstance(last, dict) else {}


def _upload(folder: Path, repo_id: str, *, private: bool, token: str | None, message: str) -> str:
    from huggingface_hub import HfApi  # a slow import, for hub ids alone
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(token=token)
    try:
        address = str(api.create_repo(repo_id, private=private, exist_ok=True))
        api.upload_folder(folder_path=folder, repo_id=repo_id, commit_message=message)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise CheckpointError(
            f"{repo_id} cannot be pushed ({type(error).__name__}: {reason}); check the id, the"
            " network, and `hf auth login`"
        ) from error
    return address
