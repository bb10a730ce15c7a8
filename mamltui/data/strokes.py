"""The embedded data set: characters of an invented script, drawn stroke by stroke.

A character is one to four strokes (line, arc, corner or curve), each given by five knots; a stroke
mostly starts at, ends at or crosses a knot of an earlier one. A drawing repeats the character as a
hand would: knots and strokes wander, the whole is turned, slanted, stretched and moved, the pen is
thick or thin.

All arithmetic is element-wise +, -, *, / on integers and IEEE floats, without sin, cos, roots, or
sums that rounding would make depend on their order. So the images are the same on every machine,
and their hash can be published.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import torch
from torch import Tensor

from mamltui.data.bank import ImageBank
from mamltui.data.randomness import random_bits, signed64

CLASSES = 1200
DRAWINGS = 20
CONTENT_HASH = "e8c793587f8d49beb2bbfb1a455114ae43655d8242e9fcbc0ef082b295f8c544"
"""``strokes_bank().content_hash``, on every machine."""

_STROKES = 4
_KNOTS = 5
_CANDIDATES = 1600
"""Characters invented; kept are the first ``CLASSES`` that resemble no earlier one."""
_LIKENESS = 0.92
"""Cosine between two blurred characters above which they count as the same."""
_PROTOTYPE_SIZE = 28
_CLASSES_AT_ONCE = 50
"""Their picture fits the processor's cache while it is painted."""


class _Characters(NamedTuple):
    knots: Tensor
    """[characters, strokes, knots, 2] float32 x, y around 0; a character's larger side is 1."""
    straight: Tensor
    """[characters, strokes] bool: lines join the knots; else a smooth curve runs through them."""
    drawn: Tensor
    """[characters, strokes] bool: a character has fewer strokes than there is room for."""
    extent: Tensor
    """[characters] float32: the larger side as a fraction of the picture."""


def strokes_bank(image_size: int = 28, seed: int = 0) -> ImageBank:
    """1,200 classes x 20 drawings, black and white.

    Args:
        image_size: pixels a side; the same characters by the same hands at any size.
        seed: another seed is another script.

    Returns:
        Images [1200, 20, 1, image_size, image_size], 0 or 255.
    """
    key = random_bits(signed64(seed), torch.arange(_CANDIDATES))
    characters = _invent(key)
    distinct = _first_distinct(characters)
    images = torch.cat(
        [
            _draw(_Characters(*(field[some] for field in characters)), key[some], image_size)
            for some in torch.split(distinct, _CLASSES_AT_ONCE)
        ]
    )
    names = tuple(f"stroke-{number:04d}" for number in range(1, CLASSES + 1))
    digest = hashlib.sha256(json.dumps([list(images.shape), names]).encode())
    digest.update(images.numpy().tobytes())
    return ImageBank(
        name="strokes",
        images=images,
        class_names=names,
        content_hash=digest.hexdigest(),
        source=f"drawn procedurally, seed {seed}",
    )


def _invent(key: Tensor) -> _Characters:
    """One character a key."""
    stroke_count = torch.ones(len(key), 1)
    for share in (0.15, 0.55, 0.85):
        stroke_count += _uniform(key, 1, 1) > share
    drawn = torch.arange(_STROKES) < stroke_count
    kind = _uniform(key, 0, _STROKES)
    # A line alone would be the same character again and again.
    kind[:, 0] = torch.where(drawn[:, 1], kind[:, 0], 0.32 + 0.68 * kind[:, 0])
    line = kind < 0.32
    arc = ~line & (kind < 0.66)
    corner = ~line & ~arc & (kind < 0.8)

    swing = _uniform(key, 2, _STROKES, _KNOTS - 2) * 2 - 1
    side = torch.where(swing < 0, -1.0, 1.0)
    # Up to a closed loop: four turns of 90 degrees.
    arc_turn = side[..., :1] * (0.2 + swing[..., :1].abs()).clamp(max=1)
    sharp = side * (0.5 + 1.2 * swing.abs())
    one_or_two = torch.where(swing[..., :1] < 0, torch.tensor([0, 1, 0]), torch.tensor([1, 0, 1]))
    # Curvature that changes evenly, as in S and hooks.
    middle = (swing[..., :1] + swing[..., 2:]) * 0.5
    turn = torch.cat([swing[..., :1], middle, swing[..., 2:]], -1)
    turn = torch.where(corner[..., None], sharp * one_or_two, turn)
    turn = torch.where(arc[..., None], arc_turn, turn)
    turn = torch.where(line[..., None], 0.0, turn)

    # Strokes prefer the upright and the level, and to cross the one before.
    choice = _uniform(key, 3, _STROKES, 4)
    tilt = (choice[..., 0] * 2 - 1) * torch.where(choice[..., 1] < 0.6, 0.06, 0.41)
    level = torch.where(choice[..., 2] < torch.tensor([0.2, 0.8, 0.2, 0.8]), 1.0, 0.0)
    forth = torch.where(choice[..., 3] < 0.5, 1.0, -1.0)
    x, y = _turned(level * forth, (1 - level) * forth, tilt)
    length = 0.8 + 0.4 * _uniform(key, 4, _STROKES, _KNOTS - 1)
    length = torch.where(arc[..., None], 1.0, length)
    length = length * (0.5 + 0.5 * _uniform(key, 5, _STROKES, 1))
    path = [torch.zeros(len(key), _STROKES, 2)]
    for step in range(_KNOTS - 1):
        path.append(path[-1] + torch.stack([x, y], -1) * length[..., step, None])
        if step < _KNOTS - 2:
            x, y = _turned(x, y, turn[..., step])
    knots = _joined(torch.stack(path, 2), key)

    low = torch.where(drawn[:, :, None, None], knots, torch.inf).amin((1, 2), keepdim=True)
    high = torch.where(drawn[:, :, None, None], knots, -torch.inf).amax((1, 2), keepdim=True)
    knots = (knots - (low + high) * 0.5) / (high - low).amax(-1, keepdim=True)
    return _Characters(knots, line | corner, drawn, 0.55 + 0.2 * _uniform(key, 7))


