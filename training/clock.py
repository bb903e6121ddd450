"""The seconds of training of a trainer, without evaluations and checkpoints."""

import time

from transformers import TrainerCallback


class StopClock(TrainerCallback):
    """Stops the clock of a trainer after a step that an evaluation or a checkpoint follows."""

    def __init__(self, trainer: "ClockMixin"):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if control.should_evaluate or control.should_save:
            self.trainer.stop_clock()

    on_epoch_end = on_step_end


class ClockMixin:
    """For a trainer. `seconds` run from the first batch that is fetched until `stop_clock`, and on from the next."""

    clock, seconds = None, 0.0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.add_callback(StopClock(self))

    def get_batch_samples(self, *args, **kwargs):
        self.clock = self.clock or time.perf_counter()
        return super().get_batch_samples(*args, **kwargs)

    def stop_clock(self) -> None:
        if self.clock is not None:
            self.seconds += time.perf_counter() - self.clock
            self.clock = None


__all__ = ["ClockMixin"]
