"""The report of a study: a function of its run folders, written anew whenever it is asked for."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mamltui.errors import RunError
from mamltui.events import Step
from mamltui.results import (
    Comparison,
    StepResult,
    accuracy_cell,
    compare_with_published,
    write_text,
)
from mamltui.results.paired import p_text, unpaired_reason
from mamltui.results.published import published_sweeps
from mamltui.runs.files import file_error
from mamltui.statistics import PairedDifference, holm, paired_difference
from mamltui.studies import plots
from mamltui.studies.arms import Arm, Curve, Trained, arms_of
from mamltui.studies.document import (
    Block,
    Bullets,
    Code,
    Heading,
    Picture,
    Table,
    Words,
    to_html,
    to_markdown,
)
from mamltui.studies.example import Example
from mamltui.studies.plots import Dot, Line, Panel
from mamltui.studies.progress import progress_of
from mamltui.studies.standing import Standing
from mamltui.studies.study import Study

NONE = "-"
"""In a table: there is no such number."""
PAPER_TASKS = 60_000 * 32
"""Training tasks of the MAML paper at 5-way; at 20-way half as many."""
GRID_STEPS = (1, 3, 5, 10)
"""Steps at test of the earlier study's grid."""


@dataclass(frozen=True)
class Report:
    """A study's report before it is written."""

    title: str
    blocks: tuple[Block, ...]

    def write(self, folder: Path) -> list[Path]:
        """Write ``report.md``, ``report.html``, ``tables/*.csv`` and ``plots/*.svg`` and ``.png``.

        Raises:
            RunError: the folder cannot be written.
        """
        tables, pictures = folder / "tables", folder / "plots"
        try:
            tables.mkdir(parents=True, exist_ok=True)
            pictures.mkdir(parents=True, exist_ok=True)
            for block in self.blocks:
                if isinstance(block, Picture):
                    (pictures / f"{block.name}.svg").write_bytes(block.svg)
                    (pictures / f"{block.name}.png").write_bytes(block.png)
        except OSError as error:
            raise file_error(error, folder, "write the report") from error
        for block in self.blocks:
            if isinstance(block, Table):
                write_text(tables / f"{block.name}.csv", block.csv(), error=RunError)
        files = [folder / "report.md", folder / "report.html"]
        write_text(files[0], to_markdown(self.blocks, "plots"), error=RunError)
        write_text(files[1], to_html(self.blocks, self.title), error=RunError)
        return files


def make_report(study: Study, standings: Sequence[Standing]) -> Report:
    """What the run folders of a study say, whether it is over or half way."""
    bases = arms_of(standings)
    title = f"Study {study.name}"
    blocks: list[Block] = [Heading(title, 1), Words(study.description)]
    blocks += _state(study, standings)
    blocks += [Heading("In words"), Bullets(tuple(_in_words(bases)))]
    for base, arms in bases.items():
        blocks += _of_a_base(base, arms)
    blocks += _comparisons(bases)
    blocks += _published(bases)
    blocks += _examples(bases)
    blocks += _repeat(study, standings)
    return Report(title, tuple(blocks))


def _state(study: Study, standings: Sequence[Standing]) -> Iterator[Block]:
    progress = progress_of(study, standings)
    text = f"{progress.words}."
    if progress.over < progress.cells:
        text += " The study is not over: what follows is what there is so far, and will change."
    yield Words(text)
    lost = [each for each in standings if each.state in ("diverged", "failed")]
    if lost:
        yield Bullets(tuple(f"{each.cell.name}: {each.state}: {each.why}" for each in lost))


def _in_words(bases: dict[str, list[Arm]]) -> Iterator[str]:
    """What can be read from the tables, in whole sentences."""
    for base, arms in bases.items():
        tested = [(arm, score) for arm in arms if (score := arm.headline())]
        if not tested:
            yield f"{base}: nothing has been tested yet."
            continue
        if len(tested) > 1:
            yield _ranking(base, tested)
        for comparison in compare_with_published(tested[0][0].evaluations[0]):
            if comparison.figure.method.startswith("MAML") and "++" not in comparison.figure.method:
                yield _beside(base, tested[0][0], comparison)


def _ranking(base: str, tested: Sequence[tuple[Arm, StepResult]]) -> str:
    ranked = sorted(tested, key=lambda each: each[1].accuracy, reverse=True)
    (best, score), (last, lowest) = ranked[0], ranked[-1]
    text = (
        f"{base}: the highest test accuracy has {best.title} with {accuracy_cell(score)} %, the "
        f"lowest {last.title} with {accuracy_cell(lowest)} % (intervals over the test episodes)."
    )
    seeds = min(len(arm.tested) for arm, _ in tested)
    if seeds < 2:
        text += " Of one seed each: another seed may change the order."
    return text


