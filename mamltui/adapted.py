"""A trained run put to use: adapted once to a few images of one's own, it answers for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mamltui.errors import DivergedError, UsageError
from mamltui.learner import Head, importable, inner_loop_of, with_way
from mamltui.maml.episode import Episodes
from mamltui.maml.learner import Learner
from mamltui.maml.memory import memory_explained
from mamltui.maml.module import as_module
from mamltui.maml.outer import adapted_step_by_step, usual_backend
from mamltui.maml.parameters import Network, NormStatistics, Parameters, at_step
from mamltui.maml.precision import exact_products
from mamltui.measures import counted
from mamltui.runs import RunFolder

Kind = Literal["best", "last"]
"""Of the checkpoints: the best by validation, or the last."""
_AT_ONCE = 256
"""Query images; answers do not depend on it but for rounding."""
_FEWER_IMAGES = "give fewer images, or use --device cpu"


@dataclass(frozen=True)
class Trained:
    """What a run has learned, ready to be adapted."""

    learner: Learner
    parameters: Parameters
    iteration: int
    """Meta-iterations behind it."""
    test_steps: int
    """Inner steps at test, as the profile has them."""

    @classmethod
    def load(cls, run: RunFolder, checkpoint: Kind = "best") -> Trained:
        """Of a checkpoint of ``run``; its data are not needed.

        Raises:
            RunError: the run cannot be read.
            CheckpointError: the checkpoint is missing or damaged.
            UsageError: its network is a module that cannot be imported here.
        """
        inner = inner_loop_of(run.profile)
        network = importable(run.profile, run.load_checkpoint(checkpoint).network)
        loaded = run.load_checkpoint(checkpoint, Learner(network, inner))
        steps = run.profile.inner.test_steps
        return cls(Learner(network, inner), loaded.parameters, loaded.iteration, steps)

    @classmethod
    def of_images(cls, run: RunFolder, checkpoint: Kind = "best") -> Trained:
        """The same of a run that can be adapted to classes of images.

        Raises:
            RunError: the run cannot be read.
            CheckpointError: the checkpoint is missing or damaged.
            UsageError: it fits numbers, or its network cannot be imported here.
        """
        if run.profile.is_regression:
            raise UsageError(
                f"run {run.name} fits sine waves, and classifies no images",
                hint="Take a run whose data.set is another than sinusoid.",
            )
        return cls.load(run, checkpoint)


@dataclass(frozen=True)
class _State:
    """After some number of inner steps."""

    values: Parameters
    statistics: list[NormStatistics]
    """Of the support set."""


class Adapted:
    """A network that has learned from a support set.

    Attributes:
        network: with as many ways as the support set has classes.
        steps: the inner steps that answers are kept for, the last of them the usual one.
        support_accuracy: fraction of the support images answered right after the last step.
    """

    def __init__(self, network: Network, states: dict[int, _State], accuracy: float) -> None:
        self.network = network
        self.steps = tuple(states)
        self.support_accuracy = accuracy
        self._states = states

    @property
    def statistics(self) -> str:
        """What :meth:`predict` normalises with by default, in words."""
        if not self.network.normalises_by_batch:
            return "no statistics of other images"
        if self.network.running_steps:
            return "running statistics"
        return "support statistics"

    def predict(
        self, images: Tensor, *, step: int | None = None, transductive: bool = False
    ) -> Tensor:
        """The probability of each class for each image: [images, way] float64 on the CPU.

        Args:
            images: [images, channels, size, size] floating point, ink 1 and paper 0.
            step: after so many inner steps, one of ``steps``; None: after the last.
            transductive: normalise the images with their own statistics, all together, as the MAML
                paper's test does. Otherwise no image is seen in the light of another.

        Raises:
            UsageError: images of another size, or of a step that was not kept.
        """
        _check_images(images, self.network)
        step = self.steps[-1] if step is None else step
        state = self._state(step)
        if not len(images):
            return torch.empty(0, self.network.way, dtype=torch.float64)
        device = next(iter(state.values.values())).device
        parts = [images] if transductive else torch.split(images, _AT_ONCE)
        probabilities = [
            self._probabilities(part.to(device), state, step, transductive) for part in parts
        ]
        return torch.cat(probabilities)

    def module(self, *, step: int | None = None, transductive: bool = False) -> nn.Module:
        """The same answers as a module of standard layers, which gives logits [images, way].

        Raises:
            UsageError: nothing was kept of this step.
        """
        step = self.steps[-1] if step is None else step
        state = self._state(step)
        running = self.network.running_steps > 0 and not transductive
        own = transductive or running
        return as_module(
            self.network,
            state.values,
            step=step,
            statistics=() if own else state.statistics,
            running=running,
        )

    def _state(self, step: int) -> _State:
        if step not in self._states:
            raise UsageError(f"nothing is kept of step {step}, only of {self.steps}")
        return self._states[step]

    def _probabilities(
        self, images: Tensor, state: _State, step: int, transductive: bool
    ) -> Tensor:
        running = self.network.running_steps > 0 and not transductive
        own = transductive or running or not self.network.normalises_by_batch
        with torch.no_grad(), exact_products(images.device), memory_explained(_FEWER_IMAGES):
            tape = usual_backend(self.network, images[None].float()).forward(
                at_step(self.network, state.values, step),
                running=running,
                statistics=None if own else state.statistics,
            )
            logits: Tensor = tape.logits
            return logits[0].double().softmax(dim=1).cpu()


def adapt(
    trained: Trained,
    support_x: Tensor,
    labels: Sequence[int],
    *,
    steps: int | None = None,
    head: Head | None = None,
    every_step: bool = False,
    device: torch.device | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Adapted:
    """Adapt to a support set of any size; classes may have unequally many images.

    Args:
        support_x: [images, channels, size, size] floating point, ink 1 and paper 0.
        labels: 0 .. way - 1, one an image; every class has at least one.
        steps: inner steps; None: as many as at the run's test, or none from a prototype head that
            was not trained so.
        head: where the classifier starts, as of :func:`~mamltui.learner.with_way`.
        every_step: keep the answers of every number of steps, not the last alone.
        should_stop: asked before each inner step.

    Raises:
        UsageError: another number of classes than the learned head has, or no support set.
        DivergedError: after these steps the network's numbers are not finite.
        DeviceError: the device is out of memory.
        Interrupted: ``should_stop`` said so.
    """
    way = len(set(labels))
    if way < 2 or set(labels) != set(range(way)) or len(labels) != len(support_x):
        raise UsageError(f"labels 0 to {max(way - 1, 1)} are needed, one an image, each given once")
    _check_images(support_x, trained.learner.network)
    if head == "refined":
        raise UsageError(
            "class means are refined with all query images of a task at once, in evaluations alone",
            where="--head refined",
        )
    learner, parameters = with_way(trained.learner, trained.parameters, way, head)
    if steps is None:
        is_as_trained = learner.network.prototypes == trained.learner.network.prototypes
        steps = trained.test_steps if is_as_trained else 0
    device = device or torch.device("cpu")
    support = support_x[None].float().to(device)
    label = torch.tensor([list(labels)], device=device)
    episodes = Episodes(support, label, support[:, :1], label[:, :1])
    parameters = {name: value.to(device) for name, value in parameters.items()}
    network, inner = learner.network, learner.inner
    states: dict[int, _State] = {}
    accuracy = 0.0
    with exact_products(device), memory_explained(_FEWER_IMAGES):
        passes = adapted_step_by_step(
            network, inner, parameters, episodes, steps, should_stop=should_stop
        )
        for step, adapted in enumerate(passes):
            if every_step or step == steps:
                states[step] = _State(adapted.parameters, adapted.support.statistics)
            if step == steps:
                logits = adapted.support.logits
                if not bool(logits.isfinite().all()):
                    raise DivergedError(
                        f"after {counted(steps, 'inner step')} the network's numbers are not "
                        "finite",
                        hint="Take fewer steps: --steps N.",
                    )
                accuracy = (logits.argmax(dim=2) == label).double().mean().item()
    return Adapted(network, states, accuracy)


def _check_images(images: Tensor, network: Network) -> None:
    wanted = (network.channels, network.image_size, network.image_size)
    if images.dim() != 4 or tuple(images.shape[1:]) != wanted:
        raise UsageError(
            f"images of {list(images.shape)} are not [images, {', '.join(map(str, wanted))}], "
            "which is what the network sees"
        )
