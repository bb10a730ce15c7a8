"""Time one exact meta-gradient on the CPU, mamltui beside its peers, interleaved in one run.

    python benchmarks/cpu.py                      the settings below, a table, results/cpu.{json,md}
    python benchmarks/cpu.py --settings 5w1s --rounds 20 --out DIR
    python benchmarks/cpu.py --learn2learn DIR    with learn2learn, unpacked from its source archive

Every contender computes the same meta-gradient of the same random episodes (checked first: relative
difference to a float64 loop), in a process of its own, so that none meets another's threads and
allocator. A round times each of them once, in turn, so that a change of the machine's speed hits
all alike. What counts is the least of the rounds: whatever else the machine does only adds to a
time. With one thread it is the processor's time, which others on the machine hardly add to; with
more, that of a clock. What takes far longer than the fastest peer is not timed again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from peers import Contender, contenders

from mamltui import __version__
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.maml.verify import relative_difference
from mamltui.processors import SPIN_VARIABLE, SPINS, processor_name

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "higher", "torchopt", "iteryne", "parallel-metalearn", "jax")
PEERS = (
    "All adapt kernels and head and learn the norm's shifts in the outer loop alone. learn2learn "
    "is `algorithms/maml.py` of 0.2.0, since the package does not build; parallel-metalearn takes "
    "8 tasks at a time, torch.func.vmap all, which is too many where a column has none; JAX is "
    "`jit` of a `lax.map` over tasks, for one inner step, since more are compiled for minutes. "
    f"mamltui's processes have {SPIN_VARIABLE}={SPINS}, which its command sets; the others are as "
    "their users start them."
)


@dataclass(frozen=True)
class Setting:
    way: int
    shot: int
    query: int
    tasks: int
    steps: int
    alpha: float
    channels: int = 1
    image_size: int = 28
    filters: int = 64
    pooling: str = "stride"
    head: str = "mean"
    is_long: bool = False
    """Seconds a call: a third of the rounds, and nobody takes all tasks at once."""

    def has(self, contender: str) -> bool:
        """Whether it is measured here."""
        if contender == "JAX":
            return self.steps == 1  # more are compiled for minutes
        return not (self.is_long and contender in ALL_TASKS_AT_ONCE)

    def network(self) -> NetworkSpec:
        return NetworkSpec(
            self.way,
            self.channels,
            self.image_size,
            self.filters,
            pooling=self.pooling,
            head=self.head,
        )


PHOTOGRAPHS = {"channels": 3, "filters": 32, "pooling": "max", "head": "flatten"}
SETTINGS = {
    "5w1s": Setting(5, 1, 1, 32, 1, 0.4),
    "5w5s": Setting(5, 5, 5, 32, 1, 0.4),
    "20w1s": Setting(20, 1, 1, 16, 5, 0.1),
    "20w5s": Setting(20, 5, 5, 16, 5, 0.1, is_long=True),
    "5w1s15q": Setting(5, 1, 15, 32, 1, 0.4),
    "5w5s15q": Setting(5, 5, 15, 32, 1, 0.4),
    "plus-20way1shot": Setting(20, 1, 1, 8, 5, 0.1, pooling="max", is_long=True),
    "cifar-fs-5way1shot": Setting(5, 1, 15, 4, 5, 0.05, image_size=32, **PHOTOGRAPHS),
    "84px-5way5shot": Setting(5, 5, 15, 2, 5, 0.05, image_size=84, **PHOTOGRAPHS, is_long=True),
}
ALL_TASKS_AT_ONCE = ("torch.func.vmap",)
"""What these keep of every task and inner step takes gigabytes."""
LEAST_ROUNDS = 2
HOPELESS = 1.5
"""Times of the fastest peer's, after which a contender is not timed again."""
CHECKED_TASKS = 1
"""Of the float64 gradient that contenders are compared with."""
CLOCKS = {"processor": time.process_time, "wall": time.perf_counter}


def random_episodes(setting: Setting, seed: int = 0) -> Episodes:
    """Binary noise: the arithmetic's speed does not depend on what the images show."""
    generator = torch.Generator().manual_seed(seed)

    def examples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        size = (setting.channels, setting.image_size, setting.image_size)
        shape = (setting.tasks, setting.way * count, *size)
        images = (torch.rand(shape, generator=generator) > 0.8).float()
        labels = torch.arange(setting.way).repeat_interleave(count).repeat(setting.tasks, 1)
        return images, labels

    return Episodes(*examples(setting.shot), *examples(setting.query))


