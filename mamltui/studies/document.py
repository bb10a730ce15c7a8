"""A document as blocks, written as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mamltui.results import csv_table
from mamltui.text import visible, visible_lines


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Words:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column is words, the others are numbers."""

    name: str
    """Of its CSV file."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    """Columns of words at the beginning."""

    def csv(self) -> str:
        """The table with its columns' titles, one row a line."""
        rows: list[dict[str, object]] = [
            dict(zip(self.columns, row, strict=True)) for row in self.rows
        ]
        return csv_table(self.columns, rows, text_columns=self.columns[: self.words])


@dataclass(frozen=True)
class Picture:
    """A plot, or an episode's images."""

    name: str
    """Of its files, without their endings."""
    alt: str
    svg: bytes = field(repr=False)
    png: bytes = field(repr=False)


NO_VALUE = "-"
"""In a table: there is no such number."""


def number_cell(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """A number in a table."""
    if math.isnan(value):
        return NO_VALUE
    return f"{value:{'+' if sign else ''}.{digits}f}"


def percent_cell(fractions: Sequence[float]) -> str:
    """Fractions in percent: the number, or the range of several."""
    if not fractions:
        return NO_VALUE
    low, high = 100 * min(fractions), 100 * max(fractions)
    return f"{low:.1f}" if len(fractions) == 1 else f"{low:.1f} to {high:.1f}"


Block = Heading | Words | Bullets | Code | Table | Picture


def to_markdown(blocks: Sequence[Block], pictures: str) -> str:
    """Markdown of GitHub's kind.

    Args:
        pictures: the folder of the pictures, seen from the document.
    """
    return "\n\n".join(_markdown(block, pictures) for block in blocks) + "\n"


def to_html(blocks: Sequence[Block], title: str) -> str:
    """One HTML file with its pictures in it; it loads nothing, and prints in black and white."""
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#111;background:#fff;max-width:62rem;"
    "margin:2rem auto;padding:0 1rem}"
    "h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #999}"
    "table{border-collapse:collapse;font-size:.85rem;display:block;overflow-x:auto}"
    "th,td{padding:.2rem .6rem;border-bottom:1px solid #ccc;text-align:right;white-space:nowrap}"
    "th.w,td.w{text-align:left;white-space:normal}thead th{border-bottom:2px solid #111}"
    "img{max-width:100%}pre{background:#f2f2f2;padding:.6rem;overflow-x:auto;font-size:.8rem}"
    "code{background:#f2f2f2}@media print{h2{break-after:avoid}table,img{break-inside:avoid}}"
)


def _markdown(block: Block, pictures: str) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_escaped(text)}"
        case Words(text):
            return _escaped(text)
        case Bullets(items):
            return "\n".join(f"- {_escaped(item)}" for item in items)
        case Code(text):
            return f"```sh\n{text}\n```"
        case Picture():
            return f"![{_escaped(block.alt)}]({pictures}/{block.name}.svg)"
        case Table():
            rule = ["---"] * block.words + ["---:"] * (len(block.columns) - block.words)
            lines = [block.columns, rule, *block.rows]
            return "\n".join(
                "| " + " | ".join(_escaped(cell).replace("|", "\\|") for cell in line) + " |"
                for line in lines
            ).replace("| ---", "|---")


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_text(text)}</h{level}>"
        case Words(text):
            return f"<p>{_text(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"
        case Code(text):
            return f"<pre>{html.escape(visible_lines(text))}</pre>"
        case Picture():
            data = base64.b64encode(block.svg).decode("ascii")
            return f'<p><img alt="{_text(block.alt)}" src="data:image/svg+xml;base64,{data}"></p>'
        case Table():
            head = "".join(
                f"<th{_class(column, block)}>{_text(title)}</th>"
                for column, title in enumerate(block.columns)
            )
            body = "".join(
                "<tr>"
                + "".join(
                    f"<td{_class(column, block)}>{_text(cell)}</td>"
                    for column, cell in enumerate(row)
                )
                + "</tr>"
                for row in block.rows
            )
            return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _class(column: int, table: Table) -> str:
    return ' class="w"' if column < table.words else ""


def _text(text: str) -> str:
    return html.escape(visible(text))


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>~])", r"\\\1", visible(text))
