"""Images in braille: not a pixel is lost, and what is left out is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mamltui.tui.episode.glyphs import LARGEST, braille, draw

DOT_OF_PIXEL = {
    (0, 0): 1, (1, 0): 2, (2, 0): 3, (3, 0): 7,
    (0, 1): 4, (1, 1): 5, (2, 1): 6, (3, 1): 8,
}  # fmt: skip
"""The Unicode standard numbers a cell's dots 1 to 8; dot n is bit n - 1."""


def decode(lines: list[str]) -> NDArray[np.bool_]:
    """The dots, read back one by one."""
    image = np.zeros((4 * len(lines), 2 * len(lines[0])), dtype=bool)
    for y, line in enumerate(lines):
        for x, char in enumerate(line):
            bits = ord(char) - 0x2800
            assert 0 <= bits < 256
            for (row, column), dot in DOT_OF_PIXEL.items():
                image[4 * y + row, 2 * x + column] = bool(bits >> (dot - 1) & 1)
    return image


def test_every_28x28_image_of_a_bank_is_drawn_without_loss() -> None:
    generator = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.2, 0.5, 0.9, 1.0):
        for image in generator.random((20, 28, 28)) < density:
            lines = braille(image)
            assert [len(line) for line in lines] == [14] * 7
            assert np.array_equal(decode(lines), image)


@pytest.mark.parametrize("height", range(1, 10))
@pytest.mark.parametrize("width", [1, 2, 3, 8, 27])
def test_sizes_that_do_not_fill_the_cells_are_padded_with_paper(height: int, width: int) -> None:
    image = np.random.default_rng(height * width).random((height, width)) < 0.5
    shown = decode(braille(image))
    assert np.array_equal(shown[:height, :width], image)
    assert shown.sum() == image.sum()
    assert shown.shape[0] - height < 4
    assert shown.shape[1] - width < 2


def test_a_binary_image_is_drawn_without_a_note() -> None:
    image = (np.random.default_rng(1).random((1, 28, 28)) < 0.3).astype(np.float32)
    glyph = draw(image)
    assert np.array_equal(decode(glyph.lines), image[0] == 1)
    assert glyph.note == ""


def test_greys_are_parted_at_half_and_that_is_said() -> None:
    image = np.linspace(0, 1, 28 * 28, dtype=np.float32).reshape(1, 28, 28)
    glyph = draw(image)
    assert np.array_equal(decode(glyph.lines), image[0] >= 0.5)
    assert glyph.note == "dots from half grey on"


@pytest.mark.parametrize("size", [28, 32, 84])
def test_of_colours_the_brightness_is_the_share_of_dots_and_that_is_said(size: int) -> None:
    # From left to right red, green, blue and white: green is brighter than red, blue is darkest.
    image = np.zeros((3, size, size), dtype=np.float32)
    quarter = size // 4
    for channel in range(3):
        image[channel, :, channel * quarter : (channel + 1) * quarter] = 1.0
        image[channel, :, 3 * quarter :] = 1.0
    glyph = draw(image)
    shown = decode(glyph.lines)
    assert shown.shape == (LARGEST, LARGEST)
    shares = [shown[:, start : start + 7].mean() for start in (0, 7, 14, 21)]
    assert shares == pytest.approx([0.299, 0.587, 0.114, 1.0], abs=0.06)
    scaled = f", scaled down from {size}x{size}" if size > LARGEST else ""
    assert glyph.note == f"brightness as dots{scaled}"


def test_a_photograph_in_black_and_white_is_drawn_as_it_is() -> None:
    binary = np.random.default_rng(0).random((20, 20)) > 0.5
    image = np.repeat(binary[None], 3, axis=0).astype(np.float32)
    assert draw(image).lines == braille(binary)


@pytest.mark.parametrize("size", [29, 64, 105, 256])
def test_large_images_are_scaled_down_without_losing_a_thin_stroke(size: int) -> None:
    for column in (0, size // 3, size - 1):
        image = np.zeros((1, size, size), dtype=np.float32)
        image[0, :, column] = 1.0
        glyph = draw(image)
        shown = decode(glyph.lines)
        assert shown.shape == (LARGEST, LARGEST)
        drawn = shown.any(axis=0)
        assert drawn.sum() == 1
        assert abs(int(drawn.argmax()) - column * LARGEST / size) <= 1
        assert shown[:, drawn].all()
        assert glyph.note == f"scaled down from {size}x{size}"


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_any_value_but_zero_is_a_dot(dtype: Any) -> None:
    assert braille(np.array([[1, 0], [0, 0], [0, 0], [0, 1]], dtype=dtype)) == ["⢁"]