def _beside(base: str, arm: Arm, comparison: Comparison) -> str:
    text = f"{base}, {arm.title}: {comparison.measured} is {comparison.words}."
    if comparison.relation == "below" and not comparison.meets:
        reasons = [*comparison.differences, *_reasons(arm)]
        if reasons:
            text += f" Likely reasons: {'; '.join(reasons)}."
    return text


def _reasons(arm: Arm) -> Iterator[str]:
    """Why an arm may fall short of what was published, as far as its runs show it."""
    profile = arm.standings[0].profile
    if profile is None:
        return
    tasks = profile.meta.iterations * profile.meta.batch
    published = PAPER_TASKS if profile.task.way < 20 else PAPER_TASKS // 2
    if tasks < published / 2:
        yield f"{tasks:,} training tasks in all, the paper's {published:,}"
    best = [each.info.best.iteration for each in arm.standings if each.info and each.info.best]
    if best and max(best) >= 0.9 * profile.meta.iterations:
        yield "the best validation came at the end, so it was still learning"
    gap = arm.mean(lambda run: run.late_training_accuracy - run.late_validation_accuracy)
    if gap > 0.02:
        yield f"training tasks are solved {100 * gap:.1f} points better than validation tasks"


def _of_a_base(base: str, arms: Sequence[Arm]) -> Iterator[Block]:
    title = arms[0].cell.base.title
    yield Heading(f"{base}: {title}" if title else base)
    yield _results(base, arms)
    yield Words(
        "Test: accuracy in percent of the checkpoint that validated best, after the profile's own "
        "number of inner steps, query images normalised by their own statistics (transductive) "
        "unless the arm learns running ones. ± is the 95 % interval over the test episodes of all "
        "seeds; over seeds: Student's 95 % interval of the mean over trainings."
    )
    if any(evaluation.outcomes for arm in arms for evaluation in arm.evaluations):
        yield _spread(base, arms)
        yield Words(
            "Of the first seed. Episodes: another draw of episodes from the same test images. "
            "Classes: other characters of the same kind, by bootstrap. 5th percentile: the "
            "accuracy that one task in twenty stays below. Calibration error: how far confidence "
            "is from accuracy, on the mean, in points."
        )
    drawn = [arm for arm in arms if arm.trained]
    if drawn:
        yield Heading("Curves", 3)
        yield from _curves(base, drawn)
        yield Words("Lines are means over the seeds, bands reach from the lowest to the highest.")
        yield Heading("Stability and generalisation", 3)
        yield _stability(base, drawn)
        yield Words(
            "All of the last third of the training. Spread of the loss: standard deviation of the "
            "training loss about its own straight trend. Largest drop: of validation accuracy, in "
            "points, from one validation to the next, over the whole training. Gap: training less "
            "validation accuracy."
        )
    tested = [arm for arm in arms if arm.evaluations]
    if any(len(arm.tested_steps) > 1 for arm in tested):
        yield Heading("Accuracy by number of inner steps at test", 3)
        yield from _by_steps(base, tested)


def _results(base: str, arms: Sequence[Arm]) -> Table:
    rows = []
    for arm in arms:
        score, support, seeds = arm.headline(), arm.headline("support"), arm.over_seeds
        profile = arm.standings[0].profile
        best = [each.info.best.accuracy for each in arm.standings if each.info and each.info.best]
        rows.append(
            (
                arm.title,
                arm.state,
                str(len(arm.tested)),
                f"{profile.meta.iterations:,}" if profile else NONE,
                _number(arm.core_minutes, 1),
                _percents(best),
                accuracy_cell(score) if score else NONE,
                _number(100 * seeds.half_width),
                accuracy_cell(support) if support else NONE,
                f"{score.loss:.4f}" if score else NONE,
            )
        )
    return Table(
        f"results-{base}",
        (
            "arm",
            "state",
            "tested seeds",
            "iterations",
            "core minutes",
            "best validation %",
            "test %",
            "± over seeds",
            "support statistics %",
            "test loss",
        ),
        tuple(rows),
        words=2,
    )


