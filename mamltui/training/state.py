"""What changes from one meta-iteration to the next: all that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam

from mamltui.maml.network import NetworkSpec, Parameters
from mamltui.runs import AdamState, Best, Checkpoint

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass
class TrainingState:
    """A training between two meta-iterations, on its device."""

    network: NetworkSpec
    learning_rate: float
    parameters: Parameters
    exp_avg: Parameters
    """Adam's first moments."""
    exp_avg_sq: Parameters
    """Adam's second moments."""
    steps: list[Tensor]
    """Adam's own count of its steps, one for each parameter as torch wants it, on the device."""
    iteration: int = 0
    """Meta-iterations done."""
    validated: int = 0
    """The last validation's iteration; 0: none yet."""
    best: Best | None = None

    @classmethod
    def fresh(
        cls, network: NetworkSpec, seed: int, learning_rate: float, device: torch.device
    ) -> TrainingState:
        """Before the first meta-iteration."""
        parameters = network.initial_parameters(seed)
        zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
        start = Checkpoint(0, parameters, AdamState(0, zeros, zeros), network)
        return cls.restored(start, learning_rate, device)

    @classmethod
    def restored(
        cls, checkpoint: Checkpoint, learning_rate: float, device: torch.device
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
            assert checkpoint.best_accuracy is not None
            assert checkpoint.best_loss is not None
            best = Best(
                iteration=checkpoint.best_iteration,
                accuracy=checkpoint.best_accuracy,
                loss=checkpoint.best_loss,
            )
        return cls(
            network=checkpoint.network,
            learning_rate=learning_rate,
            parameters=placed(checkpoint.parameters),
            exp_avg=placed(adam_state.exp_avg),
            exp_avg_sq=placed(adam_state.exp_avg_sq),
            # Where torch's Adam wants them: on CUDA the whole update stays there.
            steps=[
                torch.tensor(float(adam_state.step), device=device) for _ in checkpoint.parameters
            ],
            iteration=checkpoint.iteration,
            validated=checkpoint.validated,
            best=best,
        )

    @property
    def tensors(self) -> list[Tensor]:
        """All that an update changes."""
        groups = (self.parameters, self.exp_avg, self.exp_avg_sq)
        return [value for group in groups for value in group.values()] + self.steps

    def apply(self, gradient: Mapping[str, Tensor], *, unless: Tensor) -> None:
        """One meta-iteration: ``update``, and count it."""
        self.update(gradient, unless=unless)
        self.iteration += 1

    def update(self, gradient: Mapping[str, Tensor], *, unless: Tensor) -> None:
        """One step of ``torch.optim.Adam`` with its default settings, in place.

        Through torch's function, for its class imports torch's compiler, which takes two seconds.
        On CUDA it is torch's fused kernel, which nothing waits for: it can be captured.

        Args:
            unless: bool [] on the device; where it is true, nothing is changed.
        """
        names = list(self.parameters)
        is_cuda = unless.is_cuda
        if not is_cuda and bool(unless):
            return
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
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def checkpoint(self, elapsed: float) -> Checkpoint:
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
            elapsed=elapsed,
        )

    def is_finite(self) -> bool:
        """Whether a checkpoint of this can be gone on from."""
        groups = (self.parameters, self.exp_avg, self.exp_avg_sq)
        finite = [value.isfinite().all() for group in groups for value in group.values()]
        return bool(torch.stack(finite).all())
