"""``mamltui sine``: what MAML does, seen in ten seconds, on sine waves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.options import AsJson
from mamltui.cli.output import narrate
from mamltui.errors import UsageError

if TYPE_CHECKING:
    from mamltui.profiles import Profile
    from mamltui.results import Figure

SHOTS = (5, 10)
"""Of the packaged profiles."""
ITERATIONS = 70_000
"""Of the paper's training."""
STEPS = 10
"""Inner steps that are looked at."""
QUERY = 100
"""Points at which the fit of a test wave is measured."""
WIDTH, HEIGHT = 34, 9
"""Of a curve, in characters."""


def sine(
    shot: Annotated[
        int, typer.Option(metavar="5|10", help="Points that a wave is fitted from.")
    ] = 10,
    iterations: Annotated[
        int,
        typer.Option(
            min=1, max=10_000_000, metavar="N", help="Meta-iterations; the paper's are 70,000."
        ),
    ] = 2_000,
    task: Annotated[
        int, typer.Option(min=0, max=1_000_000, metavar="N", help="Which unseen wave is drawn.")
    ] = 4,
    tasks: Annotated[
        int, typer.Option(min=2, max=100_000, metavar="N", help="Unseen waves of the test.")
    ] = 600,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, metavar="N", help="Of the training.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Train MAML on sine waves and draw how it fits a new one, before and after each step.

    The regression of the MAML paper (section 5.1), as the profiles sinusoid-5shot and
    sinusoid-10shot have it: waves of amplitude 0.1 to 5 and phase 0 to pi, two hidden layers of 40
    units, one inner step of 0.01 in training, 25 waves a meta-iteration. Nothing is written;
    mamltui run sinusoid-10shot keeps what it trains. The mean squared error on unseen waves stands
    beside the published one.
    """
    if shot not in SHOTS:
        raise UsageError(
            f"there are published figures of 5 and 10 points, not of {shot}", where="--shot"
        )
    import torch

    from mamltui.data.sinusoid import SinusoidSampler, Waves
    from mamltui.maml.evaluate import mean_and_ci95, score
    from mamltui.profiles import load_profile
    from mamltui.training.in_memory import train_in_memory
    from mamltui.training.plan import Plan
    from mamltui.waves import fit_wave

    shown = max(1, iterations // 5)
    changes = (
        f"meta.iterations={iterations}",
        f"meta.seed={seed}",
        f"run.log_interval={max(1, shown // 20)}",
    )
    profile = load_profile(f"sinusoid-{shot}shot", changes)
    narrate(f"training on sine waves, {shot} points each, {iterations:,} meta-iterations")
    errors: list[float] = []

    def progress(iteration: int, error: float) -> None:
        errors.append(error)
        if iteration % shown < profile.run.log_interval:
            mean = sum(errors) / len(errors)
            narrate(f"iteration {iteration:,} / {iterations:,}  mean squared error {mean:.3f}")
            errors.clear()

    plan = Plan.of(profile, Waves(), torch.device("cpu"))
    learner, parameters = plan.learner, train_in_memory(plan, progress)
    sampler = SinusoidSampler(seed, "test", shot, QUERY)
    scores = score(learner.network, learner.inner, parameters, sampler.batch(0, tasks), steps=STEPS)
    means, widths = mean_and_ci95(scores.transductive.loss)
    results = list(zip(means.tolist(), widths.tolist(), strict=True))
    if as_json:
        typer.echo(json.dumps(_document(profile, tasks, results), indent=2))
        return
    from mamltui.tui.shared.wave import drawn, title

    fit = fit_wave(learner, parameters, sampler, task, steps=STEPS)
    typer.echo(
        f"Unseen wave {task}: {fit.amplitude:.2f} sin(x + {fit.phase:.2f}), fitted from {shot} "
        f"points (o); the wave is dotted\n"
    )
    for pair in ((0, 1), (2, STEPS)):
        left, right = ([title(fit, step), *drawn(fit, step, WIDTH, HEIGHT)] for step in pair)
        typer.echo(_beside(left, right))
    typer.echo(_table(profile, tasks, results))


def _beside(left: Sequence[str], right: Sequence[str]) -> str:
    width = WIDTH + 5
    pairs = zip(left, right, strict=True)
    return "\n".join(f"{a:<{width}}{b}".rstrip() for a, b in pairs) + "\n"


def _published(profile: Profile) -> Figure:
    from mamltui.results import figures_of

    return figures_of(profile)[0]


def _table(profile: Profile, tasks: int, results: Sequence[tuple[float, float]]) -> str:
    figure, iterations = _published(profile), profile.meta.iterations
    lines = [
        f"Mean squared error on {tasks:,} unseen waves, {profile.task.shot} points each",
        f"steps{'error':>9}",
        *(f"{step:>5}{error:>9.3f} ± {ci95:.3f}" for step, (error, ci95) in enumerate(results)),
        f"Published: {figure.printed}, {figure.method} [{figure.cited}], second hand",
    ]
    if iterations < ITERATIONS:
        lines.append(
            f"After {iterations:,} meta-iterations; --iterations {ITERATIONS} is the paper's "
            "training."
        )
    return "\n".join(lines)


def _document(
    profile: Profile, tasks: int, results: Sequence[tuple[float, float]]
) -> dict[str, object]:
    figure = _published(profile)
    return {
        "shot": profile.task.shot,
        "iterations": profile.meta.iterations,
        "tasks": tasks,
        "seed": profile.meta.seed,
        "steps": [
            {"steps": step, "mean_squared_error": error, "ci95": ci95}
            for step, (error, ci95) in enumerate(results)
        ],
        "published": {
            "mean_squared_error": float(figure.value),
            "source": f"{figure.method}, {figure.cited}; second hand",
        },
    }