def _joined(knots: Tensor, key: Tensor) -> Tensor:
    """Every stroke moved to an earlier one: one of its knots on, or now and then near, theirs."""
    every = torch.arange(len(key))
    choice = _uniform(key, 6, _STROKES, 6)
    for stroke in range(1, _STROKES):
        earlier, knot, own, loose, *_ = choice[:, stroke].unbind(1)
        anchor = knots[every, (earlier * stroke).to(torch.int64), (knot * _KNOTS).to(torch.int64)]
        own_knot = torch.where(own < 0.5, 0, torch.where(own < 0.8, _KNOTS // 2, _KNOTS - 1))
        gap = torch.where(loose[:, None] < 0.2, choice[:, stroke, 4:] * 3 - 1.5, 0.0)
        knots[:, stroke] += (anchor + gap - knots[every, stroke, own_knot])[:, None]
    return knots


def _first_distinct(characters: _Characters) -> Tensor:
    """[at most CLASSES] int64: the first characters that look like no earlier one in any turn."""
    candidates = len(characters.knots)
    knots = (characters.knots[:, None] * 0.7 + 0.5) * _PROTOTYPE_SIZE
    ink = _paint(characters, knots, torch.full((candidates, 1), 0.8), _PROTOTYPE_SIZE)
    # Counts of inked pixels: whole numbers, whose sums are exact in whatever order they are made.
    count = torch.nn.functional.avg_pool2d(
        (ink[:, 0] > 0).to(torch.float64), 4, stride=2, padding=1, divisor_override=1
    )
    flat = count.flatten(1)
    square = (flat * flat).sum(1)
    alike = torch.zeros(candidates, candidates, dtype=torch.bool)
    for quarter_turns in range(4):
        overlap = flat @ torch.rot90(count, quarter_turns, (-2, -1)).flatten(1).T
        alike |= overlap * overlap > square[:, None] * square * (_LIKENESS * _LIKENESS)
    distinct: list[int] = []
    for candidate in range(candidates):
        if not alike[candidate, distinct].any():
            distinct.append(candidate)
    return torch.tensor(distinct[:CLASSES])


def _draw(characters: _Characters, key: Tensor, size: int) -> Tensor:
    """[characters, DRAWINGS, 1, size, size] uint8: every character as so many hands draw it."""
    low, high = characters.knots.amin(2), characters.knots.amax(2)
    centre = ((low + high) * 0.5)[:, None, :, None]
    span = (high - low).amax(-1)[:, None, :, None, None]
    stroke = _bell(key, 8, DRAWINGS, _STROKES, 5)[..., None, :]
    offset = characters.knots[:, None] - centre
    x, y = _turned(offset[..., 0], offset[..., 1], 0.07 * stroke[..., 0])
    offset = torch.stack([x, y], -1) * (1 + 0.12 * stroke[..., 1:3])
    wander = 0.04 * span * _bell(key, 9, DRAWINGS, _STROKES, _KNOTS, 2)
    knots = centre + offset + wander + 0.03 * stroke[..., 3:]

    hand = _bell(key, 10, DRAWINGS, 6)[:, :, None, None]
    turn, slant, width, height = (hand[..., axis] for axis in range(4))
    x, y = _turned(knots[..., 0], knots[..., 1], 0.06 * turn)
    x, y = x * (1 + 0.12 * width) + y * (0.12 * slant), y * (1 + 0.12 * height)
    knots = torch.stack([x, y], -1) * characters.extent[:, None, None, None, None]
    knots = (knots + 0.5 + 0.05 * hand[..., 4:]) * size
    thickness = _uniform(key, 11, DRAWINGS)
    radius = (0.6 + 0.4 * thickness * thickness) * (size * (1 / 28))
    return _paint(characters, knots, radius, size)


def _paint(characters: _Characters, knots: Tensor, radius: Tensor, size: int) -> Tensor:
    """Ink of a round pen.

    Args:
        knots: [characters, drawings, strokes, knots, 2] in pixels.
        radius: [characters, drawings] in pixels.

    Returns:
        [characters, drawings, 1, size, size] uint8, 255 where a pixel's centre is under the pen.
    """
    drawings = knots.shape[1]
    character, stroke = characters.drawn.nonzero(as_tuple=True)
    knots = knots[character, :, stroke]
    straight = characters.straight[character, stroke]
    radius_squared = (radius * radius)[character][..., None]
    picture = character[:, None, None] * drawings + torch.arange(drawings)[:, None]

    reach = max(1, int(float(radius.max()) + 0.5))
    margin = 2 * reach + 1
    side = size + 2 * margin
    ink = torch.zeros(len(radius) * drawings * side * side + 1, dtype=torch.uint8)
    nowhere = len(ink) - 1
    chord = (knots[:, :, 1:] - knots[:, :, :-1]).abs().amax((1, 2, 3))
    # Long strokes need more points; four lots keep the short ones cheap.
    for some in chord.argsort().chunk(4):
        points = _points(knots[some], straight[some], 1 + int(1.8 * float(chord[some].amax())))
        points = (points + margin).clamp(reach, side - reach - 1)
        column, row = points.to(torch.int64).unbind(-1)
        pixel = (picture[some] * side + row) * side + column
        offset = points.to(torch.int64) + 0.5 - points
        steps = range(-reach, reach + 1)
        squares = [(offset + step) * (offset + step) for step in steps]
        for right, across in zip(steps, squares, strict=True):
            for down, along in zip(steps, squares, strict=True):
                under_pen = across[..., 0] + along[..., 1] <= radius_squared[some]
                inked = torch.where(under_pen, pixel + (down * side + right), nowhere)
                ink.index_fill_(0, inked.flatten(), 255)
    pictures = ink[:-1].view(-1, drawings, 1, side, side)
    return pictures[..., margin : margin + size, margin : margin + size].contiguous()


def _points(knots: Tensor, straight: Tensor, samples: int) -> Tensor:
    """Points along strokes.

    Args:
        knots: [strokes, drawings, knots, 2].
        straight: [strokes] bool.
        samples: points from one knot to before the next.

    Returns:
        [strokes, drawings, points, 2].
    """
    t = torch.tensor([[sample / samples] for sample in range(samples)])
    before = knots[:, :, :1] * 2 - knots[:, :, 1:2]
    after = knots[:, :, -1:] * 2 - knots[:, :, -2:-1]
    extended = torch.cat([before, knots, after], 2)[:, :, :, None]
    a, b, c, d = (extended[:, :, knot : knot + _KNOTS - 1] for knot in range(4))
    line = b + (c - b) * t
    # Catmull-Rom.
    cubic = (b - c) * 3 + d - a
    square = a * 2 - b * 5 + c * 4 - d
    curve = b + ((cubic * t + square) * t + (c - a)) * t * 0.5
    points = torch.where(straight[:, None, None, None, None], line, curve)
    return torch.cat([points.flatten(2, 3), knots[:, :, -1:]], 2)


def _turned(x: Tensor, y: Tensor, half_tangent: Tensor) -> tuple[Tensor, Tensor]:
    """The vector turned by the angle of which ``half_tangent`` is the tangent of the half."""
    square = half_tangent * half_tangent
    cosine = (1 - square) / (1 + square)
    sine = (half_tangent + half_tangent) / (1 + square)
    return x * cosine - y * sine, x * sine + y * cosine


def _uniform(key: Tensor, stream: int, *shape: int) -> Tensor:
    """[len(key), *shape] float32 in 0 .. 1, of 24 random bits."""
    return ((_bits(key, stream, shape) >> 40) & 0xFFFFFF).to(torch.float32) * 2**-24


def _bell(key: Tensor, stream: int, *shape: int) -> Tensor:
    """[len(key), *shape] float32, mean 0, standard deviation 1: the sum of four uniforms."""
    bits = _bits(key, stream, shape)
    total = bits & 0xFFFF
    for shift in (16, 32, 48):
        total += (bits >> shift) & 0xFFFF
    return (total - 2 * 0xFFFF).to(torch.float32) * (1.7320508 / 0x10000)


def _bits(key: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    stream_key = random_bits(key, torch.tensor(stream)).view(-1, *(1 for _ in shape))
    return random_bits(stream_key, torch.arange(torch.Size(shape).numel()).view(shape))
