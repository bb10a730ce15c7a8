"""Every algorithm and part of MAML++ through the trainer: it learns what it should, and resumes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mamltui.errors import CheckpointError, ProfileError
from mamltui.evaluation import evaluate_run
from mamltui.learner import learner_of
from mamltui.maml.engine import Engine
from mamltui.measures import queries_text
from mamltui.training import Control, Plan
from tests.training.small import (
    CPU,
    assert_same_training,
    make_bank,
    make_profile,
    make_run,
    make_trainer,
    train,
    validations,
)

NO_STEPS = ("inner.steps=0", "inner.test_steps=0", "evaluation.steps=0")
KINDS = {
    "maml": (),
    "fomaml": ("algorithm=fomaml",),
    "anil": ("algorithm=anil",),
    "boil": ("algorithm=boil",),
    "meta-sgd": ("algorithm=meta-sgd",),
    "meta-curvature": ("algorithm=meta-curvature",),
    "alfa": ("algorithm=alfa",),
    "proto-maml": ("algorithm=proto-maml", "inner.alpha=0.1"),
    "reptile": ("algorithm=reptile", "meta.optimizer=sgd", "meta.learning_rate=0.5"),
    "imaml": ("algorithm=imaml",),
    "protonet": ("algorithm=protonet", *NO_STEPS),
    "no steps": NO_STEPS,
    "MSL": ("plus.multi_step_loss=true", "plus.multi_step_iterations=7"),
    "DA": ("plus.derivative_annealing=true", "plus.first_order_iterations=7"),
    "BNWB": ("plus.per_step_norm=true",),
    "BNRS": ("plus.per_step_statistics=true", "inner.alpha=0.1"),
    "LSLR": ("plus.learned_rates=true",),
    "CA": ("meta.schedule=cosine",),
    "all of MAML++": (
        "plus.multi_step_loss=true",
        "plus.multi_step_iterations=7",
        "plus.derivative_annealing=true",
        "plus.first_order_iterations=7",
        "plus.per_step_norm=true",
        "plus.per_step_statistics=true",
        "plus.learned_rates=true",
        "meta.schedule=cosine",
        "inner.alpha=0.1",
    ),
    "label smoothing": ("meta.label_smoothing=0.2",),
    "layer norm": ("network.normalisation=layer", "inner.alpha=0.05"),
    "no norm": ("network.normalisation=none", "inner.alpha=0.05"),
    "max-pooling": ("network.pooling=max", "network.layers=3", "network.head=flatten"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_is_the_unbroken_one_to_the_bit(tmp_path: Path, kind: str) -> None:
    profile = make_profile(*KINDS[kind])
    unbroken = make_run(tmp_path / "unbroken", profile)
    train(unbroken)
    assert unbroken.info().state == "finished"
    run = make_run(tmp_path / "broken", profile)
    control = Control()
    for event in make_trainer(run, control=control).train():
        if event.iteration == 6:
            control.stop("now")
    assert run.info().state == "interrupted"
    train(run)
    assert_same_training(run, unbroken)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_holds_all_that_is_learned_and_it_has_moved(tmp_path: Path, kind: str) -> None:
    profile = make_profile(*KINDS[kind])
    run = make_run(tmp_path, profile)
    train(run)
    learner = learner_of(profile, make_bank())
    found = run.load_checkpoint("last", learner).parameters
    start = learner.initial_parameters(profile.meta.seed)
    assert {name: tuple(value.shape) for name, value in found.items()} == learner.shapes()
    still = {name for name, value in found.items() if torch.equal(value, start[name])}
    # Where only the head or the body adapts, both are meta-learned all the same.
    assert not still


def test_learned_rates_begin_as_alpha_and_differ_by_tensor_and_step(tmp_path: Path) -> None:
    profile = make_profile("plus.learned_rates=true")
    run = make_run(tmp_path, profile)
    train(run)
    rates = {
        name: value
        for name, value in run.load_checkpoint("last").parameters.items()
        if name.startswith("rate.")
    }
    assert all(value.shape == (2,) for value in rates.values())
    assert len({float(number) for value in rates.values() for number in value}) > len(rates)
    assert all(abs(float(number) - 0.4) < 0.1 for value in rates.values() for number in value)


@pytest.mark.parametrize(
    ("trained", "asked", "words"),
    [
        ("MAML", "LSLR", "rate.conv1.weight is not learned there and learned as [2] here"),
        ("LSLR", "MAML", "rate.conv1.weight is learned as [2] there and not learned here"),
        ("MAML", "BNWB", "another network"),
        ("MAML", "protonet", "another network"),
        (
            "meta-curvature",
            "meta-sgd",
            "rate.conv1.weight is not learned there and learned as [3, 3, 1, 4] here",
        ),
    ],
)
def test_a_checkpoint_of_another_learner_is_refused(
    tmp_path: Path, trained: str, asked: str, words: str
) -> None:
    run = make_run(tmp_path, make_profile(*KINDS.get(trained, ())))
    train(run)
    learner = learner_of(make_profile(*KINDS.get(asked, ())), make_bank())
    with pytest.raises(CheckpointError) as caught:
        run.load_checkpoint("last", learner)
    assert words in str(caught.value)


def test_each_iteration_is_computed_with_its_own_inner_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    true = Engine.meta_gradient

    def noting(self: Engine, *arguments: object, **options: object) -> object:
        seen.append(options["inner"])
        return true(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "meta_gradient", noting)
    profile = make_profile(*KINDS["MSL"], *KINDS["DA"])
    train(make_run(tmp_path, profile))
    assert [inner.first_order for inner in seen] == [True] * 7 + [False] * 5
    assert [bool(inner.query_weights) for inner in seen] == [True] * 7 + [False] * 5
    assert seen[0].query_weights == (0.5, 0.5)


def test_running_statistics_begin_where_the_first_tasks_are(tmp_path: Path) -> None:
    profile = make_profile(*KINDS["BNRS"], "meta.iterations=1", "meta.learning_rate=1e-9")
    run = make_run(tmp_path, profile)
    train(run)
    found = run.load_checkpoint("last").parameters
    assert found["norm1.mean"].shape == (3, 4)
    # By step, as the parameters are; and away from the 0 and 1 that they are made with.
    assert not torch.allclose(found["norm4.mean"][0], found["norm4.mean"][2])
    assert not torch.allclose(found["norm1.variance"], torch.ones(3, 4), rtol=0.1)


@pytest.mark.parametrize("kind", ["protonet", "proto-maml", "maml", "BNWB"])
def test_validation_and_test_may_be_of_other_tasks_than_the_training(
    tmp_path: Path, kind: str
) -> None:
    """ProtoNet's paper trains on more classes than it tests on (Snell et al. 2017)."""
    trained = ("task.way=4", "task.shot=1", "task.query=2")
    tested = ("task.test_way=3", "task.test_shot=3", "task.test_query=1")
    profile = make_profile(*KINDS[kind], *trained, *tested)
    run = make_run(tmp_path, profile)
    train(run)
    evaluation = evaluate_run(run, bank=make_bank(), steps=[0], episodes=4, device=CPU)
    found = (evaluation.way, evaluation.shot, evaluation.train_way, evaluation.train_shot)
    assert (*found, evaluation.query) == (3, 3, 4, 1, 1)
    assert "3-way" not in " ".join(evaluation.departures(profile))
    assert profile.shape == "3-way 3-shot (trained 4-way 1-shot)"
    assert queries_text(profile) == "1 query a class (trained 2)"
    for validated in validations(run):
        right = validated["accuracy"] * profile.validation.episodes * 3
        assert right == pytest.approx(round(right))


def test_a_learned_head_serves_no_more_classes_at_test_than_it_was_trained_on() -> None:
    assert make_profile("algorithm=protonet", *NO_STEPS, "task.test_way=5").task.at_test.way == 5
    for wrong in ("task.test_way=5", "task.test_way=1"):
        with pytest.raises(ProfileError, match=r"task\.test_way"):
            make_profile(wrong)
    with pytest.raises(ProfileError, match="validation split of"):
        Plan.of(make_profile("algorithm=protonet", *NO_STEPS, "task.test_way=9"), make_bank(), CPU)
