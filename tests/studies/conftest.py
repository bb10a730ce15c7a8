"""Small images instead of the drawn characters, which take a second to draw."""

from __future__ import annotations

import pytest

from tests.training.small import make_bank


@pytest.fixture(autouse=True)
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = make_bank(classes=60)
    monkeypatch.setattr("mamltui.data.banks.load_bank", lambda *_, **__: bank)
