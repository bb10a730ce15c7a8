"""Time one exact meta-gradient on the CPU, mamltui beside its peers, interleaved in one run.

    python benchmarks/cpu.py                      the settings below, a table, results/cpu.{json,md}
    python benchmarks/cpu.py --settings 5w1s --rounds 20

Every contender computes the same meta-gradient of the same random episodes (checked first: relative
difference to a float64 loop), in a process of its own, so that none meets another's threads and
allocator. A round times each of them once, in turn, so that a change of the machine's speed hits
all alike; medians and quartiles are over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from peers import contenders

from mamltui import __version__
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.maml.verify import relative_difference

RESULTS = Path(__file__).parent / "results"


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
    "20w5s": Setting(20, 5, 5, 16, 5, 0.1),
    "5w1s15q": Setting(5, 1, 15, 32, 1, 0.4),
    "5w5s15q": Setting(5, 5, 15, 32, 1, 0.4),
    "plus-20way1shot": Setting(20, 1, 1, 8, 5, 0.1, pooling="max"),
    "cifar-fs-5way1shot": Setting(5, 1, 15, 4, 5, 0.05, image_size=32, **PHOTOGRAPHS),
    "84px-5way5shot": Setting(5, 5, 15, 4, 5, 0.05, image_size=84, **PHOTOGRAPHS),
}
LONG = ("20w5s", "plus-20way1shot", "84px-5way5shot")


def random_episodes(setting: Setting, dtype: torch.dtype = torch.float32) -> Episodes:
    """Binary noise: the arithmetic's speed does not depend on what the images show."""
    generator = torch.Generator().manual_seed(0)

    def examples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        size = (setting.channels, setting.image_size, setting.image_size)
        shape = (setting.tasks, setting.way * count, *size)
        images = (torch.rand(shape, generator=generator) > 0.8).to(dtype)
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


def gigaflops_of_a_product(size: int = 1536, repeats: int = 5) -> float:
    """The best that torch's own float32 matrix product reaches here, in 10^9 a second."""
    left, right = torch.rand(2, size, size)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


class Running:
    """A contender in a process of its own, warm and waiting for its turns."""

    def __init__(self, contender: str, setting: str) -> None:
        command = [sys.executable, __file__, "--serve", contender, "--settings", setting]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Running:
        self.time()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def time(self) -> float:
        """Milliseconds of one call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def serve(contender: str, setting: Setting) -> None:
    """Time one call for each line of stdin."""
    network, inner = setting.network(), InnerLoop(setting.steps, setting.alpha)
    parameters, episodes = network.initial_parameters(0), random_episodes(setting)
    call = contenders(network, inner, parameters, episodes)[contender]
    for _ in sys.stdin:
        start = time.perf_counter()
        call()
        print(1e3 * (time.perf_counter() - start), flush=True)


def measure(setting: Setting, rounds: int) -> dict[str, Any]:
    """Milliseconds of each contender and round, how exact each one is, and the machine's peak."""
    network = setting.network()
    inner = InnerLoop(setting.steps, setting.alpha)
    parameters = network.initial_parameters(0)
    episodes = random_episodes(setting)
    few = Episodes(
        *(tensor[:2].double() if tensor.is_floating_point() else tensor[:2] for tensor in episodes)
    )
    double = {name: value.double() for name, value in parameters.items()}
    exact = contenders(network, inner, double, few)
    expected = exact["plain loop"]()
    differences = {name: relative_difference(call(), expected) for name, call in exact.items()}

    name = next(name for name, known in SETTINGS.items() if known == setting)
    times: dict[str, list[float]] = {contender: [] for contender in exact}
    peaks = []
    with ExitStack() as leaving:
        running = {
            contender: leaving.enter_context(Running(contender, name)) for contender in exact
        }
        for _ in range(rounds):
            peaks.append(gigaflops_of_a_product())
            for contender, process in running.items():
                times[contender].append(process.time())
    return {
        "times_ms": times,
        "float64_relative_difference": differences,
        "gigaflop": gigaflop(setting),
        "gigaflops_of_a_product": statistics.median(peaks),
    }


