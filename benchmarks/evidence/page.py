"""The page: tables and sentences that follow from the figures, and conclusions written by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.plan import LOGGED, VALIDATION_EPISODES, VALIDATIONS
from evidence.sections import loss_scale, remedies
from evidence.summary import Row, base_of, rows
from evidence.variants import GROUPS, SETTINGS, Setting
from mamltui.results import published_figures, write_text

NAME = "ablation.md"
BEGIN = "<!-- conclusions: written by hand, kept by `report` -->"
END = "<!-- end of the conclusions -->"


def write_page(figures: dict[str, Any], docs: Path) -> Path:
    """Write ``ablation.md`` into ``docs``; the conclusions of the page before are kept."""
    path = docs / NAME
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    docs.mkdir(parents=True, exist_ok=True)
    write_text(path, page(figures, conclusions(before)))
    return path


def conclusions(before: str) -> str:
    """What stands between the markers of a page."""
    if BEGIN not in before or END not in before:
        return "None yet."
    return before.split(BEGIN, 1)[1].split(END, 1)[0].strip()


def page(figures: dict[str, Any], kept: str) -> str:
    """The page as Markdown."""
    parts = [
        "# Which part is worth what",
        _introduction(figures),
        "## Conclusions",
        f"{BEGIN}\n\n{kept}\n\n{END}",
    ]
    for setting in SETTINGS:
        found = rows(figures, setting.name)
        if found:
            parts += _setting(figures, setting, found)
    parts += loss_scale(figures) + remedies(figures)
    parts += _left_out(figures)
    parts += ["## How it was measured", _method(figures), "## To repeat it", *_repeat(figures)]
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _wrapped(part: str) -> str:
    """Paragraphs in lines of at most 100; all else, and what was written by hand, as it is."""
    if part.startswith(("#", "|", "!", "<", "```", "- ")):
        return part
    paragraphs = part.split("\n\n")
    return "\n\n".join(
        textwrap.fill(each, 100, break_long_words=False, break_on_hyphens=False)
        for each in paragraphs
    )


def _introduction(figures: dict[str, Any]) -> str:
    plan = figures["plan"]
    threads = f"{plan['threads']} thread{'s' if plan['threads'] > 1 else ''}"
    return (
        f"Every variant was trained for the same **{plan['minutes']:g} minutes** on {threads} of "
        f"{plan['machine']['processor']} with {figures['data'] or 'data'}, from the same first "
        "parameters and on the same episodes for each seed, and tested on "
        f"{figures['episodes']:,} episodes of characters that none of them had seen. Such a "
        "budget is a small part of what publications spend: it says what learns most in little "
        "time, not what is best in the end. The page, its tables and plots are written by "
        "`python benchmarks/ablation.py report`; all figures are in "
        "[ablation.json](../benchmarks/results/ablation.json)."
    )


def _setting(figures: dict[str, Any], setting: Setting, found: list[Row]) -> list[str]:
    base = ", ".join(f"`{override}`" for override in setting.overrides)
    parts = [
        f"## {setting.title}",
        f"Shared unless a variant changes it: the packaged profile `{setting.profile}` with "
        f"{base}.",
    ]
    if figures["data"] == "omniglot":
        parts[-1] += (
            " Published accuracies stand beside for orientation: they come from other budgets "
            "(60,000 iterations of 32 or 16 tasks for MAML), protocols and sometimes ensembles."
        )
    for group, title in GROUPS.items():
        members = [row for row in found if row.case.variant.group in (group, "base")]
        if group == "base" or (len(members) == 1 and members[0].case.variant.group == "base"):
            continue
        parts += [f"### {title}", _table(figures, setting, members)]
        if sentences := _sentences(members):
            parts.append(sentences)
    stem = f"ablation-{setting.name}"
    parts += [
        "### Learning curves",
        "Validation accuracy on a scale that spreads the errors, mean over the seeds and their "
        "range; grey is MAML. Minutes are those of the calm machine that the budget is made of.",
        f"![Validation accuracy against minutes, {setting.title}]({stem}-minutes.svg)",
        f"![Validation accuracy against iterations, {setting.title}]({stem}-iterations.svg)",
        "### Test accuracy after each inner step",
        "The dot is at the number of steps that the variant was validated with; grey is MAML.",
        f"![Test accuracy after each inner step, {setting.title}]({stem}-steps.svg)",
    ]
    return parts


def _table(figures: dict[str, Any], setting: Setting, members: Sequence[Row]) -> str:
    heads = [
        "variant",
        "iterations",
        "ms each",
        "test accuracy %",
        "seeds",
        "minus MAML",
        "at steps chosen on validation",
        "support statistics",
        "published",
    ]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    base = base_of(members)
    for row in members:
        lines.append(f"| {' | '.join(_cells(figures, setting, row, base))} |")
    return "\n".join(lines)


def _cells(figures: dict[str, Any], setting: Setting, row: Row, base: Row | None) -> list[str]:
    cells = [row.case.variant.text, f"{row.mean('iterations'):,.0f}"]
    cells.append(f"{row.mean('ms_per_iteration'):.3g}")
    lost = f"{len(row.lost)} of {len(row.runs)} lost" if row.lost else ""
    if not row.tested:
        return [*cells, lost, *"----", _published(figures, setting, row)]
    seeds = f"{len(row.tested)}"
    if row.spread is not None:
        seeds = f"{seeds}, sd {row.spread:.2f}"
    chosen = row.accuracies(steps="steps_by_validation")
    steps = sorted({run["steps_by_validation"] for run in row.tested})
    support = row.accuracies("support")
    return [
        *cells,
        f"**{row.accuracy:.2f} ± {row.interval:.2f}**",
        f"{seeds}; {lost}" if lost else seeds,
        "-" if base is None or row is base else row.against(base).text,
        f"{sum(chosen) / len(chosen):.2f} ({', '.join(map(str, steps))})",
        f"{sum(support) / len(support):.2f}",
        _published(figures, setting, row),
    ]


def _published(figures: dict[str, Any], setting: Setting, row: Row) -> str:
    """The verified figure of the same task, if there is one."""
    if figures["data"] != "omniglot":
        return "-"
    for figure in published_figures():
        same = (figure.method, figure.data) == (row.case.variant.published, "omniglot")
        if same and figure.verified and (figure.way, figure.shot) == (setting.way, setting.shot):
            return figure.printed.removesuffix(" %")
    return "-"


def _sentences(members: Sequence[Row]) -> str:
    """Who differs from plain MAML by more than chance, in words."""
    base = base_of(members)
    others = [row for row in members if row.tested and row is not base]
    if base is None or not others:
        return ""
    said: dict[str, list[str]] = {"above": [], "below": [], "same": []}
    for row in others:
        difference = row.against(base)
        kind = "same" if not difference.is_clear else "above" if difference.value > 0 else "below"
        said[kind].append(row.case.variant.text.removeprefix("+ "))
    words = {
        "above": "Above plain MAML by more than the interval of the difference",
        "below": "Below it",
        "same": "Not to be told from it by these runs",
    }
    sentences = [f"{words[kind]}: {', '.join(names)}." for kind, names in said.items() if names]
    if any(not row.against(base).by_seeds for row in others):
        sentences.append(
            "(e): one seed, so the interval knows the test episodes alone and another seed could "
            "change more than it says."
        )
    return " ".join(sentences)


def _left_out(figures: dict[str, Any]) -> list[str]:
    said = [f"- {name}: its trial: {why}" for name, why in figures["failed_trials"].items()]
    for run in figures["trainings"]:
        if run["state"] != "finished":
            name = f"{run['setting']}-{run['variant']}-seed{run['seed']}"
            said.append(f"- {name}: {run['state']}: {' '.join(run['why'].split())}")
    said += [f"- {name}: not finished when this page was made" for name in figures["unfinished"]]
    return ["## Lost", "\n".join(said)] if said else []


def _method(figures: dict[str, Any]) -> str:
    plan, about = figures["plan"], figures["plan"]["machine"]
    also = f" All profiles also have `{' '.join(plan['overrides'])}`." if plan["overrides"] else ""
    return (
        "Before all trainings each variant was timed alone: a short training of it, one for each "
        "stretch that has a speed of its own (annealed multi-step loss, first-order beginning). "
        f"The budget less its {VALIDATIONS} validations of {VALIDATION_EPISODES} episodes and "
        f"{LOGGED} logged iterations, divided by "
        "the time of an iteration, is the number of iterations, so that schedules know their end "
        "and trainings side by side do not cost each other budget. MAML++'s multi-step loss ends "
        "after 10 % and its first-order beginning after 50 % of them, as in its paper.\n\n"
        "Test accuracy is the mean over the seeds and the test episodes of each, of the checkpoint "
        "that validated best, after the variant's own number of inner steps, query images "
        "normalised with their own statistics (as in the MAML paper), or with the running ones of "
        "the step where a variant has them, which is not transductive and so the harder test; "
        "*support statistics* are those of the support set instead. ± is the 95% interval over "
        "the test episodes of all seeds, sd the standard deviation of the seeds. *Minus MAML* "
        "is the difference with its 95% interval by Student's t over the seeds of both. Of "
        "twenty such comparisons one is outside its interval by chance.\n\n"
        f"{about['processor']}, {about['cores']} cores, {plan['device']}; Python "
        f"{about['python']}, torch {about['torch']}, mamltui {about['mamltui']}.{also}"
    )


def _repeat(figures: dict[str, Any]) -> list[str]:
    plan = figures["plan"]
    also = "".join(f" --set {override}" for override in plan["overrides"])
    commands = (
        "```sh\n"
        f"python benchmarks/ablation.py run --data-dir DIR --out OUT --minutes {plan['minutes']:g}"
        f" --threads {plan['threads']}{also}\n"
        "python benchmarks/ablation.py report --out OUT\n"
        "```"
    )
    return [
        commands,
        "`run` can be stopped and started again; `--only` names what to do, `status` says how far "
        "it is. What is compared is a table in `benchmarks/evidence/variants.py`.",
    ]
