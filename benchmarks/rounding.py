"""How far float32 is from float64: mamltui's strategies beside a plain loop of torch's own layers.

    python benchmarks/rounding.py                 results/rounding.{json,md}
    python benchmarks/rounding.py --settings 84px-5way5shot --problems 2

Each problem is one task with other images and other initial parameters. What the plain loop gives
in float64 is taken as true. Beside the float32 results stands what becomes of that float64 gradient
when every parameter is moved by half a unit in float32's last place at most: how far the problem
itself carries one rounding.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from cpu import RESULTS, SETTINGS, Setting, machine, random_episodes
from peers import contenders

from mamltui.maml.inner import InnerLoop
from mamltui.maml.verify import relative_difference

WAYS = ("mamltui native", "mamltui analytic", "plain loop")
MOVED = "float64, parameters rounded"
HALF_A_UNIT = 2.0**-24


def errors(setting: Setting, problem: int) -> dict[str, float]:
    """Relative difference of each way's float32 gradient to the float64 loop's, and ``MOVED``'s."""
    network, inner = setting.network(), InnerLoop(setting.steps, setting.alpha)
    parameters = network.initial_parameters(problem)
    episodes = random_episodes(setting, seed=problem)
    double = {name: value.double() for name, value in parameters.items()}
    doubles = episodes.to("cpu", torch.float64)
    true = contenders(network, inner, double, doubles)["plain loop"]()

    generator = torch.Generator().manual_seed(problem)
    moved = {}
    for name, value in double.items():
        noise = 2 * torch.rand(value.shape, generator=generator, dtype=value.dtype) - 1
        moved[name] = value * (1 + HALF_A_UNIT * noise)
    single = contenders(network, inner, parameters, episodes)
    found = {way: relative_difference(single[way](), true) for way in WAYS if way in single}
    again = contenders(network, inner, moved, doubles)["plain loop"]()
    return found | {MOVED: relative_difference(again, true)}


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: the median and the largest of the problems' errors."""
    lines = ["| relative error, median (largest) | " + " | ".join(results) + " |"]
    lines.append("|---|" + "---|" * len(results))
    for way in next(iter(results.values()))[0]:
        cells = []
        for problems in results.values():
            values = [problem[way] for problem in problems]
            cells.append(f"{statistics.median(values):.0e} ({max(values):.0e})")
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    counts = ", ".join(str(len(problems)) for problems in results.values())
    lines.append("")
    lines.append(f"Problems: {counts}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", default="20w1s,plus-20way1shot,cifar-fs-5way1shot")
    parser.add_argument("--problems", type=int, default=12)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    results: dict[str, Any] = {}
    path = RESULTS / "rounding.json"
    if path.exists():
        results = json.loads(path.read_text())["results"]
    for name in arguments.settings.split(","):
        setting = replace(SETTINGS[name], tasks=1)
        results[name] = [errors(setting, problem) for problem in range(arguments.problems)]
        print(table({name: results[name]}), end="\n\n", flush=True)
    results = {name: results[name] for name in SETTINGS if name in results}
    about = machine()
    path.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    path.with_suffix(".md").write_text(
        "# float32 beside float64\n\n"
        f"{about['cpu']}, {about['instructions']}, torch {about['packages']['torch']}. "
        "Meta-gradients of one task, by the settings of [cpu.md](cpu.md), with "
        "random images and initial parameters. The last row is the float64 loop at "
        "parameters that were moved by at most half a unit in float32's last place.\n\n"
        f"{table(results)}\n"
    )
    print(f"{time.perf_counter() - begun:.0f} seconds")


if __name__ == "__main__":
    main()
