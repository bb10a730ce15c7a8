"""What a training does, and what it says about it."""

from __future__ import annotations

import gc
import math
from functools import partial
from pathlib import Path

import pytest
import torch

from mamltui.data.episodes import EpisodeSampler
from mamltui.data.splits import split_classes
from mamltui.errors import ProfileError
from mamltui.events import Checkpointed, Finished, Started, Step, Validated
from mamltui.maml.engine import Engine
from mamltui.maml.evaluate import mean_and_ci95, score
from mamltui.maml.inner import InnerLoop
from mamltui.maml.maml import conv_net, maml
from mamltui.maml.network import NetworkSpec
from mamltui.profiles import Profile
from mamltui.runs import RunFolder, list_runs
from tests.maml.reference import tasks_of
from tests.training.small import (
    CPU,
    assert_same_tensors,
    make_bank,
    make_profile,
    make_run,
    make_trainer,
    metrics,
    train,
)

NETWORK = NetworkSpec(way=3, channels=1, image_size=8, filters=4)
INNER = InnerLoop(steps=2, alpha=0.4, loss_scale="mean")


def sampler(split: str) -> EpisodeSampler:
    bank = make_bank()
    classes = split_classes(bank, "proportional")
    return EpisodeSampler(
        bank, getattr(classes, split), split=split, way=3, shot=2, query=2, rotations=True, seed=5
    )


def reference_parameters(iterations: int) -> dict[str, torch.Tensor]:
    """The outer loop, written down again."""
    parameters = NETWORK.initial_parameters(5)
    adam = torch.optim.Adam(parameters.values(), lr=0.001)
    engine = Engine(NETWORK, INNER, device=CPU)
    for iteration in range(iterations):
        found = engine.meta_gradient(parameters, sampler("train").batch(iteration * 3, 3))
        for name, parameter in parameters.items():
            parameter.grad = found.gradient[name]
        adam.step()
    return {name: value.detach() for name, value in parameters.items()}


def test_parameters_follow_adam_on_the_meta_gradient(unbroken: RunFolder) -> None:
    trained = unbroken.load_checkpoint("last").parameters
    for name, value in reference_parameters(12).items():
        assert torch.equal(trained[name], value), name
        assert not torch.equal(value, NETWORK.initial_parameters(5)[name]), name


def test_plain_descent_follows_algorithm_2_of_the_paper(root: Path) -> None:
    """A few iterations only: from a random start, rounding doubles or more with each."""
    changes = ("optimizer=sgd", "learning_rate=0.1", "iterations=3")
    run = make_run(root, make_profile(*(f"meta.{change}" for change in changes)))
    train(run)
    trained = run.load_checkpoint("last").parameters
    theta = {name: value.double() for name, value in NETWORK.initial_parameters(5).items()}
    batches = (sampler("train").batch(3 * iteration, 3) for iteration in range(3))
    *_, final = maml(
        partial(conv_net, NETWORK),
        theta,
        (tasks_of(batch.to(CPU, torch.float64)) for batch in batches),
        alpha=INNER.alpha,
        beta=0.1,
        adapted=NETWORK.adapted(),
        steps=INNER.steps,
    )
    for name, value in final.items():
        assert (value - theta[name]).norm() > 1e-3, name
        torch.testing.assert_close(trained[name].double(), value, rtol=1e-4, atol=1e-4)


def test_the_same_profile_gives_the_same_training(root: Path, unbroken: RunFolder) -> None:
    run = make_run(root)
    train(run)
    assert metrics(run) == metrics(unbroken)
    assert_same_tensors(run.load_checkpoint("last"), unbroken.load_checkpoint("last"))


def test_another_seed_gives_another_training(root: Path, unbroken: RunFolder) -> None:
    run = make_run(root, make_profile("meta.seed=6"))
    train(run)
    assert metrics(run) != metrics(unbroken)


