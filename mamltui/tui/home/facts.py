"""What Home says of a profile or a run: values with units and meaning, results and figures."""

from __future__ import annotations

from datetime import datetime
from itertools import chain

from mamltui.measures import age, counted, duration, queries_text
from mamltui.profiles import Key, Profile, method_of
from mamltui.profiles.keys import toml_value
from mamltui.profiles.regression import keys_for
from mamltui.results import (
    Evaluation,
    compare_with_published,
    figures_of,
    score_cell,
)
from mamltui.runs import Best, ListedRun, RunInfo
from mamltui.runs.differing import changed_settings
from mamltui.runs.seeds import SeedGroup, spread_words
from mamltui.text import visible
from mamltui.tui.home.profiles import ListedProfile
from mamltui.tui.shared.details import Entry

MUTED = "$foreground 60%"
SPACE = Entry()


def entries(listed: ListedProfile | ListedRun, now: datetime) -> list[Entry]:
    """Of an item of a list; ages are counted to ``now``, in UTC."""
    if isinstance(listed, ListedProfile):
        return profile_entries(listed)
    return run_entries(listed, now)


def profile_entries(listed: ListedProfile) -> list[Entry]:
    """Of a profile in a list; of a damaged one what is wrong with it."""
    file = Entry.of(("file", MUTED), visible(str(listed.path)))
    profile = listed.profile
    if profile is None:
        fix = "e copies it to put it right." if listed.is_packaged else "e puts it right."
        faults = [
            Entry.of((fault.where or "problem", MUTED), (visible(fault.text), "$error"))
            for fault in listed.faults
        ]
        return [*faults, file, SPACE, Entry.of(f"It cannot be run as it is: {fix}")]
    about = Entry.of(("about", MUTED), visible(profile.description or "-"))
    published = _published(profile)
    return [about, *published[:1], file, SPACE, *value_entries(profile), SPACE, *published[1:]]


def value_entries(profile: Profile) -> list[Entry]:
    """Every value, section by section."""
    entries = [Entry.of(("* is not the default", MUTED))]
    section = ""
    for key in keys_for(profile):
        if not key.section:
            continue
        if key.section != section:
            section = key.section
            entries.append(Entry.of((f"[{section}]", MUTED)))
        value = getattr(getattr(profile, section), key.name)
        text, changed = _value_text(value, key), _is_changed(profile, key)
        entries.append(
            Entry.of(
                f"{'*' if changed else ' '} {key.name}",
                (visible(text), "$accent" if changed else ""),
                (key.description, MUTED),
            )
        )
    return entries


def run_entries(listed: ListedRun, now: datetime) -> list[Entry]:
    """Of a run in a list; of a damaged one what is damaged.

    Args:
        now: in UTC; ages are counted to it.
    """
    folder = Entry.of(("folder", MUTED), visible(str(listed.path)))
    info = listed.info
    if info is None:
        return [folder, Entry.of((listed.state, MUTED), (visible(listed.damage), "$error"))]
    entries = [_state(listed, info)]
    if info.error:
        entries.append(Entry.of(("error", MUTED), (visible(info.error), "$error")))
    if info.best is not None:
        entries.append(
            Entry.of(
                ("validation", MUTED),
                f"best {_with_loss(info.best)}, at iteration {info.best.iteration:,}",
            )
        )
    if info.tags or info.starred or info.archived:
        words = [*(["starred"] if info.starred else []), *(["archived"] if info.archived else [])]
        entries.append(Entry.of(("marks", MUTED), visible(", ".join([*words, *info.tags]))))
    if info.notes:
        entries.append(Entry.of(("notes", MUTED), visible(info.notes)))
    test, comparisons = listed.newest_test, []
    if test is not None:
        entries.append(_test(test, listed))
    if listed.headline is not None:
        comparisons = _comparisons(listed.headline)
        entries += chain(*comparisons[:1])
    entries += _experiment(listed)
    entries += [
        Entry.of(("device", MUTED), _device(info)),
        Entry.of(("elapsed", MUTED), f"{duration(info.elapsed)} of training"),
        Entry.of(("begun", MUTED), visible(_begun(info, now))),
        Entry.of(
            ("versions", MUTED),
            visible(", ".join(f"{name} {version}" for name, version in info.versions.items())),
        ),
        folder,
    ]
    entries += chain(*comparisons[1:])
    return entries


def _with_loss(best: Best) -> str:
    """The score, and beside an accuracy the loss."""
    score = best.score
    if score.metric.is_error:
        return f"{score.metric.name} {score.full}"
    return f"{score.full}, loss {best.loss:.4f}"


def group_entries(group: SeedGroup) -> list[Entry]:
    """Of runs that differ in the seed alone: what they reach together, then each."""
    entries = [Entry.of(("group", MUTED), f"{group.words}, alike but for the seed")]
    for label, values in (("test", group.tests), ("validation", group.validations)):
        if values:
            entries.append(Entry.of((label, MUTED), spread_words(values, group.metric)))
    entries += [*_experiment(group.first), SPACE]
    for run in group.runs:
        seed = f"seed {run.info.seed}" if run.info else ""
        test = run.headline
        score = f"test {score_cell(test.headline())}{test.metric.unit}" if test else ""
        text = f"{seed:<12}{run.what:<13}{score:<22}{run.title}"
        entries.append(Entry.of(visible(text)))
    return entries


