"""All that a GPU has to show, in one command: is it right, how fast is it, what does it learn.

    python benchmarks/gpu.py --data-dir DIR --out DIR              ten minutes on one CUDA device
    python benchmarks/gpu.py --device cpu --quick --data strokes --out DIR     in miniature, no GPU

1. Correctness: every strategy and precision against a float64 loop, the captured meta-iteration
   against the same work uncaptured, and memory over 2,000 replays.
2. Speed: whole captured meta-iterations (episodes, gradient, Adam) in each precision and the eager
   meta-gradient, beside the meta-gradients of others on the same device, interleaved.
3. Trainings of the paper's four settings, as `mamltui run` does them, each as long as its share of
   the time allows, then evaluated on the test split.

Every result is in --out as soon as it is there: report.json holds all of it, summary.md is for
reading, speed.csv and evaluations.csv for other programs, runs.zip has the run folders.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from gpu_report import speed_csv, summary
from peers import contenders

from mamltui.data.bank import ImageBank
from mamltui.data.banks import Banks
from mamltui.data.episodes import EpisodeSampler
from mamltui.data.splits import split_classes
from mamltui.errors import MamltuiError
from mamltui.evaluation import evaluate_run
from mamltui.learner import (
    annealing_ends,
    inner_loop_at,
    inner_loop_of,
    learner_of,
    network_of,
)
from mamltui.maml import outer
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.parameters import Parameters
from mamltui.maml.precision import PRECISIONS
from mamltui.maml.strategies.analytic import Analytic
from mamltui.maml.strategies.autograd import Autograd
from mamltui.maml.verify import ALPHA, plain_gradient, relative_difference
from mamltui.profiles import Profile, load_profile
from mamltui.results import Evaluation, compare_with_published, csv_text, write_results
from mamltui.runs import RunFolder
from mamltui.training import Control, Plan, Trainer
from mamltui.training.captured import CapturedStep
from mamltui.training.device import describe_device
from mamltui.training.divergence import Watch
from mamltui.training.state import TrainingState

SETTINGS = ("5way1shot", "5way5shot", "20way1shot", "20way5shot")
ANNEALED = (
    "inner.steps=3",
    "plus.multi_step_loss=true",
    "plus.multi_step_iterations=12",
    "plus.derivative_annealing=true",
    "plus.first_order_iterations=6",
)
"""A graph for each of three kinds of meta-iteration."""
MINIATURE = (
    "data.image_size=12",
    "network.filters=4",
    "meta.batch=2",
    "inner.steps=1",
    "inner.test_steps=1",
    "validation.episodes=2",
    "evaluation.episodes=2",
    "evaluation.steps=0..2",
)
SHARES = {"correctness": 0.1, "speed": 0.3}
"""Of the whole time; the trainings have what is left."""
EVALUATION_SECONDS = 10.0
"""Kept for each evaluation when a training's length is chosen."""
UNAVAILABLE = 3


@dataclass(frozen=True)
class Bench:
    """What was asked for, and what every part needs."""

    device: torch.device
    quick: bool
    profiles: dict[str, Profile]
    annealed: Profile
    bank: ImageBank
    out: Path
    runs: Path
    begun: float
    seconds: float

    def left(self, kept: float = 0.0) -> float:
        """Seconds until only the share ``kept`` of the whole time is left."""
        return self.begun + (1 - kept) * self.seconds - time.perf_counter()

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, help="folder with Omniglot")
    parser.add_argument("--data", choices=("omniglot", "strokes"), default="omniglot")
    parser.add_argument("--out", type=Path, required=True, help="folder for all results")
    parser.add_argument("--runs", type=Path, help="folder for the run folders; default: OUT/runs")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all of it")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="every part in miniature")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of the trainings' profiles"
    )
    asked = parser.parse_args()
    refuse_without_gpu(asked)
    begun = time.perf_counter()
    asked.out.mkdir(parents=True, exist_ok=True)
    overrides = [f"data.set={asked.data}", *(MINIATURE if asked.quick else ()), *asked.set]
    try:
        profiles = {name: load_profile(name, overrides) for name in SETTINGS}
        annealed = load_profile(SETTINGS[0], [*overrides, *ANNEALED])
        bank = Banks(asked.data_dir).bank(profiles[SETTINGS[0]].data)
    except MamltuiError as error:
        print(error, file=sys.stderr)
        sys.exit(int(error.exit_code))
    bench = Bench(
        torch.device(asked.device),
        asked.quick,
        profiles,
        annealed,
        bank,
        asked.out,
        asked.runs or asked.out / "runs",
        begun,
        60 * asked.minutes,
    )
    sys.exit(0 if run_all(bench) else 1)


