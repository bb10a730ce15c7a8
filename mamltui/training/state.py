"""What changes from one meta-iteration to the next: all that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam

from mamltui.maml.learner import Learner
from mamltui.maml.parameters import Network, Parameters
from mamltui.profiles import MetaSection
from mamltui.runs import AdamState, Best, Checkpoint
from mamltui.training.clipping import clipped
from mamltui.training.clock import Seconds
from mamltui.training.schedule import is_constant, learning_rate

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
TRACKING_RATE = 0.1
"""Part of the way that running statistics go to a batch's own: 1 - the momentum of 0.9."""


@dataclass
class TrainingState:
    """A training between two meta-iterations, on its device."""

    network: Network
    meta: MetaSection
    """How it is trained."""
    parameters: Parameters
    exp_avg: Parameters
    """Adam's first moments; zeros without Adam, and of what is not learned."""
    exp_avg_sq: Parameters
    """Adam's second moments, likewise."""
    steps: list[Tensor]
    """Adam's own count of its steps, on the device: one for each that is learned, for torch."""
    rate: Tensor | None = None
    """Where a graph finds the learning rate of the next update; None: no graph needs it, for the
    rate is constant or the device a CPU."""
    iteration: int = 0
    """Meta-iterations done."""
    validated: int = 0
    """The last validation's iteration; 0: none yet."""
    best: Best | None = None
    kept: tuple[Best, ...] = ()
    """Of the checkpoints kept for an ensemble, the best first."""

    @classmethod
    def fresh(
        cls,
        learner: Learner,
        meta: MetaSection,
        device: torch.device,
        given: Parameters | None = None,
    ) -> TrainingState:
        """Before the first meta-iteration; parameters that are not ``given`` are random."""
        parameters = learner.initial_parameters(meta.seed) | (given or {})
        zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
        start = Checkpoint(0, parameters, AdamState(0, zeros, zeros), learner.network)
        return cls.restored(start, meta, device)

    @classmethod
    def restored(
        cls, checkpoint: Checkpoint, meta: MetaSection, device: torch.device
    ) -> TrainingState:
        """As it was when the checkpoint was made."""

        def placed(tensors: Parameters) -> Parameters:
            contiguous = torch.contiguous_format
            return {
                name: tensor.to(device, copy=True, memory_format=contiguous)
                for name, tensor in tensors.items()
            }

        adam_state = checkpoint.adam
        best = None
        if checkpoint.best_iteration is not None:
            assert checkpoint.best_loss is not None
            best = Best(
                iteration=checkpoint.best_iteration,
                accuracy=checkpoint.best_accuracy,
                loss=checkpoint.best_loss,
            )
        return cls(
            network=checkpoint.network,
            meta=meta,
            parameters=placed(checkpoint.parameters),
            exp_avg=placed(adam_state.exp_avg),
            exp_avg_sq=placed(adam_state.exp_avg_sq),
            # Where torch's Adam wants them: on CUDA the whole update stays there.
            steps=[
                torch.tensor(float(adam_state.step), device=device)
                for name in checkpoint.parameters
                if name not in checkpoint.network.tracked()
            ],
            rate=None
            if device.type == "cpu" or is_constant(meta)
            else torch.zeros((), device=device),
            iteration=checkpoint.iteration,
            validated=checkpoint.validated,
            best=best,
            kept=checkpoint.kept,
        )

    @property
    def tensors(self) -> list[Tensor]:
        """All that an update changes."""
        groups = (self.parameters, self.exp_avg, self.exp_avg_sq)
        return [value for group in groups for value in group.values()] + self.steps

    def apply(
        self, gradient: Mapping[str, Tensor], drift: Mapping[str, Tensor], *, unless: Tensor
    ) -> None:
        """One meta-iteration: ``update``, and count it."""
        self.place_rate()
        self.update(gradient, drift, unless=unless)
        self.iteration += 1

    def place_rate(self) -> None:
        """Put the learning rate where ``update`` looks for it; captured, it would stay the same."""
        if self.rate is not None:
            self.rate.fill_(learning_rate(self.meta, self.iteration))

    def update(
        self, gradient: Mapping[str, Tensor], drift: Mapping[str, Tensor], *, unless: Tensor
    ) -> None:
        """One step of the outer optimizer in place, after ``place_rate``.

        In this order: the gradient is clipped, by value and then by norm; kernels and head decay by
        themselves (AdamW: Loshchilov and Hutter 2019, Algorithm 2); the step follows. Running
        statistics go their own way. On CUDA nothing here waits for it: it can be captured.

        Args:
            gradient: for each learned parameter.
            drift: running statistics less what was observed.
            unless: bool [] on the device; where it is true, nothing is changed.
        """
        if not unless.is_cuda and bool(unless):
            return
        meta = self.meta
        rate = learning_rate(meta, self.iteration) if self.rate is None else self.rate
        learned = clipped(gradient, value=meta.clip_value, norm=meta.clip_norm)
        if meta.weight_decay:
            for name in filter(self._is_decayed, learned):
                self._replace(name, self.parameters[name] * (1 - rate * meta.weight_decay), unless)
        if meta.optimizer == "adam":
            self._adam(learned, rate, unless)
        else:
            for name, part in learned.items():
                self._replace(name, self.parameters[name] - rate * part, unless)
        for name, part in drift.items():
            self._replace(name, self.parameters[name] - TRACKING_RATE * part, unless)

    def _replace(self, name: str, value: Tensor, unless: Tensor) -> None:
        parameter = self.parameters[name]
        parameter.copy_(torch.where(unless, parameter, value))

    def _adam(self, gradient: Parameters, rate: float | Tensor, unless: Tensor) -> None:
        """``torch.optim.Adam`` with its default settings.

        Through torch's function, for its class imports torch's compiler, which takes two seconds.
        On CUDA it is torch's fused kernel.
        """
        names = [name for name in self.parameters if name in gradient]
        is_cuda = unless.is_cuda
        adam(
            [self.parameters[name] for name in names],
            [gradient[name] for name in names],
            [self.exp_avg[name] for name in names],
            [self.exp_avg_sq[name] for name in names],
            [],
            self.steps,
            fused=is_cuda,
            # What mixed precision calls an infinite gradient is a gradient to be left out.
            found_inf=unless.to(torch.float32) if is_cuda else None,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def checkpoint(self, seconds: Seconds) -> Checkpoint:
        """A view of the state, to be written before the next step changes it."""
        return Checkpoint(
            iteration=self.iteration,
            parameters=self.parameters,
            adam=AdamState(int(self.steps[0]), self.exp_avg, self.exp_avg_sq),
            network=self.network,
            validated=self.validated,
            best_iteration=self.best.iteration if self.best else None,
            best_accuracy=self.best.accuracy if self.best else None,
            best_loss=self.best.loss if self.best else None,
            kept=self.kept,
            elapsed=seconds.elapsed,
            processor_seconds=seconds.processor,
        )

    def is_finite(self) -> bool:
        """Whether a checkpoint of this can be gone on from."""
        groups = (self.parameters, self.exp_avg, self.exp_avg_sq)
        finite = [value.isfinite().all() for group in groups for value in group.values()]
        return bool(torch.stack(finite).all())

    def _is_decayed(self, name: str) -> bool:
        """Whether weight decay pulls at a parameter of the network; at no learned rate."""
        spec = self.network.parameters.get(name)
        return spec is not None and spec.is_decayed
