"""Pictures written to disk, and read as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mamltui.data.bank import ImageBank
from mamltui.data.folder import load_folder
from tests.data.miniature import drawing


def write(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def grey(seed: int, size: int = 28) -> np.ndarray:
    """Dark strokes on bright paper, with noise so that no two are alike."""
    noise = np.random.default_rng(seed).integers(0, 30, (size, size))
    paper = drawing(seed, 60)[:size, :size]
    return np.where(paper, 255 - noise, noise).astype(np.uint8)


def colour(seed: int, size: int = 28) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def load(path: Path, **more: object) -> ImageBank:
    options: dict[str, object] = {"resize": "nearest", "image_size": 28}
    return load_folder(path, **{**options, **more})  # type: ignore[arg-type]
