"""A run folder made of invented events: the same numbers on every machine."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from mamltui.events import Event, Started, Step, Validated
from mamltui.profiles import load_profile
from mamltui.results import Evaluation, StepResult, write_results
from mamltui.runs import Best, RunFolder, TrainedOn
from tests.a_training import ITERATIONS, training

NAME = "tiny-20260131-142501-3f9a"


def told_run(root: Path, name: str = NAME, *, shift: float = 0.0) -> RunFolder:
    """A finished, evaluated run ``name`` of ``tiny.toml`` below ``root``, three days old.

    Args:
        shift: added to its accuracies, to tell two such runs apart.
    """
    profile = load_profile("tiny.toml", [f"meta.iterations={ITERATIONS}", "name=tiny"])
    run = RunFolder.create(profile, root)
    for event in training():
        told = _shifted(event, name, shift)
        if isinstance(told, Step):
            run.append_metrics(told)
        else:
            run.append_event(told)
    run.update(
        state="finished",
        device="cpu",
        threads=2,
        versions={"mamltui": "0.1.0", "torch": "2.15.0", "python": "3.11.7"},
        data=TrainedOn(
            name="folder", content_hash="0" * 64, split="proportional", split_hash="1" * 64
        ),
        iteration=ITERATIONS,
        best=Best(iteration=ITERATIONS, accuracy=0.88 + shift, loss=0.37),
        elapsed=60.0,
    )
    run.release()
    path = run.path.rename(root / name)
    _make_old(path)
    run = RunFolder(path)
    write_results(run.evaluation, _evaluation(name, shift))
    return run


def _shifted(event: Event, name: str, shift: float) -> Event:
    if isinstance(event, Started):
        return replace(event, run=name)
    if isinstance(event, Step):
        return replace(event, query_accuracy=event.query_accuracy + shift)
    if isinstance(event, Validated) and event.accuracy is not None:
        return replace(event, accuracy=event.accuracy + shift)
    return event


def _make_old(path: Path) -> None:
    """Times that do not change: three days old, events at 14:25:01 UTC."""
    info = json.loads((path / "run.json").read_text())
    created = datetime.now(timezone.utc) - timedelta(days=3, hours=1)
    for key in ("created", "started", "updated"):
        info[key] = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    (path / "run.json").write_text(json.dumps(info))
    events = path / "events.jsonl"
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    for number, line in enumerate(lines):
        line["time"] = f"2026-01-31T14:{25 + number:02}:01.000Z"
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _evaluation(name: str, shift: float) -> Evaluation:
    results = tuple(
        StepResult(steps, 0.2 + 0.2 * steps + shift, 0.0123, 1.6 - 0.3 * steps, 0.0456)
        for steps in range(4)
    )
    return Evaluation(
        run=name,
        profile="tiny",
        data="folder",
        data_hash="0" * 64,
        way=3,
        shot=1,
        query=1,
        train_steps=1,
        test_steps=2,
        split="test",
        class_split="proportional",
        checkpoint="best",
        iteration=ITERATIONS,
        seed=0,
        episodes=6,
        rotations=True,
        resize="nearest",
        image_size=12,
        filters=4,
        device="cpu",
        transductive=results,
        support=results,
    )
