"""Own images, answered by a run: what ``mamltui adapt`` gives, as data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mamltui.adapted import Kind, Trained, adapt
from mamltui.data.own_images import (
    OwnImage,
    Preparation,
    find_query,
    find_support,
    read_own_images,
    shots,
)
from mamltui.learner import Head
from mamltui.results import csv_table, spreadsheet_safe
from mamltui.runs import RunFolder
from mamltui.text import visible


@dataclass(frozen=True)
class Answers:
    """The classes that a run, adapted to a support set, gives query images."""

    run: str
    checkpoint: str
    iteration: int
    """Meta-iterations behind the checkpoint."""
    class_names: tuple[str, ...]
    shots: str
    """Support images of a class, such as ``1 to 3``."""
    steps: int
    """Inner steps."""
    statistics: str
    """What query images were normalised with."""
    support_accuracy: float
    """Fraction of the support images that were answered right."""
    query: tuple[OwnImage, ...]
    probabilities: tuple[tuple[float, ...], ...]
    """Of each query image, one a class; they sum to 1."""
    notes: tuple[str, ...]
    """What was said of the images."""

    def short_names(self) -> tuple[str, list[str]]:
        """The folder that all query images are below, and their names there, for people."""
        files = [image.file for image in self.query]
        if len({file.is_absolute() for file in files}) > 1:
            return "", [visible(str(file)) for file in files]
        folder = Path(os.path.commonpath([file.parent for file in files]))
        names = [visible(file.relative_to(folder).as_posix()) for file in files]
        return "" if folder == Path() else visible(str(folder)), names

    def ranked(self, index: int) -> list[int]:
        """The classes of a query image, the likeliest first."""
        probabilities = self.probabilities[index]
        return sorted(range(len(probabilities)), key=lambda label: -probabilities[label])

    @property
    def accuracy(self) -> tuple[int, int] | None:
        """Right answers and images whose class is known; None: it is known of none."""
        judged = [index for index, image in enumerate(self.query) if image.label is not None]
        if not judged:
            return None
        return sum(self.ranked(at)[0] == self.query[at].label for at in judged), len(judged)

    def judgement(self, index: int) -> str:
        """Whether the answer for a query image is right; empty: its class is not known."""
        label = self.query[index].label
        if label is None:
            return ""
        is_right = self.ranked(index)[0] == label
        return "right" if is_right else f"wrong: is {self.class_names[label]}"

    def describe(self) -> str:
        """In a sentence, how the answers came about."""
        steps = f"{self.steps} inner step{'' if self.steps == 1 else 's'}"
        return (
            f"{len(self.class_names)}-way, {self.shots} shot, {steps}, {self.statistics}; "
            f"{self.checkpoint} checkpoint, iteration {self.iteration:,}; "
            f"{100 * self.support_accuracy:.0f} % of the support images right"
        )

    def csv_text(self) -> str:
        """A row an image: the answer, its probability, the class if known, then every class's."""
        rows: list[dict[str, object]] = []
        columns = {f"p:{spreadsheet_safe(name)}": i for i, name in enumerate(self.class_names)}
        for index, image in enumerate(self.query):
            first = self.ranked(index)[0]
            probabilities = self.probabilities[index]
            known = image.label is not None
            rows.append(
                {
                    "image": str(image.file),
                    "answer": self.class_names[first],
                    "probability": f"{probabilities[first]:.6f}",
                    "class": self.class_names[image.label] if image.label is not None else "",
                    "right": str(first == image.label).lower() if known else "",
                    **{column: f"{probabilities[label]:.6f}" for column, label in columns.items()},
                }
            )
        names = ["image", "answer", "probability", "class", "right", *columns]
        return csv_table(names, rows, text_columns=("image", "answer", "class"))

    def json_text(self) -> str:
        accuracy = self.accuracy
        content = {
            "run": self.run,
            "checkpoint": self.checkpoint,
            "iteration": self.iteration,
            "classes": list(self.class_names),
            "shots": self.shots,
            "steps": self.steps,
            "statistics": self.statistics,
            "support_accuracy": self.support_accuracy,
            "accuracy": None if accuracy is None else accuracy[0] / accuracy[1],
            "notes": list(self.notes),
            "images": [
                {
                    "image": str(image.file),
                    "answer": self.class_names[self.ranked(index)[0]],
                    "class": None if image.label is None else self.class_names[image.label],
                    "probabilities": dict(
                        zip(self.class_names, self.probabilities[index], strict=True)
                    ),
                }
                for index, image in enumerate(self.query)
            ],
        }
        return json.dumps(content, indent=2) + "\n"


def answer(
    run: RunFolder,
    support: Path,
    query: Sequence[Path],
    *,
    steps: int | None = None,
    head: Head | None = None,
    transductive: bool = False,
    checkpoint: Kind = "best",
    device: torch.device | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Answers:
    """Adapt ``run`` to the class folders in ``support`` and answer for the images of ``query``.

    Args:
        say: told in words what is done to the images.

    Raises:
        DataError: images are missing or cannot be read.
        UsageError: the run cannot be adapted to so many classes.
        MamltuiError: as :func:`~mamltui.adapted.adapt`.
    """
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        say(text)

    trained = Trained.of_images(run, checkpoint)
    class_names, shown = find_support(support)
    asked = find_query(query, class_names)
    network = trained.learner.network
    preparation = Preparation.of(
        run.profile.data, size=network.image_size, channels=network.channels
    )
    images = read_own_images(class_names, shown, asked, preparation, progress=note)
    labels = [image.label for image in images.support if image.label is not None]
    adapted = adapt(trained, images.support_x, labels, steps=steps, head=head, device=device)
    probabilities = adapted.predict(images.query_x, transductive=transductive)
    return Answers(
        run=run.name,
        checkpoint=checkpoint,
        iteration=trained.iteration,
        class_names=tuple(visible(name) for name in class_names),
        shots=shots(shown),
        steps=adapted.steps[-1],
        statistics="transductive" if transductive else adapted.statistics,
        support_accuracy=adapted.support_accuracy,
        query=asked,
        probabilities=tuple(tuple(row) for row in probabilities.tolist()),
        notes=tuple(notes),
    )