def refuse_without_gpu(asked: argparse.Namespace) -> None:
    if asked.device == "cpu" and asked.quick:
        return
    if asked.device == "cuda" and torch.cuda.is_available():
        return
    print(
        f"this benchmark is of a CUDA device, and torch {torch.__version__} finds none\n"
        "To see that it works, in miniature: --device cpu --quick --data strokes",
        file=sys.stderr,
    )
    sys.exit(UNAVAILABLE)


def run_all(bench: Bench) -> bool:
    """All parts; one that fails is noted, and the others go on. False if one did."""
    report: dict[str, Any] = {
        "machine": machine(bench),
        "correctness": {},
        "speed": {},
        "trainings": {},
        "errors": {},
    }

    def save() -> None:
        report["seconds"] = time.perf_counter() - bench.begun
        write(bench.out / "report.json", json.dumps(report, indent=1) + "\n")
        write(bench.out / "summary.md", summary(report))
        write(bench.out / "speed.csv", speed_csv(report["speed"]))

    def attempt(name: str, work: Callable[[], Any]) -> Any:
        """What ``work`` gives; None when it fails, and that is noted."""
        print(f"{name}: {bench.left():.0f} s left", flush=True)
        try:
            return work()
        except Exception as error:
            report["errors"][name] = traceback.format_exc()
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            return None
        finally:
            save()

    correctness(bench, report["correctness"], attempt)
    speed(bench, report["speed"], attempt)
    trainings(bench, report["speed"], report["trainings"], attempt)
    save()
    print((bench.out / "summary.md").read_text())
    return not report["errors"]


Attempt = Callable[[str, Callable[[], Any]], Any]


