"""What the Train screen says of a run, as lines of text: all numbers in fixed places."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.cells import cell_len
from textual.content import Content

from mamltui.curves.history import Newest
from mamltui.events import Step, Validated
from mamltui.measures import duration, sparkline
from mamltui.profiles import Profile
from mamltui.results import Figure, StepResult, figures_of
from mamltui.score import ACCURACY, Metric, Score
from mamltui.text import visible
from mamltui.tui.session.watched import Watched
from mamltui.tui.shared.fitting import LEAST, shortened_name

STATE_STYLES = {
    "training": "$success",
    "finished": "$success",
    "evaluating": "$accent",
    "paused": "$warning",
    "stopping": "$warning",
    "interrupted": "$warning",
    "stopped": "$warning",
    "failed": "bold $error",
    "diverged": "bold $error",
    "damaged": "bold $error",
}
MUTED = "$text-muted"
WIDE = 14
"""Cells of a wide tile."""
WIDE_TILES = 142
"""Cells from which on all tiles are wide."""


def task_text(profile: Profile) -> str:
    """E.g. ``5-way 1-shot omniglot``."""
    return f"{profile.shape} {profile.data.set}"


def paper_figure(profile: Profile) -> Figure | None:
    """The MAML paper's accuracy for a profile's task, if it has one; of waves, another's error."""
    return next((each for each in figures_of(profile) if each.method == "MAML"), None)


def headline(watched: Watched, newest: Newest, width: int) -> Content:
    """Title, name and task on the left, device and state on the right."""
    state = watched.state
    device = f"{visible(newest.started.device)}  " if newest.started and width >= 100 else ""
    right = Content.assemble((device, MUTED), (state, STATE_STYLES.get(state, "")))
    task = task_text(watched.profile)
    room = width - right.cell_length - len(task) - 4
    called = shortened_name(watched.title or watched.name, max(LEAST, room))
    name = ""
    if watched.title and room - cell_len(called) - 2 >= LEAST:
        name = "  " + shortened_name(watched.name, room - cell_len(called) - 2)
    left = Content.assemble((called, "bold"), (f"{name}  {task}", MUTED))
    return Content.assemble(left, " " * max(1, width - left.cell_length - right.cell_length), right)


