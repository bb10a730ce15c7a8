"""The outer loop of MAML (Finn et al. 2017, Algorithm 2), its run folder and control handle."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress

import torch

from mamltui.data.sinusoid import Waves
from mamltui.errors import MamltuiError, RunError, StorageError
from mamltui.events import (
    DiskFailing,
    DiskRestored,
    Diverged,
    Event,
    Failed,
    Finished,
    Notice,
    Paused,
    Resumed,
    Started,
    Step,
    Stopped,
    Validated,
)
from mamltui.maml.chunks import Interrupted
from mamltui.maml.memory import memory_error
from mamltui.maml.ranks import RanksError
from mamltui.runs import RunFolder, State, TrainedOn
from mamltui.runs.backlog import RETRY_SECONDS
from mamltui.runs.folder import CheckpointName
from mamltui.runs.images import write_images
from mamltui.runs.kept import keep_only
from mamltui.runs.rescue import forget, give_up, rescue
from mamltui.training.clock import Clock, Seconds
from mamltui.training.control import Control
from mamltui.training.device import describe_device
from mamltui.training.divergence import Divergence, Watch
from mamltui.training.meta_step import Logged, MetaStep
from mamltui.training.plan import Plan
from mamltui.training.resume import find_start
from mamltui.training.schedule import learning_rate
from mamltui.training.validation import Validator, ranked

INFO_SECONDS = 5.0
"""``run.json`` follows the metrics at most this often."""
SMALLER_TASKS = (
    "train with fewer ways, shots or inner steps, a smaller network.filters or data.image_size: "
    "one task alone does not fit"
)


class Trainer:
    """Trains a run from where its last checkpoint is, or from the start.

    Args:
        plan: what is trained; on resume, more iterations and other intervals are welcome.
        run: the folder, which the trainer writes; it is locked while ``train`` runs.
        control: pauses and stops the training from outside.
    """

    def __init__(self, plan: Plan, run: RunFolder, control: Control | None = None) -> None:
        self.plan = plan
        self.profile = plan.profile
        self.run = run
        self.control = control or Control()
        self._meta_step = MetaStep(plan, self.control.is_halting)
        self._validation_sampler = plan.sampler("validation")

    def train(self) -> Iterator[Event]:
        """Train, and yield each event after it is in the run folder.

        The last event is ``Finished``, ``Stopped`` or ``Diverged``. A generator that is closed
        early leaves a run that can be resumed from where it was.

        Raises:
            RunError: the run is in use, finished, or cannot be written.
            DataError: the run is of other data.
            CheckpointError: the run's last checkpoint is damaged or of another network.
            DeviceError: the device is out of memory.
            StorageError: the disk has refused for longer than ``run.disk_patience``.
            RanksError: a process that shares the tasks is gone; a checkpoint is saved.
        """
        self._is_over = self._is_waited_for = False
        with ExitStack() as leaving:
            leaving.callback(self.control.end)
            self.run.acquire()
            leaving.callback(self._release)
            notices = self._begin()
            try:
                end = yield from self._to_the_end(notices)
            except GeneratorExit:
                self._leave()
                raise
            except KeyboardInterrupt:
                # Perhaps in the middle of a meta-step: the last checkpoint stands.
                with suppress(StorageError):
                    self.run.update(state="interrupted")
                raise
            except StorageError as error:
                if not self._is_over:
                    self._fail(error)
                raise self._rescue(error) from error
            except RanksError as error:
                # Nothing of a meta-step is applied before all of it is there.
                with suppress(Divergence, StorageError):
                    if not self._is_saved():
                        self._save("last")
                self._fail(error)
                raise
            except Exception as error:
                explained = memory_error(error, SMALLER_TASKS)
                self._fail(explained or error)
                if explained is not None:
                    raise explained from error
                raise
        yield end

    def _to_the_end(self, notices: list[str]) -> Generator[Event, None, Event]:
        """All events but the last, which is returned.

        After ``Finished`` the disk may be waited for; the run stays locked then.

        Raises:
            StorageError: the run ends otherwise, and its files are not all on the disk.
        """
        try:
            end = yield from self._sitting(notices)
        except Divergence as divergence:
            if divergence.good is not None:
                self._state.iteration = divergence.good
            end = self._end("diverged", Diverged(self._state.iteration, str(divergence)))
        self.run.settle()
        yield from self._attend_disk()
        trouble = self.run.backlog.trouble
        self._is_waited_for = trouble is not None and isinstance(end, Finished)
        if trouble is not None and not self._is_waited_for:
            yield end
            raise StorageError(trouble.error.what, where=trouble.error.where)
        return end

    def _release(self) -> None:
        if not self._is_waited_for:
            self.run.release()

    def _begin(self) -> list[str]:
        """Take the run up; a run that cannot be gone on with is left as it is."""
        start = find_start(self.plan, self.run)
        self._state = start.state
        self._saved = (start.state.iteration, start.state.validated) if start.resumed else None
        self._resumed = start.resumed
        limit = self.profile.meta.divergence_loss * self.plan.guessing
        self._watch = Watch(limit, self.plan.device)
        self._told_waiting: int | None = None
        # Of several processes that share the tasks, this one counts its own work alone.
        is_alone = self.plan.ranks is None
        earlier = start.seconds if is_alone else start.seconds._replace(processor=None)
        self.run.take_arrived()
        self.run.backlog.endure(60 * self.profile.run.disk_patience)
        if not isinstance(self.plan.bank, Waves):
            with suppress(MamltuiError):  # it names files in a message, and no training needs it
                write_images(self.run.path, self.plan.bank)
        self.run.begin(
            device=describe_device(self.plan.device),
            threads=torch.get_num_threads(),
            data=TrainedOn.of(self.plan.bank, self.plan.split),
            seed=self.profile.meta.seed,
            iterations=self.profile.meta.iterations,
            **self._progress(earlier),
        )
        self._told = time.monotonic()
        self._clock = Clock(earlier)
        self._logged = (start.state.iteration, self._clock.stepping)
        return start.notices

    def _sitting(self, notices: list[str]) -> Generator[Event, None, Event]:
        """From the start to the last event, which is returned."""
        state, meta = self._state, self.profile.meta
        yield self._tell(
            Started(
                state.iteration,
                run=self.run.name,
                iterations=meta.iterations,
                device=describe_device(self.plan.device),
                parameters=self.plan.learner.parameter_count(),
                resumed=self._resumed,
            )
        )
        for notice in notices:
            yield self._tell(Notice(state.iteration, notice))
        while True:
            if not self._meta_step.is_chosen:
                with suppress(Interrupted):
                    yield from self._choose_engine()
            elif self._is_validation_due():
                yield from self._validate()
            is_over = state.iteration == meta.iterations == state.validated
            is_early = not is_over and self._is_out_of_patience()
            is_due = is_early or self._is_due(self.profile.run.checkpoint_interval)
            if is_due and not self._is_saved():
                yield from self._save("last")
            yield from self._attend_disk()
            if is_early:
                yield self._tell(Notice(state.iteration, self._why_early()))
            if is_over or is_early:
                return self._finish()
            reason = yield from self._obey()
            if reason is not None:
                if not self._is_saved():
                    yield from self._save("last")
                return self._end("interrupted", Stopped(state.iteration, reason))
            if not self._meta_step.is_chosen or self._is_validation_due():
                continue  # a pause came in between
            following = state.iteration + 1
            logged: Logged | None = None
            with suppress(Interrupted):
                logged = self._meta_step.take(
                    following % self.profile.run.log_interval == 0 or following == meta.iterations
                )
            yield from self._say()
            if logged is not None:
                yield self._log(logged)

    def _choose_engine(self) -> Iterator[Event]:
        """May be interrupted, and tried again."""
        with self._clock.aside():
            for words in self._meta_step.choose(self._state, self._watch, self._engine_before()):
                yield self._tell(Notice(self._state.iteration, words))
        engine = self._meta_step.engine
        yield from self._tell_of_rounding()
        self._validator = Validator(
            self.profile, engine, self._validation_sampler, self.plan.device
        )
        self.run.update(strategy=engine.strategy, task_chunk=self._meta_step.task_chunk)
        yield from self._say()

    def _say(self) -> Iterator[Event]:
        while self._meta_step.notices:
            yield self._tell(Notice(self._state.iteration, self._meta_step.notices.pop(0)))

    def _tell_of_rounding(self) -> Iterator[Event]:
        """Another strategy or chunk adds in another order than the run was trained with so far."""
        before = self._engine_before()
        if before is None:
            return
        now = (self._meta_step.engine.strategy, self._meta_step.task_chunk)
        names = ("engine.strategy", "engine.task_chunk")
        moved = [
            f"{name} {old} -> {new}"
            for name, old, new in zip(names, before, now, strict=True)
            if old != new
        ]
        if moved:
            yield self._tell(
                Notice(
                    self._state.iteration,
                    f"resumed with {', '.join(moved)}: the last digits may differ from those of an "
                    "unbroken run",
                )
            )

    def _engine_before(self) -> tuple[str, int] | None:
        """Strategy and chunk that the run was trained with so far."""
        info = self.run.info()
        if not self._resumed or info.strategy is None or info.task_chunk is None:
            return None
        return info.strategy, info.task_chunk

    def _is_validation_due(self) -> bool:
        due = self._is_due(self.profile.validation.interval)
        return due and self._state.validated < self._state.iteration

    def _is_out_of_patience(self) -> bool:
        """Asked of what a checkpoint holds alone: a resume ends where an unbroken run does."""
        state, validation = self._state, self.profile.validation
        if state.best is None or state.validated < state.iteration:
            return False
        return validation.is_out_of_patience(state.validated, state.best.iteration)

    def _why_early(self) -> str:
        best, validation = self._state.best, self.profile.validation
        assert best is not None
        return (
            f"stopped early: {validation.patience} validation"
            f"{'' if validation.patience == 1 else 's'} without a better {validation.criterion} "
            f"than at iteration {best.iteration:,}"
        )

    def _is_due(self, interval: int) -> bool:
        iteration = self._state.iteration
        at_end = iteration == self.profile.meta.iterations
        return iteration > 0 and (iteration % interval == 0 or at_end)

    def _log(self, logged: Logged) -> Step:
        iteration, metrics = self._state.iteration, logged.metrics
        support, query = logged.scores.support, logged.scores.transductive
        has_accuracy = not self.profile.is_regression
        stepping = self._clock.stepping
        done, since = iteration - self._logged[0], stepping - self._logged[1]
        self._logged = (iteration, stepping)
        seconds = self._clock.seconds
        step = Step(
            iteration,
            query_loss=metrics.query_loss,
            query_accuracy=metrics.query_accuracy if has_accuracy else None,
            support_loss=float(support.loss[:, 0].mean()),
            support_accuracy=float(support.accuracy[:, 0].mean()) if has_accuracy else None,
            query_loss_per_step=tuple(query.loss.mean(dim=0).tolist()),
            query_accuracy_per_step=tuple(query.accuracy.mean(dim=0).tolist())
            if has_accuracy
            else (),
            gradient_norm=metrics.gradient_norm,
            learning_rate=learning_rate(self.profile.meta, iteration - 1),
            iterations_per_second=done / max(since, 1e-9),
            elapsed=seconds.elapsed,
            processor_seconds=seconds.processor,
        )
        if not all(map(math.isfinite, (step.support_loss, *step.query_loss_per_step))):
            raise Divergence(f"a loss within the adaptation is not finite at iteration {iteration}")
        self.run.append_metrics(step)
        if time.monotonic() - self._told >= INFO_SECONDS:
            self._update()
        return step

    def _validate(self) -> Iterator[Event]:
        """Score the validation episodes; nothing is kept when a stop or pause comes in between."""
        self._watch.check()
        state = self._state
        with self._clock.aside():
            scores = self._validator.scores(state.parameters, self.control.is_halting)
        if scores is None:
            return
        if not all(map(math.isfinite, scores.loss)):
            raise Divergence(f"the validation loss is not finite at iteration {state.iteration}")
        validated = scores.best(state.iteration)
        is_best = self._validator.is_better(validated, state.best)
        state.validated = state.iteration
        if is_best:
            state.best = validated
        state.kept = ranked((*state.kept, validated), self.profile.validation)
        seconds = self._clock.seconds
        events: list[Event] = [
            self._tell(
                Validated(
                    state.iteration,
                    accuracy=validated.accuracy,
                    ci95=scores.ci95[-1],
                    loss=validated.loss,
                    accuracy_per_step=scores.accuracy,
                    loss_per_step=scores.loss,
                    is_best=is_best,
                    elapsed=seconds.elapsed,
                    processor_seconds=seconds.processor,
                )
            )
        ]
        # The last before the others: a resume makes them from it, if it finds only that one.
        is_kept = validated in state.kept
        if is_best or is_kept:
            events += self._save("last")
        if is_best:
            events += self._save("best")
        if is_kept:
            events += self._save(state.iteration)
            keep_only(self.run, {best.iteration for best in state.kept})
        self._update()
        yield from events

    def _obey(self) -> Generator[Event, None, str | None]:
        """Do what the control asks, waiting while paused; the reason to stop, if asked to."""
        iteration = self._state.iteration
        paused = False
        while True:
            is_waiting = self.run.backlog.trouble is not None
            with self._clock.paused():
                request = self.control.take(
                    wait=paused, seconds=RETRY_SECONDS if is_waiting else None
                )
            if request is None and paused:
                yield from self._attend_disk()
                continue
            if request is None:
                return None
            if request.kind == "stop":
                return request.reason
            if request.kind == "checkpoint":
                yield from self._save("last")
            elif request.kind == "snapshot":
                request.give(iteration, self._state.parameters)
            elif request.kind == "pause" and not paused:
                paused = True
                self._update("paused")
                yield self._tell(Paused(iteration))
            elif request.kind == "resume" and paused:
                paused = False
                self._update("running")
                yield self._tell(Resumed(iteration))

    def _save(self, name: CheckpointName) -> list[Event]:
        """Write a checkpoint, but never one of parameters that went bad."""
        self._watch.check()
        if not self._state.is_finite():
            raise Divergence(f"a parameter is not finite at iteration {self._state.iteration}")
        with self._clock.aside():
            self.run.save_checkpoint(name, self._state.checkpoint(self._clock.seconds))
            if self.run.backlog.trouble is not None:
                rescue(self.run)  # should this process end before the disk takes it
        if name == "last":
            self._saved = (self._state.iteration, self._state.validated)
        arrived = [self._tell(event) for event in self.run.take_arrived()]
        self._update()
        return arrived

    def _attend_disk(self) -> Iterator[Event]:
        """Try again what the disk refused, and tell what is, or is no longer, in memory alone."""
        backlog = self.run.backlog
        if not backlog.is_behind and self._told_waiting is None:
            return
        backlog.settle()
        for event in self.run.take_arrived():
            yield self._tell(event)
        if backlog.trouble is None:
            self._told_waiting = None
            with suppress(RunError):  # what could not be deleted while the disk refused
                self.run.remove_parts()
            forget(self.run)
            yield self._tell(DiskRestored(self._state.iteration))
            return
        newest = max((file.iteration for file in backlog.checkpoints.values()), default=0)
        if newest != self._told_waiting:
            self._told_waiting = newest
            reason, waiting = str(backlog.trouble.error), backlog.describe()
            yield self._tell(DiskFailing(self._state.iteration, reason, waiting))

    def _rescue(self, error: StorageError) -> StorageError:
        """Keep what the disk refused elsewhere, with a checkpoint; the error, saying where."""
        with suppress(Divergence, StorageError):
            if not self._is_saved():
                self._save("last")
        return give_up(self.run, error)

    def _is_saved(self) -> bool:
        return self._saved == (self._state.iteration, self._state.validated)

    def _finish(self) -> Event:
        state = self._state
        assert state.best is not None  # a training ends after a validation
        return self._end(
            "finished",
            Finished(
                state.iteration,
                best_iteration=state.best.iteration,
                best_accuracy=state.best.accuracy,
                best_loss=state.best.loss,
                elapsed=self._clock.elapsed,
            ),
        )

    def _end(self, state: State, event: Event) -> Event:
        self._is_over = True
        self._tell(event)
        self._update(state, error=getattr(event, "reason", None))
        return event

    def _leave(self) -> None:
        """The reader has gone, at an event, so between two meta-steps."""
        with suppress(Divergence):
            if not self._is_saved():
                self._save("last")
        self._update("interrupted")
        self.run.settle()
        trouble = self.run.backlog.trouble
        if trouble is not None:
            raise self._rescue(StorageError(trouble.error.what, where=trouble.error.where))

    def _fail(self, error: Exception) -> None:
        """Note the error as far as that is still possible: it may be that the disk is full."""
        text = str(error) if isinstance(error, MamltuiError) else f"{type(error).__name__}: {error}"
        with suppress(MamltuiError):
            self._tell(Failed(self._state.iteration, text))
        with suppress(MamltuiError):
            self._update("failed", error=text)

    def _tell(self, event: Event) -> Event:
        self.run.append_event(event)
        return event

    def _update(self, state: State | None = None, error: str | None = None) -> None:
        changes = self._progress(self._clock.seconds)
        if state is not None:
            changes |= {"state": state, "error": error}
        self.run.update(**changes)
        self._told = time.monotonic()

    def _progress(self, seconds: Seconds) -> dict[str, object]:
        return {
            "iteration": self._state.iteration,
            "best": self._state.best,
            "elapsed": seconds.elapsed,
            "processor_seconds": seconds.processor,
        }
