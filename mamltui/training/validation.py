"""The look at the validation classes: always the same episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch

from mamltui.data.sampling import Sampler
from mamltui.events import Validated
from mamltui.learner import with_way
from mamltui.maml.chunks import Interrupted
from mamltui.maml.engine import Engine
from mamltui.maml.evaluate import Scores, StepScores, mean_and_ci95, score
from mamltui.maml.learner import Learner
from mamltui.maml.parameters import Parameters
from mamltui.profiles import Profile, ValidationSection
from mamltui.runs import Best


class ValidationScores(NamedTuple):
    """Means over the validation episodes after 0, 1, ..., ``inner.test_steps`` steps."""

    accuracy: tuple[float, ...]
    """Empty of a regression."""
    ci95: tuple[float, ...]
    """Half the width of the 95% interval of the accuracy; of a regression, of the loss."""
    loss: tuple[float, ...]

    def best(self, iteration: int) -> Best:
        """After the last step, as the validation of an iteration that may be the best."""
        accuracy = self.accuracy[-1] if self.accuracy else None
        return Best(iteration=iteration, accuracy=accuracy, loss=self.loss[-1])


class Validator:
    """Scores parameters on tasks 0 to ``validation.episodes`` - 1 of the validation classes."""

    def __init__(
        self,
        profile: Profile,
        engine: Engine,
        sampler: Sampler,
        device: torch.device,
    ) -> None:
        self._profile = profile
        self._engine = engine
        self._sampler = sampler
        self._device = device
        self._task = profile.task.at_test

    def scores(
        self, parameters: Parameters, is_stopping: Callable[[], bool]
    ) -> ValidationScores | None:
        """None when a stop was asked for before the last episode."""
        episodes = self._profile.validation.episodes
        at_once = self._profile.engine.task_chunk or self._profile.meta.batch
        parts: list[StepScores] = []
        batch, scores_of = self._sampler.batch, self._scoring(parameters)
        for first in range(0, episodes, at_once):
            tasks = min(at_once, episodes - first)
            try:
                scores = scores_of(
                    batch(first, tasks, self._device),
                    steps=self._profile.inner.test_steps,
                    support_statistics=False,
                    should_stop=is_stopping,
                )
            except Interrupted:
                return None
            parts.append(scores.transductive)
        losses = torch.cat([part.loss for part in parts])
        if self._profile.is_regression:
            mean, ci95 = mean_and_ci95(losses)
            return ValidationScores((), tuple(ci95.tolist()), tuple(mean.tolist()))
        # As whole numbers of right answers, whose sum is exact: equal counts are equal accuracies.
        examples = self._task.way * self._task.query
        right = (torch.cat([part.accuracy for part in parts]) * examples).round()
        mean, ci95 = mean_and_ci95(right)
        loss = losses.mean(dim=0)
        return ValidationScores(
            tuple((mean / examples).tolist()),
            tuple((ci95 / examples).tolist()),
            tuple(loss.tolist()),
        )

    def _scoring(self, parameters: Parameters) -> Callable[..., Scores]:
        """What scores episodes: the engine, if they are of as many classes as in training."""
        if self._task.way == self._profile.task.way:
            return partial(self._engine.score, parameters)
        learner = Learner(self._engine.network, self._engine.inner)
        learner, fitted = with_way(learner, parameters, self._task.way)
        return partial(score, learner.network, learner.inner, fitted)

    def is_better(self, candidate: Best, best: Best | None) -> bool:
        """By the profile's criterion; of equals the earlier is kept."""
        if best is None:
            return True
        by = self._profile.validation.criterion
        return rank(candidate, by) < rank(best, by)


def rank(candidate: Best | Validated, criterion: str) -> float:
    """Least for the best by ``validation.criterion``."""
    if criterion == "accuracy" and candidate.accuracy is not None:
        return -candidate.accuracy
    return candidate.loss


def ranked(candidates: Iterable[Best], validation: ValidationSection) -> tuple[Best, ...]:
    """Those to keep for an ensemble, the best first; of equals the earlier comes first.

    None where ``keep`` is 1: the best alone has a place of its own.
    """
    if validation.keep == 1:
        return ()

    def order(each: Best) -> tuple[float, int]:
        return rank(each, validation.criterion), each.iteration

    return tuple(sorted(candidates, key=order)[: validation.keep])
