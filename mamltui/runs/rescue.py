"""What a run folder could not take, kept in another folder until a resume brings it back.

One tar file a run: the checkpoints and ``run.json`` that waited, the lines that the disk had not
confirmed, and ``rescue.json``, which says where the lines belong.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mamltui.atomic import write_atomically
from mamltui.caching import cache_folder
from mamltui.errors import CheckpointError, RunError, StorageError
from mamltui.runs.backlog import LIMIT_BYTES
from mamltui.runs.folder import RunFolder
from mamltui.untrusted import Count, Iteration, checked, parse_json, read_file

ABOUT = "rescue.json"


@dataclass(frozen=True)
class _About:
    """What ``rescue.json`` holds."""

    created: str
    """When the run was, which tells it from another of the same name."""
    iteration: Iteration
    """Of the newest checkpoint."""
    offsets: dict[str, Count]
    """Where the lines of a file belong, in bytes."""


def rescue(run: RunFolder) -> Path | None:
    """Keep what waits to be written where there is room; None: there is none.

    The same run's earlier file there is replaced.
    """
    backlog = run.backlog
    info = run.info()
    tails = {name: log.tail() for name, log in backlog.logs.items()}
    last = backlog.checkpoints.get(backlog.last)
    about = _About(
        created=info.created,
        iteration=last.iteration if last else info.iteration,
        offsets={name: offset for name, (offset, _) in tails.items()},
    )
    files = {ABOUT: json.dumps(asdict(about)).encode()}
    files |= {name: lines for name, (_, lines) in tails.items()}
    for path, waiting in backlog.checkpoints.items():
        files[path.relative_to(run.path).as_posix()] = waiting.content
    if backlog.info_content is not None:
        files[backlog.info.name] = backlog.info_content
    content = _packed(files)
    for path in _paths(run):
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_own(path.parent):
                write_atomically(path, content)
                return path
    return None


def give_up(run: RunFolder, error: StorageError) -> StorageError:
    """Keep what the disk refused elsewhere; ``error``, saying where that is."""
    where = rescue(run)
    if where is None:
        outcome = "There was no room elsewhere: what the disk refused is lost."
    else:
        outcome = f"What the disk refused is in {where}; a resume brings it back."
    hint = f"{error.hint}\n{outcome}" if error.hint else outcome
    return StorageError(error.what, where=error.where, hint=hint)


def with_rescued(run: RunFolder) -> tuple[RunFolder, str]:
    """The run as it will be when a resume has brought back what was rescued, and a word on it.

    Nothing is written, so that a plan can be made of it. ``run`` itself, if there is nothing.

    Raises:
        RunError: what was rescued is damaged.
    """
    ahead = RunFolder(run.path)
    rescued = _find(ahead)
    if rescued is None or not rescued.is_ahead(ahead):
        return run, ""
    rescued.wait_for(ahead)
    return ahead, f"{rescued.path} is brought back first: iteration {rescued.about.iteration:,}"


def bring_back(run: RunFolder) -> str | None:
    """Put what was rescued of a locked run into its folder; in words, None: there was nothing.

    Raises:
        RunError: it is damaged, or the folder cannot be written; nothing is lost then.
    """
    rescued = _find(run)
    if rescued is None:
        return None
    is_ahead = rescued.is_ahead(run)
    if is_ahead:
        rescued.wait_for(run)
        run.backlog.settle()
        run.take_arrived()
    forget(run)
    if not is_ahead:
        return None
    iteration = rescued.about.iteration
    return f"brought back from {rescued.path}: iteration {iteration:,}, which the run folder lacked"


@dataclass(frozen=True)
class _Rescued:
    """What a file holds."""

    path: Path
    about: _About
    files: dict[str, bytes]
    """By their paths in the run folder."""

    def is_ahead(self, run: RunFolder) -> bool:
        """The run folder is not as far."""
        try:
            return self.about.iteration > run.load_checkpoint("last").iteration
        except CheckpointError:
            return True

    def wait_for(self, run: RunFolder) -> None:
        """Let it wait in memory to be written to the run folder."""
        files = dict(self.files)
        for name, log in run.backlog.logs.items():
            log.put_back(self.about.offsets[name], files.pop(name, b""))
        run.backlog.info_content = files.pop(run.backlog.info.name, None)
        for name, content in files.items():
            run.backlog.replace(run.path / name, content, self.about.iteration)


def _find(run: RunFolder) -> _Rescued | None:
    """What was rescued of this very run, and not of another one of its name."""
    for path in _paths(run):
        if not path.is_file() or path.is_symlink() or not (_is_own(path) and _is_own(path.parent)):
            continue
        try:
            files = _unpacked(read_file(path, 2 * LIMIT_BYTES))
            about = checked(_About, parse_json(files.pop(ABOUT)))
            if not about.offsets.keys() >= run.backlog.logs.keys():
                raise ValueError("offsets are missing")
        except (OSError, tarfile.TarError, ValueError, KeyError) as error:
            raise RunError(
                f"what was rescued of the run is damaged: {error}",
                where=str(path),
                hint="Delete the file to go on without it.",
            ) from error
        if about.created == run.info().created:
            return _Rescued(path, about, files)
    return None


def forget(run: RunFolder) -> None:
    """Delete what was rescued of a run: its folder has it."""
    for path in _paths(run):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def rescued_file(run: RunFolder) -> Path | None:
    """Where what was rescued of this very run is; None: nowhere, or damaged beyond telling."""
    with suppress(RunError):
        rescued = _find(run)
        return rescued.path if rescued else None
    return None


def _paths(run: RunFolder) -> Iterator[Path]:
    """Where to keep it: on another disk than the run, as often as not."""
    name = f"{run.name}.tar"
    yield cache_folder() / "rescued" / name
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    yield Path(tempfile.gettempdir()) / f"mamltui-{user}" / "rescued" / name


def _is_own(path: Path) -> bool:
    """Nobody else may have made it: a folder for temporary files is everybody's."""
    return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()


def _packed(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _unpacked(packed: bytes) -> dict[str, bytes]:
    """The files by their names; no other names than a run's."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        for member in archive:
            inside = member.name.removeprefix("checkpoints/")
            if not member.isfile() or "/" in inside or inside in ("", ".", ".."):
                raise ValueError(f"{member.name!r} is no file of a run")
            content = archive.extractfile(member)
            assert content is not None
            files[member.name] = content.read()
    return files
