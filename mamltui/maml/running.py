"""Running statistics of batch normalisation: where they begin.

They are kept for each number of inner steps taken, and the query set is normalised with them, in
training and at test: so no query image is seen in the light of others, as it is with the set's own
statistics. The support set keeps its own, for the inner loop's sake: with statistics that do not
follow the parameters, steps of the usual size run away. (In the reference code of MAML++ running
statistics are kept as well, but every pass normalises with the batch's own.)

Statistics after k steps are those of the support sets at these parameters, and after the last step
of training those of the query sets. From iteration to iteration they go a tenth of the way to what
was seen; no gradient is taken through them.
"""

from __future__ import annotations

from itertools import product

import torch

from mamltui.maml.chunks import choose_task_chunk
from mamltui.maml.episode import Episodes
from mamltui.maml.learner import Learner
from mamltui.maml.network import NetworkSpec
from mamltui.maml.outer import adapted_step_by_step
from mamltui.maml.parameters import NormStatistics, Parameters


def start_statistics(learner: Learner, parameters: Parameters, episodes: Episodes) -> None:
    """Set running statistics, in place, to those that the episodes have at each inner step."""
    network = learner.network
    assert isinstance(network, NetworkSpec)  # the only one that has them
    chunks = episodes.chunks(choose_task_chunk(network, 0, episodes))
    statistics = [_statistics(learner, parameters, chunk) for chunk in chunks]
    for step, layer in product(range(network.running_steps), range(network.layers)):
        means, variances = (
            torch.cat(each) for each in zip(*(of[step][layer] for of in statistics), strict=True)
        )
        mean = means.mean(dim=0).squeeze(0)
        variance = (variances + (means - mean).square()).mean(dim=0)
        parameters[f"norm{layer + 1}.mean"][step] = mean
        parameters[f"norm{layer + 1}.variance"][step] = variance.squeeze(0)


def _statistics(
    learner: Learner, parameters: Parameters, episodes: Episodes
) -> list[list[NormStatistics]]:
    """Of each inner step and layer."""
    network, last = learner.network, learner.network.running_steps - 1
    statistics = []
    for step, adapted in enumerate(
        adapted_step_by_step(network, learner.inner, parameters, episodes, last)
    ):
        tape = adapted.query(None) if step == last else adapted.support
        statistics.append(tape.statistics)
    return statistics
