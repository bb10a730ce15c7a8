"""A start from another run: ``meta.start``, checked against the network and recorded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from mamltui.errors import UsageError
from mamltui.maml.learner import Learner
from mamltui.maml.parameters import Parameters
from mamltui.profiles import Profile
from mamltui.runs import StartedFrom, TrainedOn, find_run, reference_root
from mamltui.weights import fitted, read_state_dict


@dataclass(frozen=True)
class Transfer:
    """Parameters of another run that a training begins with, and where they are from."""

    parameters: Parameters
    """float32, on the CPU; those not among them start as they do without ``meta.start``."""
    source: StartedFrom | None
    data: TrainedOn | None
    file: str = ""
    """In words, where it is not a run's."""
    zero_head: bool = False
    """Whether the other run has no head, so that this training's begins with zeros."""

    def notices(self, data: TrainedOn) -> list[str]:
        """What a reader of a training on ``data`` has to know."""
        source = self.source
        if source is None:
            return [f"starting with {self.file}"]
        texts = [
            f"starting with {source.text}, its {source.checkpoint} checkpoint of iteration "
            f"{source.iteration:,}"
        ]
        if self.zero_head:
            texts[0] += "; it has no head, which begins with zeros"
        other = self.data
        if other and other.content_hash == data.content_hash and other.split != data.split:
            texts.append(
                f"{source.run} was trained with the split {other.split}: classes that it has "
                f"learned may be among the test classes of {data.split}"
            )
        return texts


def with_whole_start(profile: Profile, runs: Path) -> Profile:
    """The profile with ``meta.start`` as the run's whole name, or as a path.

    A beginning of a name is unambiguous only until another run begins likewise. The path is that of
    a run neither in ``runs`` nor among the reference runs, which have their names everywhere.

    Raises:
        RunError: there is no such run.
    """
    if not profile.meta.start:
        return profile
    path = find_run(profile.meta.start, runs).path.resolve()
    roots = [root.resolve() for root in (runs, reference_root()) if root is not None]
    name = path.name if path.parent in roots else str(path)
    return profile.model_copy(update={"meta": profile.meta.model_copy(update={"start": name})})


def find_transfer(profile: Profile, learner: Learner, runs: Path | None) -> Transfer | None:
    """What ``meta.start`` or ``network.weights`` of ``profile`` names; None: nothing.

    The best checkpoint is taken, or before the first validation the last one. The body of a network
    without a head (ProtoNet's) gets one of zeros: the first inner step then sets each class's
    weights to its mean support features less those of all classes, times alpha / way (cf. Kao, Chiu
    and Chen 2022), where random weights would hide what the body knows.

    Args:
        learner: what is trained; the other run may have more, and for ``body`` another head.
        runs: the folder in which the other run is looked for by its name.

    Raises:
        RunError: there is no such run.
        CheckpointError: its checkpoint is missing or damaged.
        UsageError: its parameters do not fit, or the file cannot be read.
    """
    if profile.network.weights:
        path = Path(profile.network.weights).expanduser()
        state, digest = read_state_dict(path)
        words = f"the weights of {path} (SHA-256 {digest[:12]}...)"
        return Transfer(fitted(state, learner.network, path), None, None, words)
    name, part = profile.meta.start, profile.meta.start_part
    if not name:
        return None
    run = find_run(name, runs)
    kind: Literal["best", "last"] = "best" if run.checkpoint_path("best").exists() else "last"
    checkpoint = run.load_checkpoint(kind)
    there, here = checkpoint.parameters, learner.shapes()
    head = learner.network.head_names()
    if part != "all" and not head:
        raise UsageError(
            f"the last layer of {learner.network.describe()} is not a linear one with an output a "
            "class, so there is no telling head and body apart",
            where=f"profile {profile.name}: meta.start_part",
        )
    needed = [each for each in learner.network.parameter_shapes() if _is_of(part, each, head)]
    for each in needed:
        shape = _shape(there, each)
        if shape != here[each]:
            actual = "is not there" if shape is None else f"has shape {list(shape)} there"
            raise UsageError(
                f"the network of {run.name} does not fit: {each} {actual} and "
                f"{list(here[each])} here",
                where=f"profile {profile.name}: meta.start",
                hint='meta.start_part = "body" takes all but the head, "head" the head alone.',
            )
    if part == "all":  # learned rates only where both have them
        rates = [each for each in here if each not in needed]
        needed += [each for each in rates if _shape(there, each) == here[each]]
    source = StartedFrom(run=run.name, checkpoint=kind, iteration=checkpoint.iteration, part=part)
    parameters = {each: there[each] for each in needed}
    zero_head = part == "body" and not any(each in there for each in head)
    if zero_head:
        parameters |= {each: torch.zeros(here[each]) for each in head if each in here}
    return Transfer(parameters, source, run.info().data, zero_head=zero_head)


def _is_of(part: str, name: str, head: Collection[str]) -> bool:
    return part == "all" or (name in head) == (part == "head")


def _shape(parameters: Parameters, name: str) -> tuple[int, ...] | None:
    return tuple(parameters[name].shape) if name in parameters else None
