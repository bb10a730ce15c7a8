"""Profiles: the TOML files that describe an experiment, validated.

``load_profile`` reads one by path or by the name of a packaged profile, with overrides such as
``"inner.steps=5"``; ``parse_profile`` reads text. Both refuse what is not allowed with
:class:`InvalidProfileError`, which names every problem at once.
"""

from __future__ import annotations

from mamltui.profiles.algorithms import learns_rates, method_of
from mamltui.profiles.differences import (
    Difference,
    differences,
    experiment_key,
    other_learning,
)
from mamltui.profiles.keys import Key, keys_of
from mamltui.profiles.model import (
    AugmentSection,
    DataSection,
    EngineSection,
    EvaluationSection,
    InnerSection,
    MetaSection,
    NetworkSection,
    RunSection,
    TaskSection,
    ValidationSection,
)
from mamltui.profiles.problems import InvalidProfileError, Problem
from mamltui.profiles.profile import Profile
from mamltui.profiles.reading import load_profile, parse_profile
from mamltui.profiles.schema import json_schema
from mamltui.profiles.sources import packaged_profiles, profile_name
from mamltui.profiles.steps import parse_steps

__all__ = [
    "AugmentSection",
    "DataSection",
    "Difference",
    "EngineSection",
    "EvaluationSection",
    "InnerSection",
    "InvalidProfileError",
    "Key",
    "MetaSection",
    "NetworkSection",
    "Problem",
    "Profile",
    "RunSection",
    "TaskSection",
    "ValidationSection",
    "differences",
    "experiment_key",
    "json_schema",
    "keys_of",
    "learns_rates",
    "load_profile",
    "method_of",
    "other_learning",
    "packaged_profiles",
    "parse_profile",
    "parse_steps",
    "profile_name",
]
