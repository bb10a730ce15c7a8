"""The engine of a distributed training, and what its helpers do: see :mod:`mamltui.maml.ranks`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mamltui.errors import DeviceError, MamltuiError
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import Scores
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.memory import memory_error
from mamltui.maml.parameters import Network, Parameters
from mamltui.maml.ranks import Ranks, RanksError


@dataclass(frozen=True)
class _Make:
    """Make an engine."""

    network: Network
    inner: InnerLoop
    device: str
    strategy: str
    options: dict[str, Any]


@dataclass(frozen=True)
class _Differentiate:
    """The gradients of tasks; the parameters and the tasks are with it."""

    names: tuple[str, ...]
    inner: InnerLoop


@dataclass(frozen=True)
class _Score:
    """The scores of tasks; the parameters and the tasks are with it."""

    names: tuple[str, ...]
    steps: int
    support_statistics: bool


@dataclass(frozen=True)
class _Gradients:
    """Those of some tasks; losses, accuracies, gradients and drifts are with it."""

    names: tuple[str, ...]
    drifting: tuple[str, ...]


@dataclass(frozen=True)
class _Done:
    """A request has been met, or could not be."""

    error: MamltuiError | None = None
    notices: tuple[str, ...] = ()
    signal: str | None = None
    """Of a stop that the helper was asked for."""


@dataclass(frozen=True)
class _End:
    """There is no more to do."""


class SharedEngine(Engine):
    """An engine that shares out the tasks of each call among the processes of a training.

    It is the one of rank 0, and like any other :class:`Engine` else.

    Raises:
        RanksError: as its methods: a process is gone, or could not do what was asked of it.
    """

    def __init__(
        self,
        ranks: Ranks,
        network: Network,
        inner: InnerLoop,
        *,
        device: torch.device,
        precision: str = "fp32",
        task_chunk: int = 0,
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> None:
        alike: dict[str, Any] = {"precision": precision, "task_chunk": task_chunk, "dtype": dtype}
        super().__init__(network, inner, device=device, **alike, **options)
        self._ranks, self._device, self._asked = ranks, device, list[int]()
        for rank in ranks.helpers:
            self._ask(rank, _Make(network, inner, device.type, self.strategy, alike))
        self._drop_replies()

    def task_gradients(
        self,
        parameters: Parameters,
        episodes: Episodes,
        use: Callable[[MetaGradient], None],
        *,
        inner: InnerLoop | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        request = _Differentiate(tuple(parameters), inner or self.inner)
        own = self._share_out(request, parameters, episodes)
        with self._dropping_replies():
            if own.tasks:
                super().task_gradients(parameters, own, use, inner=inner, should_stop=should_stop)
        for part, (losses, accuracies, *tensors) in self._replies():
            gradient = dict(zip(part.names, tensors, strict=False))
            drift = dict(zip(part.drifting, tensors[len(gradient) :], strict=True))
            use(MetaGradient(gradient, drift, losses, accuracies))

    def score(
        self,
        parameters: Parameters,
        episodes: Episodes,
        *,
        steps: int,
        support_statistics: bool = True,
        should_stop: Callable[[], bool] | None = None,
    ) -> Scores:
        request = _Score(tuple(parameters), steps, support_statistics)
        own = self._share_out(request, parameters, episodes)
        parts = []
        with self._dropping_replies():
            if own.tasks:
                scores = super().score(
                    parameters,
                    own,
                    steps=steps,
                    support_statistics=support_statistics,
                    should_stop=should_stop,
                )
                parts.append(scores)
        return Scores.joined([*parts, *(scores_of_rank for scores_of_rank, _ in self._replies())])

    def tasks_at_once(self, episodes: Episodes) -> int:
        return self._ranks.size * super().tasks_at_once(episodes)

    def _share_out(self, request: object, parameters: Parameters, episodes: Episodes) -> Episodes:
        """Ask the helpers for their part; the tasks that are left to this process."""
        shares = self._ranks.shares(episodes.tasks)
        parts = [Episodes(*(tensor[share] for tensor in episodes)) for share in shares]
        for rank in self._ranks.helpers:
            if parts[rank].tasks:
                self._ask(rank, request, [*parameters.values(), *parts[rank]])
        return parts[0]

    def _ask(self, rank: int, request: object, tensors: Sequence[Tensor] = ()) -> None:
        self._ranks.send(rank, request, tensors)
        self._asked.append(rank)

    def _replies(self) -> Iterator[tuple[Any, list[Tensor]]]:
        """What the helpers send that were asked, in the order of ranks; to be read to its end.

        Raises:
            MamltuiError: what a helper met, after all of them have come to an end.
        """
        errors: list[MamltuiError] = []
        while self._asked:
            rank = self._asked[0]
            content, tensors = self._ranks.receive(rank, self._device)
            if not isinstance(content, _Done):
                yield content, tensors
                continue
            self._ranks.wait(rank)
            self._asked.pop(0)
            for notice in content.notices:
                self._say(f"{notice} (rank {rank})")
            if content.signal is not None:
                self._ranks.on_stop(content.signal, self._ranks.name(rank))
            if content.error is not None:
                errors.append(content.error)
        if errors:
            raise errors[0]

    @contextmanager
    def _dropping_replies(self) -> Iterator[None]:
        """Where a call ends by an error, so that the next one's replies are its own.

        Raises:
            MamltuiError: what a helper met.
        """
        try:
            yield
        except Exception:
            self._drop_replies()
            raise

    def _drop_replies(self) -> None:
        for _ in self._replies():
            pass


def help_out(ranks: Ranks, signals: Sequence[str]) -> None:
    """What all processes but that of rank 0 do: meet its requests until it ends.

    Args:
        signals: names of the signals that this process was sent, which grows meanwhile: rank 0 is
            told of the first, and ends the training.

    Raises:
        RanksError: the process of rank 0 is gone.
    """
    engine: Engine | None = None
    device = torch.device("cpu")
    notices: list[str] = []
    while True:
        request, tensors = ranks.receive(0, device)
        if isinstance(request, _End):
            return
        error = None
        try:
            if isinstance(request, _Make):
                device = _device(request.device)
                engine = Engine(
                    request.network,
                    request.inner,
                    device=device,
                    strategy=request.strategy,
                    say=notices.append,
                    **request.options,
                )
            else:
                assert engine is not None
                _compute(ranks, engine, request, tensors)
        except RanksError:
            raise
        except MamltuiError as met:
            error = met
        except Exception as met:  # rank 0 has to know, and ends all
            error = _explained(met, ranks.rank)
        ranks.send(0, _Done(error, tuple(notices), next(iter(signals), None)))
        ranks.wait(0)
        notices.clear()


def end_helpers(ranks: Ranks) -> None:
    """Let the helpers end, from rank 0; those that are gone have ended."""
    for rank in ranks.helpers:
        with suppress(RanksError):
            ranks.send(rank, _End())
            ranks.wait(rank)
    ranks.leave()


def _compute(
    ranks: Ranks, engine: Engine, request: _Differentiate | _Score, tensors: Sequence[Tensor]
) -> None:
    """Send what is asked for."""
    count = len(request.names)
    parameters = dict(zip(request.names, tensors[:count], strict=True))
    episodes = Episodes(*tensors[count:])
    if isinstance(request, _Score):
        scores = engine.score(
            parameters,
            episodes,
            steps=request.steps,
            support_statistics=request.support_statistics,
        )
        ranks.send(0, scores)
        return

    def send(gradients: MetaGradient) -> None:
        gradient, drift, losses, accuracies = gradients
        tensors = [losses, accuracies, *gradient.values(), *drift.values()]
        ranks.send(0, _Gradients(tuple(gradient), tuple(drift)), tensors)

    engine.task_gradients(parameters, episodes, send, inner=request.inner)


def _device(kind: str) -> torch.device:
    """Each process of a machine has a GPU of its own.

    Raises:
        DeviceError: there are not so many.
    """
    if kind == "cpu":
        return torch.device(kind)
    index = int(os.environ.get("LOCAL_RANK") or 0)
    there = torch.cuda.device_count()
    if index >= there:
        raise DeviceError(
            f"{socket.gethostname()} has {there} CUDA devices, and process {index + 1} there has "
            "none of its own",
            hint="Start as many processes as there are GPUs: torchrun --nproc-per-node gpu",
        )
    torch.cuda.set_device(index)
    return torch.device(kind, index)


def _explained(error: Exception, rank: int) -> MamltuiError:
    explained = memory_error(error, "take fewer processes on its machine")
    if explained is not None:
        return DeviceError(f"rank {rank}: {explained.what}", hint=explained.hint)
    return RanksError(f"rank {rank} failed: {type(error).__name__}: {error}")
