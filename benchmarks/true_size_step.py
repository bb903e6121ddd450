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
from textgenome.training.finetuning import prepare_model
from textgenome.training.trainer import TextGenomeTrainer


def random_rows(count: int, window: int, text_tokens: int) -> Dataset:
    """Rows of two windows and so many characters of text, each of them a token of the tokenizer used here."""
    draw, rows = random.Random(0), []
    for _ in range(count):
        reference = "".join(draw.choices("ACGT", k=window))
        variant = reference[: window // 2] + ("A" if reference[window // 2] != "A" else "C")
        rows.append(
            {
                "question": "q" * (text_tokens // 2),
                "answer": "a" * (text_tokens // 2),
                "reference_sequence": reference,
                "variant_sequence": variant + reference[window // 2 + 1 :],
            }
        )
    return as_conversations(Dataset.from_list(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text_model", default="Qwen/Qwen3-1.7B", help="Whose sizes the language model has.")
    parser.add_argument("--dna_model", default="BGI-HangzhouAI/Genos-1.2B", help="Whose sizes the encoder has.")
    parser.add_argument("--dna_window", type=int, default=DNA_WINDOW, help="Bases of each of the two windows.")
    parser.add_argument("--text_tokens", type=int, default=800, help="Tokens of question and answer, half of each.")
    parser.add_argument("--batch_size", type=int, default=1, help="Rows in a batch.")
    parser.add_argument("--steps", type=int, default=10, help="Steps to measure, after as many to warm up.")
    parser.add_argument("--layers", type=int, help="Fewer layers of both, to try the script without a GPU.")
    args = parser.parse_args()

    text, dna = base_model_config(args.text_model), base_model_config(args.dna_model)
    if args.layers:
        for config in (text, dna):
            config.num_hidden_layers = args.layers
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[: args.layers]
    processor = build_processor(
        train_text_tokenizer([], 0), build_dna_tokenizer(vocabulary_of(dna), 2**20), args.dna_window
    )
    tokens = {name: getattr(processor, name) for name in ("dna_token_id", "dna_start_token_id", "dna_end_token_id")}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        config = TextGenomeConfig(text_config=text, dna_config=dna, **tokens)
        model = TextGenomeForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingArguments(
            output_dir=folder,
            max_steps=2 * args.steps,
            logging_steps=args.steps,
            per_device_train_batch_size=args.batch_size,
            gradient_accumulation_steps=1,
            activation_checkpointing=True,
            bf16=True,
            use_cpu=device == "cpu",
            save_strategy="no",
        )
        trainer = TextGenomeTrainer(
            model=model,
            args=training,
            train_dataset=random_rows(2 * args.steps * args.batch_size, args.dna_window, args.text_tokens),
            processing_class=processor,
            data_collator=TextGenomeCollator(processor),
            peft_config=prepare_model(model, ModelArguments(text_model=args.text_model, dna_model=args.dna_model)),
        )
        trainer.train()
    measured = trainer.state.log_history[1]
    names = ("tokens_per_second", "supervised_tokens_per_second", "tflops_per_second", "mfu")
    print(f"{args.text_model} x {args.dna_model}, {torch.cuda.get_device_name() if device == 'cuda' else device}")
    for name in names:
        print(f"{name}: {measured.get(name, 'not known for this device')}")
    if device == "cuda":
        print(f"peak memory: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
