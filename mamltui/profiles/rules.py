"""Which values are allowed alone and impossible together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mamltui.profiles.algorithms import inapplicable
from mamltui.profiles.regression import ALGORITHMS, OF_IMAGES

if TYPE_CHECKING:
    from mamltui.profiles.model import Values

SPLITS = {
    "omniglot": ("finn", "antoniou", "background-evaluation", "proportional"),
    "strokes": ("strokes", "proportional"),
    "cifar-fs": ("bertinetto", "proportional"),
    "folder": ("proportional", "folders"),
}
"""The named splits of each data set; the first is what ``auto`` means."""

CLASSES = {
    ("omniglot", "finn"): {"train": 1100, "validation": 100, "test": 423},
    ("omniglot", "antoniou"): {"train": 1150, "validation": 50, "test": 423},
    ("omniglot", "background-evaluation"): {"train": 864, "validation": 100, "test": 659},
    ("strokes", "strokes"): {"train": 900, "validation": 100, "test": 200},
    ("cifar-fs", "bertinetto"): {"train": 64, "validation": 16, "test": 20},
}
"""Class counts that are known before the data set is opened."""

DRAWINGS = {"omniglot": 20, "strokes": 20, "cifar-fs": 600}


@dataclass(frozen=True)
class BrokenRule:
    """One impossible combination."""

    keys: tuple[str, ...]
    """The keys that make it together, the one to blame first."""
    what: str
    hint: str

    @property
    def paths(self) -> list[tuple[str, ...]]:
        """The keys as they are nested in the file."""
        return [tuple(key.split(".")) for key in self.keys]


def broken_rules(profile: Values) -> list[BrokenRule]:
    """All combinations of the profile's values that cannot work with any data."""
    if profile.is_regression:
        return [
            *_of_the_regression(profile),
            *_of_the_algorithm(profile),
            *_of_the_start(profile),
        ]
    data = profile.data
    broken = []
    splits = SPLITS[data.set]
    if data.split not in ("auto", *splits):
        allowed = ", ".join(f'"{name}"' for name in ("auto", *splits))
        broken.append(
            BrokenRule(
                ("data.split", "data.set"),
                f'"{data.split}" is no split of {data.set}; allowed there: {allowed}',
                f'leave data.split out for the usual one, "{splits[0]}"',
            )
        )
    if data.set == "folder" and not data.path.strip():
        broken.append(
            BrokenRule(
                ("data.path", "data.set"),
                'it is empty, and set = "folder" needs a folder that holds a folder for each class',
                'write path = "..." under [data]',
            )
        )
    if data.set != "folder" and data.path:
        broken.append(
            BrokenRule(
                ("data.path", "data.set"),
                f'it is read for set = "folder" only, and set is "{data.set}"',
                'write set = "folder", or leave path out',
            )
        )
    for name in ("fit", "unreadable"):
        if data.set != "folder" and getattr(data, name) != type(data).model_fields[name].default:
            broken.append(
                BrokenRule(
                    (f"data.{name}", "data.set"),
                    f'it is read for set = "folder" only, and set is "{data.set}"',
                    f"leave {name} out",
                )
            )
    split = splits[0] if data.split == "auto" else data.split
    broken += [
        *_of_the_augmentation(profile),
        *_of_the_algorithm(profile),
        *_of_the_network(profile),
        *_of_the_module(profile),
        *_of_the_test(profile),
        *_of_the_start(profile),
    ]
    return broken + misfits(
        profile, CLASSES.get((data.set, split), {}), DRAWINGS.get(data.set), source=data.set
    )


def _of_the_regression(profile: Values) -> Iterator[BrokenRule]:
    """What is said of images, where there are none."""
    for key, reason in OF_IMAGES.items():
        section, name = key.split(".")
        owner = getattr(profile, section)
        if getattr(owner, name) != type(owner).model_fields[name].default:
            yield BrokenRule(
                (key, "data.set"),
                f'it does not apply to set = "sinusoid": {reason}',
                f"leave {key} out",
            )
    if reason := ALGORITHMS.get(profile.algorithm, ""):
        yield BrokenRule(
            ("algorithm", "data.set"),
            f"{profile.algorithm} cannot fit waves: {reason}",
            "choose another algorithm, such as maml",
        )
    if profile.validation.criterion != "loss":
        yield BrokenRule(
            ("validation.criterion", "data.set"),
            "waves are fitted, which gives an error and no accuracy",
            'write validation.criterion = "loss": the least mean squared error is the best',
        )


