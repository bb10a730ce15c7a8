"""A study's workers on a Ray cluster, https://www.ray.io: each holds the cores and the part of a
GPU that it needs, on whichever node has them. Ray itself is imported when it is asked for.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from mamltui.errors import ExecutorError, ExitCode, MamltuiError, UsageError
from mamltui.processors import usable_processors
from mamltui.profiles import Profile
from mamltui.studies.executors.carrying import Carrier
from mamltui.studies.executors.executor import (
    KILLED,
    Assignment,
    Job,
    Wanted,
    add_to_log,
    trainings_on_a_gpu,
)
from mamltui.studies.executors.node import Arrival, NodeWorker, Origin, Report, WorkerState, examine
from mamltui.text import last_line

LOCAL = "local"
ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Of Ray's own: the address where none is given."""
CONNECT_SECONDS = 5.0
EXAMINE_SECONDS = 900.0
"""A node may have to download the images."""
CARRY_SECONDS = 5.0
"""Between two fetches of what a worker wrote on a node that shares no folder."""
STORE_BYTES = 150 * 2**20
"""For what is under way in a cluster that is started here."""
_ADDRESS = re.compile(r"(?:ray://)?([^\s:/]+):(\d{1,5})|auto|local")


class RayExecutor:
    """The nodes of a Ray cluster.

    Args:
        wanted: without an address, a cluster is started on this machine, and ended with it.

    Raises:
        UsageError: no node will ever have what a worker needs.
        ExecutorError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.threads = wanted.threads or 1
        self._workers = wanted.workers
        share = wanted.gpu_share
        self._gpus = share if share is not None else float(wanted.device == "cuda")
        self._wanted = wanted
        self._origin: Origin | None = None
        self._ray = _connected(wanted.address or os.environ.get(ADDRESS_VARIABLE) or LOCAL)
        self._node_worker = self._ray.remote(NodeWorker)
        try:
            self._check_resources()
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> int:
        """As asked for; else as many as the nodes have room for now."""
        return self._workers or max(1, sum(map(self._room, self._nodes())))

    def options(self) -> list[str]:
        wanted = self._wanted
        return [
            *("--on", "ray"),
            *([] if wanted.address is None else ["--address", wanted.address]),
            *([] if wanted.node_dir is None else ["--node-dir", str(wanted.node_dir)]),
            *([] if wanted.gpu_share is None else ["--gpu-share", f"{wanted.gpu_share:g}"]),
        ]

    def prepare(self, study: Path, profiles: Sequence[Profile], data: Path | None) -> None:
        """Have every node look whether it could train the study.

        Raises:
            ExecutorError: one could not, or they have different images.
        """
        origin = Origin.here(study, self._wanted.node_dir)
        distinct = {(profile.data, profile.network.module): profile for profile in profiles}
        texts = [profile.to_toml() for profile in distinct.values()]
        reports = self._examined(origin, texts, data and data.absolute())
        problems = [
            f"{node}: {arrival.problem}" for node, (arrival, _) in reports if arrival.problem
        ]
        problems = problems or _different_images(texts, dict(reports))
        if problems:
            raise ExecutorError(
                "not all nodes could train this study",
                where="--on ray",
                hint="\n".join(problems),
            )
        self._origin = origin

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def start(self, assignment: Assignment, log: Path) -> Job:
        assert self._origin is not None, "it is prepared first"
        if not self._gpus:  # what others on the node have is not for it
            assignment = replace(assignment, device="cpu")
        actor = self._node_worker.options(num_cpus=assignment.threads, num_gpus=self._gpus).remote()
        return _RayJob(self._ray, actor, self._origin, assignment, log)

    def close(self) -> None:
        """Leave the cluster, and end it if it was started for this."""
        self._ray.shutdown()

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _room(self, node: Mapping[str, Any]) -> int:
        """How many workers it could hold."""
        has = node["Resources"]
        room = int(has.get("CPU", 0)) // self.threads
        if self._gpus:
            room = min(room, int(has.get("GPU", 0)) * trainings_on_a_gpu(self._gpus))
        return room

    def _check_resources(self) -> None:
        nodes = self._nodes()
        if not any(map(self._room, nodes)):
            needs = f"{self.threads} cores" if self.threads > 1 else "1 core"
            needs += f" and {self._gpus:g} GPU" if self._gpus else ""
            have = [
                f"{node['NodeManagerAddress']} has {node['Resources'].get('CPU', 0):g} cores and "
                f"{node['Resources'].get('GPU', 0):g} GPUs"
                for node in nodes
            ]
            raise UsageError(
                f"no node has what a training needs, {needs}",
                where="--on ray",
                hint="; ".join(have),
            )

    def _examined(
        self, origin: Origin, profiles: Sequence[str], data: Path | None
    ) -> list[tuple[str, Report]]:
        """What each node says of itself, by its name; those that leave meanwhile are left out."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(max_calls=1)(examine)
        asked = {}
        for node in filter(self._room, self._nodes()):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            on_node = task.options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            asked[on_node.remote(origin, profiles, data)] = name
        self._ray.wait(list(asked), num_returns=len(asked), timeout=EXAMINE_SECONDS)
        reports, errors = [], self._ray.exceptions
        for answer, name in asked.items():
            try:
                reports.append((name, self._ray.get(answer, timeout=1)))
            except (errors.NodeDiedError, errors.WorkerCrashedError):
                continue
            except errors.GetTimeoutError:
                problem = f"no answer in {EXAMINE_SECONDS:.0f} s"
                reports.append((name, (Arrival(name, False, problem), {})))
            except errors.RayError as error:
                reports.append((name, (Arrival(name, False, _in_a_line(error)), {})))
        if not reports:
            raise ExecutorError("all nodes have left the cluster", where="--on ray")
        return reports


