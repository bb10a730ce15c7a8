"""mamltui from Python: train, evaluate, and use what was learned; arrays and plain tables out.

Nothing here prints, catches signals or changes the process, unless a progress bar is asked for.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mamltui.adapted import Adapted, Kind, Trained, adapt
from mamltui.data.banks import Banks
from mamltui.data.episodes import SplitName
from mamltui.data.folder import read_pictures
from mamltui.data.own_images import Preparation
from mamltui.data.pictures import Pixels, picture_of
from mamltui.errors import DivergedError, MamltuiError, UsageError
from mamltui.evaluation import Kind as EvaluatedKind
from mamltui.evaluation import evaluate_run, keep_results
from mamltui.events import Diverged, Event, Validated
from mamltui.headless import BarDisplay, Display
from mamltui.learner import Head
from mamltui.maml.module import as_module
from mamltui.profiles import Profile, load_profile
from mamltui.results import Evaluation, csv_text
from mamltui.runs import RunFolder, RunInfo, find_run
from mamltui.training import make_plan, resolve_device, run_experiment

__all__ = [
    "AdaptedRun",
    "Evaluation",
    "MamltuiError",
    "Predictions",
    "Profile",
    "Run",
    "evaluate",
    "load_profile",
    "table",
    "train",
]

StrPath = str | PathLike[str]
Images = Sequence[StrPath] | NDArray[Any] | Tensor
"""Files; pixels [images, height, width] or [images, height, width, 3] uint8, prepared like files;
or what the network sees, [images, channels, size, size] floating point with ink 1 and paper 0."""
Cell = str | int | float | bool


def train(
    profile: Profile | str,
    *,
    progress: bool = False,
    events: Callable[[Event], None] | None = None,
    device: str = "auto",
    runs_dir: StrPath | None = None,
    data_dir: StrPath | None = None,
    resume: str | None = None,
) -> Run:
    """Train as a profile says and evaluate the best checkpoint on the test split.

    An interruption by ctrl+c, or whatever ``events`` raises, leaves a checkpoint to go on from.

    Args:
        profile: of :func:`load_profile`, or its file or packaged name.
        progress: draw a bar on stderr.
        events: called with every event of the training, in order, which waits for it.
        device: ``auto``, ``cpu`` or ``cuda``.
        runs_dir: the folder of the run folders; None: MAMLTUI_RUNS_DIR, or ``runs``.
        data_dir: a folder to look for the data in first.
        resume: a run to go on with, by its own profile; ``auto``: the latest unfinished one of this
            profile, or a new one.

    Raises:
        DivergedError: the training diverged; the run is there.
        MamltuiError: the profile, the data, the device or a file does not allow it.
    """
    profile = load_profile(profile) if isinstance(profile, str) else profile
    plan = make_plan(
        profile,
        device=device,
        runs=_path(runs_dir),
        banks=Banks(_path(data_dir)),
        resume=resume,
    )
    total = plan.profile.meta.iterations
    shown = BarDisplay(_to_stderr, plan.title, total) if progress else Display()
    with shown:
        outcome = run_experiment(plan, reader=_Reader(shown, events))
    if isinstance(outcome.end, Diverged):
        raise DivergedError(
            f"the training diverged at iteration {outcome.end.iteration:,}: {outcome.end.reason}",
            where=str(outcome.run.path),
        )
    return Run(outcome.run)


def evaluate(
    run: Run | str,
    *,
    steps: Iterable[int] | None = None,
    episodes: int | None = None,
    split: SplitName = "test",
    checkpoint: EvaluatedKind = "best",
    seed: int | None = None,
    disjoint: bool = False,
    way: int | None = None,
    shot: int | None = None,
    query: int | None = None,
    head: Head | None = None,
    keep: bool = False,
    device: str = "auto",
    runs_dir: StrPath | None = None,
    data_dir: StrPath | None = None,
) -> Evaluation:
    """Score a run after each number of inner steps, as ``mamltui eval`` does.

    Args:
        steps: numbers of inner steps; None: the profile's.
        episodes: tasks; None: the profile's, or with ``disjoint`` as many as there are images for.
        checkpoint: ``best``, ``last`` or ``ensemble``.
        way: classes of a task; None: the profile's at test, as for ``shot`` and ``query``.
        head: ``learned``, ``fresh``, ``prototypes`` or ``refined``; None: as it was trained.
        keep: write the result into the run's folder.

    Raises:
        MamltuiError: the run, its data or the device is not available, or they do not fit.
    """
    folder = (run if isinstance(run, Run) else Run.open(run, runs_dir=runs_dir)).folder
    profile = folder.profile
    evaluation = evaluate_run(
        folder,
        bank=Banks(_path(data_dir)).bank(profile.data),
        split=split,
        checkpoint=checkpoint,
        steps=profile.evaluation.steps if steps is None else tuple(steps),
        episodes=episodes,
        device=resolve_device(device),
        seed=seed,
        disjoint=disjoint,
        way=way,
        shot=shot,
        query=query,
        head=head,
    )
    if keep:
        keep_results(folder, evaluation)
    return evaluation


def table(*evaluations: Evaluation) -> list[dict[str, Cell]]:
    """A row for each evaluation, kind of statistics and number of inner steps.

    The columns are those of ``mamltui eval --csv``; ``pandas.DataFrame`` takes it as it is.
    """
    rows = csv.DictReader(io.StringIO(csv_text(evaluations)))
    return [{name: _cell(text) for name, text in row.items()} for row in rows]


class Run:
    """A run folder: what was trained, how it went, and what can be done with it.

    Attributes:
        folder: the folder as the rest of mamltui has it.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    @classmethod
    def open(cls, name: str, *, runs_dir: StrPath | None = None) -> Run:
        """The run of this name, or in this folder; those that came with mamltui are found too.

        Raises:
            RunError: there is none, or there are several.
        """
        return cls(find_run(name, _path(runs_dir)))

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def profile(self) -> Profile:
        return self.folder.profile

    @property
    def info(self) -> RunInfo:
        """State, versions, data, the best validation."""
        return self.folder.info()

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """The logged training steps: of each measure an array, one entry a line of the log."""
        rows = [step.to_dict() for step in self.folder.read_metrics().records]
        names = [name for name, value in (rows[0] if rows else {}).items() if _is_number(value)]
        return {name: np.array([row[name] for row in rows], np.float64) for name in names}

    def validations(self) -> list[dict[str, Any]]:
        """The validations in order: accuracy, loss, and both after each inner step."""
        events = (logged.event for logged in self.folder.read_events().records)
        return [asdict(event) for event in events if isinstance(event, Validated)]

    def parameters(self, checkpoint: Kind = "best") -> dict[str, NDArray[np.float32]]:
        """The meta-learned parameters by name; kernels are [height, width, in, out]."""
        parameters = Trained.load(self.folder, checkpoint).parameters
        return {name: value.numpy() for name, value in parameters.items()}

    def module(self, checkpoint: Kind = "best") -> nn.Module:
        """The network before any inner step, in torch's layouts; it normalises with its input's
        own statistics, or with the running ones of the run."""
        trained = Trained.load(self.folder, checkpoint)
        return as_module(trained.learner.network, trained.parameters, running=True)

    def adapt(
        self,
        images: Images,
        labels: Sequence[Hashable],
        *,
        steps: int | None = None,
        head: Head | None = None,
        checkpoint: Kind = "best",
        device: str = "cpu",
    ) -> AdaptedRun:
        """Learn from a few labelled images of classes that the run need never have seen.

        Args:
            images: the support set; see :data:`Images`.
            labels: the class of each image, in whatever type; classes are in the order in which
                they first come.
            steps: inner steps; None: as many as at the run's test.
            head: ``learned``, ``fresh`` or ``prototypes``; None: as the run was trained.

        Raises:
            DataError: a file cannot be read.
            UsageError: the run cannot be adapted to so many classes.
            DivergedError: after these steps the network's numbers are not finite.
        """
        trained = Trained.of_images(self.folder, checkpoint)
        network = trained.learner.network
        preparation = Preparation.of(
            self.profile.data, size=network.image_size, channels=network.channels
        )
        classes = tuple(dict.fromkeys(labels))
        label_of = {name: number for number, name in enumerate(classes)}
        numbers = [label_of[label] for label in labels]
        pictures = _pictures(images, preparation)
        inverted = False
        if isinstance(pictures, Tensor):
            support = pictures
        else:
            inverted = preparation.is_inverted(pictures)
            support = preparation.apply(pictures, inverted=inverted)
        adapted = adapt(
            trained,
            support,
            numbers,
            steps=steps,
            head=head,
            every_step=True,
            device=resolve_device(device),
        )
        return AdaptedRun(adapted, classes, preparation, inverted)


