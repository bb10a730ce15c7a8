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

from mamltui.maml.episode import Episodes
from mamltui.maml.learner import Learner
from mamltui.maml.network import Parameters, forward
from mamltui.maml.outer import adapted_step_by_step


def start_statistics(learner: Learner, parameters: Parameters, episodes: Episodes) -> None:
    """Set running statistics, in place, to those that the episodes have at each inner step."""
    network, inner = learner.network, learner.inner
    passes = adapted_step_by_step(network, inner, parameters, episodes, network.running_steps - 1)
    for step, adapted in enumerate(passes):
        seen = adapted.support.statistics
        if step == network.running_steps - 1:
            _, seen = forward(network, adapted.parameters, episodes.query_x, step=step)
        for layer, (means, variances) in enumerate(seen, 1):
            mean = means.mean(dim=0).squeeze(0)
            variance = (variances + (means - mean).square()).mean(dim=0)
            parameters[f"norm{layer}.mean"][step] = mean
            parameters[f"norm{layer}.variance"][step] = variance.squeeze(0)