def test_events_come_in_order(run: RunFolder) -> None:
    said = [
        f"{event.name} {getattr(event, 'kind', '')}".strip() + f" {event.iteration}"
        for event in train(run)
        if not (isinstance(event, Checkpointed) and event.kind == "best")
        and not (isinstance(event, Checkpointed) and event.iteration in (5, 10))
    ]
    assert said == [
        "started 0",
        "step 2",
        "step 4",
        "checkpointed last 4",
        "validated 5",
        "step 6",
        "step 8",
        "checkpointed last 8",
        "step 10",
        "validated 10",
        "step 12",
        "validated 12",
        "checkpointed last 12",
        "finished 12",
    ]


def test_a_training_starts_with_what_it_is(run: RunFolder) -> None:
    started = train(run)[0]
    assert isinstance(started, Started)
    assert (started.run, started.iterations, started.device) == (run.name, 12, "cpu")
    assert started.parameters == NETWORK.parameter_count()
    assert not started.resumed


def test_what_is_yielded_is_in_the_folder(run: RunFolder) -> None:
    reader = RunFolder(run.path)
    seen = []
    for event in make_trainer(run).train():
        seen.append(event)
        steps = [event for event in seen if isinstance(event, Step)]
        others = [event for event in seen if not isinstance(event, Step)]
        logged = [record.event for record in reader.read_events().records]
        assert reader.read_metrics().records == steps
        assert logged[: len(others)] == others
    assert logged == others


def test_a_step_holds_the_metrics_of_its_own_episodes(unbroken: RunFolder) -> None:
    step = unbroken.read_metrics().records[2]
    assert step.iteration == 6
    parameters = reference_parameters(5)
    episodes = sampler("train").batch(15, 3)
    found = Engine(NETWORK, INNER, device=CPU).meta_gradient(parameters, episodes)
    scores = score(NETWORK, INNER, parameters, episodes, steps=2)
    norm = math.sqrt(sum(float(value.double().square().sum()) for value in found.gradient.values()))
    assert step.gradient_norm == pytest.approx(norm, rel=1e-5)
    assert step.query_loss == pytest.approx(float(found.query_loss), rel=1e-6)
    assert step.query_loss == pytest.approx(step.query_loss_per_step[-1], rel=1e-5)
    assert step.query_accuracy == pytest.approx(step.query_accuracy_per_step[-1], rel=1e-6)
    query, support = scores.transductive, scores.support
    assert step.query_loss_per_step == pytest.approx(query.loss.mean(0).tolist())
    assert step.query_accuracy_per_step == pytest.approx(query.accuracy.mean(0).tolist())
    assert step.support_loss == pytest.approx(float(support.loss[:, 0].mean()))
    assert step.support_accuracy == pytest.approx(float(support.accuracy[:, 0].mean()))
    assert step.learning_rate == 0.001


def test_validation_scores_a_fixed_set_of_episodes(unbroken: RunFolder) -> None:
    logged = [record.event for record in unbroken.read_events().records]
    event = next(event for event in logged if isinstance(event, Validated))
    parameters = reference_parameters(5)
    query = score(
        NETWORK, INNER, parameters, sampler("validation").batch(0, 8), steps=3
    ).transductive
    accuracy, ci95 = mean_and_ci95(query.accuracy)
    assert event.iteration == 5
    assert event.accuracy == pytest.approx(float(accuracy[3]))
    assert event.ci95 == pytest.approx(float(ci95[3]))
    assert event.loss == pytest.approx(float(query.loss[:, 3].mean()))
    assert event.accuracy_per_step == pytest.approx(accuracy.tolist())
    assert event.loss_per_step == pytest.approx(query.loss.mean(0).tolist())


def test_augmentation_is_for_training_tasks_alone(root: Path, unbroken: RunFolder) -> None:
    run = make_run(root, make_profile("augment.angle=20", "augment.elastic=1"))
    train(run)
    assert metrics(run) != metrics(unbroken)
    best = run.load_checkpoint("best")
    query = score(
        NETWORK, INNER, best.parameters, sampler("validation").batch(0, 8), steps=3
    ).transductive
    assert best.best_loss == pytest.approx(float(query.loss[:, 3].mean()))


def test_equal_numbers_of_right_answers_are_equal_accuracies(unbroken: RunFolder) -> None:
    logged = [record.event for record in unbroken.read_events().records]
    for event in logged:
        if isinstance(event, Validated):
            right = event.accuracy * 8 * 6  # episodes x query drawings
            assert event.accuracy == round(right) / (8 * 6)


