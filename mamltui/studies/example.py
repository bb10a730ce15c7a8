"""The first test episode of a cell, with what the network answered, kept in its run folder."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mamltui.atomic import write_atomically
from mamltui.runs import RunFolder
from mamltui.runs.files import file_error

if TYPE_CHECKING:
    from mamltui.data.bank import ImageBank

FILE = "episode-0.npz"
"""In the run's ``evaluation`` folder."""


@dataclass(frozen=True)
class Example:
    """Task 0 of the test split after the profile's inner steps at test, on the best checkpoint."""

    support: np.ndarray
    """[way, shot, channels, size, size] float32 in [0, 1], ordered by label."""
    query: np.ndarray
    """[way, query, channels, size, size], likewise."""
    answers: np.ndarray
    """[way, query, way] float32: probability of each label for each query image."""
    iteration: int
    """Of the checkpoint."""

    @classmethod
    def read(cls, run: RunFolder) -> Example | None:
        """What :func:`write_example` left; None: nothing, or it is damaged."""
        try:
            with np.load(run.evaluation / FILE, allow_pickle=False) as arrays:
                example = cls(
                    arrays["support"], arrays["query"], arrays["answers"], int(arrays["iteration"])
                )
        except (OSError, ValueError, KeyError, EOFError):
            return None
        return example if example._is_whole else None

    @property
    def _is_whole(self) -> bool:
        way, query = self.query.shape[:2]
        return (
            self.support.ndim == self.query.ndim == 5
            and len(self.support) == way
            and self.answers.shape == (way, query, way)
        )


def write_example(run: RunFolder, bank: ImageBank) -> Path:
    """Adapt to the first test episode, on the CPU, and keep its images and answers.

    Raises:
        MamltuiError: the run has no best checkpoint, is of other data, or cannot be written.
    """
    from mamltui.data.episodes import EpisodeSampler
    from mamltui.data.splits import split_classes
    from mamltui.learner import learner_of, with_way
    from mamltui.maml.adaptation import adapt

    profile = run.profile.scored
    task = profile.task
    split = split_classes(bank, profile.data.split)
    run.check_data(bank, split)
    learner = learner_of(run.profile, bank)
    checkpoint = run.load_checkpoint("best", learner)
    learner, parameters = with_way(learner, checkpoint.parameters, task.way)
    episodes = EpisodeSampler.of(profile, bank, split, "test").batch(0, 1)
    steps = profile.inner.test_steps
    adaptation = adapt(
        learner.network,
        learner.inner,
        parameters,
        episodes,
        steps=steps,
        should_stop=lambda: False,
    )
    support = episodes.support_x[0].numpy().astype(np.float32)
    query = episodes.query_x[0].numpy().astype(np.float32)
    answers = adaptation.query.probabilities[0, steps].numpy().astype(np.float32)
    content = io.BytesIO()
    np.savez_compressed(
        content,
        support=support.reshape(task.way, task.shot, *support.shape[1:]),
        query=query.reshape(task.way, task.query, *query.shape[1:]),
        answers=answers.reshape(task.way, task.query, task.way),
        iteration=np.array(checkpoint.iteration),
    )
    path = run.evaluation / FILE
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise file_error(error, path, "write the example") from error
    return path
