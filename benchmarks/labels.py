"""Processor seconds of scoring labels: all in one pass over the cached prompt, against one after another.

Example run, with a model of random weights, long prompts and labels from a table:

    OMP_NUM_THREADS=1 python benchmarks/labels.py --dataset_name FOLDER --tokenizer FOLDER
"""

import argparse
import time

import torch
from training_step import add_sizes, build
from transformers.modeling_outputs import ModelOutput

from textgenome.data.prompts import as_prompt, cut_windows
from textgenome.data.rows import as_conversations, load_rows
from textgenome.inference import scoring
from textgenome.inference.generation import prompt_inputs
from textgenome.modeling_cache import CACHE_NAME


@torch.no_grad()
def one_after_another(model, processor, mask: torch.Tensor, prompt: ModelOutput, labels: list[str]) -> torch.Tensor:
    """The log-probabilities of labels, `(rows, labels)`, the cache being cut back after each."""
    positions, cache, scores = (mask.cumsum(1) - 1).clamp(min=0), prompt[CACHE_NAME], []
    for label in labels:
        turn = processor.tokenizer(f" {label}<|im_end|>", add_special_tokens=False, return_tensors="pt")
        ids = turn["input_ids"].expand(len(mask), -1)
        given = ids[:, :-1]
        answer = model(
            input_ids=given,
            attention_mask=torch.cat([mask, torch.ones_like(given)], dim=1),
            position_ids=positions[:, -1:] + torch.arange(1, given.shape[1] + 1),
            **{CACHE_NAME: cache},
        )
        logits = torch.cat([prompt.logits, answer.logits], dim=1).float().log_softmax(-1)
        scores.append(logits.gather(-1, ids[..., None]).sum((1, 2)))
        cache.crop(-given.shape[1])
    return torch.stack(scores, dim=1).log_softmax(-1)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sizes(parser)
    parser.add_argument("--rows", type=int, default=4, help="Rows in the batch.")
    args = parser.parse_args()
    table = load_rows(args.dataset_name, "train")
    labels = sorted(set(table["answer"]))
    torch.manual_seed(0)
    model, processor = build(args, as_conversations(table.select(range(64))))
    model.eval()
    prompts = [as_prompt(row) for row in cut_windows(table.to_list()[: args.rows], dna_window=args.dna_window)]
    begun = [[*prompt, {"role": "assistant", "content": "Answer:"}] for prompt in prompts]
    inputs = prompt_inputs(processor, begun, continue_final_message=True)
    mask = inputs["attention_mask"]
    started = time.process_time()
    prompt = model(**inputs, position_ids=(mask.cumsum(1) - 1).clamp(min=0), use_cache=True, logits_to_keep=1)
    reading = time.process_time() - started
    one_after_another(model, processor, mask, prompt, labels[:2])
    started = time.process_time()
    expected = one_after_another(model, processor, mask, prompt, labels)
    before = time.process_time() - started
    started = time.process_time()
    rows = scoring.score_batch(model, processor, prompts, labels)
    after = time.process_time() - started - reading
    difference = (torch.tensor([list(row.values()) for row in rows]) - expected).abs().max()
    print(f"{len(labels)} labels, {args.rows} prompts of {mask.shape[1]} tokens, read in {reading:.2f} s")
    print(f"labels: {before:.2f} -> {after:.2f} s, {after / before:.2f} x; scores differ by {difference:.1e} at most")


if __name__ == "__main__":
    main()
