"""Studies read from files, from those that come with mamltui, and from where they were run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mamltui.errors import MamltuiError, RunError, UsageError
from mamltui.profiles import profile_name
from mamltui.profiles.locate import key_lines
from mamltui.profiles.sources import LARGEST, packaged_folder, parse_toml, read_text
from mamltui.results import write_text
from mamltui.runs import reference_root, runs_root
from mamltui.studies.model import StudyFile
from mamltui.studies.study import Study
from mamltui.text import shortened
from mamltui.untrusted import read_file

STUDIES = "studies"
"""The folder, among the runs, that holds a folder for each study that was begun."""
COPY = "study.json"
"""The study as it was last run, in its folder."""


@dataclass(frozen=True)
class Changes:
    """What a command line changes of a study."""

    seeds: int | None = None
    iterations: int | None = None
    minutes: float | None = None
    settings: tuple[str, ...] = ()
    """``KEY=VALUE``, for every cell."""

    @property
    def options(self) -> list[str]:
        """As they are typed."""
        return [
            *([] if self.seeds is None else ["--seeds", str(self.seeds)]),
            *([] if self.iterations is None else ["--iterations", str(self.iterations)]),
            *([] if self.minutes is None else ["--minutes", f"{self.minutes:g}"]),
            *(word for setting in self.settings for word in ("--set", setting)),
        ]

    def apply(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values of a study file with the changes."""
        changed = dict(values)
        if self.seeds is not None:
            changed["seeds"] = self.seeds
        if self.iterations is not None:
            changed["budget"] = {"iterations": self.iterations}
        if self.minutes is not None:
            changed["budget"] = {"minutes": self.minutes}
        for setting in self.settings:
            key, equals, value = setting.partition("=")
            if not equals:
                raise UsageError("a change is KEY=VALUE", where=f"--set {shortened(setting)}")
            try:
                parsed = parse_toml(f"value = {value}", "--set")["value"]
            except MamltuiError:
                parsed = value.strip()
            changed["set"] = _with(changed.get("set", {}), key.strip().split("."), parsed)
        return changed


def packaged_studies() -> dict[str, Path]:
    """The studies that come with mamltui: name -> file."""
    return {path.stem: path for path in sorted((packaged_folder() / STUDIES).glob("*.toml"))}


def write_copy(study: Study, folder: Path) -> None:
    """Keep the study, as it is run, in its folder.

    Raises:
        RunError: the folder cannot be written.
    """
    text = study.file.model_dump_json(indent=2, by_alias=True) + "\n"
    write_text(folder / COPY, text, error=RunError)


def study_folder(name: str, root: Path | None = None) -> Path:
    """Where a study keeps what is not a run: its file as it was run, logs, and its report."""
    return runs_root(root) / STUDIES / name


def load_study(name_or_file: str, changes: Changes | None = None) -> Study:
    """Read and check a study.

    Args:
        name_or_file: a file, or the name of a packaged study where there is no such file.

    Raises:
        UsageError: there is no such study, or it is not allowed; all that is wrong is named.
        ProfileError: it is not TOML, or one of its base profiles is not valid.
    """
    path = _find(name_or_file)
    source = shortened(str(path), most=4096)
    text = read_text(path, source)
    values = (changes or Changes()).apply(parse_toml(text, source))
    study = Study(profile_name(path.stem), _checked(values, source, key_lines(text), path.parent))
    study.check()
    return study


def is_begun(name: str, root: Path | None = None) -> bool:
    """Whether the study was run among these runs."""
    return (study_folder(name, root) / COPY).is_file()


def begun_study(name_or_file: str, root: Path | None = None) -> Study:
    """The study as it was last run among these runs; else as :func:`load_study`."""
    name = profile_name(Path(name_or_file).stem)
    if not is_begun(name, root):
        return load_study(name_or_file)
    return _copied(study_folder(name, root))


def reference_study(name: str) -> Study | None:
    """The study whose runs come with mamltui, as they were trained; None: they do not."""
    references = reference_root()
    folder = references / STUDIES / name if references else None
    return _copied(folder) if folder is not None and (folder / COPY).is_file() else None


def _copied(folder: Path) -> Study:
    """The study whose copy is in a study's folder."""
    copy = folder / COPY
    try:
        return Study(folder.name, StudyFile.model_validate_json(read_file(copy, LARGEST)))
    except (OSError, ValidationError) as error:
        raise RunError(
            "the study's copy cannot be read",
            where=str(copy),
            hint="Run the study again: mamltui study run.",
        ) from error


def _find(name_or_file: str) -> Path:
    packaged = packaged_studies()
    path = Path(name_or_file)
    if path.is_file():
        return path
    if name_or_file in packaged:
        return packaged[name_or_file]
    near = get_close_matches(name_or_file.removesuffix(".toml")[:80].lower(), packaged, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UsageError(
        "there is no such file and no such packaged study",
        where=shortened(name_or_file, 4096),
        hint=f"{meant}packaged studies: {', '.join(packaged)}",
    )


def _checked(
    values: Mapping[str, Any], source: str, lines: Mapping[tuple[str, ...], int], folder: Path
) -> StudyFile:
    try:
        file = StudyFile.model_validate(dict(values))
    except ValidationError as error:
        faults = [_fault(fault, source, lines) for fault in error.errors(include_url=False)]
        if len(faults) == 1:
            raise UsageError(faults[0][1], where=faults[0][0]) from error
        raise UsageError(
            f"{len(faults)} problems",
            where=source,
            hint="\n".join(f"{where}: {what}" for where, what in faults),
        ) from error
    # A copy of the study, kept among the runs, finds its base profiles from anywhere.
    bases = [
        base.model_copy(update={"extends": str(beside.resolve())})
        if (beside := folder / Path(base.extends).expanduser()).is_file()
        else base
        for base in file.extends
    ]
    return file.model_copy(update={"extends": tuple(bases)})


def _fault(fault: Any, source: str, lines: Mapping[tuple[str, ...], int]) -> tuple[str, str]:
    location = [str(part) for part in fault["loc"]]
    keys = tuple(part for part in location if not part.isdecimal())
    line = next((lines[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in lines), 0)
    where = f"{source}:{line}" if line else source
    what = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        owner = f"[{'.'.join(location[:-1])}]" if len(location) > 1 else "a study"
        what = f"unknown key of {owner}"
        if len(location) == 1:
            known = [field.alias or name for name, field in StudyFile.model_fields.items()]
            what += f"; allowed: {', '.join(known)}"
    return (f"{where}: {'.'.join(location)}" if location else where), what


def _with(values: Any, path: Sequence[str], value: Any) -> dict[str, Any]:
    owner = dict(values) if isinstance(values, Mapping) else {}
    owner[path[0]] = value if len(path) == 1 else _with(owner.get(path[0], {}), path[1:], value)
    return owner
