"""What `textgenome plan` says of a recipe, beside the tensors that one step of it holds, in one process.

Example run:

    python benchmarks/plan_memory.py --config kegg_small --dataset_name FOLDER
"""

import tempfile

import torch
from transformers import TrainerCallback

from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.training import sft
from textgenome.training.planning import build_on_meta, fused_config, memory_per_gpu
from textgenome.training.scripts import parse_arguments
from textgenome.training.trainer import TextGenomeTrainer


class MeasuringTrainer(TextGenomeTrainer):
    """Keeps the bytes of weights, gradients and optimizer states at their peak: after a step of the optimizer."""

    memory = {}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        trainer = self

        class Measure(TrainerCallback):
            def on_optimizer_step(self, args, state, control, **kwargs):
                parameters = list(trainer.model.parameters())
                states = [value for state in trainer.optimizer.state.values() for value in state.values()]
                trainer.memory |= {
                    "weights": sum(each.nbytes for each in parameters),
                    "gradients": sum(each.grad.nbytes for each in parameters if each.grad is not None),
                    "optimizer": sum(value.nbytes for value in states if isinstance(value, torch.Tensor)),
                }

        self.add_callback(Measure())


def measure(
    data: DataArguments, training: TrainingArguments, args: ModelArguments
) -> tuple[dict[str, float], dict[str, int]]:
    """Planned and measured bytes of a run in one process."""
    planned = memory_per_gpu(build_on_meta(fused_config(args), args), "DDP", 1, training.bf16)
    sft.TextGenomeTrainer = MeasuringTrainer
    try:
        sft.run(data, training, args)
    finally:
        sft.TextGenomeTrainer = TextGenomeTrainer
    return planned, MeasuringTrainer.memory


def main() -> None:
    data, training, args = parse_arguments((DataArguments, TrainingArguments, ModelArguments), "sft", __doc__)
    training.max_steps, training.save_strategy, data.generation_rows = 1, "no", 0
    with tempfile.TemporaryDirectory() as folder:
        training.output_dir = folder
        planned, measured = measure(data, training, args)
    for part, found in measured.items():
        share = planned[part] / found - 1
        print(f"{part:<10} planned {planned[part]:>12,.0f} bytes, measured {found:>12,}: {share:+.1%}")


if __name__ == "__main__":
    main()
