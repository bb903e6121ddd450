"""The settings of `textgenome grpo`, one field a flag or a line of a recipe."""

from dataclasses import dataclass, field

from trl import GRPOConfig

from textgenome.configuration.arguments import ModelArguments, PublishedDefaults, RowArguments


REWARDS = ("right", "form", "counterfactual")


@dataclass
class GRPOArguments(RowArguments):
    """Which rows to learn from, and what to reward. How the model reads rows is told by its checkpoint."""

    rewards: list[str] = field(
        default_factory=lambda: list(REWARDS),
        metadata={
            "help": "What to reward, by 0 or 1 each: `right`, the true answer; `form`, an answer in the form that the "
            "model was trained to give; `counterfactual`, the true answer where the model does not give it with the "
            "DNA of another row. `reward_weights` weighs them, in this order."
        },
    )
    generation_rows: int = field(
        default=0,
        metadata={
            "help": "After training, answer so many rows of the test split, drawn by the seed, by generation: "
            "unchanged, with the DNA exchanged between rows and with it removed. Print the three accuracies."
        },
    )

    def __post_init__(self):
        super().__post_init__()
        unknown = [name for name in self.rewards if name not in REWARDS]
        if unknown or not self.rewards or len({*self.rewards}) < len(self.rewards):
            raise ValueError(f"rewards are {self.rewards}, but must be some of {', '.join(REWARDS)}, each once.")


@dataclass
class GRPOModelArguments(ModelArguments):
    """Which model to start from, one that answers already, and which parts of it to train."""

    def __post_init__(self):
        if self.model_name_or_path is None:
            raise ValueError(
                "Name the model to start from by model_name_or_path. It must answer some rows right already, since "
                "others have nothing to be rewarded for: train it by `textgenome sft`."
            )
        super().__post_init__()


@dataclass
class GRPOTrainingArguments(PublishedDefaults, GRPOConfig):
    """TRL's `GRPOConfig`, without dropout, so that answers are drawn from the model that learns from them.

    A group is `num_generations` answers to one prompt. `per_device_train_batch_size` counts answers.
    """

    per_device_train_batch_size: int = field(default=8, metadata={"help": "Answers on each device at a time."})
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "Batches to an optimizer step."})
    num_train_epochs: float = field(default=1, metadata={"help": "Passes over the rows."})
    learning_rate: float = field(default=1e-6, metadata={"help": "Peak of the learning rate."})
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
            raise ValueError("trust_remote_code: no code of a repository is run in training. See docs/encoders.md.")
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
