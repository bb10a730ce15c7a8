"""A start from another run: what is taken, what is refused, what is recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mamltui.cli import main
from mamltui.errors import RunError, UsageError
from mamltui.evaluation import evaluate_run
from mamltui.events import Finished, Notice
from mamltui.learner import learner_of
from mamltui.profiles import InvalidProfileError, parse_profile
from mamltui.runs import REFERENCE_VARIABLE, RunFolder, StartedFrom
from mamltui.training import Control
from mamltui.training.transfer import with_whole_start
from tests.cli.tiny import RUN, make_place, only_run
from tests.training.small import (
    CPU,
    make_bank,
    make_profile,
    make_run,
    make_trainer,
    train,
)

ONE = "meta.iterations=1"
NO_STEPS = ("inner.steps=0", "inner.test_steps=0", "evaluation.steps=0")


def other(root: Path, unbroken: RunFolder) -> RunFolder:
    """A finished run of the small profile."""
    return RunFolder(shutil.copytree(unbroken.path, root / "other-20260101-000000-abcd"))


def first_parameters(run: RunFolder) -> dict[str, torch.Tensor]:
    """Before the first meta-iteration."""
    control = Control()
    answer = control.snapshot()
    control.stop("that is all")
    list(make_trainer(run, control=control).train())
    return answer.result().parameters


@pytest.mark.parametrize("part", ["all", "body", "head"])
def test_the_part_that_is_asked_for_is_taken_and_the_rest_is_random(
    root: Path, unbroken: RunFolder, part: str
) -> None:
    source = other(root, unbroken)
    taken = source.load_checkpoint("best").parameters
    settings = (f"meta.start={source.name}", f"meta.start_part={part}", "meta.seed=9")
    run = make_run(root, make_profile(*settings))
    learner = learner_of(run.profile, make_bank())
    random, found = learner.initial_parameters(9), first_parameters(run)
    for name, value in found.items():
        is_taken = part == "all" or name.startswith("head") == (part == "head")
        assert torch.equal(value, taken[name] if is_taken else random[name]), name
        assert not torch.equal(taken[name], random[name]), name


def test_the_run_records_where_it_started(root: Path, unbroken: RunFolder) -> None:
    source = other(root, unbroken)
    best = source.load_checkpoint("best").iteration
    run = make_run(root, make_profile("meta.start=other", "meta.start_part=body", ONE))
    events = train(run)
    assert isinstance(events[-1], Finished)
    assert run.info().start == StartedFrom(
        run=source.name, checkpoint="best", iteration=best, part="body"
    )
    evaluation = evaluate_run(run, bank=make_bank(), steps=[0], episodes=4, device=CPU)
    assert evaluation.started_from == f"the body of {source.name}"
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert notices == [
        f"starting with the body of {source.name}, its best checkpoint of iteration {best}"
    ]


def test_before_the_first_validation_the_last_checkpoint_is_taken(
    root: Path, unbroken: RunFolder
) -> None:
    source = other(root, unbroken)
    source.checkpoint_path("best").unlink()
    run = make_run(root, make_profile("meta.start=other", ONE))
    train(run)
    start = run.info().start
    assert start is not None
    assert (start.checkpoint, start.iteration) == ("last", 12)


def test_a_resumed_run_does_not_start_again(root: Path, unbroken: RunFolder) -> None:
    source = other(root, unbroken)
    run = make_run(root, make_profile("meta.start=other", ONE))
    train(run)
    shutil.rmtree(source.path)
    events = train(run, make_profile("meta.start=other", "meta.iterations=2"))
    assert isinstance(events[-1], Finished)
    start = run.info().start
    assert start is not None
    assert start.run == source.name


def test_of_another_number_of_ways_only_the_body_fits(root: Path, unbroken: RunFolder) -> None:
    other(root, unbroken)
    for part in ("all", "head"):
        profile = make_profile("task.way=2", "meta.start=other", f"meta.start_part={part}", ONE)
        with pytest.raises(UsageError, match=r"head.weight has shape \[4, 3\] there and \[4, 2\]"):
            train(make_run(root, profile))
    profile = make_profile("task.way=2", "meta.start=other", "meta.start_part=body", ONE)
    assert isinstance(train(make_run(root, profile))[-1], Finished)


def test_the_body_of_a_network_without_a_head_gets_one_of_zeros(root: Path) -> None:
    """One inner step then sets the class weights from the support means, whatever the alpha."""
    source = make_run(root / "prototypes", make_profile("algorithm=protonet", *NO_STEPS, ONE))
    train(source)
    body = source.load_checkpoint("best").parameters
    profile = make_profile(f"meta.start={source.path}", "meta.start_part=body", ONE)
    for name, value in first_parameters(make_run(root / "first", profile)).items():
        expected = torch.zeros_like(value) if name.startswith("head") else body[name]
        assert torch.equal(value, expected), name
    events = train(make_run(root / "trained", profile))
    (notice,) = [event.message for event in events if isinstance(event, Notice)]
    assert notice.endswith("; it has no head, which begins with zeros")


def test_a_reference_run_goes_by_its_name(
    root: Path, unbroken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path would be another one where the started run is looked at later."""
    source = other(root / "references", unbroken)
    monkeypatch.setenv(REFERENCE_VARIABLE, str(root / "references"))
    profile = with_whole_start(make_profile("meta.start=other"), root / "runs")
    assert profile.meta.start == source.name
    monkeypatch.delenv(REFERENCE_VARIABLE)
    elsewhere = with_whole_start(make_profile(f"meta.start={source.path}"), root / "runs")
    assert elsewhere.meta.start == str(source.path.resolve())


