"""The report of a study: a function of its run folders, written anew whenever it is asked for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mamltui.errors import RunError
from mamltui.results import write_text
from mamltui.runs.files import file_error
from mamltui.studies import plots
from mamltui.studies.arms import Arm, arms_of
from mamltui.studies.base_section import base_section
from mamltui.studies.comparisons import beside_published, paired_differences
from mamltui.studies.document import (
    NO_VALUE,
    Block,
    Bullets,
    Code,
    Heading,
    Picture,
    Table,
    Words,
    to_html,
    to_markdown,
)
from mamltui.studies.example import Example
from mamltui.studies.progress import progress_of
from mamltui.studies.standing import Standing
from mamltui.studies.statements import statements
from mamltui.studies.study import Study


@dataclass(frozen=True)
class Report:
    """A study's report before it is written."""

    title: str
    blocks: tuple[Block, ...]

    def write(self, folder: Path) -> list[Path]:
        """Write ``report.md``, ``report.html``, ``tables/*.csv`` and ``plots/*.svg`` and ``.png``.

        Raises:
            RunError: the folder cannot be written.
        """
        tables, pictures = folder / "tables", folder / "plots"
        try:
            tables.mkdir(parents=True, exist_ok=True)
            pictures.mkdir(parents=True, exist_ok=True)
            for block in self.blocks:
                if isinstance(block, Picture):
                    (pictures / f"{block.name}.svg").write_bytes(block.svg)
                    (pictures / f"{block.name}.png").write_bytes(block.png)
        except OSError as error:
            raise file_error(error, folder, "write the report") from error
        for block in self.blocks:
            if isinstance(block, Table):
                write_text(tables / f"{block.name}.csv", block.csv(), error=RunError)
        files = [folder / "report.md", folder / "report.html"]
        write_text(files[0], to_markdown(self.blocks, "plots"), error=RunError)
        write_text(files[1], to_html(self.blocks, self.title), error=RunError)
        return files


def make_report(study: Study, standings: Sequence[Standing]) -> Report:
    """What the run folders of a study say, whether it is over or half way."""
    bases = arms_of(standings)
    title = f"Study {study.name}"
    blocks: list[Block] = [Heading(title, 1), Words(study.description)]
    blocks += _state(study, standings)
    blocks += [Heading("In words"), Bullets(tuple(statements(bases)))]
    for base, arms in bases.items():
        blocks += base_section(base, arms)
    blocks += paired_differences(bases)
    blocks += beside_published(bases)
    blocks += _examples(bases)
    blocks += _repeat(study, standings)
    return Report(title, tuple(blocks))


def _state(study: Study, standings: Sequence[Standing]) -> Iterator[Block]:
    progress = progress_of(study, standings)
    text = f"{progress.words}."
    if any(each.run.is_reference for each in standings if each.run):
        text += " These are the runs that come with mamltui."
    if progress.over < progress.cells:
        text += " The study is not over: what follows is what there is so far, and will change."
    yield Words(text)
    lost = [each for each in standings if each.state in ("diverged", "failed")]
    if lost:
        yield Bullets(tuple(f"{each.cell.name}: {each.state}: {each.why}" for each in lost))


def _examples(bases: dict[str, list[Arm]]) -> Iterator[Block]:
    """The first test episode of the first arm of each base that has kept one."""
    examples = [
        (base, arm, example)
        for base, arms in bases.items()
        for arm in arms[:1]
        for each in arm.tested[:1]
        if each.run and (example := Example.read(each.run))
    ]
    if not examples:
        return
    yield Heading("Example episodes")
    for base, arm, example in examples:
        yield plots.episode(
            f"episode-{base}",
            f"{base}, {arm.title}: support images, and what was answered to each query image",
            example,
        )
    yield Words(
        "The first test episode of the first seed, after the profile's inner steps at test, at "
        f"most {plots.SHOWN_CLASSES} classes of it. It was not chosen."
    )


def _repeat(study: Study, standings: Sequence[Standing]) -> Iterator[Block]:
    yield Heading("To repeat it")
    yield Code(f"mamltui study run {shlex.quote(study.name)}")
    yield Words(
        "Each cell by itself, bit for bit: the command below with the versions, data, threads, "
        "strategy and chunk of the table. Another number of threads, strategy or chunk changes the "
        "order of sums, and with it the last digits."
    )
    rows = []
    for each in standings:
        info = each.info
        if info is None:
            continue
        versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
        rows.append(
            (
                each.cell.name,
                each.run.name if each.run else NO_VALUE,
                versions,
                info.processor or NO_VALUE,
                info.device or NO_VALUE,
                str(info.threads or NO_VALUE),
                info.strategy or NO_VALUE,
                str(info.task_chunk or NO_VALUE),
                f"{info.data.name} {info.data.content_hash[:12]}" if info.data else NO_VALUE,
                f"{info.data.split} {info.data.split_hash[:12]}" if info.data else NO_VALUE,
                f"{info.elapsed / 60:.1f}",
            )
        )
    columns = (
        "cell",
        "run",
        "versions",
        "processor",
        "device",
        "threads",
        "strategy",
        "chunk",
        "data",
        "split",
        "minutes",
    )
    yield Table("repeat", columns, tuple(rows), words=5)
    commands = [
        shlex.join(["mamltui", "run", each.cell.base.extends, "--headless", *_settings(each)])
        for each in standings
        if each.profile is not None
    ]
    yield Code("\n".join(commands))


def _settings(standing: Standing) -> list[str]:
    assert standing.profile is not None
    overrides = standing.cell.overrides(standing.profile.meta.iterations)
    return [word for override in overrides for word in ("--set", override)]