def gigaflop(setting: Setting) -> float:
    """Arithmetic of one second-order meta-gradient, a multiply-add counted as 2, in 10^9.

    A support image costs nine products a layer and inner step (four in the first layer, whose input
    needs no gradient), a query image three (two).
    """
    network = setting.network()
    layers = zip(network.inputs(), network.convolved_sizes(), strict=True)
    product = [2 * 9 * count * network.filters * size**2 for count, size in layers]
    first, others = product[0], sum(product[1:])
    support = setting.steps * setting.shot * (4 * first + 9 * others)
    query = setting.query * (2 * first + 3 * others)
    return setting.tasks * setting.way * (support + query) / 1e9


def gigaflops_of_a_product(clock: Callable[[], float], size: int = 1536, repeats: int = 5) -> float:
    """The best that torch's own float32 matrix product reaches here, in 10^9 a second."""
    left, right = torch.rand(2, size, size)
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        left @ right
        best = min(best, clock() - start)
    return 2 * size**3 / best / 1e9


def settings_of(contender: str, threads: int) -> dict[str, str]:
    """Environment variables: each contender as its users start it."""
    if not is_peer(contender):
        return {SPIN_VARIABLE: str(SPINS)}  # as the command does
    if contender == "JAX" and threads == 1:
        return {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}  # it takes all cores by default
    return {}


