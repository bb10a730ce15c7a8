"""A training of seconds that leaves nothing behind: no run folder, no checkpoint, no validation."""

from __future__ import annotations

from collections.abc import Callable

from mamltui.errors import DivergedError
from mamltui.maml.parameters import Parameters
from mamltui.training.divergence import Divergence, Watch
from mamltui.training.meta_step import MetaStep
from mamltui.training.plan import Plan
from mamltui.training.state import TrainingState


def train_in_memory(
    plan: Plan, progress: Callable[[int, float], None] = lambda *_: None
) -> Parameters:
    """The parameters after all meta-iterations of the plan's profile, as a run would have them.

    Args:
        progress: told every ``run.log_interval`` meta-iterations their number and the query loss.

    Raises:
        DivergedError: the loss ran away.
    """
    profile, device = plan.profile, plan.device
    state = TrainingState.fresh(plan.learner, profile.meta, device)
    watch = Watch(profile.meta.divergence_loss * plan.guessing, device)
    step = MetaStep(plan, lambda: False)
    for _ in step.choose(state, watch, None):
        pass
    try:
        while state.iteration < profile.meta.iterations:
            logged = step.take((state.iteration + 1) % profile.run.log_interval == 0)
            if logged is not None:
                progress(state.iteration, logged.metrics.query_loss)
        watch.check()
    except Divergence as divergence:
        raise DivergedError(f"the training diverged: {divergence}") from divergence
    return state.parameters