def test_what_the_other_network_has_not_is_named(root: Path, unbroken: RunFolder) -> None:
    other(root, unbroken)
    profile = make_profile("network.layers=3", "plus.per_step_norm=true", "meta.start=other", ONE)
    with pytest.raises(UsageError, match=r"norm1\.shift has shape \[4\] there and \[3, 4\] here"):
        train(make_run(root, profile))
    profile = make_profile("network.normalisation=none", "meta.start=other", ONE)
    train(make_run(root, profile))  # same shapes: biases begin as the shifts were


def test_learned_rates_are_taken_where_both_have_them(root: Path, unbroken: RunFolder) -> None:
    other(root, unbroken)
    plain = make_run(root, make_profile("meta.start=other", "plus.learned_rates=true"))
    rates = {n: v for n, v in first_parameters(plain).items() if n.startswith("rate.")}
    assert rates
    assert all(torch.equal(value, torch.full_like(value, 0.4)) for value in rates.values())
    train(plain)
    learned = plain.load_checkpoint("best").parameters
    again = make_profile(f"meta.start={plain.path}", "plus.learned_rates=true", "meta.seed=9")
    found = first_parameters(make_run(root, again))
    for name in rates:
        assert torch.equal(found[name], learned[name])
        assert not torch.equal(found[name], rates[name])


def test_classes_learned_with_another_split_are_warned_of(root: Path, unbroken: RunFolder) -> None:
    source = other(root, unbroken)
    data = source.info().data
    assert data is not None
    source.update(data=data.model_copy(update={"split": "finn"}))
    events = train(make_run(root, make_profile("meta.start=other", ONE)))
    (_, warning) = [event.message for event in events if isinstance(event, Notice)]
    assert warning.startswith(f"{source.name} was trained with the split finn")


def test_a_run_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(RunError, match="there is no run 'nobody'"):
        train(make_run(root, make_profile("meta.start=nobody")))


def test_a_part_of_no_run_is_refused() -> None:
    with pytest.raises(InvalidProfileError, match=r"meta.start_part: .* names none"):
        parse_profile('meta.start_part = "body"', "x.toml")


def test_the_command_checks_the_start_before_it_makes_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_place(tmp_path))
    brief = ["--set", "meta.iterations=1"]
    assert main([*RUN, *brief]) == 0
    source = only_run(tmp_path)
    wrong = ["--set", "meta.start=tiny", "--set", "network.filters=5"]
    assert main([*RUN, *brief, *wrong]) == 2
    error = capsys.readouterr().err
    assert "profile tiny: meta.start: the network of" in error
    assert "conv1.weight has shape [3, 3, 1, 4] there and [3, 3, 1, 5] here" in " ".join(
        error.split()
    )
    assert "Traceback" not in error
    assert only_run(tmp_path) == source
    # By the beginning of its name, which the new run has too.
    assert main([*RUN, *brief, "--set", "meta.start=tiny"]) == 0
    (made,) = [path for path in (tmp_path / "runs").iterdir() if path != source]
    assert RunFolder(made).profile.meta.start == source.name
    start = RunFolder(made).info().start
    assert start is not None
    assert start.run == source.name


def test_the_bank_of_the_other_run_may_be_gone(root: Path, unbroken: RunFolder) -> None:
    """Its images are not needed, its parameters are."""
    other(root, unbroken)
    run = make_run(root, make_profile("meta.start=other", ONE))
    assert isinstance(list(make_trainer(run, bank=make_bank(seed=3)).train())[-1], Finished)
