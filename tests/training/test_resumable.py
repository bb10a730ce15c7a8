"""Which run is gone on with by ``--resume RUN`` and ``--resume auto``, and what is said of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mamltui.errors import CheckpointError, MamltuiError, RunError, UsageError
from mamltui.events import Finished, Notice, Started, Step
from mamltui.results import kept_evaluations
from mamltui.runs import RunFolder, list_runs
from mamltui.training import Plan, run_experiment
from mamltui.training.resumable import Resumable, find_resumable
from tests.training.small import (
    CPU,
    assert_same_training,
    copied,
    interrupted,
    make_bank,
    make_profile,
    make_run,
    metrics,
    train,
)

QUICK = ("evaluation.episodes=4", "evaluation.steps=0..2")


@dataclass
class Asked:
    """What is found for the small profile, and what is said on the way."""

    root: Path
    said: list[str] = field(default_factory=list)

    def find(self, *overrides: str, resume: str = "auto") -> Resumable | None:
        self.said.clear()
        profile = make_profile(*overrides)
        return find_resumable(profile, overrides, resume, self.root, self.said.append)

    def name(self, *overrides: str) -> str | None:
        found = self.find(*overrides)
        return None if found is None else found.run.name


@pytest.fixture
def asked(root: Path) -> Asked:
    return Asked(root)


def named(run: RunFolder, name: str, **info: Any) -> RunFolder:
    """The run, unlocked, under this name and with these values in its run.json."""
    run.release()
    run = RunFolder(run.path.rename(run.path.with_name(name)))
    path = run.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **info}))
    return run


def go_on(found: Resumable | None) -> RunFolder:
    assert found is not None
    train(found.run, found.profile)
    return found.run


def test_without_runs_a_new_one_starts(asked: Asked) -> None:
    assert asked.find() is None
    assert asked.said == ["there is no unfinished run of this profile: a new one starts"]


def test_an_interrupted_run_goes_on_to_the_same_end(asked: Asked, unbroken: RunFolder) -> None:
    run = interrupted(asked.root, Step, 6)
    found = asked.find()
    assert asked.said == [f"going on with {run.name}: from iteration 6"]
    assert_same_training(go_on(found), unbroken)


def test_the_one_that_trained_last_is_taken_though_the_clock_was_set_back(asked: Asked) -> None:
    first = named(interrupted(asked.root, Step, 2), "first")
    second = named(
        interrupted(asked.root, Step, 4),
        "second",
        created="1999-01-01T00:00:00.000Z",
        started="1999-01-01T00:00:00.000Z",
    )
    assert asked.name() == "second"
    events = iter(train(first))
    assert isinstance(next(events), Started)
    first.update(state="interrupted")
    assert first.info().sitting > second.info().sitting
    shutil.copy(second.checkpoint_path("last"), first.checkpoint_path("last"))
    assert asked.name() == "first"


def test_runs_of_earlier_versions_come_in_the_order_of_their_clock(asked: Asked) -> None:
    for name, hour in (("early", 8), ("late", 9)):
        time = f"2026-01-31T{hour:02}:00:00.000Z"
        named(interrupted(asked.root, Step, 2), name, sitting=0, created=time, started=time)
    assert asked.name() == "late"


def test_what_does_not_fit_is_passed_over_and_named(asked: Asked) -> None:
    fitting = named(interrupted(asked.root, Step, 6), "small-fitting")
    named(interrupted(asked.root, Step, 8), "small-further")
    others = make_profile("inner.alpha=0.1")
    named(interrupted(asked.root, Step, 2, others), "small-others")
    named(interrupted(asked.root, Step, 2), "small-diverged", state="diverged", error="infinite")
    torn = named(interrupted(asked.root, Step, 2), "small-torn")
    (torn.path / "run.json").write_text("{")
    found = asked.find("meta.iterations=7")
    assert found is not None
    assert found.run.name == fitting.name
    assert asked.said[0].startswith("passed over small-diverged: it diverged: infinite")
    assert asked.said[1] == (
        "passed over small-others: the run was trained with other settings: inner.alpha 0.1 -> 0.4"
    )
    assert asked.said[2] == (
        "passed over small-further: the run has done 8 iterations, more than the 7 asked for"
    )
    assert asked.said[3:] == ["going on with small-fitting: from iteration 6"]
    assert asked.find("meta.iterations=5") is None
    assert any("small-torn: " in line and "run.json" in line for line in asked.said)


def test_a_run_of_another_profile_is_not_looked_at(asked: Asked) -> None:
    interrupted(asked.root, Step, 2, make_profile('name="other"'))
    assert asked.find() is None
    assert len(asked.said) == 1


def test_of_many_that_are_passed_over_the_first_are_named_and_the_others_counted(
    asked: Asked,
) -> None:
    run = named(interrupted(asked.root, Step, 8), "small-0")
    for number in range(1, 8):
        shutil.copytree(run.path, asked.root / f"small-{number}")
    assert asked.find("meta.iterations=3") is None
    assert len(asked.said) == 7
    assert asked.said[5] == "passed over 3 more"


def test_a_run_in_use_is_passed_over_and_refused_by_name_with_since_when(asked: Asked) -> None:
    run = make_run(asked.root)
    run.begin()
    since = run.info().started
    assert asked.find() is None
    assert f"the run is in use by process {run.info().pid}" in asked.said[0]
    assert f"since {since}" in asked.said[0]
    with pytest.raises(RunError, match=f"in use by process .* since {since}"):
        asked.find(resume=run.name)
    with pytest.raises(RunError, match=f"in use by process .* since {since}"):
        RunFolder(run.path).acquire()


def test_a_run_killed_on_a_host_of_another_name_is_gone_on_with(asked: Asked) -> None:
    named(interrupted(asked.root, Step, 6), "killed", state="running", host="before", pid=1)
    assert asked.name() == "killed"


def test_a_trained_run_without_its_evaluation_is_evaluated_not_trained_anew(asked: Asked) -> None:
    run = make_run(asked.root, make_profile(*QUICK))
    train(run)
    before = metrics(run)
    found = asked.find(*QUICK)
    assert found is not None
    assert found.is_trained
    assert asked.said == [f"going on with {run.name}: it is trained, its evaluation is left"]
    plan = Plan.of(found.profile, make_bank(), CPU, run=found.run)
    outcome = run_experiment(Plan(**{**vars(plan), "is_trained": True}))
    assert isinstance(outcome.end, Finished)
    assert kept_evaluations(run.evaluation) == [outcome.evaluation]
    assert metrics(run) == before
    assert asked.find(*QUICK) is None
    assert asked.said[0].startswith(f"passed over {run.name}: the run is finished")


def test_a_finished_run_by_name_points_to_eval_and_to_more_iterations(asked: Asked) -> None:
    run = run_experiment(Plan.of(make_profile(*QUICK), make_bank(), CPU, runs=asked.root)).run
    with pytest.raises(RunError, match="the run is finished: all 12 iterations") as caught:
        asked.find(resume=run.name)
    assert f"mamltui eval {run.name} --runs-dir {asked.root}" in str(caught.value.hint)
    assert "--set meta.iterations=24" in str(caught.value.hint)
    found = asked.find(*QUICK, "meta.iterations=14", resume=run.name)
    assert found is not None
    assert not found.is_trained


def test_a_run_goes_on_by_its_own_settings_and_what_is_set_now(asked: Asked) -> None:
    begun = make_profile("meta.iterations=20", "run.checkpoint_interval=7")
    run = interrupted(asked.root, Step, 6, begun)
    found = asked.find("validation.keep=3")
    assert found is not None
    assert found.profile == make_profile(
        "meta.iterations=20", "run.checkpoint_interval=7", "validation.keep=3"
    )
    assert asked.said == [
        f"going on with {run.name}: from iteration 6",
        "its own settings stay, but for --set: meta.iterations 20, not 12, "
        "run.checkpoint_interval 7, not 4",
    ]
    by_name = asked.find("meta.iterations=9", resume=run.name)
    assert by_name is not None
    assert by_name.profile.meta.iterations == 9


def test_a_run_by_name_is_held_to_the_same_rule(asked: Asked) -> None:
    run = interrupted(asked.root, Step, 6)
    with pytest.raises(UsageError, match=r"other settings: meta.seed 5 -> 6") as caught:
        asked.find("meta.seed=6", resume=run.name)
    assert "validation.keep" in str(caught.value.hint)
    with pytest.raises(RunError, match="has done 6 iterations, more than the 5"):
        asked.find("meta.iterations=5", resume=run.name)


def test_folders_that_are_missing_are_made(asked: Asked, unbroken: RunFolder) -> None:
    run = make_run(asked.root)
    run.release()
    shutil.rmtree(run.path / "checkpoints")
    shutil.rmtree(run.evaluation)
    found = asked.find()
    assert asked.said == [f"going on with {run.name}: it has no checkpoint and starts over"]
    assert_same_training(go_on(found), unbroken)


@pytest.mark.parametrize("damage", [b"", b"torn", None])
def test_a_lost_last_checkpoint_goes_on_from_the_best(
    asked: Asked, unbroken: RunFolder, damage: bytes | None
) -> None:
    run = interrupted(asked.root, Step, 8)
    path = run.checkpoint_path("last")
    path.unlink() if damage is None else path.write_bytes(damage)
    found = asked.find()
    assert found is not None
    assert found.iteration == 5
    events = train(found.run)
    (notice,) = [event.message for event in events if isinstance(event, Notice)]
    assert notice.startswith("the last checkpoint is lost (")
    assert notice.endswith("going on from the best one, of iteration 5")
    assert_same_training(run, unbroken)


def test_a_run_whose_checkpoints_are_all_damaged_is_named(asked: Asked) -> None:
    run = interrupted(asked.root, Step, 8)
    for place in ("last", "best"):
        (run.path / "checkpoints" / f"{place}.safetensors").write_bytes(b"torn")
    assert asked.find() is None
    assert asked.said[0].startswith(f"passed over {run.name}: the checkpoint is damaged")
    with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
        asked.find(resume=run.name)


def test_a_lost_best_checkpoint_makes_room_for_the_best_from_here_on(
    asked: Asked, unbroken: RunFolder
) -> None:
    run = interrupted(asked.root, Step, 8)
    run.checkpoint_path("best").write_bytes(b"torn")
    events = train(run)
    said = [event.message for event in events if isinstance(event, Notice)]
    assert said == ["the best checkpoint is lost: the best from here on is kept"]
    assert metrics(run) == metrics(unbroken)
    assert run.load_checkpoint("best").iteration > 8


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"\0" * 500 + b"\n", id="NULs"),
        pytest.param(b"\n", id="a blank line"),
        pytest.param(b'{"event": "step", "\xff"}\n', id="bad UTF-8"),
        pytest.param(b"7" * 100_000_000 + b"\n", id="100 MB"),
        pytest.param(b"[" * 100_000 + b"\n", id="nested"),
        pytest.param(b'{"event": "step", "iteration": 9', id="torn"),
    ],
)
@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_damaged_lines_after_the_last_checkpoint_are_cut_back(
    asked: Asked, unbroken: RunFolder, damage: bytes, name: str
) -> None:
    run = interrupted(asked.root, Step, 6)
    with (run.path / name).open("ab") as file:
        file.write(damage)
    assert_same_training(go_on(asked.find()), unbroken)


def test_a_damaged_line_before_the_checkpoint_is_named(asked: Asked) -> None:
    run = interrupted(asked.root, Step, 6)
    path = run.path / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\n", *lines[1:]]))
    with pytest.raises(RunError, match="the line is damaged") as caught:
        train(run)
    assert caught.value.where == f"{path}:2"


def test_another_strategy_says_that_last_digits_may_differ(asked: Asked) -> None:
    run = interrupted(asked.root, Step, 6, make_profile("engine.strategy=analytic"))
    found = asked.find("engine.strategy=autograd", resume=run.name)
    assert found is not None
    said = [event.message for event in train(run, found.profile) if isinstance(event, Notice)]
    assert any(
        line.startswith("resumed with engine.strategy analytic -> autograd")
        and line.endswith("the last digits may differ from those of an unbroken run")
        for line in said
    )


def test_finished_stands_once_however_a_run_came_to_its_end(
    asked: Asked, unbroken: RunFolder
) -> None:
    run = copied(unbroken, asked.root)
    run.update(state="running")  # killed after its last event
    train(run)
    train(run, make_profile("meta.iterations=14"))
    finished = [e.event for e in run.read_events().records if isinstance(e.event, Finished)]
    assert [event.iteration for event in finished] == [14]


def test_an_unreadable_runs_folder_is_an_error(asked: Asked) -> None:
    asked.root.write_text("")
    with pytest.raises(MamltuiError, match="is a file"):
        asked.find()
    asked.root.unlink()
    assert not list_runs(asked.root)
