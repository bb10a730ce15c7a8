"""A profile: values that are possible together."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from mamltui.errors import ProfileError
from mamltui.profiles.model import Values
from mamltui.profiles.rules import broken_rules, misfits
from mamltui.profiles.writing import to_toml


class Profile(Values):
    """An experiment. Two profiles are equal when all their values are.

    Raises:
        pydantic.ValidationError: when built in code from values that are not allowed, alone or
            together. Profiles of users go through :func:`mamltui.profiles.load_profile`.
    """

    @model_validator(mode="after")
    def _possible(self) -> Profile:
        broken = broken_rules(self)
        if broken:
            raise ValueError("; ".join(f"{rule.keys[0]}: {rule.what}" for rule in broken))
        return self

    def check_against(self, classes: Mapping[str, int], drawings: int) -> None:
        """Whether tasks of this profile can be drawn from a data set as it was found.

        Args:
            classes: the number of classes of each split that will be used, by the split's name
                (``train``, ``validation``, ``test``).
            drawings: the number of drawings of every class.

        Raises:
            ProfileError: a task needs more classes or drawings than there are.
        """
        broken = misfits(self, classes, drawings)
        if broken:
            raise ProfileError(
                "; ".join(rule.what for rule in broken),
                where=f"profile {self.name}: " + ", ".join(rule.keys[0] for rule in broken),
                hint=broken[0].hint,
            )

    def to_toml(self, *, template: bool = False) -> str:
        """The profile as TOML with a comment on every key; reading it back gives an equal profile.

        Args:
            template: write a file to be copied and edited: the name is left to the file, and a
                query that follows shot goes on following it.
        """
        return to_toml(self, template=template)