def write(path: Path, text: str) -> None:
    """The whole file or none: whoever ends the process leaves what was there."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(text)
    beside.replace(path)


def machine(bench: Bench) -> dict[str, Any]:
    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    about: dict[str, Any] = {
        "device": describe_device(bench.device),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in ("torch", "triton", "higher", "torchopt")},
        "cuda": torch.version.cuda,
        "data": bench.bank.name,
        "quick": bench.quick,
    }
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        about["capability"] = f"{properties.major}.{properties.minor}"
        about["multiprocessors"] = properties.multi_processor_count
        about["memory_bytes"] = properties.total_memory
    return about


def available_precisions(device: torch.device) -> list[str]:
    return [name for name in PRECISIONS if name != "tf32" or device.type == "cuda"]


# What a profile asks for, as the learning code takes it.


def sampler_of(profile: Profile, bank: ImageBank) -> EpisodeSampler:
    task = profile.task
    return EpisodeSampler(
        bank,
        split_classes(bank, profile.data.split).train,
        split="train",
        way=task.way,
        shot=task.shot,
        query=task.query,
        rotations=profile.data.rotations,
        seed=profile.meta.seed,
        augmentation=profile.augment,
    )


def new_step(bench: Bench, profile: Profile, precision: str) -> tuple[CapturedStep, TrainingState]:
    """A training at its beginning, not yet captured."""
    learner = learner_of(profile, bench.bank)
    state = TrainingState.fresh(learner, profile.meta, bench.device)
    step = CapturedStep(
        learner,
        sampler_of(profile, bench.bank),
        state,
        Watch(1e6, bench.device),
        batch=profile.meta.batch,
        device=bench.device,
        precision=precision,
        inner_at=partial(inner_loop_at, profile),
        changes=annealing_ends(profile),
    )
    return step, state


# 1. Correctness


def correctness(bench: Bench, found: dict[str, Any], attempt: Attempt) -> None:
    found["against float64"] = attempt("against float64", lambda: against_float64(bench)) or {}
    found["memory"] = attempt("memory", lambda: memory_of_replays(bench))
    compared = found["captured against uncaptured"] = {}
    for precision in available_precisions(bench.device):
        for name, profile in (bench.profiles | {"annealed": bench.annealed}).items():
            if bench.left(1 - SHARES["correctness"]) < 0:
                return
            title = f"{name}, {precision}"
            result = attempt(
                f"captured against uncaptured, {title}",
                lambda profile=profile, precision=precision: against_uncaptured(
                    bench, profile, precision
                ),
            )
            if result is not None:
                compared[title] = result


def against_float64(bench: Bench) -> dict[str, float]:
    """Relative difference of the meta-gradient in float32 to the loop's in float64."""
    profile = bench.profiles["5way1shot"]
    network, sampler = network_of(profile, bench.bank), sampler_of(profile, bench.bank)
    tasks = min(8, profile.meta.batch)
    episodes = sampler.batch(0, tasks, bench.device)
    single = {name: value.to(bench.device) for name, value in network.initial_parameters(0).items()}
    double = {name: value.double() for name, value in single.items()}
    found = {}
    for steps in (1, 3, 5):
        inner = InnerLoop(steps, ALPHA)
        moved = episodes.to(bench.device, torch.float64)
        exact, _ = plain_gradient(network, double, moved, steps)
        ways: dict[str, Callable[[], Parameters]] = {
            "autograd, fp32": lambda inner=inner: (
                outer.meta_gradient(network, inner, single, episodes, Autograd).gradient
            )
        }
        for precision in available_precisions(bench.device):
            ways[f"analytic, {precision}"] = lambda inner=inner, precision=precision: (
                outer.meta_gradient(
                    network, inner, single, episodes, partial(Analytic, precision=precision)
                ).gradient
            )
        for name, way in ways.items():
            mean = {key: value / tasks for key, value in way().items()}
            found[f"{name}, {steps} inner steps"] = relative_difference(mean, exact)
    return found


def against_uncaptured(bench: Bench, profile: Profile, precision: str) -> dict[str, Any]:
    """Both go the same 20 meta-iterations; how far apart are they then?"""
    (captured, ours), (eager, theirs) = (new_step(bench, profile, precision) for _ in range(2))
    said: list[str] = []
    captured.prepare(said.append)
    eager.task_chunk = captured.task_chunk
    for _ in range(2 if bench.quick else 20):
        captured.run()
        eager.run()
    pairs = list(zip(ours.tensors, theirs.tensors, strict=True))
    return {
        "parameters' relative difference": relative_difference(ours.parameters, theirs.parameters),
        "equal to the bit": all(torch.equal(a, b) for a, b in pairs),
        "task chunk": captured.task_chunk,
        "notices": said,
    }


def memory_of_replays(bench: Bench) -> dict[str, Any]:
    """Bytes that torch holds on the device before and after many replays."""
    step, _ = new_step(bench, bench.profiles["5way1shot"], "fp32")
    step.prepare(print)
    step.run()
    replays = 20 if bench.quick else 2000

    def held() -> list[int]:
        bench.synchronize()
        if bench.device.type != "cuda":
            return []
        return [torch.cuda.memory_allocated(), torch.cuda.memory_reserved()]

    before = held()
    for _ in range(replays):
        step.run()
    after = held()
    return {"replays": replays, "before": before, "after": after, "flat": before == after}


# 2. Speed