def floor_ms(result: dict[str, Any]) -> float:
    """Milliseconds that the arithmetic alone takes at the speed of torch's matrix product."""
    return 1e3 * float(result["gigaflop"]) / float(result["gigaflops_of_a_product"])


def table(results: dict[str, Any]) -> str:
    """Markdown: medians with quartiles, and the fastest peer's median over ours."""
    lines = []
    names = list(next(iter(results.values()))["times_ms"])
    lines.append("| ms per meta-gradient | " + " | ".join(results) + " |")
    lines.append("|---|" + "---|" * len(results))
    for name in names:
        cells = []
        for result in results.values():
            values = result["times_ms"][name]
            low, middle, high = statistics.quantiles(values, n=4)
            cells.append(f"{middle:.0f} ({low:.0f}-{high:.0f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    ratios, floors = [], []
    for result in results.values():
        medians = {name: statistics.median(times) for name, times in result["times_ms"].items()}
        ours = min(value for name, value in medians.items() if name.startswith("mamltui"))
        peers = {name: value for name, value in medians.items() if not name.startswith("mamltui")}
        best = min(peers, key=peers.__getitem__)
        ratios.append(f"**{peers[best] / ours:.2f} x** ({best})")
        floors.append(f"{floor_ms(result):.0f} ({100 * floor_ms(result) / ours:.0f} %)")
    lines.append("| fastest peer / mamltui | " + " | ".join(ratios) + " |")
    lines.append("| arithmetic floor (share of our time) | " + " | ".join(floors) + " |")
    worst = []
    for name in names:
        largest = max(result["float64_relative_difference"][name] for result in results.values())
        worst.append(f"{name} {largest:.0e}")
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

    info = Path("/proc/cpuinfo")
    model = platform.processor()
    if info.exists():
        found = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = found[0].split(":")[1].strip() if found else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "packages": {"mamltui": __version__}
        | {name: installed(name) for name in ("torch", "higher", "torchopt")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--rounds", type=int, default=10, help="the long ones get a third of them")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, SETTINGS[arguments.settings])
        return

    results: dict[str, Any] = {}
    for name in arguments.settings.split(","):
        rounds = arguments.rounds if name not in LONG else max(2, arguments.rounds // 3)
        results[name] = measure(SETTINGS[name], rounds)
        print(table({name: results[name]}), end="\n\n", flush=True)
        write(arguments.out, results, arguments.rounds)
    print(table(results))


def write(out: Path, results: dict[str, Any], rounds: int) -> None:
    """``cpu.json`` and ``cpu.md`` of what is measured so far."""
    about = machine()
    out.mkdir(parents=True, exist_ok=True)
    record = {"machine": about, "rounds": rounds, "results": results}
    (out / "cpu.json").write_text(json.dumps(record, indent=1) + "\n")
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    (out / "cpu.md").write_text(
        "# One exact second-order meta-gradient on a CPU\n\n"
        f"{about['cpu']}, {about['cores']} cores, {about['instructions']}, "
        f"{about['threads']} threads; Python {about['python']}, {packages}; float32. "
        f"Median (quartiles) of {rounds} interleaved rounds ({', '.join(LONG)}: a third of them, "
        "at least 2), "
        "in milliseconds. The floor is the arithmetic alone at the speed that torch's own matrix "
        "product reached in the same rounds. "
        "Settings are the paper's: 32 tasks and 1 inner step 5-way, 16 tasks and 5 steps 20-way; "
        "as many queries as shots, or 15 a class where it says 15q. The last three have "
        "max-pooling: plus-20way1shot is MAML++'s network with 8 tasks and 5 steps, the others are "
        "of colour images, with 32 filters, a flattened head, 15 queries, 4 tasks and 5 steps.\n\n"
        f"{table(results)}\n"
    )


if __name__ == "__main__":
    main()
