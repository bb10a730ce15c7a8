"""A run adapted to images of one's own answers as it does in an evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mamltui.adapted import Trained, adapt
from mamltui.errors import DivergedError, UsageError
from mamltui.learner import with_way
from mamltui.maml.adaptation import adapt as look
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import score
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.network import NetworkSpec, forward
from tests.cli.run_folders import trained_run, write_characters

SMALL = NetworkSpec(way=4, image_size=12, filters=5)


def trained(network: NetworkSpec = SMALL, **inner: object) -> Trained:
    learner = Learner(network, InnerLoop(2, 0.4, **inner))  # type: ignore[arg-type]
    return Trained(learner, learner.initial_parameters(seed=3), 10, test_steps=2)


def an_episode(way: int, shot: int = 2, query: int = 3, channels: int = 1) -> Episodes:
    generator = torch.Generator().manual_seed(0)
    support, asked = (
        torch.rand((1, way * count, channels, 12, 12), generator=generator)
        for count in (shot, query)
    )
    labels = torch.arange(way)
    return Episodes(
        support,
        labels.repeat_interleave(shot)[None],
        asked,
        labels.repeat_interleave(query)[None],
    )


NETWORKS = {
    "batch": SMALL,
    "layer": replace(SMALL, normalisation="layer"),
    "none": replace(SMALL, normalisation="none"),
    "prototypes": replace(SMALL, prototypes=True),
    "own for each step": replace(SMALL, norm_steps=3, norm_scale=True, running_steps=3),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_answers_are_those_of_an_evaluation(network: NetworkSpec) -> None:
    learned, episode = trained(network), an_episode(4)
    learner = learned.learner
    adapted = adapt(learned, episode.support_x[0], episode.support_y[0].tolist(), every_step=True)
    seen = look(learner.network, learner.inner, learned.parameters, episode, steps=2)
    scores = score(learner.network, learner.inner, learned.parameters, episode, steps=2)
    assert adapted.steps == (0, 1, 2)
    for step in adapted.steps:
        images = episode.query_x[0]
        if not network.running_steps:
            together = adapted.predict(images, step=step, transductive=True)
            assert torch.allclose(together, seen.query.probabilities[0, step], atol=1e-5)
        alone = adapted.predict(images, step=step)
        expected = scores.transductive if network.running_steps else scores.support_statistics
        assert expected is not None
        assert expected.answers is not None
        likeliest, answer = alone.max(dim=1)
        assert torch.allclose(likeliest.float(), expected.answers[0, step, :, 1], atol=1e-5)
        right = (answer == episode.query_y[0]).float()
        assert torch.equal(right, expected.answers[0, step, :, 0])


def test_no_image_is_seen_in_the_light_of_another_unless_asked() -> None:
    episode = an_episode(4)
    adapted = adapt(trained(), episode.support_x[0], episode.support_y[0].tolist())
    images = episode.query_x[0]
    alone = torch.cat([adapted.predict(image[None]) for image in images])
    assert torch.allclose(adapted.predict(images), alone, atol=1e-6)
    changed = adapted.predict(images, transductive=True)
    assert not torch.allclose(changed, alone, atol=1e-2)


def test_classes_may_have_unequally_many_images() -> None:
    """As autograd has it: a step on the mean over all examples."""
    learned, episode = trained(), an_episode(4, shot=1)
    images = torch.cat([episode.support_x[0], episode.query_x[0, :2]])
    labels = [*episode.support_y[0].tolist(), 0, 0]
    adapted = adapt(learned, images, labels, steps=1)
    names = SMALL.adapted()
    theta = {name: value.clone() for name, value in learned.parameters.items()}
    leaves = [theta[name].requires_grad_() for name in names]
    logits, _ = forward(SMALL, theta, images[None])
    loss = torch.nn.functional.cross_entropy(logits[0], torch.tensor(labels))
    gradients = torch.autograd.grad(loss, leaves)
    moved = {n: theta[n].detach() - 0.4 * g for n, g in zip(names, gradients, strict=True)}
    with torch.no_grad():
        _, statistics = forward(SMALL, theta | moved, images[None])
        asked, _ = forward(SMALL, theta | moved, episode.query_x, statistics=statistics)
    expected = asked[0].double().softmax(dim=1)
    assert torch.allclose(adapted.predict(episode.query_x[0]), expected, atol=1e-5)


@pytest.mark.parametrize("way", [2, 3])
def test_fewer_classes_take_the_first_of_the_learned_weights(way: int) -> None:
    learned = trained()
    learner, parameters = with_way(learned.learner, learned.parameters, way)
    assert learner.network.way == way
    assert learner.inner.alpha == pytest.approx(0.4 * way / 4)
    weight = learned.parameters["head.weight"]
    assert torch.equal(parameters["head.weight"], weight[:, :way])
    episode = an_episode(way)
    adapted = adapt(learned, episode.support_x[0], episode.support_y[0].tolist())
    assert adapted.predict(episode.query_x[0]).shape == (way * 3, way)


def test_more_classes_than_were_learned_are_refused_with_what_would_do() -> None:
    episode = an_episode(6)
    support = episode.support_x[0], episode.support_y[0].tolist()
    with pytest.raises(UsageError, match="learned for tasks of 4 classes, not of 6") as refused:
        adapt(trained(), *support)
    assert "--head fresh" in str(refused.value.hint)
    for head in ("fresh", "prototypes"):
        adapted = adapt(trained(), *support, head=head)  # type: ignore[arg-type]
        assert adapted.network.way == 6
        assert torch.isfinite(adapted.predict(episode.query_x[0])).all()
    assert adapt(trained(NETWORKS["prototypes"]), *support).network.way == 6


@pytest.mark.parametrize("rates", ["per-step", "per-element", "curvature", "generated"])
def test_learned_rates_serve_fewer_classes_and_say_when_they_cannot_serve_more(rates: str) -> None:
    episode = an_episode(3)
    support = episode.support_x[0], episode.support_y[0].tolist()
    assert adapt(trained(rates=rates), *support).network.way == 3
    more = an_episode(6)
    support = more.support_x[0], more.support_y[0].tolist()
    if rates in ("per-step", "generated"):
        assert adapt(trained(rates=rates), *support, head="fresh").network.way == 6
    else:
        with pytest.raises(UsageError, match=r"have learned rate\.head\.\w+.* for 4 classes"):
            adapt(trained(rates=rates), *support, head="fresh")


def test_a_prototype_head_that_was_not_trained_takes_no_steps_unless_asked() -> None:
    episode = an_episode(4)
    support = episode.support_x[0], episode.support_y[0].tolist()
    assert adapt(trained(), *support, head="prototypes").steps == (0,)
    assert adapt(trained(), *support, head="prototypes", steps=1).steps == (1,)
    assert adapt(trained(NETWORKS["prototypes"]), *support).steps == (2,)
    with pytest.raises(UsageError, match="in evaluations alone"):
        adapt(trained(NETWORKS["prototypes"]), *support, head="refined")
    with pytest.raises(UsageError, match="no learned head"):
        adapt(trained(NETWORKS["prototypes"]), *support, head="learned")


def test_numbers_that_run_away_are_an_error() -> None:
    learned = trained(replace(SMALL, normalisation="none"))
    far = replace(learned, learner=replace(learned.learner, inner=InnerLoop(2, 1e30)))
    episode = an_episode(4)
    with pytest.raises(DivergedError, match="not finite"):
        adapt(far, episode.support_x[0], episode.support_y[0].tolist(), steps=5)


def test_images_of_another_size_and_labels_that_are_none_are_refused() -> None:
    episode = an_episode(4)
    adapted = adapt(trained(), episode.support_x[0], episode.support_y[0].tolist())
    with pytest.raises(UsageError, match=r"\[images, 1, 12, 12\]"):
        adapted.predict(torch.zeros(2, 1, 28, 28))
    with pytest.raises(UsageError, match="step 1"):
        adapted.predict(episode.query_x[0], step=1)
    for labels in ([0] * 8, [0, 2] * 4, [0, 1]):
        with pytest.raises(UsageError, match="labels"):
            adapt(trained(), episode.support_x[0], labels)


def test_a_run_is_loaded_without_its_data(tmp_path: Path) -> None:
    run = trained_run(tmp_path / "runs", write_characters(tmp_path / "characters"))
    for image in (tmp_path / "characters").rglob("*.png"):
        image.unlink()
    loaded = Trained.load(run, "last")
    assert (loaded.iteration, loaded.test_steps) == (40, 2)
    assert loaded.learner.network.way == 3
