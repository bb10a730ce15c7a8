"""What tells runs apart in a list: the values in which their profiles differ, in few words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from mamltui.profiles import Difference, Profile, differences, load_profile, packaged_profiles
from mamltui.profiles.differences import SECTIONS_THAT_MAY_CHANGE
from mamltui.runs.listing import ListedRun

UNTOLD = ("name", "description", "data.path")
"""Keys that tell people nothing, or what the name says already."""


def told_apart(runs: Sequence[ListedRun], *, seeds: bool = True) -> dict[str, str]:
    """For each run, by its name, how it differs from others of its profile: ``steps 3, seed 7``.

    Empty where nothing differs but the times, or the profile cannot be read. A key is called by
    the last part of its path. What most of the others have, too, comes last: where the text is cut
    it is not missed.

    Args:
        seeds: tell of the seed, too.
    """
    groups: dict[str, list[tuple[str, Profile]]] = defaultdict(list)
    for run in runs:
        if run.profile is not None:
            groups[run.profile.name].append((run.name, run.profile))
    texts = {run.name: "" for run in runs}
    for members in groups.values():
        told = [
            difference
            for difference in differences([profile for _, profile in members])
            if difference.key not in UNTOLD
            and (seeds or difference.key != "meta.seed")
            and difference.key.partition(".")[0] not in SECTIONS_THAT_MAY_CHANGE
        ]
        # The seed is named last: it says the least.
        told.sort(key=lambda difference: difference.key == "meta.seed")
        usual = {difference.key: _usual_value(difference) for difference in told}
        for number, (name, _) in enumerate(members):
            values = [(each.key, each.values[number]) for each in told]
            values.sort(key=lambda value: usual[value[0]] == value[1])
            texts[name] = ", ".join(
                f"{key.rpartition('.')[2].replace('_', ' ')} {value}" for key, value in values
            )
    return texts


def _usual_value(difference: Difference) -> str | None:
    """The value that more than half of the profiles have, if there is one."""
    value, count = Counter(difference.values).most_common(1)[0]
    return value if 2 * count > len(difference.values) else None


def changed_settings(profile: Profile) -> str:
    """What is otherwise than in the packaged profile of the same name, or than the defaults.

    E.g. ``than 5way1shot: inner.steps 5, meta.seed 3``; empty where nothing is.
    """
    path = packaged_profiles().get(profile.name)
    base = load_profile(str(path)) if path is not None else Profile()
    changes = [
        f"{difference.key} {difference.values[1]}"
        for difference in differences([base, profile])
        if difference.key not in UNTOLD
    ]
    if not changes:
        return ""
    return f"than {base.name if path is not None else 'the defaults'}: {', '.join(changes)}"


def short_labels(runs: Sequence[ListedRun], *, seeds: bool = True) -> dict[str, str]:
    """For each run, by its name, the fewest words that tell it from the others of these.

    The title that people gave it; else its profile, where there are several, and what differs; the
    folder's name where neither tells it from another. Words that the names of all the profiles
    begin with, or end in, are left out: ``steps3`` and ``steps5`` of a study's cells.

    Args:
        seeds: tell of the seed, too.
    """
    differing = told_apart(runs, seeds=seeds)
    names = _without_common_words({run.profile.name for run in runs if run.profile is not None})
    labels = {}
    for run in runs:
        parts = [names[run.profile.name]] if run.profile is not None and len(names) > 1 else []
        parts += [differing[run.name]] if differing[run.name] else []
        labels[run.name] = run.title if run.title != run.name else ", ".join(parts)
    shared = Counter(labels.values())
    return {name: label if label and shared[label] == 1 else name for name, label in labels.items()}


def _without_common_words(names: Collection[str]) -> dict[str, str]:
    """For each name its words, with hyphens between, but for those that all begin or end with."""
    words = {name: name.split("-") for name in names}

    def have_in_common(index: int) -> bool:
        return len({each[index] for each in words.values()}) == 1

    for index in (0, -1):
        while len(names) > 1 and min(map(len, words.values())) > 1 and have_in_common(index):
            for each in words.values():
                del each[index]
    return {name: "-".join(each) for name, each in words.items()}