@dataclass(frozen=True)
class Predictions:
    """What an adapted run says of images."""

    classes: tuple[Hashable, ...]
    probabilities: NDArray[np.float64]
    """[images, classes]; the rows sum to 1."""

    @property
    def labels(self) -> list[Hashable]:
        """The likeliest class of each image."""
        return [self.classes[label] for label in self.probabilities.argmax(axis=1)]

    def accuracy(self, labels: Sequence[Hashable]) -> float:
        """The fraction of right answers, given what is right."""
        if len(labels) != len(self.probabilities) or not len(labels):
            raise UsageError(f"{len(labels)} labels for {len(self.probabilities)} images")
        return sum(map(bool, map(_equal, self.labels, labels))) / len(labels)


class AdaptedRun:
    """A run that has learned from a support set.

    Attributes:
        classes: in the order of the probabilities.
        steps: inner steps taken.
        support_accuracy: fraction of the support images that are answered right.
    """

    def __init__(
        self,
        adapted: Adapted,
        classes: tuple[Hashable, ...],
        preparation: Preparation,
        inverted: bool,
    ) -> None:
        self.classes = classes
        self.steps = adapted.steps[-1]
        self.support_accuracy = adapted.support_accuracy
        self._adapted = adapted
        self._preparation = preparation
        self._inverted = inverted

    def predict(
        self, images: Images, *, step: int | None = None, transductive: bool = False
    ) -> Predictions:
        """The probability of each class for each image.

        Args:
            images: see :data:`Images`; prepared as the support set was.
            step: after so many of the inner steps taken; None: after all.
            transductive: normalise the images with their own statistics, all together; otherwise
                none is seen in the light of another.

        Raises:
            DataError: a file cannot be read.
            UsageError: images of another shape, or steps that were not taken.
        """
        pictures = _pictures(images, self._preparation)
        if not isinstance(pictures, Tensor):
            pictures = self._preparation.apply(pictures, inverted=self._inverted)
        probabilities = self._adapted.predict(pictures, step=step, transductive=transductive)
        return Predictions(self.classes, probabilities.numpy())

    def module(self, *, step: int | None = None, transductive: bool = False) -> nn.Module:
        """The adapted network in torch's layouts: logits [images, classes] of prepared images."""
        return self._adapted.module(step=step, transductive=transductive)

    def export_onnx(self, path: StrPath, *, step: int | None = None) -> Path:
        """Write the adapted network as an ONNX file: ``images`` in, ``logits`` out, any number.

        It needs ``pip install 'mamltui[onnx]'``.

        Raises:
            UsageError: what it needs is not installed, or the file cannot be written.
        """
        try:
            for needed in ("onnx", "onnxscript"):
                import_module(needed)
        except ImportError as error:
            raise UsageError(
                f"{error.name} is not installed, which writes ONNX files",
                hint="pip install 'mamltui[onnx]'",
            ) from error
        network = self._adapted.network
        example = torch.zeros(2, network.channels, network.image_size, network.image_size)
        target = Path(path)
        program = torch.onnx.export(
            self.module(step=step),
            (example,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("count")},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        try:
            program.save(str(target))
        except OSError as error:
            raise UsageError(
                f"cannot be written: {error.strerror or error}", where=str(target)
            ) from error
        return target


class _Reader:
    """Follows an experiment on a display, and passes its events on."""

    def __init__(self, display: Display, events: Callable[[Event], None] | None) -> None:
        self.evaluating = display.evaluating
        self.evaluated = display.evaluated
        self._display, self._events = display, events

    def show(self, event: Event) -> None:
        self._display.show(event)
        if self._events is not None:
            self._events(event)


def _pictures(images: Images, preparation: Preparation) -> list[Pixels] | Tensor:
    """What is still to be prepared; or a tensor, that is prepared."""
    if isinstance(images, Tensor):
        images = images.detach().cpu().numpy()
    if isinstance(images, np.ndarray):
        if images.dtype.kind == "f":
            return torch.from_numpy(np.ascontiguousarray(images, np.float32))
        if images.dtype == np.uint8 and (images.ndim == 3 or images.shape[3:] == (3,)):
            how = {"resize": preparation.resize, "fit": preparation.fit}
            read = [picture_of(each, size=preparation.size, **how) for each in images]
            return [picture.pixels for picture in read]
        raise UsageError(
            f"an array of {images.dtype} {list(images.shape)} holds no images",
            hint="uint8 [images, height, width] or [images, height, width, 3], or floating point "
            "[images, channels, size, size] from 0 to 1.",
        )
    if isinstance(images, str | PathLike):
        raise UsageError("several images are needed", hint=f"One alone: [{str(images)!r}]")
    files = [Path(image) for image in images]
    read = read_pictures(
        None, files, preparation.resize, preparation.size, lambda _: None, fit=preparation.fit
    )
    return [picture.pixels for picture in read]


def _path(given: StrPath | None) -> Path | None:
    return None if given is None else Path(given)


def _to_stderr(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _equal(left: object, right: object) -> bool:
    return bool(left == right)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(text: str) -> Cell:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
