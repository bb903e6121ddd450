"""Seconds of training steps without the cache of DNA features, while it is filled, and when it is read.

Processor time is printed beside the clock, since it says something on a busy machine too.

Example run:

    python benchmarks/feature_cache.py --config kegg_small --dataset_name FOLDER \\
        --freeze_dna_encoder true --max_steps 20
"""

import sys
import tempfile
import time
from copy import deepcopy

from transformers import TrainerCallback

from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.training import sft
from textgenome.training.scripts import parse_arguments
from textgenome.training.trainer import TextGenomeTrainer


class Timer(TrainerCallback):
    """Times the steps after the first, which warms up."""

    def on_step_end(self, args, state, control, **kwargs):
        self.last = time.perf_counter(), time.process_time()
        if state.global_step == 1:
            self.first = self.last


def main() -> None:
    data, training, args = parse_arguments((DataArguments, TrainingArguments, ModelArguments), "sft", __doc__)
    timer = Timer()

    class TimedTrainer(TextGenomeTrainer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.add_callback(timer)

    sft.TextGenomeTrainer = TimedTrainer
    with tempfile.TemporaryDirectory() as folder:
        for run in ("without", "filling", "reading"):
            settings = deepcopy(training)
            settings.output_dir, settings.dna_cache_dir = f"{folder}/{run}", f"{folder}/features"
            settings.cache_dna_features = run != "without"
            sft.run(deepcopy(data), settings, deepcopy(args))
            clock, processor = (end - start for start, end in zip(timer.first, timer.last))
            steps = settings.max_steps - 1
            print(f"{run}: {clock / steps:.2f} s a step, {processor / steps:.2f} s of the processor", file=sys.stderr)


if __name__ == "__main__":
    main()
