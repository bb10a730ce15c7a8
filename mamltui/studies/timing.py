"""How fast a training is, which turns minutes into iterations, and what cells cost."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mamltui.errors import MamltuiError
from mamltui.events import Diverged, Event, Step, Validated
from mamltui.profiles import Profile

SECONDS = 6.0
"""Of a timed training, for each of its stretches; a fifth of it is to warm up."""

LOG_INTERVAL, VALIDATION_INTERVAL = 5, 10
ENDLESS = 100_000_000


@dataclass(frozen=True)
class Speed:
    """Of a training, in seconds."""

    shares: tuple[float, ...]
    """Of the stretches that differ in speed: first order before second, for instance."""
    seconds: tuple[float, ...]
    """Of an iteration, by stretch."""
    validation: float
    logged: float
    """Of a logged iteration, beyond what others take."""


def time_training(profile: Profile, data_dir: Path | None, device: str, threads: int) -> Speed:
    """Train for some seconds in a folder of its own, once for each stretch of the training.

    Raises:
        MamltuiError: the training cannot start, or diverged before it could be timed.
    """
    import tempfile

    import torch

    from mamltui.data.banks import Banks
    from mamltui.maml.allocator import keep_freed_memory
    from mamltui.runs import RunFolder
    from mamltui.training import Trainer
    from mamltui.training.plan import make_plan

    torch.set_num_threads(threads)
    keep_freed_memory()
    banks = Banks(data_dir)
    shares, seconds, validations, logged = [], [], [], []
    for share, stretch in _stretches(profile):
        with tempfile.TemporaryDirectory() as folder:
            plan = make_plan(stretch, device=device, runs=Path(folder), banks=banks)
            run = RunFolder.create(stretch, Path(folder))
            events = Trainer(plan, run).train()
            with closing(cast(Generator[Event, None, None], events)):
                by_processor = plan.device.type == "cpu"
                step, validation = measured(events, by_processor=by_processor)
        logging = validation * _logging_share(profile)
        shares.append(share)
        seconds.append(max(step - logging / LOG_INTERVAL, step / 2))
        validations.append(validation)
        logged.append(logging)
    return Speed(
        tuple(shares), tuple(seconds), statistics.mean(validations), statistics.mean(logged)
    )


def iterations_in(minutes: float, speed: Speed, profile_of: Callable[[int], Profile]) -> int:
    """The longest training that takes no more than ``minutes``, validations and logging included.

    Args:
        profile_of: the training as a profile, of its iterations.
    """
    seconds = sum(share * each for share, each in zip(speed.shares, speed.seconds, strict=True))

    def takes(iterations: int) -> float:
        profile = profile_of(iterations)
        return (
            iterations * seconds
            + iterations / profile.validation.interval * speed.validation
            + iterations / profile.run.log_interval * speed.logged
        )

    low, high = 1, max(2, int(60 * minutes / seconds))
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if takes(middle) <= 60 * minutes else (low, middle)
    digits: int = 10 ** max(0, len(str(low)) - 3)
    return low // digits * digits


def cost(profile: Profile) -> float:
    """Of a training and its test, in multiply-adds but for a factor, to compare cells by.

    A second-order step takes three times a first-order one (forward, backward, and both again of
    the backward pass); images of a larger network cost alike in all cells of a study, as a rule.
    """
    task, inner, length = profile.task, profile.inner, profile.meta.iterations
    support, query = task.way * task.shot, task.way * task.query
    first_order = 0.0
    if profile.algorithm in ("fomaml", "reptile", "imaml"):
        first_order = 1.0
    elif profile.plus.derivative_annealing:
        first_order = min(1.0, profile.plus.first_order_iterations / length)
    step = 3.0 * first_order + 9.0 * (1 - first_order)
    # Without inner steps the support images are embedded, and differentiated, once.
    adapted = support * (inner.steps * step if inner.steps else 3.0)
    training = length * profile.meta.batch * (adapted + query * 3.0)
    steps = max(*profile.evaluation.steps, inner.test_steps)
    tested = profile.evaluation.episodes * (support * steps * 3.0 + query * (steps + 1) * 2.0)
    validated = (
        profile.meta.iterations
        / profile.validation.interval
        * profile.validation.episodes
        * (support * inner.test_steps * 3.0 + query * (inner.test_steps + 1))
    )
    return training + validated + tested


def training_share(profile: Profile) -> float:
    """Of the cost, what is training and validation; the rest is the test."""
    untested = profile.model_copy(
        update={
            "evaluation": profile.evaluation.model_copy(update={"episodes": 0}),
        }
    )
    return cost(untested) / cost(profile)


def _stretches(profile: Profile) -> list[tuple[float, Profile]]:
    """Shares of the iterations that differ in speed, and a training that never leaves each."""
    plus, length = profile.plus, profile.meta.iterations
    switches = {
        "multi_step_iterations": plus.multi_step_loss,
        "first_order_iterations": plus.derivative_annealing,
    }
    ends = {key: min(1.0, getattr(plus, key) / length) for key, is_on in switches.items() if is_on}
    stretches = []
    begin = 0.0
    for end in sorted({*ends.values(), 1.0}):
        held = {key: 1 if share <= begin else ENDLESS for key, share in ends.items()}
        stretches.append((end - begin, _endless(profile, held)))
        begin = end
    return stretches


def _endless(profile: Profile, plus: Mapping[str, int]) -> Profile:
    return profile.model_copy(
        update={
            "plus": profile.plus.model_copy(update=plus),
            "meta": profile.meta.model_copy(update={"iterations": ENDLESS}),
            "validation": profile.validation.model_copy(
                update={"interval": VALIDATION_INTERVAL, "patience": 0}
            ),
            "run": profile.run.model_copy(
                update={"log_interval": LOG_INTERVAL, "checkpoint_interval": ENDLESS}
            ),
        }
    )


def _logging_share(profile: Profile) -> float:
    """What a logged iteration costs more, in validations: it scores its tasks as one does."""
    tasks = profile.meta.batch / profile.validation.episodes
    return tasks * (1 + profile.inner.steps) / (1 + profile.inner.test_steps)


def measured(events: Iterable[Event], *, by_processor: bool) -> tuple[float, float]:
    """Seconds of an iteration and of a validation.

    Args:
        events: of a training whose every tenth iteration is validated.
        by_processor: count the processors' seconds, which other work on the machine hardly adds to,
            not the clock's.

    Raises:
        MamltuiError: it diverged, or ended before it could be timed.
    """
    paces: list[float] = []
    validations: list[float] = []
    before: Step | Validated | None = None
    warm: float | None = None
    for event in events:
        if isinstance(event, Diverged):
            raise MamltuiError(f"diverged while it was timed: {event.reason}")
        if not isinstance(event, (Step, Validated)):
            continue
        if before is not None and warm is not None:
            taken = _seconds(event, by_processor) - _seconds(before, by_processor)
            if isinstance(event, Validated):
                validations.append(taken)
            else:
                paces.append(taken / (event.iteration - before.iteration))
        before = event
        if not isinstance(event, Validated):
            continue
        if warm is None and event.elapsed >= SECONDS / 5:  # the first validation warms up, too
            warm = event.elapsed
        if warm is not None and len(validations) >= 2 and event.elapsed - warm >= SECONDS:
            break
    if not paces or not validations:
        raise MamltuiError("the training ended before it could be timed")
    return _undisturbed(paces), _undisturbed(validations)


def _seconds(event: Step | Validated, by_processor: bool) -> float:
    counted = event.processor_seconds if by_processor else None
    return event.elapsed if counted is None else counted


def _undisturbed(times: Sequence[float]) -> float:
    """The first quartile: whatever else the machine does only ever adds to a time."""
    return statistics.quantiles([*times, times[0]], n=4, method="inclusive")[0]