@pytest.mark.parametrize("criterion", ["accuracy", "loss"])
def test_the_best_checkpoint_is_that_of_the_best_validation(root: Path, criterion: str) -> None:
    profile = make_profile(
        f"validation.criterion={criterion}",
        "validation.interval=1",
        "validation.episodes=3",
        "meta.iterations=16",
        "meta.seed=8",  # its last loss is twice the least: no rounding makes it the best
        "meta.learning_rate=0.03",
    )
    run = make_run(root, profile)
    found = [event for event in train(run) if isinstance(event, Validated)]
    assert [event.iteration for event in found] == list(range(1, 17))
    values = [event.accuracy if criterion == "accuracy" else -event.loss for event in found]
    best = found[values.index(max(values))]  # of equals, the first
    assert 1 < best.iteration < 16
    assert [event.is_best for event in found] == [
        value > max(values[:index], default=-math.inf) for index, value in enumerate(values)
    ]
    checkpoint = run.load_checkpoint("best")
    info = run.info()
    assert info.best is not None
    assert checkpoint.iteration == checkpoint.best_iteration == best.iteration
    assert checkpoint.best_accuracy == best.accuracy == info.best.accuracy
    assert checkpoint.best_loss == best.loss == info.best.loss
    assert run.load_checkpoint("last").best_iteration == best.iteration


def test_of_equal_validations_the_earlier_is_the_best(root: Path) -> None:
    # With so small steps nothing changes but the last digits of the loss.
    profile = make_profile("meta.learning_rate=1e-7", "validation.interval=3")
    run = make_run(root, profile)
    found = [event for event in train(run) if isinstance(event, Validated)]
    assert len({event.accuracy for event in found}) == 1
    assert run.load_checkpoint("best").iteration == 3


def test_a_finished_training_says_what_was_best(run: RunFolder) -> None:
    end = train(run)[-1]
    assert isinstance(end, Finished)
    best = run.load_checkpoint("best")
    assert (end.best_iteration, end.best_accuracy, end.best_loss) == (
        best.iteration,
        best.best_accuracy,
        best.best_loss,
    )
    info = run.info()
    assert (info.state, info.iteration, info.iterations) == ("finished", 12, 12)
    assert (info.device, info.threads, info.error) == ("cpu", 1, None)
    assert info.data is not None
    assert (info.data.name, info.data.content_hash) == ("strokes", "random-0-40")
    assert (info.data.split, info.data.split_hash) == (
        "proportional",
        split_classes(make_bank(), "proportional").hash,
    )


def test_the_run_is_free_when_the_last_event_comes(run: RunFolder) -> None:
    for event in make_trainer(run).train():
        assert run.held == (not isinstance(event, Finished))


def test_times_only_go_up(run: RunFolder) -> None:
    events = [event for event in train(run) if isinstance(event, Step | Validated | Finished)]
    elapsed = [event.elapsed for event in events]
    assert elapsed == sorted(elapsed)
    assert all(event.iterations_per_second > 0 for event in events if isinstance(event, Step))
    assert elapsed[-1] <= run.info().elapsed


def test_nothing_grows_with_the_iterations(root: Path) -> None:
    profile = make_profile("meta.iterations=20", "run.log_interval=5", "validation.interval=5")
    counts = []
    for event in make_trainer(make_run(root, profile)).train():
        if isinstance(event, Step) and event.iteration % 5 == 0:
            gc.collect()
            counts.append(sum(type(item) is torch.Tensor for item in gc.get_objects()))
    assert len(counts) == 4
    assert max(counts[2:]) <= counts[1]


def test_a_profile_that_asks_for_more_classes_than_there_are_is_refused(root: Path) -> None:
    profile: Profile = make_profile("task.way=8")
    with pytest.raises(ProfileError, match="validation"):
        make_trainer(make_run(root, profile), profile)


def test_a_list_of_runs_knows_the_training(run: RunFolder, root: Path) -> None:
    train(run)
    (listed,) = list_runs(root)
    assert (listed.path, listed.info, listed.problem) == (run.path, run.info(), "")
    assert listed.profile == run.profile
