"""Training: a generator of events with a control handle."""

from __future__ import annotations

from mamltui.training.control import Control, Snapshot
from mamltui.training.device import resolve_device
from mamltui.training.trainer import Trainer

__all__ = ["Control", "Snapshot", "Trainer", "resolve_device"]
