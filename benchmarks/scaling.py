"""Time meta-gradients of one core and of two: shared by threads, by processes, or by two trainings.

    python benchmarks/scaling.py             tables, results/scaling.{json,md}
    python benchmarks/scaling.py --settings 20w1s --rounds 3 --out DIR

The contenders take turns, so that what else the machine does hits all. Each has processes of its
own, of which those that share a training talk as under ``torchrun``. Of the rounds the least time
counts: others on the machine only add to it. Beside the time by the clock stands that of the
processors, which others hardly add to: nothing can be faster than the busiest of its processes.
All gradients are compared bit for bit.

What further machines would give is worked out from the times of one core and what goes over the
network: the parameters to each process, its tasks' images, and a gradient of each task back.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from cpu import SETTINGS, gigaflop, machine, random_episodes

from mamltui.maml.engine import Engine
from mamltui.maml.inner import InnerLoop
from mamltui.maml.ranks import Ranks
from mamltui.maml.shared_engine import SharedEngine, end_helpers, help_out

RESULTS = Path(__file__).parent / "results"
CHOSEN = ("5w1s", "20w1s", "20w5s")
NAMES = {"5w1s": "5-way 1-shot", "20w1s": "20-way 1-shot", "20w5s": "20-way 5-shot"}
CPU = torch.device("cpu")
ALONE, THREADS, PROCESSES, TWO = (
    "1 training, 1 core",
    "1 training, 2 threads",
    "1 training, 2 processes",
    "2 trainings at once",
)
SHAPES = {ALONE: (1, 1, 1), THREADS: (1, 1, 2), PROCESSES: (1, 2, 1), TWO: (2, 1, 1)}
"""Trainings, processes of each, threads of each process."""
ITERATIONS = 10_000
"""Of the training whose number an hour is worked out."""
MACHINES, CORES = 4, 16
"""Of the cluster that is worked out."""
NETWORKS = {"1 Gbit/s": 0.1e9, "10 Gbit/s": 1e9}
"""Bytes a second, a fifth less than nominal for what goes around them."""


class Contender:
    """Processes that wait for their turns."""

    def __init__(self, trainings: int, size: int, threads: int) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self._speaking: list[subprocess.Popen[str]] = []
        for _ in range(trainings):
            started = self._start(size, threads)
            self._processes += started
            self._speaking.append(started[0])

    def turn(self, setting: str) -> tuple[float, float, set[str]]:
        """Seconds by the clock and of the busiest processor, and hashes of the gradients."""
        before = [_processor_seconds(process.pid) for process in self._processes]
        start = time.perf_counter()
        for process in self._speaking:
            assert process.stdin is not None
            process.stdin.write(f"{setting}\n")
            process.stdin.flush()
        hashes = {self._answer(process) for process in self._speaking}
        seconds = time.perf_counter() - start
        after = [_processor_seconds(process.pid) for process in self._processes]
        used = [late - early for early, late in zip(before, after, strict=True)]
        return seconds, max(used), hashes

    def stop(self) -> None:
        for process in self._speaking:
            process.communicate()
        for process in self._processes:
            process.wait()

    def _start(self, size: int, threads: int) -> list[subprocess.Popen[str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = {"WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return [
            subprocess.Popen(
                [sys.executable, __file__, "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ
                | {name: str(value) for name, value in common.items()}
                | {"RANK": str(rank), "OMP_NUM_THREADS": str(threads)},
            )
            for rank in range(size)
        ]

    def _answer(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        answer = process.stdout.readline().strip()
        if not answer:
            raise SystemExit(f"a process ended with {process.wait()}")
        return answer


def _processor_seconds(pid: int) -> float:
    """That a process of this machine has used so far; Linux numbers such clocks by processes."""
    return time.clock_gettime((~pid << 3) | 2)


def serve() -> None:
    """Answer what :class:`Contender` asks, a line each; or help rank 0 to do so."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    ranks = Ranks() if int(os.environ["WORLD_SIZE"]) > 1 else None
    if ranks is not None and ranks.rank:
        help_out(ranks, [])
        ranks.leave()
        return
    prepared = ""
    for line in sys.stdin:
        if line.strip() != prepared:
            prepared = line.strip()
            setting = SETTINGS[prepared]
            network, inner = setting.network(), InnerLoop(setting.steps, setting.alpha)
            parameters, episodes = network.initial_parameters(0), random_episodes(setting)
            engine = (
                Engine(network, inner, device=CPU, strategy="native")
                if ranks is None
                else SharedEngine(ranks, network, inner, device=CPU, strategy="native")
            )
        total = engine.meta_gradient(parameters, episodes)
        digest = hashlib.sha256()
        for value in (*total.gradient.values(), total.query_loss):
            digest.update(value.numpy().tobytes())
        print(digest.hexdigest(), flush=True)
    if ranks is not None:
        end_helpers(ranks)