def _spread(base: str, arms: Sequence[Arm]) -> Table:
    rows = []
    for arm in arms:
        spread = arm.evaluations[0].spread() if arm.evaluations else None
        if spread is None:
            continue
        rows.append(
            (
                arm.title,
                *(
                    f"{100 * each.low:.2f} to {100 * each.high:.2f}"
                    for each in (spread.episodes, spread.classes)
                ),
                _number(100 * spread.low),
                _number(100 * spread.worst),
                _number(100 * spread.calibration_error),
            )
        )
    columns = ("arm", "over episodes %", "over classes %", "5th percentile %", "worst task %")
    return Table(f"spread-{base}", (*columns, "calibration error"), tuple(rows))


def _curves(base: str, arms: Sequence[Arm]) -> Iterator[Picture]:
    """Training and validation; many arms are drawn in parts, each with the first one."""

    def accuracy(step: Step) -> float:
        return 100 * step.query_accuracy

    def loss(step: Step) -> float:
        return step.query_loss

    for suffix, title, part in _parts(arms):
        name = f"curves-{base}{suffix}"
        what = f"{base}{title}"
        yield plots.curves(
            name,
            f"{what}: accuracy on training and on validation tasks, and training loss",
            [
                Panel(
                    "training tasks",
                    "iterations",
                    "accuracy %",
                    _lines(part, lambda run: run.training(accuracy), 1.0),
                ),
                Panel(
                    "validation",
                    "iterations",
                    "accuracy %",
                    _lines(part, Trained.validation, 100.0),
                ),
                Panel(
                    "training tasks",
                    "iterations",
                    "query loss, nats",
                    _lines(part, lambda run: run.training(loss), 1.0),
                ),
            ],
        )
        yield plots.curves(
            f"minutes-{base}{suffix}",
            f"{what}: validation accuracy against minutes of training",
            [
                Panel(
                    "validation",
                    "minutes of training",
                    "accuracy %",
                    _lines(part, Trained.validation, 100.0, by_minutes=True),
                )
            ],
        )


def _lines(
    arms: Sequence[Arm],
    curve: Callable[[Trained], Curve],
    factor: float,
    by_minutes: bool = False,
) -> tuple[Line, ...]:
    lines = []
    for arm in arms:
        found = [curve(run) for run in arm.trained]
        runs = tuple(
            (each.minutes if by_minutes else each.iterations, [factor * y for y in each.values])
            for each in found
        )
        lines.append(Line(arm.title, runs))
    return tuple(lines)


def _parts(arms: Sequence[Arm]) -> Iterator[tuple[str, str, list[Arm]]]:
    """As many arms as lines can be told apart: a suffix of names, a title, and the arms."""
    if len(arms) <= plots.LINES:
        yield "", "", list(arms)
        return
    first, rest = arms[0], arms[1:]
    number = 0
    for group, members in itertools.groupby(
        rest, key=lambda arm: arm.cell.variant.group if arm.cell.variant else ""
    ):
        of_group = list(members)
        for at in range(0, len(of_group), plots.LINES - 1):
            number += 1
            title = f", {group}" if group else ""
            yield f"-{number}", title, [first, *of_group[at : at + plots.LINES - 1]]


def _stability(base: str, arms: Sequence[Arm]) -> Table:
    rows = []
    for arm in arms:
        training = arm.mean(lambda run: run.late_training_accuracy)
        validation = arm.mean(lambda run: run.late_validation_accuracy)
        score = arm.headline()
        rows.append(
            (
                arm.title,
                _number(arm.mean(lambda run: run.loss_spread), 4),
                _number(100 * arm.mean(lambda run: run.largest_drop)),
                _number(100 * training),
                _number(100 * validation),
                _number(100 * (training - validation), sign=True),
                accuracy_cell(score) if score else NONE,
            )
        )
    return Table(
        f"stability-{base}",
        (
            "arm",
            "spread of the loss",
            "largest drop",
            "training %",
            "validation %",
            "gap",
            "test %",
        ),
        tuple(rows),
    )


def _by_steps(base: str, arms: Sequence[Arm]) -> Iterator[Block]:
    swept = [arm for arm in arms if len(arm.tested_steps) > 1]
    for suffix, title, part in _parts(swept):
        lines = tuple(
            Line(
                arm.title,
                tuple(
                    (
                        [result.steps for result in evaluation.transductive],
                        [100 * result.accuracy for result in evaluation.transductive],
                    )
                    for evaluation in arm.evaluations
                ),
            )
            for arm in part
        )
        yield plots.curves(
            f"steps-{base}{suffix}",
            f"{base}{title}: test accuracy after each number of inner steps",
            [Panel("test", "inner steps at test", "accuracy %", lines, marks=True)],
        )
    steps = sorted({step for arm in swept for step in arm.tested_steps})
    shown = (
        steps if len(steps) <= 12 else [step for step in steps if step in {*range(6), 10, 15, 20}]
    )
    yield plots.heat_map(
        f"grid-{base}",
        f"{base}: test accuracy, arms by inner steps at test",
        [arm.title for arm in swept],
        [str(step) for step in shown],
        [
            [100 * score.accuracy if (score := arm.at(step)) else math.nan for step in shown]
            for arm in swept
        ],
        "inner steps at test",
    )
    yield _grid(base, swept)


