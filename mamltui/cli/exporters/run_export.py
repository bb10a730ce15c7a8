"""Reads a run's curves from its folder, and what is added to them, for whoever stores them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mamltui.cli.metrics import flat_values
from mamltui.events import Validated
from mamltui.runs import START, ListedRun, Position, RunFolder

POLL_SECONDS = 2.0
LIVE = ("running", "paused")


class Sink(Protocol):
    """Stores the curves of one run."""

    @property
    def destination(self) -> str:
        """Where the curves are, for people."""

    def begin(self) -> None:
        """Start from nothing: at first, and when the run was cut back behind what was stored."""

    def write(self, iteration: int, elapsed: float, values: Mapping[str, float]) -> None:
        """Store the values of a meta-iteration, by their tags.

        Args:
            elapsed: seconds of training until then.
        """

    def flush(self) -> None:
        """Make what was written readable."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """End, with what is known of the whole run."""


class RunExport:
    """Hands a run's curves to a sink, and later what is added to them.

    Raises:
        MamltuiError: the sink cannot be written.
    """

    def __init__(self, run: RunFolder, sink: Sink) -> None:
        self._run, self._sink = run, sink
        self._metrics: Position = START
        self._events: Position = START
        sink.begin()

    def write(self) -> int:
        """Hand over what is new; the number of values.

        Raises:
            MamltuiError: a line of the run is damaged, or the sink cannot be written.
        """
        steps = self._run.read_metrics(self._metrics)
        events = self._run.read_events(self._events)
        if steps.restarted or events.restarted:
            self._metrics = self._events = START
            self._sink.begin()
            return self.write()
        rows: dict[int, tuple[float, dict[str, float]]] = {}
        for step in steps.records:
            rows[step.iteration] = (step.elapsed, _tagged("", step.to_dict()))
        for logged in events.records:
            event = logged.event
            if isinstance(event, Validated):
                values = _tagged("validation/", event.to_dict())
                elapsed, others = rows.get(event.iteration, (event.elapsed, {}))
                rows[event.iteration] = (elapsed, others | values)
        for iteration, (elapsed, values) in sorted(rows.items()):
            self._sink.write(iteration, elapsed, values)
        self._sink.flush()
        self._metrics, self._events = steps.position, events.position
        return sum(len(values) for _, values in rows.values())

    def follow(self, notify: Callable[[int], None]) -> None:
        """Hand over what comes until the run is no longer trained.

        Args:
            notify: told how many values came.
        """
        while True:
            is_live = self._run.info().state in LIVE
            if (count := self.write()) > 0:
                notify(count)
            if not is_live:
                return
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """End, with the state, the best validation and the test by the profile's protocol."""
        listed = ListedRun.read(self._run.path)
        info, test = listed.info, listed.headline
        summary: dict[str, Any] = {"state": listed.state}
        if info is not None and info.best is not None:
            best = info.best.score
            summary[f"best_validation_{best.metric.key}"] = best.value
            summary["best_iteration"] = info.best.iteration
        if test is not None:
            score = test.headline().score
            summary[f"test_{score.metric.key}"] = score.value
            summary[f"test_{score.metric.key}_ci95"] = score.ci95
        self._sink.close(summary)


def export_run(run: RunFolder, sink: Sink, *, follow: bool, notify: Callable[[str], None]) -> None:
    """Hand all curves of a run to a sink; of one that is trained what comes, if asked for.

    Raises:
        MamltuiError: the run cannot be read, or the sink not be written.
    """
    export = RunExport(run, sink)
    try:
        count = export.write()
        notify(f"written: {sink.destination} ({count:,} values)")
        if follow:
            export.follow(lambda count: notify(f"{count:,} more values"))
    finally:
        export.close()


def _tagged(group: str, event: dict[str, Any]) -> dict[str, float]:
    """The numbers of an event, such as ``query/loss_step0`` and ``validation/accuracy``."""
    tagged = {}
    for name, value in flat_values(event).items():
        if not isinstance(value, int | float):
            continue
        kind, _, rest = name.partition("_")
        in_group = kind in ("query", "support") and bool(rest)
        tagged[f"{group}{name}" if group or not in_group else f"{kind}/{rest}"] = float(value)
    return tagged
