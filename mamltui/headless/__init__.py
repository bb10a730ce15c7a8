"""A training shown without the app: a live display, plain lines, or JSON lines of its events."""

from __future__ import annotations

from mamltui.headless.bar import BarDisplay
from mamltui.headless.display import Display
from mamltui.headless.json_lines import JsonDisplay
from mamltui.headless.lines import LineDisplay
from mamltui.headless.live import LiveDisplay

__all__ = ["BarDisplay", "Display", "JsonDisplay", "LineDisplay", "LiveDisplay"]
