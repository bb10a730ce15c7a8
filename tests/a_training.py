"""The events of a training that never was, for displays to show."""

from __future__ import annotations

from collections.abc import Iterator

from mamltui.events import Checkpointed, Event, Finished, Started, Step, Validated

ITERATIONS = 400
INTERVAL = 100
STEP_SECONDS = 0.1
VALIDATION_SECONDS = 5.0


def training() -> Iterator[Event]:
    """400 iterations of 0.1 s, logged every 10; a validation of 5 s every 100."""
    elapsed = 0.0
    yield Started(0, "tiny-20260131-142501-3f9a", ITERATIONS, "cpu", 28_037, False)
    for iteration in range(10, ITERATIONS + 1, 10):
        done = iteration / ITERATIONS
        elapsed += 10 * STEP_SECONDS
        loss, accuracy = 1.6 * (1 - 0.8 * done), 0.2 + 0.7 * done
        yield Step(
            iteration,
            query_loss=loss,
            query_accuracy=accuracy,
            support_loss=1.6,
            support_accuracy=0.2,
            query_loss_per_step=(1.6, loss),
            query_accuracy_per_step=(0.2, accuracy),
            gradient_norm=0.5,
            learning_rate=0.001,
            iterations_per_second=1 / STEP_SECONDS,
            elapsed=elapsed,
        )
        if iteration % INTERVAL == 0:
            elapsed += VALIDATION_SECONDS
            yield Validated(
                iteration,
                accuracy=accuracy - 0.02,
                ci95=0.012,
                loss=loss + 0.05,
                accuracy_per_step=(0.2, accuracy - 0.05, accuracy - 0.02),
                loss_per_step=(1.6, loss + 0.1, loss + 0.05),
                is_best=True,
                elapsed=elapsed,
            )
            yield Checkpointed(iteration, "last", "checkpoints/last.safetensors")
    yield Finished(ITERATIONS, ITERATIONS, 0.88, 0.37, elapsed)
