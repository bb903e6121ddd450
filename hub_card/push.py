"""Push: one commit with all that a stranger needs, checked by being one."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id
from safetensors.torch import load_file
from transformers.utils import logging

from textgenome.data.files import read_json
from textgenome.hub_card import probe
from textgenome.hub_card.card import set_source
from textgenome.hub_card.export import FILES, export_checkpoint, remote_files
from textgenome.hub_card.probe import answer, load
from textgenome.inference.checkpoints import open_checkpoint


logger = logging.get_logger(__name__)

WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.onnx", "*.h5", "*.msgpack")
PROCESSOR = "processor_config.json"
ELSEWHERE = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_MODULES_CACHE", "HF_XET_CACHE"}  # caches outside HF_HOME
TOLERANCE = 1e-3
HINTS = {
    401: "The Hub does not accept the login. Log in by `hf auth login`, or set HF_TOKEN.",
    403: "The login has no right to write there.",
    409: "Something else changed the repository at the same time.",
}


class PushError(OSError):
    """A push that came to no good end; the message says what to do."""


@dataclass
class Pushed:
    """Where a model went: repository, commit, and the pull request, if one was opened; and how to load it, pinned."""

    repo_id: str
    commit: str
    pull_request: str | None
    snippet: str


def push(
    checkpoint: str | Path,
    repo_id: str,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
    **export_options,
) -> Pushed:
    """Export a checkpoint, upload it in one commit, and check that a new process gets the same answers from it.

    The same call again uploads only what changed.

    Args:
        checkpoint: See `export_checkpoint`.
        repo_id: `USER/NAME`, or `NAME` for the user who is logged in. Created if it is not there.
        private: Whether the repository is to be private.
        revision: Branch to commit to, created if it is not there; by default `main`.
        create_pr: Open a pull request instead.
        token: By default that of `hf auth login`.
        export_options: See `export_checkpoint`: `merge`, `base`, `base_revision`, `metrics`.

    Raises:
        PushError: If the Hub is out of reach or refuses, if the repository holds another model, or if the check
            fails. Before the check fails, the commit is either there as a whole or not at all.
    """
    check_repo_id(repo_id)
    api = HfApi(token=token)
    with _hub("log in"):
        user = api.whoami()["name"]
    repo_id = repo_id if "/" in repo_id else f"{user}/{repo_id}"
    with TemporaryDirectory() as scratch:
        name = repo_id.partition("/")[2]
        folder = export_checkpoint(checkpoint, Path(scratch) / name, name=name, **export_options)
        adapter = read_json(folder / "adapter_config.json")
        # An adapter that goes alone has its base on the Hub, but was trained on what is here.
        local = checkpoint if adapter and Path(checkpoint).is_dir() else folder
        auto_class = open_checkpoint(local).kind.auto_class
        expected = answer(*load(local, None, auto_class, adapter is not None))
        tag = f"checked-{fingerprint(folder)[:12]}"
        # Whoever may open a pull request need not be allowed to set a tag.
        set_source(folder / "README.md", repo_id, None if create_pr else tag)
        with _hub(f"prepare the repository {repo_id}"):
            prepare_repository(api, repo_id, private, revision)
        with _hub(f"upload to {repo_id}"):
            commit = upload(api, folder, repo_id, revision, create_pr)
    logger.info(f"{repo_id} is uploaded as {commit.oid}. Loading it in a new process with an empty cache.")
    check(repo_id, commit.oid, auto_class, expected, adapter is not None, token)
    if not create_pr:
        with _hub(f"tag {commit.oid} in {repo_id}"):
            api.create_tag(repo_id, tag=tag, revision=commit.oid, exist_ok=True)
    return Pushed(repo_id, commit.oid, commit.pr_url, snippet(repo_id, commit.oid, auto_class, adapter))


def check_repo_id(repo_id: str) -> None:
    """Raise PushError for what cannot be the id of a repository, by the rule of the Hub."""
    try:
        validate_repo_id(repo_id)
    except ValueError as error:
        raise PushError(f"{repo_id!r} cannot be the id of a repository: {error}") from error


def prepare_repository(api: HfApi, repo_id: str, private: bool | None, revision: str | None) -> None:
    """Create what is not there, and refuse what holds another model or is public against the wish."""
    api.create_repo(repo_id, private=private, exist_ok=True)
    if private and not api.model_info(repo_id).private:
        raise PushError(f"{repo_id} is there already, and public. Make it private on the Hub, or name another one.")
    files = api.list_repo_files(repo_id)
    if any(fnmatch(file, pattern) for file in files for pattern in WEIGHTS):
        path = api.hf_hub_download(repo_id, PROCESSOR) if PROCESSOR in files else None
        if path is None or not read_json(Path(path)).get("processor_class", "").startswith("TextGenome"):
            raise PushError(f"{repo_id} holds another model. Nothing was changed; name another repository.")
    if revision is not None:
        api.create_branch(repo_id, branch=revision, exist_ok=True)


def upload(api: HfApi, folder: Path, repo_id: str, revision: str | None, create_pr: bool) -> CommitInfo:
    """Make one commit of a folder, without files that an earlier one left there. Equal files are not sent again."""
    # Not `upload_folder`: that splits what is large into several commits.
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    there = api.list_repo_files(repo_id, revision=revision)
    # What an export may hold: of it, what an earlier one left and this one has not is deleted.
    ours = [*FILES, *remote_files()]
    old = [file for file in there if file not in files and any(fnmatch(file, pattern) for pattern in ours)]
    return api.create_commit(
        repo_id,
        [
            *(CommitOperationAdd(path_in_repo=file, path_or_fileobj=path) for file, path in files.items()),
            *(CommitOperationDelete(path_in_repo=file) for file in old),
        ],
        commit_message=f"Upload {folder.name} by textgenome {metadata.version('textgenome')}",
        revision=revision,
        create_pr=create_pr,
    )


def check(
    repo_id: str, commit: str, auto_class: str, expected: dict[str, torch.Tensor], adapter: bool, token: str | None
) -> None:
    """Ask the commit where neither this package nor a cache is, and compare with what the local model says."""
    where = f"{repo_id} at {commit} is uploaded, but"
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "answer.safetensors"
        environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        environment |= {"HF_HOME": str(Path(scratch) / "home"), "HF_TOKEN": token or get_token() or ""}
        # -P: the folder of the script holds this package.
        kind = "adapter" if adapter else "model"
        command = [sys.executable, "-P", probe.__file__, repo_id, commit, auto_class, kind, str(out)]
        result = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True)
        if result.returncode:
            raise PushError(f"{where} cannot be loaded from there:\n{result.stderr.strip()[-2000:]}")
        found = load_file(out)
    if found["logits"].shape != expected["logits"].shape:
        raise PushError(f"{where} reads the same prompt as {found['logits'].shape[1]} tokens, not as the local model.")
    difference = (found["logits"] - expected["logits"]).abs().max().item()
    if difference > TOLERANCE or not torch.equal(found["answer"], expected["answer"]):
        raise PushError(f"{where} does not answer as the local model: its logits differ by up to {difference:.2g}.")


def snippet(repo_id: str, commit: str, auto_class: str, adapter: dict | None) -> str:
    """The lines that load a commit; `adapter` is the configuration of one."""
    pinned = f'"{repo_id}", revision="{commit}"'
    lines = [f"from transformers import {auto_class}, AutoProcessor"]
    if adapter is None:
        lines.append(f"model = {auto_class}.from_pretrained({pinned}, trust_remote_code=True)")
    else:
        base = f'"{adapter["base_model_name_or_path"]}", revision="{adapter["revision"]}"'
        lines.insert(0, "from peft import PeftModel")
        lines.append(f"base = {auto_class}.from_pretrained({base}, trust_remote_code=True)")
        lines.append(f"model = PeftModel.from_pretrained(base, {pinned})")
    lines.append(f"processor = AutoProcessor.from_pretrained({pinned}, trust_remote_code=True)")
    return "\n".join(lines)


def fingerprint(folder: Path) -> str:
    """SHA-256 of all files of a folder but its card."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "README.md":
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


@contextmanager
def _hub(doing: str) -> Iterator[None]:
    """Say what went wrong with the Hub, and what to do."""
    try:
        yield
    except PushError:
        raise
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, OfflineModeIsEnabled):
            hint = "Unset HF_HUB_OFFLINE to push."
        elif isinstance(error, LocalTokenNotFoundError):
            hint = HINTS[401]
        else:
            hint = HINTS.get(status, f"Is {constants.ENDPOINT} in reach?" if status is None else "")
        raise PushError(
            f"Could not {doing}: {error}\n{hint} A commit is there as a whole or not at all; the same command tries "
            "again, and sends what is missing."
        ) from error


__all__ = ["PushError", "Pushed", "push"]