def _grid(base: str, arms: Sequence[Arm]) -> Table:
    """Arms x steps at test in the layout of the earlier study, beside its own rows."""
    task = arms[0].evaluations[0].task
    rows = []
    for arm in arms:
        rows.append(_grid_row(arm.title, arm.evaluations[0].train_steps, arm.at))
        for sweep in published_sweeps():
            same = (sweep.task, sweep.train_steps) == (task, arm.evaluations[0].train_steps)
            if same and "inner.steps" in dict(arm.cell.point):
                results = {result.steps: result for result in sweep.results}
                rows.append(_grid_row(sweep.source, sweep.train_steps, results.get))
    columns = [f"after {step}" for step in GRID_STEPS]
    return Table(f"grid-{base}", ("arm", "train steps", *columns), tuple(rows))


def _grid_row(
    label: str, train_steps: int, at: Callable[[int], StepResult | None]
) -> tuple[str, ...]:
    cells = [
        f"{accuracy_cell(score)} ({score.loss:.4f})" if (score := at(step)) else NONE
        for step in GRID_STEPS
    ]
    return (label, str(train_steps), *cells)


def _comparisons(bases: dict[str, list[Arm]]) -> Iterator[Block]:
    """Each arm against the first of its base, on the episodes and over the seeds of both."""
    found: list[tuple[str, Arm, Arm, PairedDifference, PairedDifference | None]] = []
    apart: list[str] = []
    for base, arms in bases.items():
        first = {each.cell.seed: each.evaluation for each in arms[0].tested if each.evaluation}
        for arm in arms[1:]:
            pairs = [
                (first[each.cell.seed], each.evaluation)
                for each in arm.tested
                if each.evaluation and each.cell.seed in first
            ]
            if not pairs:
                continue
            reason = next((why for pair in pairs if (why := unpaired_reason(*pair))), "")
            if reason:
                apart.append(f"{base}, {arm.title}: not compared, for {reason}.")
                continue
            before, after = (
                [accuracy for pair in pairs for accuracy in pair[place].accuracies()]
                for place in (0, 1)
            )
            over_seeds = None
            if len(pairs) > 1:
                over_seeds = paired_difference(
                    [pair[0].headline().accuracy for pair in pairs],
                    [pair[1].headline().accuracy for pair in pairs],
                    "training seeds",
                )
            if len(before) == len(after):
                found.append((base, arm, arms[0], paired_difference(before, after), over_seeds))
    if not found and not apart:
        return
    yield Heading("Paired differences")
    if found:
        by_episodes = holm([each[3].p_value for each in found])
        seeded = [each[4] for each in found if each[4] is not None]
        by_seeds = iter(holm([each.p_value for each in seeded]))
        rows = []
        for (base, arm, other, episodes, seeds), p_value in zip(found, by_episodes, strict=True):
            rows.append(
                (
                    base,
                    arm.title,
                    other.title,
                    _difference(episodes),
                    p_text(p_value).removeprefix("p ").removeprefix("= "),
                    f"{100 * episodes.improvement:.0f}",
                    _number(100 * episodes.least_detectable),
                    _difference(seeds) if seeds else NONE,
                    p_text(next(by_seeds)).removeprefix("p ").removeprefix("= ") if seeds else NONE,
                )
            )
        columns = ("base", "arm", "against", "difference", "p (Holm)", "better on %")
        more = ("least seen", "over seeds", "p over seeds (Holm)")
        yield Table("differences", (*columns, *more), tuple(rows), words=3)
        yield Words(
            "In points of test accuracy. Trainings of the same seed have the same first "
            "parameters, training tasks and test episodes, and are compared episode by episode: "
            "difference ± its 95 % interval over the episodes, for these trained parameters. Over "
            "seeds: Student's interval over trainings, which is what a claim about the method "
            "needs. Both p are adjusted by Holm's method for all rows. Better on: episodes, ties "
            "by half. Least seen: the true difference that so many episodes show in four of five "
            "studies."
        )
    if apart:
        yield Bullets(tuple(apart))


def _difference(paired: PairedDifference) -> str:
    return f"{100 * paired.difference:+.2f} ± {100 * paired.interval.half_width:.2f}"