def speed(bench: Bench, found: dict[str, Any], attempt: Attempt) -> None:
    kept = 1 - SHARES["correctness"] - SHARES["speed"]
    budget = max(bench.left(kept), 1.0) / len(bench.profiles)
    for name, profile in bench.profiles.items():
        result = attempt(
            f"speed of {name}",
            lambda profile=profile: speed_of(bench, profile, time.perf_counter() + budget),
        )
        if result is None:
            continue
        found[name] = result
        medians = {key: statistics.median(values) for key, values in result["ms"].items()}
        print(f"  {name}: " + ", ".join(f"{key} {ms:.3g} ms" for key, ms in medians.items()))


def speed_of(bench: Bench, profile: Profile, deadline: float) -> dict[str, Any]:
    """Milliseconds of each contender and round; whole rounds until the deadline, at least two."""
    network, inner = network_of(profile, bench.bank), inner_loop_of(profile)
    batch, device = profile.meta.batch, bench.device
    parameters = {name: value.to(device) for name, value in network.initial_parameters(0).items()}
    # On the mean of the loss, whose step the others take.
    mean = InnerLoop(inner.steps, inner.step_size(network.way))
    episodes = sampler_of(profile, bench.bank).batch(0, batch, device)
    running: dict[str, Callable[[], object]] = {}
    left_out: dict[str, str] = {}
    held = {}
    for precision in available_precisions(device):
        name = f"mamltui captured, {precision}"
        try:
            step, _ = new_step(bench, profile, precision)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            step.prepare(print)
        except Exception as error:  # the others are still to be timed
            left_out[name] = f"{type(error).__name__}: {error}"
            continue
        running[name] = step.run
        if device.type == "cuda":
            held[name] = torch.cuda.max_memory_allocated()
    repeats = dict.fromkeys(running, 2 if bench.quick else 50)
    running["mamltui eager, fp32"] = lambda: outer.meta_gradient(
        network, inner, parameters, episodes, Analytic
    ).times(1 / batch)
    others = contenders(network, mean, parameters, episodes)
    running |= {name: call for name, call in others.items() if not name.startswith("mamltui")}
    for name, call in list(running.items()):
        try:
            call()
            bench.synchronize()
        except Exception as error:  # of a peer, on this device
            left_out[name] = f"{type(error).__name__}: {error}"
            del running[name]
    times: dict[str, list[float]] = {name: [] for name in running}
    rounds = 0
    while rounds < 2 or (not bench.quick and rounds < 50 and time.perf_counter() < deadline):
        rounds += 1
        for name, call in running.items():
            repeat = repeats.get(name, 1)
            bench.synchronize()
            start = time.perf_counter()
            for _ in range(repeat):
                call()
            bench.synchronize()
            times[name].append(1e3 * (time.perf_counter() - start) / repeat)
    return {
        "ms": times,
        "peak bytes": held,
        "left out": left_out,
        "launches": {name: launches(bench, call) for name, call in running.items()},
        "float64 relative difference": peers_exactness(bench, profile, mean, episodes),
    }


def launches(bench: Bench, call: Callable[[], object]) -> dict[str, int] | None:
    """Launches by the processor and kernels on the device in one call."""
    if bench.device.type != "cuda":
        return None
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        call()
        torch.cuda.synchronize()
    found = {"graphs": 0, "kernels launched one by one": 0, "copies and fills": 0, "on device": 0}
    for event in profile.key_averages():
        if event.key.startswith("cudaGraphLaunch"):
            found["graphs"] += event.count
        elif event.key.startswith(("cudaLaunchKernel", "cuLaunchKernel")):
            found["kernels launched one by one"] += event.count
        elif event.key.startswith(("cudaMemcpy", "cudaMemset")):
            found["copies and fills"] += event.count
        elif event.device_type.name == "CUDA":
            found["on device"] += event.count
    return found


