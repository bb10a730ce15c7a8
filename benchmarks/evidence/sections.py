"""Sections of the page on one question each: the scale of the inner loss, and the remedies."""

from __future__ import annotations

from typing import Any

from evidence.summary import Row, base_of, rows
from evidence.variants import SETTINGS

SCALES = {"mean": "mean", "paper": "paper's scale"}


def loss_scale(figures: dict[str, Any]) -> list[str]:
    """Which size of the inner step, and so which scale of its loss, learns more."""
    lines = [
        "| task | inner loss and step | on the mean | validation % after a third | two thirds "
        "| the end | test accuracy % | minus MAML |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    sentences = []
    for setting in SETTINGS:
        members = rows(figures, setting.name, ["scale"])
        base = base_of(members)
        if len(members) < 2 or base is None:
            continue
        for row in members:
            alpha, scale = row.inner_step
            cells = [setting.title, f"alpha {alpha:g}, {scale}"]
            cells.append(f"{alpha * (setting.way if scale == 'paper' else 1):g}")
            cells += [_validated(row, share) for share in (1 / 3, 2 / 3, 1.0)]
            cells.append(f"{row.accuracy:.2f} ± {row.interval:.2f}" if row.tested else "lost")
            compared = row.tested and row is not base
            cells.append(row.against(base).text if compared else "-")
            lines.append(f"| {' | '.join(cells)} |")
        tested = sorted((row for row in members if row.tested), key=lambda row: row.accuracy)
        if len(tested) > 1:
            sentences.append(_highest(setting.title, tested[-1], tested[-2]))
    if not sentences:
        return []
    return [
        "## The scale of the inner loss",
        "The paper sums the inner loss over the examples and divides by shot, which is way times "
        "the mean: its alpha of 0.4 at 5-way and 0.1 at 20-way is 2.0 on the mean in both. Ports "
        "often take the paper's alpha and the mean.",
        "\n".join(lines),
        " ".join(sentences),
        "![Validation accuracy by scale of the inner loss](ablation-scale.svg)",
    ]


def _highest(title: str, best: Row, second: Row) -> str:
    alpha, scale = best.inner_step
    difference = best.against(second)
    clear = "more" if difference.is_clear else "no more"
    return (
        f"{title}: the highest test accuracy has alpha {alpha:g} on the {SCALES[scale]}, "
        f"{difference.text} above the next, which is {clear} than chance explains."
    )


def _validated(row: Row, share: float) -> str:
    """Mean validation accuracy at the last validation up to a share of the iterations."""
    found = []
    for run in row.runs:
        reached = [
            accuracy
            for iteration, _, accuracy in run.get("validation", [])
            if iteration <= share * run["iterations"] + 0.5
        ]
        found += reached[-1:]
    return f"{sum(found) / len(found):.1f}" if found else "-"


LATE = {
    "loss_spread": "spread of the training loss",
    "gradient_norm_median": "gradient norm, median",
    "gradient_norm_max": "largest",
    "training_accuracy": "training accuracy %",
    "validation_accuracy": "validation accuracy %",
}


def remedies(figures: dict[str, Any]) -> list[str]:
    """What clipping, augmentation and weight decay do to stability and overfitting."""
    setting = next(setting for setting in SETTINGS if setting.way == 20)
    members = [row for row in rows(figures, setting.name, ["remedies"]) if row.late("loss_spread")]
    if len(members) < 2:
        return []
    heads = ["variant", *LATE.values(), "gap", "test accuracy %"]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    gaps, spreads = {}, {}
    for row in members:
        late = {key: row.late(key) or 0.0 for key in LATE}
        gap = late["training_accuracy"] - late["validation_accuracy"]
        text = row.case.variant.text
        gaps[text], spreads[text] = gap, late["loss_spread"]
        test = f"{row.accuracy:.2f} ± {row.interval:.2f}" if row.tested else "lost"
        figures_ = [f"{late[key]:.3g}" for key in list(LATE)[:3]]
        figures_ += [f"{late[key]:.2f}" for key in list(LATE)[3:]]
        lines.append(f"| {' | '.join([text, *figures_, f'{gap:+.2f}', test])} |")

    def ranked(found: dict[str, float], digits: int) -> str:
        ordered = sorted(found.items(), key=lambda item: item[1])
        return "; ".join(f"{name.removeprefix('+ ')} {value:.{digits}f}" for name, value in ordered)

    return [
        "## Clipping, augmentation and weight decay at 20-way",
        "Over the last third of each training: the spread of the training loss is its standard "
        "deviation about its own straight trend, the gap is training less validation accuracy, "
        "both after the same inner steps. Gradient norms are those of all logged iterations, "
        "before clipping. Augmented training tasks are harder, so their gap is smaller by that "
        "alone: what counts is the accuracy on validation and test.",
        "\n".join(lines),
        f"From the steadiest: {ranked(spreads, 3)}. By the gap in points: {ranked(gaps, 1)}.",
        "![Training and validation accuracy of the remedies](ablation-remedies.svg)",
    ]
