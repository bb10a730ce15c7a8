"""How time and memory of a meta-gradient grow with tasks, shots, inner steps and image size.

    python benchmarks/growth.py            all four, a table each, results/growth.{json,md}

Every point is a process of its own, so that its peak of memory is its own too: what the system
counts as resident at most, less what it was before the first meta-gradient. Time is the median of
three after one more. The strategy is what calibration chose for that point.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from cpu import machine

from mamltui.maml.calibration import Shape, calibrate, random_episodes
from mamltui.maml.engine import Engine
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.maml.strategies import Case

RESULTS = Path(__file__).parent / "results"
START = {"tasks": 16, "shot": 1, "steps": 1, "image_size": 28}
GROWTH = {
    "tasks": (1, 4, 16, 64, 256),
    "shot": (1, 2, 5, 10, 20),
    "steps": (1, 2, 5, 10),
    "image_size": (14, 28, 56, 84),
}


def point(tasks: int, shot: int, steps: int, image_size: int, strategy: str) -> dict[str, Any]:
    """One 5-way meta-gradient: seconds, MiB, and what was chosen."""
    network, inner = NetworkSpec(5, image_size=image_size), InnerLoop(steps, 0.4)
    shape, device = Shape(tasks, 5 * shot, 5 * shot), torch.device("cpu")
    chosen, chunk = strategy, 0
    if strategy == "auto":
        best = calibrate(Case(network, inner, device), shape)[0]
        chosen, chunk = best.strategy, best.task_chunk
        return {"strategy": chosen, "task_chunk": chunk}
    engine = Engine(network, inner, device=device, strategy=chosen)
    parameters = network.initial_parameters(0)
    episodes = random_episodes(network, shape, device)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(4):
        start = time.perf_counter()
        engine.meta_gradient(parameters, episodes)
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": statistics.median(times[1:]), "mib": (peak - before) / 1024}


def in_its_own_process(values: dict[str, int], strategy: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--point", json.dumps(values | {"strategy": strategy})]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result: dict[str, Any] = json.loads(found.splitlines()[-1])
    return result


def table(key: str, rows: list[dict[str, Any]]) -> str:
    """Markdown; the last columns are growth of time and memory over growth of the work."""
    lines = [
        f"| {key.replace('_', ' ')} | chosen | ms | MiB | ms, analytic | MiB, analytic | "
        "time / work, against the first row |",
        "|---|---|---|---|---|---|---|",
    ]
    first = rows[0]
    for row in rows:
        work = (row[key] / first[key]) ** (2 if key == "image_size" else 1)
        native, analytic = row["native"], row["analytic"]
        growth = native["seconds"] / first["native"]["seconds"] / work
        lines.append(
            f"| {row[key]} | {row['chosen']['strategy']} | {1e3 * native['seconds']:.0f} | "
            f"{native['mib']:.0f} | {1e3 * analytic['seconds']:.0f} | {analytic['mib']:.0f} | "
            f"{growth:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--point", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.point:
        print(json.dumps(point(**json.loads(arguments.point))))
        return
    results: dict[str, list[dict[str, Any]]] = {}
    pages = []
    for key, sizes in GROWTH.items():
        rows = []
        for size in sizes:
            values = START | {key: size}
            row: dict[str, Any] = dict(values)
            row["chosen"] = in_its_own_process(values, "auto")
            for strategy in ("native", "analytic"):
                row[strategy] = in_its_own_process(values, strategy)
            rows.append(row)
        results[key] = rows
        pages.append(table(key, rows))
        print(pages[-1], end="\n\n", flush=True)
    about = machine()
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"machine": about, "results": results}
    (arguments.out / "growth.json").write_text(json.dumps(record, indent=1) + "\n")
    start = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in START.items())
    (arguments.out / "growth.md").write_text(
        "# How time and memory grow\n\n"
        f"{about['cpu']}, {about['cores']} cores, {about['instructions']}, {about['threads']} "
        f"threads; torch {about['packages']['torch']}; float32, second order, 5-way, as many "
        f"queries as shots. Each table changes one of {start}. ms and MiB are the native "
        "strategy's; memory is the peak above what the process had before. The last column is at "
        "most 1 where time grows no faster than the work (for image size: the pixels).\n\n"
        + "\n\n".join(pages)
        + "\n"
    )


if __name__ == "__main__":
    main()
