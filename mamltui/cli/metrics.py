"""The metrics of trainings as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mamltui.events import Validated
from mamltui.results import csv_table
from mamltui.runs import RunFolder


def metrics_csv(folders: Sequence[RunFolder]) -> str:
    """One row a logged or validated iteration; what was not measured there is empty."""
    columns: dict[str, None] = {"run": None, "iteration": None}
    rows: list[dict[str, object]] = []
    for folder in folders:
        by_iteration: dict[int, dict[str, object]] = {}
        for step in folder.read_metrics().records:
            by_iteration[step.iteration] = flat_values(step.to_dict())
        for logged in folder.read_events().records:
            if isinstance(logged.event, Validated):
                values = flat_values(logged.event.to_dict())
                row = by_iteration.setdefault(logged.event.iteration, {})
                row |= {f"validation_{name}": value for name, value in values.items()}
        for iteration, row in sorted(by_iteration.items()):
            rows.append({"run": folder.name, "iteration": iteration, **row})
            columns |= dict.fromkeys(row)
    return csv_table(list(columns), rows, text_columns=("run",))


def flat_values(event: dict[str, Any]) -> dict[str, object]:
    """The values of an event, a list one column an inner step."""
    flat: dict[str, object] = {}
    for name, value in event.items():
        if name in ("event", "iteration"):
            continue
        if isinstance(value, tuple):
            stem = name.removesuffix("_per_step")
            flat |= {f"{stem}_step{step}": item for step, item in enumerate(value)}
        else:
            flat[name] = str(value).lower() if isinstance(value, bool) else value
    return flat
