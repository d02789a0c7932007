"""Uploads a checkpoint: model, processor and card in one commit."""

import json
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoUrl
from huggingface_hub.utils import validate_repo_id

from .. import __version__
from ..checkpoint import CODE, FILES, CheckpointError, load_checkpoint
from ..modeling.remote_code import AUTO_MAP, STUB
from .hub_errors import HUB_ERRORS, refusal
from .model_card import model_card
from .record import PREVIEW, read_object, read_record

CARD = "README.md"
_WEIGHTS = (".safetensors", ".safetensors.index.json")


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    on_stage: Callable[[str], None] = lambda stage: None,
    trust_remote_code: bool = False,
) -> str:
    """Upload a checkpoint, all of it or nothing.

    Files that Transformers reads are taken (`*.json`, `*.txt`, `*.safetensors`); beside them go the card and what
    `trust_remote_code=True` needs to find this package. A `README.md` in the folder is taken as it is; otherwise the
    card is written from the configuration and what the Trainer and an `evaluation.json` recorded in the folder, with
    the folder's `preview.jpg` if it has one. Weights of an earlier upload that the folder does not have are deleted.
    The folder itself is not changed.

    Args:
        folder: with model and processor.
        repo_id: such as `org/name`; made where it does not exist.
        private: whether it is made private.
        on_stage: called with a few words when a stage begins.
        trust_remote_code: run the Python files in the folder where they define the method, and upload them, too.

    Returns:
        The URL of the model's page.

    Raises:
        CheckpointError: the folder does not exist or does not hold a whole model with its processor, or a weight is NaN
            or infinite.
        ValueError: when the Hub takes no such `repo_id`, a file beside the model cannot be used (it holds NaN, for
            example), or the Hub refuses or cannot be reached; the message says which.
    """
    folder = Path(folder)
    _check_repo_id(repo_id)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder; give the folder of a checkpoint")
    on_stage("Checking the checkpoint")
    model, processor = load_checkpoint(folder, trust_remote_code)
    patterns = [*FILES, *(CODE if trust_remote_code else [])]
    files = {path.name: path for pattern in patterns for path in sorted(folder.glob(pattern))}
    files |= {name: _with_auto_map(folder / name) for name in ("config.json", "processor_config.json")}
    files[STUB.name] = STUB
    record, card, preview = read_record(folder), folder / CARD, folder / PREVIEW
    files |= {PREVIEW: preview} if preview.is_file() else {}
    if card.is_file():
        files[CARD] = card
    else:
        files[CARD] = str(model_card(model, processor, repo_id, record, PREVIEW in files)).encode()
    on_stage("Uploading")
    page = make_repo(repo_id, private)
    try:
        _commit(files, page.repo_id)
    except HUB_ERRORS as error:
        raise refusal(repo_id, error) from error
    return str(page)


def make_repo(repo_id: str, private: bool = False) -> RepoUrl:
    """Make the repository of a model where it does not exist, which shows whether it can be uploaded.

    Args:
        repo_id: such as `org/name`.
        private: whether it is made private.

    Raises:
        ValueError: when the Hub takes no such `repo_id`, refuses or cannot be reached; the message says which.
    """
    _check_repo_id(repo_id)
    try:
        return _api().create_repo(repo_id, private=private or None, exist_ok=True)
    except HUB_ERRORS as error:
        raise refusal(repo_id, error) from error


def _api() -> HfApi:
    return HfApi(library_name="lavseg", library_version=__version__)


def _check_repo_id(repo_id: str) -> None:
    if repo_id.count("/") != 1:
        raise ValueError(f"{repo_id}: has to be the name of a model on the Hub, ORG/NAME")
    validate_repo_id(repo_id)


def _with_auto_map(path: Path) -> bytes:
    content = {"auto_map": AUTO_MAP} | read_object(path)
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _commit(files: dict[str, Path | bytes], repo_id: str) -> None:
    api = _api()
    stale = [name for name in api.list_repo_files(repo_id) if name.endswith(_WEIGHTS) and name not in files]
    additions = [CommitOperationAdd(name, content) for name, content in files.items()]
    deletions = [CommitOperationDelete(name) for name in stale]
    api.create_commit(repo_id, [*additions, *deletions], commit_message="Upload model, processor and card")