def _of_the_augmentation(profile: Values) -> Iterator[BrokenRule]:
    """Drawings that would be moved off their images."""
    size = profile.data.image_size
    for name in ("shift", "elastic"):
        if getattr(profile.augment, name) > size / 2:
            yield BrokenRule(
                (f"augment.{name}", "data.image_size"),
                f"{getattr(profile.augment, name):g} pixels move drawings off images of {size}",
                f"allowed here: up to {size / 2:g}",
            )


def _of_the_algorithm(profile: Values) -> Iterator[BrokenRule]:
    """What does not go together with ``algorithm``, or within the inner loop."""
    name, inner = profile.algorithm, profile.inner
    for key, reason in inapplicable(profile):
        yield BrokenRule(
            (key, "algorithm"),
            f"it does not apply to {name}: {reason}",
            f"leave {key} out, or choose another algorithm",
        )
    if name == "protonet":
        asked = (inner.steps, inner.test_steps, profile.evaluation.steps)
        if asked != (0, 0, (0,)):
            yield BrokenRule(
                ("inner.steps", "inner.test_steps", "evaluation.steps", "algorithm"),
                "protonet has no inner loop",
                'write inner.steps = 0, inner.test_steps = 0 and evaluation.steps = "0"',
            )
    elif inner.steps == 0 and (
        name in ("meta-sgd", "meta-curvature", "alfa", "proto-maml", "reptile", "imaml")
        or profile.plus.learned_rates
    ):
        yield BrokenRule(
            ("inner.steps", "algorithm"),
            "without an inner step there is nothing to learn from",
            "allowed here: 1 or more; 0 is plain training, for maml and its nearest",
        )
    for key in ("proximal", "cg_steps"):
        if name != "imaml" and getattr(inner, key) != type(inner).model_fields[key].default:
            yield BrokenRule(
                (f"inner.{key}", "algorithm"),
                f"it is read for imaml only, and algorithm is {name}",
                f"leave inner.{key} out",
            )


def _of_the_network(profile: Values) -> Iterator[BrokenRule]:
    """Networks that cannot be, and switches that need another normalisation."""
    network, plus = profile.network, profile.plus
    size = profile.data.image_size
    if network.pooling == "max" and size >> network.layers == 0:
        yield BrokenRule(
            ("network.layers", "network.pooling", "data.image_size"),
            f"{network.layers} max-poolings leave nothing of images of {size} pixels",
            f"allowed here: up to {size.bit_length() - 1} layers",
        )
    if plus.per_step_statistics and network.normalisation != "batch":
        yield BrokenRule(
            ("plus.per_step_statistics", "network.normalisation"),
            f"running statistics are batch normalisation's, and it is {network.normalisation}",
            'write network.normalisation = "batch"',
        )
    if plus.per_step_norm and network.normalisation == "none":
        yield BrokenRule(
            ("plus.per_step_norm", "network.normalisation"),
            "there is no normalisation that could have a scale and a shift for each step",
            'write network.normalisation = "batch" or "layer"',
        )


BUILT_IN_ALONE = ("filters", "layers", "pooling", "normalisation", "head")
"""Keys of ``[network]`` that say nothing of a module of the user's."""
BUILT_IN_ALGORITHMS = {
    "protonet": "its head is computed from features that only the built-in network gives",
    "proto-maml": "its head is computed from features that only the built-in network gives",
    "meta-curvature": "its matrices are of the built-in network's layout of kernels",
}
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _of_the_module(profile: Values) -> Iterator[BrokenRule]:
    """A network of the user's own, and what does not go with it."""
    network, plus = profile.network, profile.plus
    if not network.module:
        if network.arguments:
            yield BrokenRule(
                ("network.arguments", "network.module"),
                "they are of the constructor of network.module, which is not given",
                'write module = "package:Class" under [network], or leave arguments out',
            )
        return
    if not _MODULE.fullmatch(network.module):
        yield BrokenRule(
            ("network.module",),
            "it is not the name of a class; allowed: module and class, with a colon between them",
            'such as "mypackage.networks:ResNet", the class ResNet of mypackage/networks.py',
        )
    for name in BUILT_IN_ALONE:
        if getattr(network, name) != type(network).model_fields[name].default:
            yield BrokenRule(
                (f"network.{name}", "network.module"),
                "it is of the built-in network, and network.module names another one",
                f"leave network.{name} out, or pass it on in network.arguments",
            )
    if reason := BUILT_IN_ALGORITHMS.get(profile.algorithm):
        yield BrokenRule(
            ("algorithm", "network.module"),
            f"{profile.algorithm} is for the built-in network alone: {reason}",
            "choose another algorithm, or leave network.module out",
        )
    for name in ("per_step_norm", "per_step_statistics"):
        if getattr(plus, name):
            yield BrokenRule(
                (f"plus.{name}", "network.module"),
                "it is of the built-in network's normalisation, and network.module names another "
                "network",
                f"leave plus.{name} out",
            )
    if profile.task.test_way not in (0, profile.task.way):
        yield BrokenRule(
            ("task.test_way", "network.module"),
            f"{network.module} is constructed for {profile.task.way} classes",
            "leave task.test_way out",
        )


