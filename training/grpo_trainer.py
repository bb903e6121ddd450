"""TRL's GRPOTrainer for a model that reads DNA."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from transformers import GenerationConfig
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from textgenome.training.resuming import ResumesMixin
from textgenome.training.rewards import counterfactual


class RepeatsByEpoch(RepeatSampler):
    """TRL's sampler, with the same order in an epoch whether or not the run has resumed before it."""

    def __init__(self, *args, epoch: Callable[[], int], **kwargs):
        super().__init__(*args, **kwargs)
        self.epoch = epoch

    def __iter__(self):
        if self.shuffle:
            self.generator.manual_seed(self.seed + self.epoch())
        return super().__iter__()


class TextGenomeGRPOTrainer(ResumesMixin, GRPOTrainer):
    """A GRPOTrainer that hands the DNA of the prompts through generation and log-probabilities.

    TRL itself hands on tokens and what it knows of images. Rows have the columns of `as_prompts`.
    """

    def __init__(self, model, args, processing_class, **kwargs):
        config = model.config
        config.image_token_id = config.dna_token_id  # TRL asks what must not be sampled
        super().__init__(model=model, args=args, processing_class=processing_class, **kwargs)
        del config.image_token_id
        unpadded = {"padding": False}  # TRL pads
        own = {"enable_thinking": processing_class.reasons, "processor_kwargs": unpadded}
        self.chat_template_kwargs = {**self.chat_template_kwargs, **own}
        dna_tokens = [config.dna_token_id, config.dna_start_token_id, config.dna_end_token_id]
        self.generation_kwargs["suppress_tokens"] = self.generation_config.suppress_tokens = dna_tokens
        greedy = {"do_sample": False, **dict.fromkeys(("temperature", "top_p", "top_k", "min_p"))}
        self.greedy = GenerationConfig(**{**self.generation_kwargs, **greedy}, disable_compile=True)
        self.steps_between_saves = args.steps_between_saves
        self.dna: dict[str, torch.Tensor] = {}  # of the prompts at hand, a row each

    def _get_train_sampler(self, dataset=None):
        sampler = super()._get_train_sampler(dataset)
        return RepeatsByEpoch(
            sampler.data_source,
            sampler.mini_repeat_count,
            sampler.batch_size,
            sampler.repeat_count,
            sampler.shuffle,
            sampler.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    def _tokenize_prompts(self, prompts):
        ids, images, fields = super()._tokenize_prompts(prompts)
        self.dna = {name: torch.tensor(np.array(each), device=self.args.device) for name, each in fields.items()}
        return ids, images, self.dna

    def _generate_and_score_completions(self, inputs):
        return super()._generate_and_score_completions(inputs) | self.dna

    def _compute_loss(self, model, inputs):
        self.dna = {name: each for name, each in inputs.items() if name.startswith("dna_")}
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, **options
    ):
        parts, size = [], batch_size or len(input_ids)
        for start in range(0, len(input_ids), size):
            rows = slice(start, start + size)
            reads_dna = partial(model, **{name: each[rows] for name, each in self.dna.items()})
            part = (reads_dna, input_ids[rows], attention_mask[rows], logits_to_keep)
            parts.append(super()._get_per_token_logps_and_entropies(*part, **options))
        logps, entropies, aux_losses = zip(*parts)
        entropies = None if entropies[0] is None else torch.cat(entropies)
        return torch.cat(logps), entropies, None if aux_losses[0] is None else torch.stack(aux_losses).mean()

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        turns = self.processing_class.batch_decode(completion_ids_list)
        exchanged = self.answer_exchanged(inputs) if counterfactual in self.reward_funcs else [None] * len(inputs)
        known = {"reasons": self.processing_class.reasons}
        rows = [{**row, **known, "exchanged": text} for row, text in zip(inputs, exchanged)]
        return super()._calculate_rewards(rows, prompts, turns, completion_ids_list)

    def answer_exchanged(self, rows: list[dict]) -> list[str]:
        """What the model most likely answers with the DNA of other rows: each prompt once, for all its answers."""
        prompts = {str(row["exchanged_prompt"]): row["exchanged_prompt"] for row in rows}
        sampling, dna = self.generation_config, self.dna
        self.generation_config = self.greedy
        try:
            ids, _ = self._generate_single_turn(*self._tokenize_prompts([*prompts.values()]), 1)
        finally:
            self.generation_config, self.dna = sampling, dna
        turns = dict(zip(prompts, self.processing_class.batch_decode(ids)))
        return [turns[str(row["exchanged_prompt"])] for row in rows]


__all__ = ["TextGenomeGRPOTrainer"]