def peers_exactness(
    bench: Bench, profile: Profile, inner: InnerLoop, episodes: Episodes
) -> dict[str, float]:
    """How far each contender's float32 meta-gradient of two tasks is from the float64 loop's."""
    few = Episodes(*(tensor[:2] for tensor in episodes))
    network = network_of(profile, bench.bank)
    single = {name: value.to(bench.device) for name, value in network.initial_parameters(0).items()}
    double = {name: value.double() for name, value in single.items()}
    expected = contenders(network, inner, double, few.to(bench.device, torch.float64))["plain loop"]
    exact = expected()
    found = {}
    for name, call in contenders(network, inner, single, few).items():
        try:
            found[name] = relative_difference(call(), exact)
        except Exception:  # of a peer, told where it is timed
            continue
    return found


# 3. Trainings


def trainings(
    bench: Bench, speeds: dict[str, Any], found: dict[str, Any], attempt: Attempt
) -> None:
    evaluations: list[Evaluation] = []
    for place, (name, profile) in enumerate(bench.profiles.items()):
        share = bench.left() / (len(bench.profiles) - place)
        trained = attempt(
            f"training of {name}",
            lambda name=name, profile=profile, share=share: training(
                bench, profile, speeds.get(name), share
            ),
        )
        if trained is None:
            continue
        found[name], evaluation = trained
        if evaluation is not None:
            evaluations.append(evaluation)
            write(bench.out / "evaluations.csv", csv_text(evaluations))
        shutil.make_archive(str(bench.out / "runs"), "zip", bench.runs)
        print(f"  {name}: {json.dumps(found[name])}", flush=True)


def iterations_for(
    bench: Bench, profile: Profile, speed: dict[str, Any] | None, share: float
) -> int:
    """As many as fit the share of the time, with validations, and no more than the profile's."""
    if bench.quick:
        return 3
    times = speed["ms"].get("mamltui captured, fp32") if speed else None
    ms = statistics.median(times or [5.0])
    fitting = int(0.8 * 1e3 * max(share - EVALUATION_SECONDS, 1.0) / ms)
    return max(1, min(fitting, profile.meta.iterations))


def training(
    bench: Bench, profile: Profile, speed: dict[str, Any] | None, share: float
) -> tuple[dict[str, Any], Evaluation | None]:
    """Train through a run folder and evaluate on the test split; ``share`` is in seconds."""
    begun = time.perf_counter()
    iterations = iterations_for(bench, profile, speed, share)
    interval = max(1, iterations // 10)
    profile = profile.model_copy(
        update={
            "meta": profile.meta.model_copy(update={"iterations": iterations}),
            "validation": profile.validation.model_copy(update={"interval": interval}),
            "run": profile.run.model_copy(
                update={
                    "log_interval": max(1, iterations // 300),
                    "checkpoint_interval": interval,
                }
            ),
        }
    )
    plan = Plan.of(profile, bench.bank, bench.device)
    run, control = RunFolder.create(profile, bench.runs), Control()
    trainer = Trainer(plan, run, control)
    for event in trainer.train():
        last = event.name
        if time.perf_counter() - begun > share - EVALUATION_SECONDS and not bench.quick:
            control.stop("the time is up")
    trained = time.perf_counter() - begun
    info = run.info()
    result: dict[str, Any] = {
        "run": run.name,
        "end": last,
        "iterations asked for": iterations,
        "iterations": info.iteration,
        "seconds of training": trained,
        "iterations a second": info.iteration / trained,
    }
    if info.best is None and not run.checkpoint_path("last").exists():
        return result, None
    begun = time.perf_counter()
    evaluation = evaluate_run(
        run,
        bank=bench.bank,
        checkpoint="last" if info.best is None else "best",
        steps=profile.evaluation.steps,
        episodes=profile.evaluation.episodes,
        device=bench.device,
    )
    write_results(run.evaluation, evaluation)
    headline = evaluation.headline()
    result |= {
        "seconds of evaluation": time.perf_counter() - begun,
        "checkpoint's iteration": evaluation.iteration,
        "test accuracy": headline.accuracy,
        "test accuracy ci95": headline.accuracy_ci95,
        "beside the literature": [
            comparison.sentence for comparison in compare_with_published(evaluation)
        ],
    }
    return result, evaluation


if __name__ == "__main__":
    main()