def _published(bases: dict[str, list[Arm]]) -> Iterator[Block]:
    rows: list[tuple[str, ...]] = []
    marks: list[Dot] = []
    for base, arms in bases.items():
        for arm in arms:
            score = arm.headline()
            comparisons = compare_with_published(arm.evaluations[0]) if score else []
            if score and comparisons:
                label = f"{base}, {arm.title}" if len(arms) > 1 else base
                marks.append(
                    Dot(f"{label} (here)", 100 * score.accuracy, 100 * score.accuracy_ci95, True)
                )
        tested = [arm for arm in arms if arm.evaluations]
        for comparison in compare_with_published(tested[0].evaluations[0]) if tested else ():
            figure = comparison.figure
            half = math.nan if figure.interval is None else float(figure.interval)
            marks.append(Dot(f"{base}, {figure.method}", float(figure.accuracy), half, False))
            rows.append(
                (
                    base,
                    figure.method,
                    figure.printed,
                    comparison.measured,
                    f"{comparison.relation}, intervals {'meet' if comparison.meets else 'apart'}",
                    "; ".join(comparison.differences) or NONE,
                    figure.cited,
                )
            )
    if not rows:
        return
    yield Heading("Beside published figures")
    yield plots.dots("published", "Test accuracy here and as published", marks, "accuracy %")
    yield Table(
        "published",
        ("base", "method", "published", "here", "relation", "measured otherwise here", "source"),
        tuple(rows),
        words=7,
    )
    yield Words(
        "Here: the first arm of each base, one seed, which is an ordinary run. An interval "
        "says what its source says; a figure without one is a single number."
    )


def _examples(bases: dict[str, list[Arm]]) -> Iterator[Block]:
    """The first test episode of the first arm of each base that has kept one."""
    found = [
        (base, arm, example)
        for base, arms in bases.items()
        for arm in arms[:1]
        for each in arm.tested[:1]
        if each.run and (example := Example.read(each.run))
    ]
    if not found:
        return
    yield Heading("Example episodes")
    for base, arm, example in found:
        yield plots.episode(
            f"episode-{base}",
            f"{base}, {arm.title}: support images, and what was answered to each query image",
            example,
        )
    yield Words(
        "The first test episode of the first seed, after the profile's inner steps at test, at "
        f"most {plots.SHOWN_CLASSES} classes of it. It was not chosen."
    )


def _repeat(study: Study, standings: Sequence[Standing]) -> Iterator[Block]:
    yield Heading("To repeat it")
    yield Code(f"mamltui study run {shlex.quote(study.name)}")
    yield Words(
        "Each cell by itself, bit for bit: the command below with the versions, data, threads, "
        "strategy and chunk of the table. Another number of threads, strategy or chunk changes the "
        "order of sums, and with it the last digits."
    )
    rows = []
    for each in standings:
        info = each.info
        if info is None:
            continue
        versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
        rows.append(
            (
                each.cell.name,
                each.run.name if each.run else NONE,
                versions,
                info.processor or NONE,
                info.device or NONE,
                str(info.threads or NONE),
                info.strategy or NONE,
                str(info.task_chunk or NONE),
                f"{info.data.name} {info.data.content_hash[:12]}" if info.data else NONE,
                f"{info.data.split} {info.data.split_hash[:12]}" if info.data else NONE,
                f"{info.elapsed / 60:.1f}",
            )
        )
    columns = (
        "cell",
        "run",
        "versions",
        "processor",
        "device",
        "threads",
        "strategy",
        "chunk",
        "data",
        "split",
        "minutes",
    )
    yield Table("repeat", columns, tuple(rows), words=5)
    commands = [
        shlex.join(["mamltui", "run", _short_base(each), "--headless", *_settings(each)])
        for each in standings
        if each.profile is not None
    ]
    yield Code("\n".join(commands))


def _short_base(standing: Standing) -> str:
    return standing.cell.base.extends


def _settings(standing: Standing) -> list[str]:
    assert standing.profile is not None
    overrides = standing.cell.overrides(standing.profile.meta.iterations)
    return [word for override in overrides for word in ("--set", override)]


def _number(value: float, digits: int = 2, *, sign: bool = False) -> str:
    if math.isnan(value):
        return NONE
    return f"{value:{'+' if sign else ''}.{digits}f}"


def _percents(fractions: Sequence[float]) -> str:
    """A number, or the range of several."""
    if not fractions:
        return NONE
    low, high = 100 * min(fractions), 100 * max(fractions)
    return f"{low:.1f}" if len(fractions) == 1 else f"{low:.1f} to {high:.1f}"
