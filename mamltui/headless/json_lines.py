"""A training as JSON lines, for machines."""

from __future__ import annotations

import json
import math
from typing import Any, TextIO

from mamltui.events import Event
from mamltui.headless.display import Display
from mamltui.results import Evaluation, json_text


class JsonDisplay(Display):
    """One JSON object a line and event; numbers that are not finite become null."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, event: Event) -> None:
        self._write(event.to_dict())

    def evaluated(self, evaluation: Evaluation) -> None:
        (result,) = json.loads(json_text([evaluation]))["evaluations"]
        self._write({"event": "evaluated", **result})

    def _write(self, values: dict[str, Any]) -> None:
        self._stream.write(json.dumps(finite(values), allow_nan=False) + "\n")
        self._stream.flush()


def finite(value: Any) -> Any:
    """``value`` with None in place of every float that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
