"""A tiny data set in Omniglot's form, with hashes computed here and not by the code under test."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from mamltui.data.omniglot_content import Alphabet, Expected

SIZE = 105
DRAWINGS = 3
_ALPHABETS = [
    ("images_background", "Greek", 1, 2),
    ("images_background", "Latin", 3, 1),
    ("images_evaluation", "Tengwar", 4, 2),
]


def drawing(seed: int, size: int = SIZE) -> np.ndarray:
    """[size, size] bool, True = paper: a few thick strokes."""
    generator = np.random.default_rng(seed)
    paper = np.ones((size, size), bool)
    for _ in range(4):
        row, column = generator.integers(5, size - 30, 2)
        paper[row : row + 4, column : column + 25] = False
        paper[row : row + 25, column : column + 4] = False
    return paper


def png(paper: np.ndarray, mode: str = "1") -> bytes:
    """``paper`` as a PNG file of black on white."""
    image = Image.fromarray(paper.astype(np.uint8) * 255).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def drawings() -> dict[str, np.ndarray]:
    """Every drawing by its path, in order."""
    paths = [
        f"{folder}/{name}/character{index + 1:02d}/{first + index:04d}_{number:02d}.png"
        for folder, name, first, characters in _ALPHABETS
        for index in range(characters)
        for number in range(1, DRAWINGS + 1)
    ]
    return {path: drawing(seed) for seed, path in enumerate(paths)}


def files() -> dict[str, bytes]:
    """Every file by its path, as published."""
    return {path: png(paper) for path, paper in drawings().items()}


def published_hash(papers: Mapping[str, np.ndarray]) -> str:
    """The hash as its documentation states it."""
    digest = hashlib.sha256()
    for path in sorted(papers):
        digest.update(f"{path}\n".encode() + np.packbits(papers[path], axis=1).tobytes())
    return digest.hexdigest()


def expected() -> Expected:
    """What the miniature must hold."""
    papers = drawings()
    alphabets = []
    for folder, name, first, characters in _ALPHABETS:
        own = {path: paper for path, paper in papers.items() if f"/{name}/" in path}
        alphabets.append(Alphabet(folder, name, first, characters, published_hash(own)[:16]))
    return Expected(tuple(alphabets), DRAWINGS, SIZE, published_hash(papers))


def write_zips(root: Path, contents: Mapping[str, bytes]) -> Path:
    """``root`` with a zip for each top folder of ``contents``."""
    root.mkdir(parents=True, exist_ok=True)
    for folder in sorted({path.split("/")[0] for path in contents}):
        with zipfile.ZipFile(root / f"{folder}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in contents.items():
                if path.startswith(f"{folder}/"):
                    archive.writestr(path, content)
    return root


def write_folders(root: Path, contents: Mapping[str, bytes]) -> Path:
    """``root`` with the files of ``contents`` extracted."""
    for path, content in contents.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return root
