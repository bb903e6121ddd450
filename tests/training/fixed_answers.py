"""`textgenome grpo` with answers that are not drawn: in several processes they are those of one."""

import random
import sys

from textgenome.training import grpo
from textgenome.training.grpo_trainer import TextGenomeGRPOTrainer


def answer(self, prompt_ids, *args, **kwargs):
    """Answers of several lengths, which depend on the DNA of the prompt and on the place in its group."""
    drawn = []
    for place, dna in enumerate(self.dna["dna_input_ids"].tolist()):
        rng = random.Random(f"{dna} {place % self.num_generations}")
        drawn.append([*rng.choices(range(20, 200), k=rng.randint(2, 9)), self.eos_token_ids[0]])
    return drawn, None


def spread(completions, **columns):
    return [sum(map(ord, text)) % 7 for text in completions]


if __name__ == "__main__":
    TextGenomeGRPOTrainer._generate_single_turn = answer
    grpo.FUNCTIONS["right"] = spread
    grpo.main(sys.argv[1:])