def _value_text(value: object, key: Key) -> str:
    """Without the quotation marks of TOML, which say nothing to a reader."""
    if isinstance(value, bool):
        text = toml_value(value)
    elif isinstance(value, int) and key.name != "seed":
        text = f"{value:,}"
    else:
        text = toml_value(value).strip('"')
    if not text:
        return "-"
    unit = key.unit.removesuffix("s") if value == 1 else key.unit
    return text if unit == "-" else f"{text} {unit}"


def _is_changed(profile: Profile, key: Key) -> bool:
    if key.path == "task.query":
        return profile.task.query != profile.task.shot
    section = getattr(profile, key.section)
    return bool(getattr(section, key.name) != type(section).model_fields[key.name].default)


def _published(profile: Profile) -> list[Entry]:
    """What is published for the profile's task."""
    return [
        Entry.of(
            (_label("published", index), MUTED),
            f"{figure.printed:<16}{figure.method} [{figure.cited}]"
            f"{', second hand' if figure.second_hand else ''}",
        )
        for index, figure in enumerate(figures_of(profile))
    ]


def _state(listed: ListedRun, info: RunInfo) -> Entry:
    if listed.can_resume:
        return Entry.of(
            ("state", MUTED), (f"{info.state} at {listed.done}: R resumes it", "$warning")
        )
    style = {"finished": "$success", "diverged": "$error"}.get(info.state, "$accent")
    text = f"{info.state}, {listed.done} iterations"
    if listed.is_reference:
        text = f"came with mamltui, is only read; {text}"
    return Entry.of(("state", MUTED), (text, style))


def _test(test: Evaluation, listed: ListedRun) -> Entry:
    """The headline, or a test by another protocol than the profile's, which says so."""
    own, *others = (
        f"{score_cell(test.headline(statistics))}{test.metric.unit}"
        for statistics in test.statistics
    )
    what = f"{test.metric.name} " if test.metric.is_error else ""
    support = "".join(f" (support statistics: {each})" for each in others)
    steps = f"{test.test_steps} inner step{'' if test.test_steps == 1 else 's'}"
    departures = ", ".join(listed.departures)
    other = f"; not the profile's own protocol: {departures}" if departures else ""
    return Entry.of(
        ("test", MUTED),
        f"{what}{own} after {steps}, {test.episodes:,} episodes, "
        f"{test.checkpoint} checkpoint{support}{other}",
    )


def _comparisons(test: Evaluation) -> list[list[Entry]]:
    """The headline beside each published figure, and what was measured otherwise there."""
    entries = []
    for index, comparison in enumerate(compare_with_published(test)):
        kind = "" if comparison.statistics == "transductive" else "with support statistics "
        text = f"{kind}{comparison.words} [{comparison.figure.cited}]"
        entries.append([Entry.of((_label("compared", index), MUTED), text)])
        if comparison.differences:
            but = f"but: {'; '.join(comparison.differences)}"
            entries[-1].append(Entry.of("", (but, MUTED)))
    return entries


def _label(label: str, index: int) -> str:
    """The first of several stands above; the second begins the others, further below."""
    return (label, "others")[index] if index < 2 else ""


def _experiment(listed: ListedRun) -> list[Entry]:
    profile = listed.profile
    if profile is None:
        return [Entry.of(("profile", MUTED), (visible(listed.profile_problem), "$error"))]
    inner, info = profile.inner, listed.info
    data: str = profile.data.set
    if info is not None and info.data is not None:
        data = f"{info.data.name}, split {info.data.split}"
    about = f": {profile.description}" if profile.description else ""
    other = changed_settings(profile)
    return [
        Entry.of(("profile", MUTED), visible(f"{profile.name}{about}")),
        Entry.of(
            ("task", MUTED),
            f"{profile.shape}, {queries_text(profile)}; "
            f"{profile.meta.batch} tasks a meta-iteration, seed {profile.meta.seed}",
        ),
        Entry.of(
            ("inner loop", MUTED),
            f"{method_of(profile)}, {counted(inner.steps, 'step')} in training, "
            f"{inner.test_steps} at test, "
            f"alpha {inner.alpha:g}, {inner.loss_scale} loss",
        ),
        Entry.of(("data", MUTED), visible(data)),
        *([Entry.of(("other", MUTED), visible(other))] if other else []),
    ]


def _device(info: RunInfo) -> str:
    if info.device is None:
        return "not yet known"
    threads = (
        f", {counted(info.threads, 'thread')}" if info.threads and info.device == "cpu" else ""
    )
    return visible(f"{info.device}{threads}")


def _begun(info: RunInfo, now: datetime) -> str:
    ago = age(info.created, now)
    when = info.created[:16].replace("T", " ")
    host = f" on {info.host}" if info.host else ""
    return f"{when} UTC{host}{f', {ago} ago' if ago else ''}"
