"""Processor seconds of a training step, with the head on supervised positions only and on all of them, as TRL has it.

Both run on the same batches, in turn, in one process. Example run, in the shapes of `kegg_small`:

    OMP_NUM_THREADS=1 python benchmarks/training_step.py --dataset_name FOLDER

With `--tokenizer FOLDER` the vocabulary is that of Qwen3.
"""

import argparse
import tempfile
import time

import torch
from transformers import AutoTokenizer
from trl import SFTTrainer

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.configuration.arguments import TrainingArguments
from textgenome.data import TextGenomeCollator, texts_of
from textgenome.data.rows import as_conversations, load_rows
from textgenome.processing import build_dna_tokenizer, build_processor, train_text_tokenizer
from textgenome.training.trainer import TextGenomeTrainer


def build(args, conversations) -> tuple[TextGenomeForConditionalGeneration, object]:
    """A model of these sizes, with random weights, and its processor."""
    if args.tokenizer:
        tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    else:
        tokenizer = train_text_tokenizer(texts_of(row["messages"] for row in conversations), 4096)
    processor = build_processor(tokenizer, build_dna_tokenizer("hyenadna", args.dna_window), args.dna_window)
    heads = args.hidden_size // 32
    text = {
        "model_type": "qwen3",
        "vocab_size": len(tokenizer),
        "hidden_size": args.hidden_size,
        "intermediate_size": 3 * args.hidden_size,
        "num_hidden_layers": args.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "head_dim": 32,
        "tie_word_embeddings": True,
    }
    dna = {"model_type": "hyenadna", "d_model": 128, "d_inner": 256, "n_layer": 2, "max_seq_len": args.dna_window}
    names = ("dna_token_id", "dna_start_token_id", "dna_end_token_id")
    tokens = {name: getattr(processor, name) for name in names}
    return TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=text, dna_config=dna, **tokens)), processor


def add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset_name", default="starter", help="Rows: file, folder, Hub id or `starter`.")
    parser.add_argument("--tokenizer", help="Text tokenizer, by default one of 4,096 entries trained on the rows.")
    parser.add_argument("--dna_window", type=int, default=128, help="Bases of each of the two windows.")
    parser.add_argument("--hidden_size", type=int, default=128, help="Of the language model.")
    parser.add_argument("--layers", type=int, default=4, help="Of the language model.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sizes(parser)
    parser.add_argument("--batch_size", type=int, default=4, help="Rows in a batch.")
    parser.add_argument("--steps", type=int, default=5, help="Batches to measure, after one to warm up.")
    args = parser.parse_args()

    rows = as_conversations(load_rows(args.dataset_name, "train").select(range(args.batch_size * (args.steps + 1))))
    torch.manual_seed(0)
    model, processor = build(args, rows)
    model.train()
    collator, ways = TextGenomeCollator(processor), {"all positions": SFTTrainer, "supervised": TextGenomeTrainer}
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(output_dir=folder, use_cpu=True, bf16=False, activation_checkpointing=False)
        trainer = TextGenomeTrainer(model, settings, collator, train_dataset=rows, processing_class=processor)
    seconds, losses = dict.fromkeys(ways, 0.0), {}
    for step in range(args.steps + 1):
        batch = collator([rows[i] for i in range(step * args.batch_size, (step + 1) * args.batch_size)])
        for name, way in ways.items():
            torch.manual_seed(step)
            started = time.process_time()
            model.zero_grad()
            loss = way.compute_loss(trainer, model, dict(batch))
            loss.backward()
            seconds[name] += (time.process_time() - started) * (step > 0)
            losses[name] = loss.item()
    before, after = (each / args.steps for each in seconds.values())
    print(f"{batch['input_ids'].shape[1]} positions, {int((batch['labels'] != -100).sum())} labels in the last batch")
    print(f"{before:.3f} s -> {after:.3f} s a step, {after / before:.2f} x; losses {losses}")


if __name__ == "__main__":
    main()
