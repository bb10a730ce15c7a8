"""Time an evaluation of 600 episodes: a sweep of steps 0..10 beside single step counts and a peer.

    python benchmarks/evaluation.py          a table, results/evaluation.{json,md}

The contenders take turns. ``adapt and score once`` is the least that a single 10-step evaluation
can do: ten inner steps, then one look at the query set. It is worked out from the sweeps with one
and with three queries a class, whose difference is eleven looks at two more queries a class.
The peer is the usual loop over tasks with torch's own convolution, batch norm and autograd, without
a graph from step to step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cpu import machine
from peers import Conv4
from torch.func import functional_call
from torch.nn import functional

from mamltui.maml.calibration import Shape, random_episodes
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec

RESULTS = Path(__file__).parent / "results"
STEPS = 10
SWEEP, THREE = "mamltui, steps 0..10", "mamltui, steps 0..10, 3 queries a class"


def peer(module: Conv4, inner: InnerLoop, episodes: Episodes, every_step: bool) -> float:
    """Mean query accuracy after ten steps, one task at a time; scored once or after every step."""
    names, right = module.adapted(), 0.0
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        fast = dict(module.named_parameters())
        for step in range(STEPS + 1):
            if every_step or step == STEPS:
                with torch.no_grad():
                    logits = functional_call(module, fast, (qx,))
            if step < STEPS:
                loss = functional.cross_entropy(functional_call(module, fast, (sx,)), sy)
                gradients = torch.autograd.grad(loss, [fast[name] for name in names])
                for name, gradient in zip(names, gradients, strict=True):
                    fast[name] = (fast[name] - inner.alpha * gradient).detach().requires_grad_()
        right += float((logits.argmax(dim=1) == qy).float().mean())
    return right / episodes.tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    network, inner, device = NetworkSpec(5), InnerLoop(1, 0.4), torch.device("cpu")
    parameters = network.initial_parameters(0)
    episodes = random_episodes(network, Shape(arguments.episodes, 5, 5), device)
    more = random_episodes(network, Shape(arguments.episodes, 5, 15), device)
    engine = Engine(network, inner, device=device)
    module = Conv4(network, parameters)

    def ours(seen: Episodes, steps: int, both: bool) -> Callable[[], Any]:
        return lambda: engine.score(parameters, seen, steps=steps, support_statistics=both)

    contenders: dict[str, Callable[[], Any]] = {
        "mamltui, steps 0..10, both statistics": ours(episodes, STEPS, True),
        SWEEP: ours(episodes, STEPS, False),
        THREE: ours(more, STEPS, False),
        "loop over tasks, 10 steps, scored once": lambda: peer(module, inner, episodes, False),
        "loop over tasks, steps 0..10": lambda: peer(module, inner, episodes, True),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)

    looks = (STEPS + 1) / STEPS * 2  # of one query a class more, in THREE over SWEEP, but for one
    once = statistics.median(
        sweep - (three - sweep) / looks
        for sweep, three in zip(times[SWEEP], times[THREE], strict=True)
    )
    lines = ["| 5-way 1-shot | seconds | over adapt and score once |", "|---|---|---|"]
    lines.append(f"| mamltui, adapt and score once | {once:.2f} | 1 |")
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        lines.append(f"| {name} | {middle:.2f} ({low:.2f}-{high:.2f}) | {middle / once:.2f} x |")
    text = "\n".join(lines)
    print(text)
    about = machine()
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"machine": about, "episodes": arguments.episodes, "seconds": times}
    (arguments.out / "evaluation.json").write_text(json.dumps(record, indent=1) + "\n")
    (arguments.out / "evaluation.md").write_text(
        f"# Evaluation of {arguments.episodes} episodes\n\n"
        f"{about['cpu']}, {about['cores']} cores, {about['instructions']}, {about['threads']} "
        f"threads; torch {about['packages']['torch']}; float32; strategy {engine.strategy}. Median "
        f"(quartiles) of {arguments.rounds} interleaved rounds.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
