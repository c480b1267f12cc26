"""Find the files of a checkpoint: a local file, a folder, or a hub id; all network is here."""

from dataclasses import dataclass
from pathlib import Path

from stvit_video.errors import CheckpointError
from stvit_video.settings.paths import PICKLES, SAFETENSORS, is_hub_id, missing_weights
from stvit_video.untrusted import check_regular, read_json

_FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


_INDEX_BYTES = 16 * 2**20
"""Of a list of shards, which names every tensor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointFiles:
    """Where the weights are, and the folder whose JSON files describe them."""

    source: str
    """What the user gave: a path or a hub id."""
    weights: tuple[Path, ...]
    """One file, or all shards."""
    folder: Path
    """Holds `config.json`, `preprocessor_config.json` or our `model.json`, where there are any."""


def find_files(source: str | Path) -> CheckpointFiles:
    """Resolve a file, a folder or a hub id (`owner/name`, `owner/name@revision`).

    A path that exists wins over a hub id of the same name.

    Raises:
        CheckpointError: nothing is there, the folder holds no weights, or the hub cannot be read.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return CheckpointFiles(source=str(source), weights=(path,), folder=path.parent)
    if path.is_dir():
        return _files_of_folder(path, str(source))
    if path.exists():
        check_regular(path, CheckpointError)
    if is_hub_id(source):
        return _files_of_folder(_fetch(str(source)), str(source))
    raise CheckpointError(missing_weights(source))


def _files_of_folder(folder: Path, source: str) -> CheckpointFiles:
    for name in _FOLDER_FILES:
        path = folder / name
        if path.is_file():
            weights = _shards(path) if name.endswith(".json") else (path,)
            return CheckpointFiles(source=source, weights=weights, folder=folder)
    found = sorted(
        p for p in folder.iterdir() if p.suffix in (SAFETENSORS, *PICKLES) and p.is_file()
    )
    if len(found) == 1:
        return CheckpointFiles(source=source, weights=(found[0],), folder=folder)
    if found:
        names = ", ".join(path.name for path in found[:5])
        raise CheckpointError(f"{source} holds {len(found)} weight files ({names}); name one")
    raise CheckpointError(f"{source} holds no weights: no model.safetensors or pytorch_model.bin")


def _shards(index: Path) -> tuple[Path, ...]:
    """Read the shard list: `weight_map` says which file holds which tensor."""
    try:
        content = read_json(index, CheckpointError, most=_INDEX_BYTES)
        names = sorted(set(content["weight_map"].values()))
        shards = tuple(index.parent / Path(name).name for name in names)
    except (KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} is no list of shards; download it again") from error
    for shard in shards:
        if not shard.is_file():
            raise CheckpointError(f"{index} names {shard.name}, which is not there; download it")
    return shards


def _fetch(hub_id: str) -> Path:
    """Bring a repository of the hub into the local cache: JSON, licence and one set of weights."""
    from huggingface_hub import snapshot_download  # a slow import, for hub ids alone
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = hub_id.partition("@")

    def download(*patterns: str) -> Path:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=["*.json", "README.md", *patterns],
                ignore_patterns=["*/*"],
            )
        )

    try:
        folder = download(f"*{SAFETENSORS}")
        if not any(folder.glob(f"*{SAFETENSORS}")):
            folder = download(*(f"*{suffix}" for suffix in PICKLES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise CheckpointError(
            f"{hub_id} cannot be had from the hub ({type(error).__name__}: {reason});"
            " check the id and the network, or give a folder"
        ) from error
    return folder
