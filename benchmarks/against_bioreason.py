"""A training step, generation, collation and peak memory beside the classes of BioReason: same rows, same weights.

Their code is not part of this package: give the folder of their `bioreason`. Each measurement is a process of its own,
of which processor seconds and the largest memory are taken. The language model has random weights, and the vocabulary
of Qwen3; the encoder is an ESM with a token for each base. Example run:

    OMP_NUM_THREADS=1 python benchmarks/against_bioreason.py --bioreason FOLDER --tokenizer FOLDER
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoTokenizer, EsmConfig, EsmForMaskedLM, Qwen3Config, Qwen3ForCausalLM, processing_utils

from textgenome import TextGenomeForConditionalGeneration
from textgenome.data import TextGenomeCollator
from textgenome.data.prompts import as_prompt, cut_windows
from textgenome.data.rows import as_conversations, load_rows
from textgenome.inference import generate
from textgenome.processing import build_dna_tokenizer, build_processor
from textgenome.training.trainer import keep_supervised


def measured(run: Callable[[], object], limit: int) -> tuple[float, float] | None:
    """Processor seconds and GB of memory that a call takes, in a process of its own; None if it takes too much."""

    def child(pipe) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))  # not by the clock: the machine may be busy
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        run()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        pipe.send((time.process_time() - started, memory * 1024 / 1e9))

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,))
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        found = None
    process.join()
    return found


def build(args, folder: Path):
    """Both models, which share their weights, and the processor of ours."""
    sys.path.insert(0, args.bioreason)
    if not hasattr(processing_utils, "CommonKwargs"):
        processing_utils.CommonKwargs = processing_utils.TextKwargs  # older releases had it, and theirs imports it
    from bioreason.models.dna_llm import DNALLMModel

    tokenizer, dna_tokenizer = AutoTokenizer.from_pretrained(args.tokenizer), build_dna_tokenizer("hyenadna", 4096)
    text = Qwen3Config(
        vocab_size=151_936,
        hidden_size=args.hidden_size,
        intermediate_size=3 * args.hidden_size,
        num_hidden_layers=args.layers,
        num_attention_heads=args.hidden_size // 32,
        num_key_value_heads=args.hidden_size // 64,
        head_dim=32,
        tie_word_embeddings=True,
        eos_token_id=None,  # each answer is as long as it may be
    )
    dna = EsmConfig(
        vocab_size=len(dna_tokenizer),
        pad_token_id=dna_tokenizer.pad_token_id,
        mask_token_id=dna_tokenizer.mask_token_id,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        position_embedding_type="rotary",
    )
    for name, model, saved in (
        ("text", Qwen3ForCausalLM(text), tokenizer),
        ("dna", EsmForMaskedLM(dna), dna_tokenizer),
    ):
        model.save_pretrained(folder / name)
        saved.save_pretrained(folder / name)
    theirs = DNALLMModel(str(folder / "text"), str(folder / "dna"))
    # What this gives in the release of transformers that theirs was written for.
    text_kwargs = {"padding_side": "left", "add_special_tokens": False}
    theirs.processor._merge_kwargs = lambda *args, **kwargs: {"text_kwargs": dict(text_kwargs)}
    processor = build_processor(tokenizer, dna_tokenizer, args.dna_window)
    names = ("dna_token_id", "dna_start_token_id", "dna_end_token_id")
    ours = TextGenomeForConditionalGeneration.from_text_dna_pretrained(
        theirs.text_model, theirs.dna_model, **{name: getattr(processor, name) for name in names}
    )
    ours.model.dna_encoder.requires_grad_(False)
    return ours, theirs, processor


def for_theirs(batch: dict) -> dict:
    """A batch of ours as their model takes it."""
    ids, mask = batch["dna_input_ids"], batch["dna_attention_mask"]
    used = mask.any(-1)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels") if name in batch}
    rows = used.nonzero()[:, 0].tolist()
    return {**inputs, "dna_tokenized": {"input_ids": ids[used], "attention_mask": mask[used]}, "batch_idx_map": rows}


def our_step(model, batch: dict) -> None:
    inputs = keep_supervised(batch)
    model.train()
    model(**inputs).loss.backward()


def their_example(row: dict, window: int) -> dict:
    """A row as their collation takes it."""
    (cut,) = cut_windows([row], dna_window=window)
    question = {"type": "text", "text": row["question"].strip()}
    answer = {"role": "assistant", "reasoning_content": row["reasoning"].strip()}
    answer["content"] = [{"type": "text", "text": f"Answer: {row['answer'].strip()}"}]
    user = {"role": "user", "content": [*({"type": "dna", "text": None} for _ in range(2)), question]}
    sequences = [cut["reference_sequence"], cut["variant_sequence"]]
    return {"prompt": [user, answer], "dna_sequences": sequences, "answer": row["answer"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bioreason", required=True, help="Folder that holds the package `bioreason`.")
    parser.add_argument("--dataset_name", default="wanglab/kegg", help="Rows: file, folder or Hub id.")
    parser.add_argument("--tokenizer", default="Qwen/Qwen3-1.7B", help="Text tokenizer: folder or Hub id.")
    parser.add_argument("--rows", type=int, default=8, help="Rows to train on, and to ask about.")
    parser.add_argument(
        "--batch_sizes", type=int, nargs="*", default=[8, 1], help="Of our training. Theirs goes row by row."
    )
    parser.add_argument("--dna_window", type=int, default=2000, help="Bases of each of the two windows.")
    parser.add_argument("--hidden_size", type=int, default=256, help="Of the language model.")
    parser.add_argument("--layers", type=int, default=4, help="Of the language model.")
    parser.add_argument("--max_new_tokens", type=int, nargs="+", default=[32], help="Of generation.")
    parser.add_argument("--time_limit", type=int, default=600, help="Most processor seconds of a measurement.")
    args = parser.parse_args()

    table = load_rows(args.dataset_name, "train").select(range(args.rows))
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs, processor = build(args, Path(folder))
    collators = {side: TextGenomeCollator(processor, padding_side=side) for side in ("left", "right")}
    rows, prompts = list(as_conversations(table)), cut_windows(table.to_list(), dna_window=args.dna_window)
    prompts = [as_prompt(row) for row in prompts]

    def steps(size: int, run: Callable, model, side: str, change: Callable = dict) -> None:
        for start in range(0, len(rows), size):
            run(model, change(collators[side](rows[start : start + size])))

    def their_step(model, batch: dict) -> None:
        model.train()
        model(**batch).loss.backward()

    def their_steps() -> None:  # the logits of eight rows of 5,400 tokens alone are 26 GB
        steps(1, their_step, theirs, "left", for_theirs)

    def their_collation() -> None:
        from bioreason.dataset.kegg import qwen_dna_collate_fn

        for start in range(0, len(rows), args.rows):
            examples = [their_example(row, args.dna_window) for row in table.select(range(start, start + args.rows))]
            qwen_dna_collate_fn(examples, theirs.processor, 4096, args.dna_window)

    def their_answers(tokens: int) -> None:
        theirs.eval()
        for prompt in prompts:  # as their evaluation does
            batch = dict(
                processor.apply_chat_template(
                    [prompt], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
                )
            )
            theirs.generate(**for_theirs(batch), max_new_tokens=tokens, do_sample=False)

    collate = collators["right"]
    measurements = {"collation": (their_collation, lambda: collate(rows))}
    for size in args.batch_sizes:
        measurements[f"training, batches of {size}"] = (
            their_steps,
            lambda size=size: steps(size, our_step, ours, "right"),
        )
    for tokens in args.max_new_tokens:
        measurements[f"{tokens} new tokens"] = (
            lambda tokens=tokens: their_answers(tokens),
            lambda tokens=tokens: generate(ours, processor, prompts, batch_size=args.rows, max_new_tokens=tokens),
        )
    print(f"{args.rows} rows, {torch.get_num_threads()} thread")
    known = {}
    for name, runs in measurements.items():
        known |= {run: measured(run, args.time_limit) for run in runs if run not in known}
        found = [known[run] for run in runs]
        if None in found:
            print(f"{name:<30}failed, or over {args.time_limit:g} s: {found}", flush=True)
            continue
        (before, their_memory), (after, memory) = found
        seconds = f"{before:8.2f} -> {after:8.2f} s, {after / before:.2f} x"
        print(f"{name:<30}{seconds}; {their_memory:.2f} -> {memory:.2f} GB, {memory / their_memory:.2f} x", flush=True)


if __name__ == "__main__":
    main()