def measure(setting: str, rounds: int, contenders: dict[str, Contender]) -> dict[str, Any]:
    """Of each contender, by round: seconds by the clock and of its busiest processor."""
    clock: dict[str, list[float]] = {name: [] for name in contenders}
    busiest: dict[str, list[float]] = {name: [] for name in contenders}
    # The first turn makes the engine.
    hashes = set().union(*(contender.turn(setting)[2] for contender in contenders.values()))
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds, used, digests = contender.turn(setting)
            clock[name].append(seconds)
            busiest[name].append(used)
            hashes |= digests
    if len(hashes) != 1:
        raise SystemExit(f"{setting}: the gradients differ")
    network = SETTINGS[setting].network()
    return {
        "tasks": SETTINGS[setting].tasks,
        "gigaflop": gigaflop(SETTINGS[setting]),
        "gradient_bytes": sum(v.nbytes for v in network.initial_parameters(0).values()),
        "image_bytes": sum(tensor.nbytes for tensor in random_episodes(SETTINGS[setting])),
        "clock_s": clock,
        "busiest_processor_s": busiest,
    }


def rate(result: dict[str, Any], name: str, key: str = "clock_s") -> float:
    """Meta-iterations a second, of all its trainings together; a second thread is not counted."""
    return SHAPES[name][0] / min(result[key][name])


def shared_seconds(result: dict[str, Any], processes: int, network: float) -> float:
    """Worked out: of a meta-iteration of ``processes`` that share a training, on a network.

    Args:
        network: bytes a second at rank 0, through which all goes; nothing is done meanwhile.
    """
    away = (processes - 1) / processes
    sent = result["gradient_bytes"] * (processes - 1) + result["image_bytes"] * away
    back = result["gradient_bytes"] * result["tasks"] * away
    return 1 / rate(result, ALONE) / processes + (sent + back) / network


def measured(results: dict[str, Any]) -> str:
    """Markdown: meta-iterations a second, and how many times those of one core."""
    lines = _header("meta-iterations a second, measured", results)
    for name in SHAPES:
        cells = [f"{rate(result, name):.3g}" for result in results.values()]
        if name != ALONE:
            times = [rate(result, name) / rate(result, ALONE) for result in results.values()]
            cells = [f"{cell} ({each:.2f} x)" for cell, each in zip(cells, times, strict=True)]
        lines.append(_row(name, cells))
    bounds = [
        rate(result, PROCESSES, "busiest_processor_s") / rate(result, ALONE, "busiest_processor_s")
        for result in results.values()
    ]
    cells = [f"{bound:.2f} x" for bound in bounds]
    lines.append(_row("2 processes, by the busier processor", cells))
    return "\n".join(lines)


def trainings_an_hour(results: dict[str, Any]) -> str:
    """Markdown: trainings of ``ITERATIONS`` an hour, measured above or worked out from it."""
    lines = _header(f"trainings of {ITERATIONS:,} iterations an hour", results)

    def add(name: str, kind: str, rates: list[float]) -> None:
        cells = [f"{3600 * each / ITERATIONS:.3g}" for each in rates]
        lines.append(_row(f"{name}, {kind}", cells))

    several = list(results.values())
    for name in SHAPES:
        add(name, "measured", [rate(result, name) for result in several])
    cores = MACHINES * CORES
    add(
        f"{cores} trainings at once on {MACHINES} machines of {CORES} cores",
        "computed",
        [cores * rate(result, ALONE) for result in several],
    )
    for network, speed in NETWORKS.items():
        for processes in (2, 4):
            add(
                f"1 training, {processes} machines, 1 core each, {network}",
                "computed",
                [1 / shared_seconds(result, processes, speed) for result in several],
            )
    return "\n".join(lines)


def _header(first: str, results: dict[str, Any]) -> list[str]:
    columns = [NAMES.get(name, name) for name in results]
    return [_row(first, columns), "|---|" + "---:|" * len(columns)]


def _row(first: str, cells: list[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", default=",".join(CHOSEN))
    parser.add_argument("--rounds", type=int, default=15, help="the long ones get a third")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    contenders = {name: Contender(*shape) for name, shape in SHAPES.items()}
    results = {}
    for setting in arguments.settings.split(","):
        rounds = arguments.rounds // (3 if SETTINGS[setting].is_long else 1)
        results[setting] = measure(setting, max(1, rounds), contenders)
        print(measured({setting: results[setting]}), end="\n\n", flush=True)
    for contender in contenders.values():
        contender.stop()
    print(trainings_an_hour(results))
    write(arguments.out, results, arguments.rounds)


def write(out: Path, results: dict[str, Any], rounds: int) -> None:
    """``scaling.json`` and ``scaling.md``."""
    about = machine()
    out.mkdir(parents=True, exist_ok=True)
    record = {"machine": about, "results": results}
    (out / "scaling.json").write_text(json.dumps(record, indent=1) + "\n")
    (out / "scaling.md").write_text(
        "# Meta-gradients of one core and of two\n\n"
        f"{about['cpu']}, {about['cores']} cores, {about['instructions']}; torch "
        f"{about['packages']['torch']}; float32; strategy native; the paper's settings. The least "
        f"of {rounds} interleaved rounds ({rounds // 3} of 20-way 5-shot), on a machine that had "
        "other work too, but let this go first. All gradients are "
        "the same, bit for bit. The last row is what the processor time of the busier of two "
        "processes allows, where each has a core to itself.\n\n"
        f"{measured(results)}\n\n"
        "Computed rows: as many trainings as cores, each as fast as the one of one core; or one "
        "training whose processes each do their share of its time on one core, and then wait for "
        "the network: parameters and images to each of the others, a gradient of each of their "
        "tasks back, all through the one of rank 0, at 0.1 and 1 GB a second.\n\n"
        f"{trainings_an_hour(results)}\n"
    )


if __name__ == "__main__":
    main()
