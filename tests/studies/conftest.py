"""Small images instead of the drawn characters, which take a second to draw."""

from __future__ import annotations

import pytest

from tests.training.small import make_bank


def use_small_images(patch: pytest.MonkeyPatch) -> None:
    bank = make_bank(classes=60)
    patch.setattr("mamltui.data.banks.load_bank", lambda *_, **__: bank)


@pytest.fixture(autouse=True)
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_images(monkeypatch)