class Running:
    """A contender in a process of its own, waiting for its turns."""

    def __init__(self, contender: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, f"--serve={contender}", f"--threads={threads}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | settings_of(contender, threads),
        )

    def check(self, setting: str, expected: Path) -> float:
        """Go over to a setting; relative difference to its gradient in a file, in float64."""
        return self._answer(f"{setting} {expected}")

    def time(self) -> float:
        """Milliseconds of one call."""
        return self._answer("")

    def stop(self) -> None:
        self._process.communicate()

    def _answer(self, line: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")
        return float(answer)


def serve(contender: str, threads: int) -> None:
    """Answer what :class:`Running` asks, a line each."""
    torch.set_num_threads(threads)
    clock = CLOCKS[clock_name(threads)]
    call: Contender | None = None
    for line in sys.stdin:
        if line.strip():
            name, expected = line.rstrip("\n").split(" ", 1)
            call = None  # what it holds goes first
            exact = double_contenders(SETTINGS[name])[contender]()
            print(relative_difference(exact, torch.load(expected)), flush=True)
            call = single_contenders(SETTINGS[name])[contender]
        elif call is not None:
            start = clock()
            call()
            print(1e3 * (clock() - start), flush=True)


def single_contenders(setting: Setting) -> dict[str, Contender]:
    """As they are timed."""
    network, inner = setting.network(), InnerLoop(setting.steps, setting.alpha)
    return contenders(network, inner, network.initial_parameters(0), random_episodes(setting))


def double_contenders(setting: Setting) -> dict[str, Contender]:
    """As they are checked: in float64, on the first tasks of the setting."""
    network, inner = setting.network(), InnerLoop(setting.steps, setting.alpha)
    parameters = {name: value.double() for name, value in network.initial_parameters(0).items()}
    episodes = random_episodes(setting).to("cpu", torch.float64)
    few = Episodes(*(tensor[:CHECKED_TASKS] for tensor in episodes))
    return contenders(network, inner, parameters, few)


def clock_name(threads: int) -> str:
    return "processor" if threads == 1 else "wall"


def measure(name: str, rounds: int, running: dict[str, Running], threads: int) -> dict[str, Any]:
    """Milliseconds of each contender and round, how exact each one is, and the machine's peak."""
    begun, setting = time.perf_counter(), SETTINGS[name]
    running = {each: process for each, process in running.items() if setting.has(each)}
    with tempfile.TemporaryDirectory() as folder:
        expected = Path(folder) / "expected.pt"
        torch.save(double_contenders(setting)["plain loop"](), expected)
        differences = {each: process.check(name, expected) for each, process in running.items()}
    times: dict[str, list[float]] = {contender: [] for contender in running}
    peaks = []
    for place in range(rounds):
        peaks.append(gigaflops_of_a_product(CLOCKS[clock_name(threads)]))
        fastest = min(
            (min(times[each]) for each in running if is_peer(each) and times[each]), default=0
        )
        for contender, process in running.items():
            if place < LEAST_ROUNDS or min(times[contender]) < HOPELESS * fastest:
                times[contender].append(process.time())
    return {
        "times_ms": times,
        "float64_relative_difference": differences,
        "gigaflop": gigaflop(setting),
        "gigaflops_of_a_product": max(peaks),
        "seconds": round(time.perf_counter() - begun),
    }


def is_peer(contender: str) -> bool:
    return not contender.startswith("mamltui")


def floor_ms(result: dict[str, Any]) -> float:
    """Milliseconds that the arithmetic alone takes at the speed of torch's matrix product."""
    return 1e3 * float(result["gigaflop"]) / float(result["gigaflops_of_a_product"])


def ratio(result: dict[str, Any]) -> tuple[str, float]:
    """The fastest peer, and how many times mamltui's time its own is."""
    best = {name: min(times) for name, times in result["times_ms"].items()}
    peer = min(filter(is_peer, best), key=best.__getitem__)
    return peer, best[peer] / min(value for name, value in best.items() if not is_peer(name))


def table(results: dict[str, Any]) -> str:
    """Markdown: the least of each contender's times, and the fastest peer's over ours."""
    lines = [
        "| ms per meta-gradient | " + " | ".join(results) + " |",
        "|---|" + "---|" * len(results),
    ]
    names = list(dict.fromkeys(name for result in results.values() for name in result["times_ms"]))
    for name in names:
        times = [result["times_ms"].get(name) for result in results.values()]
        cells = [f"{min(each):.0f} ({len(each)})" if each else "-" for each in times]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    ratios, floors = [], []
    for result in results.values():
        peer, longer = ratio(result)
        ratios.append(f"**{longer:.2f} x** ({peer})")
        floor, ours = floor_ms(result), min(result["times_ms"][peer]) / longer
        floors.append(f"{floor:.0f} ({100 * floor / ours:.0f} %)")
    lines.append("| fastest peer / mamltui | " + " | ".join(ratios) + " |")
    lines.append("| arithmetic floor (share of our time) | " + " | ".join(floors) + " |")
    worst = []
    for name in names:
        found = (result["float64_relative_difference"].get(name) for result in results.values())
        worst.append(f"{name} {max(each for each in found if each is not None):.0e}")
    lines.append("")
    lines.append(
        "Largest relative difference to the plain loop in float64: " + ", ".join(worst) + "."
    )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "packages": {"mamltui": __version__}
        | {name: number for name in PACKAGES if (number := installed(name))},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--rounds", type=int, default=6, help="the long ones get a third of them")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--add", action="store_true", help="to the settings that are measured")
    parser.add_argument("--learn2learn", type=Path, help="its source archive, unpacked")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    threads = arguments.threads
    if arguments.serve:
        serve(arguments.serve, threads)
        return
    torch.set_num_threads(threads)
    if arguments.learn2learn:
        os.environ["LEARN2LEARN"] = str(arguments.learn2learn.resolve())

    results: dict[str, Any] = {}
    if arguments.add:
        results = json.loads((arguments.out / "cpu.json").read_text())["results"]
    settings = arguments.settings.split(",")
    running = {each: Running(each, threads) for each in single_contenders(SETTINGS[settings[0]])}
    for name in settings:
        rounds = max(LEAST_ROUNDS, arguments.rounds // (3 if SETTINGS[name].is_long else 1))
        results[name] = measure(name, rounds, running, threads)
        print(table({name: results[name]}), end="\n\n", flush=True)
        results = {each: results[each] for each in SETTINGS if each in results}
        write(arguments.out, results, threads)
    for process in running.values():
        process.stop()
    print(table(results))
    print(f"\n{sum(result['seconds'] for result in results.values())} seconds")


def write(out: Path, results: dict[str, Any], threads: int) -> None:
    """``cpu.json`` and ``cpu.md`` of what is measured so far."""
    about = machine()
    out.mkdir(parents=True, exist_ok=True)
    seconds = sum(result["seconds"] for result in results.values())
    record = {"machine": about, "clock": clock_name(threads), "results": results}
    (out / "cpu.json").write_text(json.dumps(record, indent=1) + "\n")
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    clock = {
        "processor": "In milliseconds of processor time, on a machine that had other work too",
        "wall": "In milliseconds",
    }[clock_name(threads)]
    (out / "cpu.md").write_text(
        "# One exact second-order meta-gradient on a CPU\n\n"
        f"{about['cpu']}, {about['cores']} cores, {about['instructions']}, "
        f"{threads} thread{'s' * (threads > 1)}; Python {about['python']}, {packages}; float32. "
        f"{clock}: the least of as many interleaved rounds as stand in brackets. All took "
        f"{seconds / 60:.0f} minutes. What takes more than {HOPELESS} times as long as the "
        f"fastest peer is not timed again after {LEAST_ROUNDS} rounds. The floor is the arithmetic "
        "alone at the speed that torch's own matrix product reached in the same rounds. "
        "Settings are the paper's: 32 tasks and 1 inner step 5-way, 16 tasks and 5 steps 20-way; "
        "as many queries as shots, or 15 a class where it says 15q. The last three have "
        "max-pooling: plus-20way1shot is MAML++'s network with 8 tasks and 5 steps, the others "
        "are of colour images, with 32 filters, a flattened head, 15 queries and 5 steps; 4 tasks, "
        f"at 84 pixels {SETTINGS['84px-5way5shot'].tasks}. {PEERS}\n\n"
        f"{table(results)}\n"
    )


if __name__ == "__main__":
    main()