def _of_the_test(profile: Values) -> Iterator[BrokenRule]:
    """Tasks at test that a learned head has no weights for."""
    task = profile.task
    if task.test_way == 1:
        yield BrokenRule(
            ("task.test_way",), "a choice needs two classes", "allowed: 0, or 2 and more"
        )
    if task.test_way > task.way and profile.algorithm not in ("protonet", "proto-maml"):
        yield BrokenRule(
            ("task.test_way", "task.way", "algorithm"),
            f"{profile.algorithm} learns a head for {task.way} classes, which has nothing for "
            f"{task.test_way}",
            f"allowed here: up to {task.way}; protonet and proto-maml take any number",
        )


def _of_the_start(profile: Values) -> Iterator[BrokenRule]:
    """A part of no run."""
    if profile.meta.start_part != "all" and not profile.meta.start.strip():
        yield BrokenRule(
            ("meta.start_part", "meta.start"),
            "it says what is taken of a run, and meta.start names none",
            'write start = "RUN" under [meta], or leave start_part out',
        )
    if profile.meta.start.strip() and profile.network.weights.strip():
        yield BrokenRule(
            ("network.weights", "meta.start"),
            "a training starts with a file of weights or with another run, not with both",
            "leave one of them out",
        )
    if profile.meta.start_part == "head" and profile.algorithm in ("protonet", "proto-maml"):
        yield BrokenRule(
            ("meta.start_part", "algorithm"),
            f"{profile.algorithm} has no head of its own",
            "leave start_part out",
        )


def misfits(
    profile: Values, classes: Mapping[str, int], drawings: int | None, source: str = "the data"
) -> list[BrokenRule]:
    """What a task of the profile asks for beyond the classes of each split and their drawings."""
    task, tested = profile.task, profile.task.at_test
    broken = []
    asked = [
        (key, way, name, classes[name])
        for key, way, names in (
            ("task.way", task.way, classes if task.way == tested.way else ["train"]),
            ("task.test_way", tested.way, [name for name in classes if name != "train"]),
        )
        for name in names
        if name in classes and (key == "task.way" or way != task.way)
    ]
    for key in ("task.way", "task.test_way"):
        of_key = [(count, name, way) for own, way, name, count in asked if own == key]
        count, name, way = min(of_key, default=(0, "", 0))
        if way > count:
            broken.append(
                BrokenRule(
                    (key, "data.split", "data.set"),
                    f"a {way}-way task needs {way} classes, and the {name} split of "
                    f"{source} has {count}",
                    f"allowed here: 2 to {count}"
                    if count >= 2
                    else "no task can be made of fewer than 2 classes: bring more of them",
                )
            )
    most = max(task, tested, key=lambda each: each.shot + each.query)
    if drawings is not None and most.shot + most.query > drawings:
        query, shot = (
            f"task.{name}" if getattr(most, name) == getattr(task, name) else f"task.test_{name}"
            for name in ("query", "shot")
        )
        broken.append(
            BrokenRule(
                (query, shot, "data.set"),
                f"{most.shot} support + {most.query} query = {most.shot + most.query} drawings of "
                f"a class, and {source} has {drawings}",
                f"shot + query is allowed up to {drawings}",
            )
        )
    return broken
