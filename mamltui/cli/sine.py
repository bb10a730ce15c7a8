"""``mamltui sine``: what MAML does, seen in ten seconds, on sine waves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.options import AsJson
from mamltui.cli.output import narrate
from mamltui.errors import UsageError

if TYPE_CHECKING:
    from mamltui.training.sine import Fit, SineResult

PUBLISHED = {5: 0.69, 10: 0.44}
"""MAML's mean square error in Park and Oliva (2019), Meta-Curvature, by shots; second hand."""
SHOTS = tuple(PUBLISHED)
WIDTH, HEIGHT = 34, 9
"""Of a curve, in characters."""
LEVELS = 5.5
"""The waves lie within plus and minus this."""


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

    The regression of the MAML paper (section 5.1): waves of amplitude 0.1 to 5 and phase 0 to pi,
    two hidden layers of 40 units, one inner step of 0.01 in training, 25 waves a meta-iteration.
    Nothing is written. The mean square error on unseen waves stands beside the published one.
    """
    if shot not in SHOTS:
        raise UsageError(
            f"there are published figures of 5 and 10 points, not of {shot}", where="--shot"
        )
    from mamltui.training.sine import fit_sine, score_sine, train_sine

    narrate(f"training on sine waves, {shot} points each, {iterations:,} meta-iterations")
    errors: list[float] = []
    shown = max(1, iterations // 5)

    def progress(iteration: int, error: float) -> None:
        errors.append(error)
        if iteration % shown == 0:
            mean = sum(errors) / len(errors)
            narrate(f"iteration {iteration:,} / {iterations:,}  mean square error {mean:.3f}")
            errors.clear()

    parameters = train_sine(shot, iterations, seed=seed, progress=progress)
    result = score_sine(parameters, shot, steps=10, tasks=tasks, seed=seed)
    if as_json:
        typer.echo(json.dumps(_document(result, shot, iterations, tasks, seed), indent=2))
        return
    fit = fit_sine(parameters, shot, task=task, steps=10, points=2 * WIDTH, seed=seed)
    typer.echo(
        f"Unseen wave {task}: {fit.amplitude:.2f} sin(x + {fit.phase:.2f}), fitted from {shot} "
        f"points (o); the wave is dotted\n"
    )
    steps = (0, 1, 2, 10)
    for left, right in (steps[:2], steps[2:]):
        typer.echo(_beside(drawn(fit, left), drawn(fit, right)))
    typer.echo(_table(result, shot, iterations, tasks))


def drawn(fit: Fit, step: int) -> list[str]:
    """The wave (dotted), the points and the network's curve after so many steps, as text."""
    import numpy as np

    from mamltui.tui.shared.braille import BLANK, lines_of

    across, down = 2 * WIDTH, 4 * HEIGHT
    bits = np.zeros((down, across), np.bool_)

    def row(y: float) -> int:
        return round((LEVELS - min(max(y, -LEVELS), LEVELS)) / (2 * LEVELS) * (down - 1))

    for column, y in enumerate(fit.wave):
        if column % 3 == 0:
            bits[row(y), column] = True
    rows = [row(y) for y in fit.fitted[step]]
    for column, here in enumerate(rows):
        before = rows[max(0, column - 1)]
        # As far as the column before, so that a steep part is a line too.
        joined = before + (here > before) - (here < before)
        top, bottom = min(here, joined), max(here, joined)
        bits[top : bottom + 1, column] = True
    lines = [list(line.replace(chr(BLANK), " ")) for line in lines_of(bits)]
    low, high = fit.x[0], fit.x[-1]
    for x, y in fit.support:
        column = round((x - low) / (high - low) * (across - 1)) // 2
        lines[row(y) // 4][column] = "o"
    error = sum((a - b) ** 2 for a, b in zip(fit.fitted[step], fit.wave, strict=True))
    mean = error / len(fit.wave)
    title = f"after {step} step{'' if step == 1 else 's'}: mean square error {mean:.3f}"
    return [title if step else f"before any step: {mean:.3f}", *map("".join, lines)]


def _beside(left: list[str], right: list[str]) -> str:
    width = WIDTH + 5
    pairs = zip(left, right, strict=True)
    return "\n".join(f"{a:<{width}}{b}".rstrip() for a, b in pairs) + "\n"


def _table(result: SineResult, shot: int, iterations: int, tasks: int) -> str:
    from mamltui.training.sine import ITERATIONS

    lines = [f"Mean square error on {tasks:,} unseen waves, {shot} points each", "steps"]
    lines[1] += f"{'error':>9}"
    for step, (error, ci95) in enumerate(zip(result.error, result.ci95, strict=True)):
        lines.append(f"{step:>5}{error:>9.3f} ± {ci95:.3f}")
    lines.append(f"Published: {PUBLISHED[shot]:.2f}, MAML in Park and Oliva (2019), second hand")
    if iterations < ITERATIONS:
        lines.append(
            f"After {iterations:,} meta-iterations; --iterations {ITERATIONS} is the paper's "
            "training."
        )
    return "\n".join(lines)


def _document(
    result: SineResult, shot: int, iterations: int, tasks: int, seed: int
) -> dict[str, object]:
    pairs = enumerate(zip(result.error, result.ci95, strict=True))
    return {
        "shot": shot,
        "iterations": iterations,
        "tasks": tasks,
        "seed": seed,
        "steps": [
            {"steps": step, "mean_squared_error": error, "ci95": ci95}
            for step, (error, ci95) in pairs
        ],
        "published": {
            "mean_squared_error": PUBLISHED[shot],
            "source": "MAML in Park and Oliva 2019, Meta-Curvature; second hand",
        },
    }