class _RayJob:
    """A worker on a node: asked for, arrived, at work, over.

    Only :meth:`poll` talks to the cluster: a stop may come from a signal handler.
    """

    def __init__(
        self, ray: ModuleType, actor: Any, origin: Origin, assignment: Assignment, log: Path
    ) -> None:
        self.why = ""
        self._ray, self._actor = ray, actor
        self._assignment, self._log = assignment, log
        self._code: int | None = None
        self._host = "its node"
        self._carrier: Carrier | None = None
        self._is_at_work = self._is_told = False
        self._stops: bool | None = None
        """Whether at once; None: no stop was asked for."""
        self._carried = time.monotonic()
        self._answer = actor.arrive.remote(origin)

    def stop(self, *, at_once: bool = False) -> None:
        self._stops = at_once or bool(self._stops)

    def poll(self) -> int | None:
        if self._code is not None:
            return self._code
        errors = self._ray.exceptions
        try:
            if self._stops is not None:
                self._stop(self._stops)
            if self._code is None:
                self._follow()
        except errors.ActorUnavailableError:  # the network, for a moment
            self._answer = self._actor.look.remote(carry=True)
        except errors.RayActorError:
            self.why = f"{self._host} is gone"
            self._end(KILLED)
        except (errors.RayError, MamltuiError, OSError, ValueError) as error:
            add_to_log(self._log, _in_a_line(error))
            self._end(getattr(error, "exit_code", ExitCode.FAILURE))
        return self._code

    def _follow(self) -> None:
        ready, _ = self._ray.wait([self._answer], timeout=0)
        if not ready:
            return
        answer = self._ray.get(self._answer)
        if isinstance(answer, Arrival):
            self._host = answer.host
            if answer.problem:
                add_to_log(self._log, answer.problem)
                self._end(ExitCode.UNAVAILABLE)
                return
            if not answer.shares:
                self._carrier = Carrier(self._assignment, self._log)
            files = self._carrier.outgoing() if self._carrier else {}
            assignment, log = self._assignment, self._log.absolute()
            self._answer = self._actor.begin.remote(assignment, log, files)
            self._is_at_work = True
            return
        assert isinstance(answer, WorkerState)
        self._take(answer)

    def _take(self, state: WorkerState) -> None:
        carry = False
        if self._carrier is not None:
            if state.snapshot is not None:
                self._carrier.take(state.snapshot)
            if wish := self._carrier.wish():
                self._actor.ask.remote(wish)
            carry = time.monotonic() - self._carried >= CARRY_SECONDS
            if carry:
                self._carried = time.monotonic()
        if state.code is None:
            self._answer = self._actor.look.remote(carry=carry)
            return
        with suppress(self._ray.exceptions.RayError):
            self._ray.get(self._actor.leave.remote(), timeout=CONNECT_SECONDS)
        self._end(state.code)

    def _stop(self, at_once: bool) -> None:
        if at_once or not self._is_at_work:
            self._end(ExitCode.TERMINATED)
        elif not self._is_told:
            self._actor.stop.remote()
            self._is_told = True

    def _end(self, code: int) -> None:
        self._code = code
        self._ray.kill(self._actor)
        if self._carrier is not None:
            self._carrier.close()


def _connected(address: str) -> Any:
    """Ray, connected.

    Raises:
        UsageError: no such address is possible.
        ExecutorError: Ray is not installed, or cannot be reached there.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ExecutorError(
            "Ray is not installed", where="--on ray", hint="pip install 'mamltui[ray]'"
        ) from error
    where = f"--address {address}"
    _check_address(address, where)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        settings |= {
            "num_cpus": usable_processors(),
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
    try:
        ray.init(address=address, **settings)
    except Exception as error:  # of many kinds, for the network, versions, the system
        ray.shutdown()
        what = _in_a_line(error)
        if "Version mismatch" in str(error):
            what = "the cluster has other versions: " + " ".join(str(error).split())
        raise ExecutorError(
            f"the Ray cluster cannot be used: {what}",
            where=where,
            hint="On a machine of the cluster: ray status.",
        ) from error
    # It prints to stdout when a node dies, whatever it is told; a name that is gone is no harm.
    ray._private.worker._worker_logs_enabled = False
    return ray


def _check_address(address: str, where: str) -> None:
    match = _ADDRESS.fullmatch(address)
    if not match or (match[2] and not 0 < int(match[2]) < 65536):
        raise UsageError(
            "this is no address of a Ray cluster",
            where=where,
            hint="HOST:6379 from one of its nodes, ray://HOST:10001 from elsewhere, or auto.",
        )
    if match[1]:
        # Ray itself tries for a minute.
        try:
            socket.create_connection((match[1], int(match[2])), CONNECT_SECONDS).close()
        except OSError as error:
            raise ExecutorError(
                f"nothing answers there: {error.strerror or error}",
                where=where,
                hint="`ray start --head` says the address; is its port open to this machine?",
            ) from error


def _different_images(profiles: Sequence[str], reports: Mapping[str, Report]) -> list[str]:
    """Where two nodes find different images for the same profile, in words."""
    problems = []
    for profile in profiles:
        hashes = {node: images[profile] for node, (_, images) in reports.items()}
        if len(set(hashes.values())) > 1:
            each = ", ".join(f"{node} has {value[:12]}" for node, value in hashes.items())
            problems.append(f"nodes have different images, by their content hash: {each}")
    return problems


def _in_a_line(error: BaseException) -> str:
    """What Ray reports, without the way to it."""
    cause = getattr(error, "cause", None)
    return last_line(str(cause if isinstance(cause, BaseException) else error)) or repr(error)