def tiles(
    newest: Newest,
    figure: Figure | None,
    width: int,
    test: StepResult | None = None,
    metric: Metric = ACCURACY,
) -> list[Content]:
    """Two lines: what is measured, and below each name its value, right-aligned."""
    step, validated, best = newest.step, newest.validated, newest.best
    name = ("error", "query error") if metric.is_error else ("accuracy", "query accuracy")
    cells = [
        (*name, _text(step.score if step else None)),
        ("before", "before adapt.", _text(step.scores_per_step[0] if step else None)),
        ("loss", "query loss", f"{step.query_loss:.4f}" if step else "-"),
        ("valid.", "validation", _text(validated.score if validated else None)),
        ("best", "best valid.", _text(best.score if best else None)),
    ]
    if metric.is_error:  # the loss is the error
        del cells[2]
    if test is not None:
        score = test.score
        is_wide = width >= WIDE_TILES
        ci95 = f" ± {metric.number(score.ci95)}" if is_wide else ""
        text = f"{metric.number(score.value)}{ci95}{metric.unit}"
        # A whole interval has 15 cells: without them the unit stands beside the name.
        title = "test"
        if len(text) > WIDE:
            title, text = f"test{metric.unit}", text.removesuffix(metric.unit)
        cells.insert(0, ("test", title, text))
    if figure is not None:
        label = ("to publ.", "to published") if metric.is_error else ("to paper", "to the paper")
        cells.append((*label, _difference(best, figure)))
    cells += [
        ("norm", "gradient norm", f"{step.gradient_norm:.3g}" if step else "-"),
        ("it/s", "it/s", f"{step.iterations_per_second:.2f}" if step else "-"),
    ]
    gap, narrow = 2, 8
    cells = cells[: max(1, (width + gap) // (narrow + gap))]
    each = max(0, min(WIDE, (width + gap) // len(cells) - gap))
    names = [long if each == WIDE else short for short, long, _ in cells]
    space = " " * gap
    labels = space.join(f"{name:>{each}}" for name in names)
    values = space.join(f"{value:>{each}}" for _, _, value in cells)
    return [Content.styled(labels, MUTED), Content.styled(values, "bold")]


def _text(score: Score | None) -> str:
    return "-" if score is None else score.text


def _difference(best: Validated | None, figure: Figure) -> str:
    if best is None:
        return "-"
    metric, decimals = figure.metric, figure.metric.decimals if figure.metric.is_error else 1
    return f"{Decimal(metric.factor * best.score.value) - figure.value:+.{decimals}f}"


def progress(newest: Newest, elapsed: float, since: float, width: int) -> Content:
    """A bar, iterations, elapsed and left.

    Args:
        elapsed: seconds of training until now.
        since: seconds since the numbers of ``newest`` were true.
    """
    if not newest.iterations:
        return Content("")
    share = min(1.0, newest.iteration / newest.iterations)
    total = f"{newest.iterations:,}"
    texts = [f"{newest.iteration:>{len(total)},} / {total}", f"{100 * share:5.1f} %"]
    times = [f"elapsed {duration(elapsed)}"]
    sure = ""
    if newest.state in ("training", "paused"):
        left = newest.seconds_left
        times.append(f"left {duration(None if left is None else max(0.0, left - since)):>7}")
        error = newest.seconds_left_error
        if left is not None and error is not None and width >= 72:
            sure = f" ± {duration(error)}"
    told = "   ".join([*texts, *times])
    wanted = (told + sure, told, "  ".join(texts))
    tail = next((each for each in wanted if len(each) <= width), wanted[-1])
    room = width - len(tail) - 2
    if room < 8:
        return Content(tail)
    return Content.assemble(_bar(share, min(room, 60)), "  ", tail)


def _bar(share: float, width: int) -> Content:
    halves = round(share * width * 2)
    filled = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return Content.assemble((filled, "$accent"), ("─" * (width - len(filled)), MUTED))


def step_curve(newest: Newest, height: int, width: int) -> list[Content]:
    """Query score after each inner step: of the last training episodes, and of validation."""
    train = newest.step.scores_per_step if newest.step else ()
    validation = newest.validated.scores_per_step if newest.validated else ()
    lines = [Content.styled(f"{'inner step':<11} {'train':>7} {'valid.':>7}", MUTED)]
    count = max(len(train), len(validation))
    if not count:
        return [*lines, Content.styled("none yet", MUTED)]
    rows = _spread(count, max(1, height - 1))
    errors = [score.value for score in (*train, *validation) if score.metric.is_error]
    whole = max(errors, default=1.0) or 1.0
    room = max(0, width - 30)
    for row in rows:
        name = "0 before" if row == 0 else str(row)
        values = [train[row] if row < len(train) else None]
        values.append(validation[row] if row < len(validation) else None)
        shown = [f"{_bare(value):>7}" if value is not None else "      -" for value in values]
        known = values[1] if values[1] is not None else values[0]
        lines.append(
            Content.assemble(
                f"{name:<11}",
                " ",
                shown[0],
                " ",
                (shown[1], "bold"),
                "  ",
                _bar(min(1.0, known.value / whole) if known else 0.0, room),
            )
        )
    return lines


def _bare(score: Score) -> str:
    """Without a unit."""
    return score.text.removesuffix(score.metric.unit)


def _spread(count: int, rows: int) -> list[int]:
    """At most ``rows`` of the numbers below ``count``: the first, the last, and some between."""
    if count <= rows:
        return list(range(count))
    if rows == 1:
        return [count - 1]
    return sorted({round(row * (count - 1) / (rows - 1)) for row in range(rows)})


SPARKS = (
    ("query loss", "query_loss", "{:.4f}"),
    ("query acc", "query_accuracy", "{:.1%}"),
    ("grad norm", "gradient_norm", "{:.3g}"),
    ("it/s", "iterations_per_second", "{:.2f}"),
)


def sparks(watched: Watched, width: int) -> list[Content]:
    """The last logged values of four metrics, each as a sparkline with its newest value."""
    lines = [Content.styled("last logged steps", MUTED)]
    for label, metric, form in SPARKS:
        if watched.profile.metric.is_error:
            if metric == "query_accuracy":
                continue
            label = label.replace("loss", "error")
        curve = watched.history.curve(metric)
        value = form.format(curve.y[-1]).replace("%", " %") if len(curve) else "-"
        room = max(0, width - 22)
        spark = sparkline(curve.y[-room:].tolist() if room else [])
        lines.append(Content.assemble(f"{label:<10}{value:>9}  ", (spark, "$accent")))
    return lines


RECENT = (("iteration", 9), ("query loss", 12), ("query acc", 11), ("before", 9), ("norm", 8))
"""The columns of the table of recent steps, and their widths; of errors without the accuracy."""


def recent_table(
    steps: Sequence[Step],
    validations: Sequence[Validated],
    rows: int,
    metric: Metric = ACCURACY,
) -> list[Content]:
    """The newest logged steps and validations, newest first, below the names of the columns."""
    entries = [
        (
            step.iteration,
            0,
            (step.query_loss, step.score, step.scores_per_step[0]),
            f"{step.gradient_norm:.3g}",
        )
        for step in steps[-rows:]
    ]
    entries += [
        (
            validated.iteration,
            1,
            (validated.loss, validated.score, validated.scores_per_step[0]),
            "best *" if validated.is_best else "valid.",
        )
        for validated in validations[-rows:]
    ]
    columns = [each for each in RECENT if not (metric.is_error and each[0] == "query acc")]
    names = "".join(f"{name:>{width}}" for name, width in columns)
    lines = [Content.styled(names.replace("loss", "error") if metric.is_error else names, MUTED)]
    for entry in sorted(entries, key=lambda entry: entry[:2], reverse=True)[:rows]:
        iteration, is_validation, (loss, score, before), norm = entry
        accuracy = "" if metric.is_error else f"{score.text:>11}"
        text = f"{iteration:>9,}{loss:>12.4f}{accuracy}{before.text:>9}{norm:>8}"
        lines.append(Content.styled(text, "bold" if is_validation else ""))
    return lines
