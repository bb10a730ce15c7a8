"""What a run answers for a drawing, after each inner step on the drawings of the classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from mamltui.errors import MamltuiError, UsageError
from mamltui.runs import RunFolder
from mamltui.text import visible
from mamltui.tui.draw.drawings import Drawings
from mamltui.tui.draw.ink import ink_of
from mamltui.tui.shared.background import Newest

if TYPE_CHECKING:  # most import torch, which takes seconds: only threads do
    from textual.app import App
    from torch import Tensor

    from mamltui.adapted import Adapted, Kind, Trained
    from mamltui.data.own_images import Preparation
    from mamltui.tui.shared.host import Host

PAPER, INK = 255, 0
"""Of the images that are prepared: as in Omniglot's files."""


@dataclass(frozen=True)
class Question:
    """Drawings that a run is to learn from, and one to answer for."""

    run: RunFolder = field(compare=False)
    version: tuple[object, ...]
    """Another one when the run has other parameters."""
    support: tuple[tuple[int, bytes], ...]
    """Label and ink of each drawing, class by class."""
    query: bytes | None
    steps: int | None
    """Inner steps; None: as at the run's test."""

    @classmethod
    def of(cls, run: RunFolder, drawings: Drawings, steps: int | None) -> Question:
        """Classes without ink are left out."""
        support = [
            (label, ink.tobytes())
            for label, each in enumerate(drawings.classes)
            for ink in each.inked
        ]
        query = None if drawings.query.is_blank else drawings.query.ink.tobytes()
        return cls(run, _version(run), tuple(support), query, steps)

    @property
    def adaptation(self) -> tuple[object, ...]:
        """What the network is adapted to, and how."""
        return (self.version, self.support, self.steps)

    @property
    def labels(self) -> tuple[int, ...]:
        """Of the classes that have drawings."""
        return tuple(sorted({label for label, _ in self.support}))


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a question."""

    question: Question
    way: int
    """Classes that the run was trained to tell apart."""
    steps: int
    """Inner steps."""
    probabilities: dict[int, tuple[float, ...]]
    """Of each label with drawings, after 0, 1, ... inner steps; empty without a query."""
    statistics: str
    """What the query was normalised with."""


class Answerer:
    """Answers one question at a time, from background threads.

    On the CPU: one task is little work, and a GPU that trains is left alone. The network is adapted
    anew only when a drawing of a class has changed.
    """

    def __init__(self) -> None:
        self._loaded: tuple[tuple[object, ...], Trained, Preparation] | None = None
        self._adapted: tuple[tuple[object, ...], Adapted] | None = None

    def answer(self, question: Question, should_stop: Callable[[], bool]) -> Answer | None:
        """None when ``should_stop`` came before the end.

        Raises:
            UsageError: the run has not learned from drawings, or not to tell so many classes apart.
            MamltuiError: the run cannot be read or adapted.
        """
        from mamltui.maml.chunks import Interrupted

        trained, preparation = self._of(question.run, question.version)
        labels = question.labels
        steps = trained.test_steps if question.steps is None else question.steps
        way = trained.learner.network.way
        if len(labels) < 2:
            return Answer(question, way, steps, {}, "")
        try:
            adapted = self._adapt(question, trained, preparation, should_stop)
        except Interrupted:
            return None
        probabilities: dict[int, tuple[float, ...]] = {}
        if question.query is not None:
            image = _prepared([question.query], preparation)
            rows = [adapted.predict(image, step=step)[0].tolist() for step in adapted.steps]
            columns = zip(*rows, strict=True)
            probabilities = {
                label: tuple(column) for label, column in zip(labels, columns, strict=True)
            }
        return Answer(question, way, adapted.steps[-1], probabilities, adapted.statistics)

    def way_problem(self, run: RunFolder, way: int) -> str:
        """Why ``run`` cannot tell so many classes apart; empty if it can.

        Raises:
            MamltuiError: the run cannot be read.
        """
        from mamltui.learner import with_way

        trained, _ = self._of(run, _version(run))
        try:
            with_way(trained.learner, trained.parameters, way)
        except UsageError as error:
            return error.what
        return ""

    def _of(self, run: RunFolder, version: tuple[object, ...]) -> tuple[Trained, Preparation]:
        from mamltui.adapted import Trained
        from mamltui.data.own_images import Preparation

        if self._loaded is None or self._loaded[0] != version:
            trained = Trained.of_images(run, checkpoint_of(run) or "best")
            network = trained.learner.network
            if network.channels != 1:
                raise UsageError(
                    f"{visible(run.name)} has learned from photographs in colour, not drawings",
                    hint="d on another run in Home (1) opens that one.",
                )
            data = run.profile.data
            preparation = Preparation.of(data, size=network.image_size, channels=1)
            self._loaded = (version, trained, preparation)
        return self._loaded[1:]

    def _adapt(
        self,
        question: Question,
        trained: Trained,
        preparation: Preparation,
        should_stop: Callable[[], bool],
    ) -> Adapted:
        from mamltui.adapted import adapt

        if self._adapted is None or self._adapted[0] != question.adaptation:
            indices = {label: index for index, label in enumerate(question.labels)}
            images = _prepared([ink for _, ink in question.support], preparation)
            adapted = adapt(
                trained,
                images,
                [indices[label] for label, _ in question.support],
                steps=question.steps,
                every_step=True,
                should_stop=should_stop,
            )
            self._adapted = (question.adaptation, adapted)
        return self._adapted[1]


class Answering:
    """Has questions answered in the background, the newest only.

    Attributes:
        answer: the newest; None before the first, and after a problem.
        problem: why the newest question has none, in words.
    """

    def __init__(self, host: Host, changed: Callable[[], None]) -> None:
        self.answerer = Answerer()
        self.answer: Answer | None = None
        self.problem = ""
        self._host, self._changed = host, changed
        self._app = cast("App[object]", host)
        self._questions = Newest(self._app, self._work, self._done, self._failed)

    def ask(self, question: Question) -> None:
        """Answer this from now on."""
        if question != self._questions.request:
            self._questions.ask(question)

    def forget(self) -> None:
        """Another run answers."""
        self.answer, self.problem = None, ""
        self._questions.forget()

    def _work(self, question: Question) -> Answer | None:
        def should_stop() -> bool:
            newest = self._questions.request
            return not self._app.is_running or (
                newest is not None and newest.adaptation != question.adaptation
            )

        return self.answerer.answer(question, should_stop)

    def _done(self, _: Question, answer: Answer | None) -> None:
        if answer is not None and self._questions.request is not None:
            self.answer, self.problem = answer, ""
        self._changed()

    def _failed(self, question: Question, error: Exception) -> None:
        if question is self._questions.request:
            self.answer = None
            if isinstance(error, MamltuiError):
                self.problem = error.what + (f". {error.hint}" if error.hint else "")
            else:
                self.problem = f"{type(error).__name__}: {error}"
                self._host.report("The drawings cannot be answered", error)
        self._changed()


def checkpoint_of(run: RunFolder) -> Kind | None:
    """The best checkpoint, else the last; None: there is none yet."""
    kinds: tuple[Kind, ...] = ("best", "last")
    return next((kind for kind in kinds if run.checkpoint_path(kind).exists()), None)


def _version(run: RunFolder) -> tuple[object, ...]:
    kind = checkpoint_of(run)
    try:
        return (run.path, kind, run.checkpoint_path(kind or "best").stat().st_mtime_ns)
    except OSError:
        return (run.path, kind, 0)


def _prepared(inks: list[bytes], preparation: Preparation) -> Tensor:
    """[images, 1, size, size] float32: as an image of the drawing, black on white, would be."""
    from mamltui.data.pictures import picture_of

    pictures = []
    for content in inks:
        paper = np.where(ink_of(content), np.uint8(INK), np.uint8(PAPER))
        read = picture_of(paper, preparation.resize, preparation.size, fit=preparation.fit)
        pictures.append(read.pixels)
    return preparation.apply(pictures, inverted=True)
