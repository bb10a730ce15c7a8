"""Training: a generator of events with a control handle."""

from __future__ import annotations

from mamltui.training.control import Control
from mamltui.training.device import resolve_device
from mamltui.training.trainer import Trainer

__all__ = ["Control", "Trainer", "resolve_device"]
