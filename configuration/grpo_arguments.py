"""The settings of `textgenome grpo`. Each field is a flag and a line of a recipe."""

from dataclasses import dataclass, field

from trl import GRPOConfig

from textgenome.configuration.arguments import ModelArguments, PublishedDefaults, RowArguments


REWARDS = ("right", "form", "counterfactual")


@dataclass
class GRPOArguments(RowArguments):
    """The rows to learn from, and what to reward. The checkpoint defines how the model reads rows."""

    rewards: list[str] = field(
        default_factory=lambda: list(REWARDS),
        metadata={
            "help": "Rewards, each 0 or 1: `right`, the true answer; `form`, an answer in the form that the model was "
            "trained to give; `counterfactual`, the true answer if the model does not give it with the DNA of "
            "another row. `reward_weights` holds their weights, in this order."
        },
    )
    generation_rows: int = field(
        default=0,
        metadata={
            "help": "Number of rows of the test split to answer after training: unchanged, with the DNA exchanged "
            "between rows, and with the DNA removed. Prints the three accuracies."
        },
    )

    def __post_init__(self):
        super().__post_init__()
        unknown = [name for name in self.rewards if name not in REWARDS]
        if unknown or not self.rewards or len({*self.rewards}) < len(self.rewards):
            raise ValueError(f"rewards are {self.rewards}, but must be some of {', '.join(REWARDS)}, each once.")


@dataclass
class GRPOModelArguments(ModelArguments):
    """The model to start from, which must answer already, and which parts of it to train."""

    def __post_init__(self):
        if self.model_name_or_path is None:
            raise ValueError(
                "Name the model to start from by model_name_or_path. It must answer some rows correctly already, "
                "otherwise there is nothing to reward: train it with `textgenome sft`."
            )
        super().__post_init__()


@dataclass
class GRPOTrainingArguments(PublishedDefaults, GRPOConfig):
    """TRL's `GRPOConfig`, without dropout, so that answers are drawn from the model that learns from them.

    A group is `num_generations` answers to one prompt. `per_device_train_batch_size` counts answers.
    """

    per_device_train_batch_size: int = field(default=8, metadata={"help": "Answers per device and batch."})
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "Number of batches per optimizer step."})
    num_train_epochs: float = field(default=1, metadata={"help": "Number of passes over the rows."})
    learning_rate: float = field(default=1e-6, metadata={"help": "Peak learning rate."})
    weight_decay: float = field(default=0.0, metadata={"help": "Weight decay of AdamW."})
    disable_dropout: bool = field(default=True, metadata={"help": "Train without dropout."})

    def __post_init__(self):
        super().__post_init__()
        wrong = {
            "use_vllm": self.use_vllm,
            "use_transformers_continuous_batching": self.use_transformers_continuous_batching,
            "remove_unused_columns": self.remove_unused_columns,
        }
        if any(wrong.values()):
            raise ValueError(
                f"{', '.join(name for name in wrong if wrong[name])}: with this setting the prompts would be read "
                "without their DNA. Leave it at its default."
            )
        if self.trust_remote_code:
            raise ValueError("trust_remote_code: training never runs code from a repository. See docs/encoders.md.")
        if self.use_adaptive_entropy:
            raise ValueError("use_adaptive_entropy: runs that resume would not come to the same end.")
        steps = self.steps_between_saves
        if self.save_strategy == "steps" and steps > 1 and self.save_steps % steps:
            raise ValueError(
                f"save_steps is {self.save_steps:g}, but the answers that are drawn at a time last for {steps} steps, "
                "and a checkpoint between would lose some of them: a run that resumes would draw others. Choose a "
                f"multiple of {steps}."
            )

    @property
    def steps_between_saves(self) -> int:
        """For how many optimizer steps the answers last that are drawn at a time; there a run can resume."""
        batches = self.steps_per_generation * self.num_iterations
        if batches % self.gradient_accumulation_steps == 0:
            return batches // self.gradient_accumulation_steps
        if self.gradient_accumulation_steps % batches == 0:
            return 1
        raise ValueError(
            f"Answers last for {batches} batches (steps_per_generation * num_iterations) and an optimizer step takes "
            f"{self.gradient_accumulation_steps} (gradient_accumulation_steps): one must be a multiple of the other."
        )


__all__ = ["REWARDS", "GRPOArguments", "GRPOModelArguments", "GRPOTrainingArguments"]
