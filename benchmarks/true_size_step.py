"""Speed and memory of training steps at true size: random weights, real shapes, LoRA on a frozen bfloat16 model.

Example run, on one CUDA GPU, with windows of 2,048 bases and the settings of the recipes:

    python benchmarks/true_size_step.py --text_model Qwen/Qwen3-1.7B --dna_model BGI-HangzhouAI/Genos-1.2B
"""

import argparse
import random
import tempfile

import torch
from datasets import Dataset

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.configuration.arguments import ModelArguments, TrainingArguments
from textgenome.configuration.base_models import base_model_config
from textgenome.data import TextGenomeCollator
from textgenome.data.rows import as_conversations
from textgenome.processing import build_dna_tokenizer, build_processor, train_text_tokenizer
from textgenome.processing.dna_tokenizers import vocabulary_of
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.training.finetuning import prepare_model
from textgenome.training.trainer import TextGenomeTrainer


TINY = {
    **{"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 128},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32},
}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def random_row(window: int, text_tokens: int, seed: int) -> dict[str, str]:
    """A row of two windows and so many characters of text, each of them a token of the tokenizer used here."""
    reference = "".join(random.Random(seed).choices("ACGT", k=window))
    variant = reference[: window // 2] + ("A" if reference[window // 2] != "A" else "C")
    return {
        "question": "q" * (text_tokens // 2),
        "answer": "a" * (text_tokens // 2),
        "reference_sequence": reference,
        "variant_sequence": variant + reference[window // 2 + 1 :],
    }


def build_model(args) -> tuple[TextGenomeForConditionalGeneration, TextGenomeProcessor]:
    """Random weights in bfloat16, on the GPU if there is one.

    Args:
        args: With `text_model` and `dna_model`, whose sizes they have; `tiny`, for one small layer; `window`.
    """
    text, dna = base_model_config(args.text_model), base_model_config(args.dna_model)
    if args.tiny:
        for config in (text, dna):
            config.update(TINY)
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[:1]
    dna_tokenizer = build_dna_tokenizer(vocabulary_of(dna), 2**20)
    processor = build_processor(train_text_tokenizer([], 0), dna_tokenizer, args.window)
    tokens = {name: getattr(processor, name) for name in ("dna_token_id", "dna_start_token_id", "dna_end_token_id")}
    torch.manual_seed(0)
    with torch.device(DEVICE):
        config = TextGenomeConfig(text_config=text, dna_config=dna, **tokens)
        model = TextGenomeForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    return model, processor


def train(
    model: TextGenomeForConditionalGeneration,
    processor: TextGenomeProcessor,
    args,
    lora_dropout: float = 0.05,
    **settings,
) -> dict[str, float]:
    """What training logs of the second half of its steps, seconds of a step, and the peak memory of a GPU in GB.

    Args:
        model: It is trained.
        processor: Its processor.
        args: With `window`, `text_tokens`, `batch_size` and `steps`.
        lora_dropout: Share of what LoRA reads that is left out.
        settings: Fields of `TrainingArguments` that differ from those of the recipes.
    """
    count = 2 * args.steps * args.batch_size
    rows = Dataset.from_list([random_row(args.window, args.text_tokens, seed) for seed in range(count)])
    with tempfile.TemporaryDirectory() as folder:
        fields = {
            "max_steps": 2 * args.steps,
            "logging_steps": args.steps,
            "per_device_train_batch_size": args.batch_size,
            "gradient_accumulation_steps": 1,
            "activation_checkpointing": True,
            "bf16": True,
            "use_cpu": DEVICE == "cpu",
            "save_strategy": "no",
        }
        training = TrainingArguments(output_dir=folder, **{**fields, **settings})
        models = ModelArguments(text_model=args.text_model, dna_model=args.dna_model, lora_dropout=lora_dropout)
        trainer = TextGenomeTrainer(
            model=model,
            args=training,
            train_dataset=as_conversations(rows),
            processing_class=processor,
            data_collator=TextGenomeCollator(processor),
            peft_config=prepare_model(model, models),
        )
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
    first, measured = trainer.state.log_history[:2]
    tokens = measured["num_input_tokens_seen"] - first["num_input_tokens_seen"]
    found = {"s a step": tokens / args.steps / measured["tokens_per_second"]}
    names = ("loss", "tokens_per_second", "supervised_tokens_per_second", "tflops_per_second", "mfu")
    found |= {name: measured[name] for name in names if name in measured}
    if DEVICE == "cuda":
        found["peak memory, GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
    return found


def add_flags(parser: argparse.ArgumentParser, steps: int = 10) -> None:
    """The flags of `build_model` and `train`."""
    parser.add_argument("--text_model", default="Qwen/Qwen3-1.7B", help="Whose sizes the language model has.")
    parser.add_argument("--dna_model", default="BGI-HangzhouAI/Genos-1.2B", help="Whose sizes the encoder has.")
    parser.add_argument("--window", type=int, default=DNA_WINDOW, help="Bases of each of the two windows.")
    parser.add_argument("--text_tokens", type=int, default=800, help="Tokens of question and answer, half of each.")
    parser.add_argument("--batch_size", type=int, default=1, help="Rows in a batch of training.")
    parser.add_argument("--steps", type=int, default=steps, help="Steps to measure, after as many to warm up.")
    parser.add_argument("--tiny", action="store_true", help="Small shapes, to try the script without a GPU.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser)
    args = parser.parse_args()
    print(f"{args.text_model} x {args.dna_model}, {torch.cuda.get_device_name() if DEVICE == 'cuda' else DEVICE}")
    for name, value in train(*build_model(args), args).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
