"""One training on several processes, as ``torchrun`` starts them: its tasks are shared out.

The process of rank 0 trains as one process alone would. All others, the helpers, know no profile,
no data and no run folder: they compute what they are sent. A meta-iteration goes

    rank 0                              rank r
    parameters, its tasks        ---->  the gradient of each of these tasks
    adds task after task         <----  in the order of the tasks

so the sum is rounded as it is in one process, and on CPUs no bit depends on the number of
processes. On GPUs a rank sends the sum over its tasks, as one GPU adds them. Scores of validation
and test are shared out alike. A helper has no state: a run may go on with another number of
processes.

Messages go from point to point by ``torch.distributed``: gloo between CPUs, NCCL between GPUs.
What is sent and asked for is in :mod:`mamltui.maml.shared_engine`.
"""

from __future__ import annotations

import itertools
import os
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mamltui.errors import ExitCode, MamltuiError
from mamltui.identity import Identity

PATIENCE = timedelta(days=30)
"""A helper waits for its next tasks while rank 0 compiles, validates or waits for a disk."""
UNDERWAY_BYTES = 256 * 2**20
"""Of what is sent and has not arrived: more waits."""


class RanksError(MamltuiError):
    """The processes of a distributed training do not go together, or one has gone."""


class UnfitRanksError(RanksError):
    """They could never train together."""

    exit_code = ExitCode.UNAVAILABLE


class Ranks:
    """All processes of this training, seen from one of them.

    Raises:
        UnfitRanksError: they cannot reach each other, or do not go together: all of them raise it.
    """

    def __init__(self) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            dist.init_process_group(backend, timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise UnfitRanksError(
                f"the processes of this training cannot reach each other: {_first_line(error)}",
                where=f"rank {os.environ.get('RANK')}",
                hint="torchrun sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for each.",
            ) from error
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.on_stop: Callable[[str, str], None] = lambda _signal, _rank: None
        """On rank 0: told the name of a signal that a helper was sent, and the helper's name."""
        self._identities = {self.rank: Identity.here()}
        self._underway: defaultdict[int, list[tuple[Tensor, Any]]] = defaultdict(list)
        try:
            self._compare()
        except RanksError:
            self.leave()
            raise

    @property
    def helpers(self) -> range:
        """All ranks but 0."""
        return range(1, self.size)

    def name(self, rank: int) -> str:
        """Of a rank, for people."""
        known = self._identities.get(rank)
        return f"rank {rank}" + (f" ({known.host}, process {known.process})" if known else "")

    def shares(self, tasks: int) -> list[slice]:
        """The tasks of each rank, in order; as equal as can be, and rank 0 has no more than others.

        >>> Ranks.shares.__get__(type("Two", (), {"size": 2})())(5)
        [slice(0, 2, None), slice(2, 5, None)]
        """
        bounds = [tasks * rank // self.size for rank in range(self.size + 1)]
        return [slice(*pair) for pair in itertools.pairwise(bounds)]

    def send(self, rank: int, content: object, tensors: Sequence[Tensor] = ()) -> None:
        """Send without waiting for the other side, unless much is underway to it.

        Raises:
            RanksError: the process is gone; as all below.
        """
        whole = [tensor.contiguous() for tensor in tensors]
        described = [(tuple(tensor.shape), tensor.dtype, tensor.is_cuda) for tensor in whole]
        head = torch.frombuffer(bytearray(pickle.dumps((content, described))), dtype=torch.uint8)
        length = torch.tensor([head.numel()])
        underway = self._underway[rank]
        if sum(tensor.nbytes for tensor, _ in underway) > UNDERWAY_BYTES:
            self.wait(rank)
        with self._reaching(rank):
            for tensor in (length, head, *whole):
                if tensor.numel():
                    underway.append((tensor, dist.isend(tensor, rank)))

    def receive(self, rank: int, device: torch.device | None = None) -> tuple[Any, list[Tensor]]:
        """What ``rank`` sends next; tensors of a GPU arrive on ``device``."""
        with self._reaching(rank):
            length = torch.zeros(1, dtype=torch.int64)
            dist.recv(length, rank)
            head = torch.empty(int(length), dtype=torch.uint8)
            dist.recv(head, rank)
            content, described = pickle.loads(head.numpy().tobytes())
            tensors = []
            for shape, dtype, is_cuda in described:
                tensor = torch.empty(shape, dtype=dtype, device=device if is_cuda else "cpu")
                if tensor.numel():
                    dist.recv(tensor, rank)
                tensors.append(tensor)
        return content, tensors

    def wait(self, rank: int) -> None:
        """Until all that was sent to ``rank`` has arrived."""
        with self._reaching(rank):
            for _, work in self._underway[rank]:
                work.wait()
        self._underway[rank].clear()

    def leave(self) -> None:
        """Take leave of the others; nothing can be sent or received after it."""
        with suppress(RuntimeError):
            dist.destroy_process_group()

    def _compare(self) -> None:
        mine = self._identities[self.rank]
        if self.rank:
            self.send(0, mine)
            verdict, _ = self.receive(0)
        else:
            self._identities |= {rank: self.receive(rank)[0] for rank in self.helpers}
            differences = (mine.difference(self._identities[rank]) for rank in self.helpers)
            verdict = next(filter(None, differences), None)
            for rank in self.helpers:
                self.send(rank, verdict)
                self.wait(rank)
        if verdict is not None:
            raise UnfitRanksError(
                f"the processes of this training differ: {verdict}",
                hint="Install the same versions everywhere.",
            )

    @contextmanager
    def _reaching(self, rank: int) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise RanksError(f"{self.name(rank)} is gone: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
