"""Batched generation."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from textgenome.data.conversations import BadRow, row_to_messages
from textgenome.genome.progress import by_batch
from textgenome.inference.prefill import read_apart
from textgenome.processing.processing_dna import min_tokens
from textgenome.processing.processing_textgenome import TextGenomeProcessor


ADDED = 8  # more tokens than any tokenizer adds to a DNA sequence


def generate(
    model: PreTrainedModel, processor: TextGenomeProcessor, conversations: list[list[dict]], **options
) -> list[str]:
    """Continue conversations. See `generate_batches` for the options.

    Returns:
        What the assistant says to each, without special tokens but with its think block.
    """
    texts = [""] * len(conversations)
    for batch in generate_batches(model, processor, conversations, **options):
        for i, text, _ in batch:
            texts[i] = text
    return texts


@torch.no_grad()
def generate_batches(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    conversations: Sequence[list[dict]],
    batch_size: int = 64,
    enable_thinking: bool = True,
    description: str | None = "Generating",
    **generation_options,
) -> Iterator[list[tuple[int, str, int]]]:
    """Continue conversations, greedily unless the options say otherwise, longest prompts first.

    Args:
        model: The fused model.
        processor: Its processor.
        conversations: Each ends where the assistant is to speak.
        batch_size: Conversations at a time.
        enable_thinking: Whether the assistant reasons first; without, it continues an empty think block.
        description: Of the progress bar; None shows none.
        generation_options: For `model.generate`, such as `max_new_tokens`.

    Yields:
        For each of a batch: its place in `conversations`, what the assistant says, and in how many tokens, that which
        ends its turn included.
    """
    ends = ends_of_turn(model, processor)
    options = {"do_sample": False, **generation_options}
    if not options["do_sample"]:
        options |= dict.fromkeys(("temperature", "top_p", "top_k"))
    with evaluation_mode(model):
        for places in by_batch(by_length(conversations, batch_size), len(conversations), description):
            inputs = prompt_inputs(processor, [conversations[i] for i in places], enable_thinking).to(model.device)
            inputs = read_apart(model, inputs, **options)
            outputs = model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :].tolist()
            batch = []
            for i, ids in zip(places, outputs):
                length = next((n for n, token in enumerate(ids) if token in ends), len(ids))
                batch.append((i, processor.tokenizer.decode(ids[:length]), min(length + 1, len(ids))))
            yield batch


@contextmanager
def evaluation_mode(model: PreTrainedModel) -> Iterator[None]:
    """Put a model into evaluation mode, and back into the mode it was in however the block ends."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def ends_of_turn(model: PreTrainedModel, processor: TextGenomeProcessor) -> set[int]:
    """Ids of the tokens that end what the assistant says; padding, which follows them in a batch, is one."""
    eos, tokenizer = model.generation_config.eos_token_id, processor.tokenizer
    return {*(eos if isinstance(eos, list) else [eos]), tokenizer.eos_token_id, tokenizer.pad_token_id} - {None}


def by_length(conversations: Sequence[list[dict]], batch_size: int) -> list[list[int]]:
    """Batches of places, the longest conversations first: little padding, and memory runs out at once or never."""

    def length(messages: list[dict]) -> int:
        contents = [message["content"] for message in messages if isinstance(message["content"], list)]
        return sum(len(text) for blocks in contents for block in blocks for text in block.values())

    lengths = array("q", map(length, conversations))
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def prompt_inputs(
    processor: TextGenomeProcessor,
    conversations: list[list[dict]],
    enable_thinking: bool = True,
    continue_final_message: bool = False,
):
    """What the model takes to answer conversations, or to go on where their last message ends, padded on the left."""
    return processor.apply_chat_template(
        conversations,
        add_generation_prompt=not continue_final_message,
        continue_final_message=continue_final_message,
        enable_thinking=enable_thinking,
        tokenize=True,
        return_dict=True,
        return_tensors="np",  # as in the collator
        processor_kwargs={"padding_side": "left"},
    ).convert_to_tensors("pt")


def most_positions(config: PreTrainedConfig) -> int:
    """How many tokens prompt and answer of a fused model may have together."""
    return config.get_text_config().max_position_embeddings


def count_prompt_tokens(
    processor: TextGenomeProcessor, conversation: list[dict], positions: int, enable_thinking: bool = True
) -> int:
    """How many tokens a prompt has, the placeholders of its DNA included.

    Lengths are compared before anything is tokenized: that takes far more time and memory.

    Args:
        processor: The processor.
        conversation: It ends where the assistant is to speak.
        positions: Most tokens of prompt and answer together.
        enable_thinking: As in `generate_batches`.

    Raises:
        ValueError: If that leaves no room for an answer, or if the encoder does not read a sequence of that length.
    """
    lengths = [len(sequence) for shown in processor.dna_of(conversation) for sequence in shown]
    longest, reads = max(lengths, default=0), processor.dna_tokenizer.model_max_length
    if min_tokens(processor.dna_tokenizer, longest) > reads:
        raise ValueError(f"a sequence has {longest} bases, more than the {reads} tokens that the encoder reads")
    fewest = sum(map(processor.min_placeholders, lengths))
    if fewest >= positions:
        raise ValueError(f"its DNA alone is {fewest} tokens or more, prompt and answer may have {positions} together")
    tokens = int(prompt_inputs(processor, [conversation], enable_thinking)["attention_mask"].sum())
    if tokens >= positions:
        raise ValueError(f"the prompt has {tokens} tokens, prompt and answer may have {positions} together")
    return tokens


def check_prompts(
    processor: TextGenomeProcessor,
    conversations: Iterable[list[dict]],
    positions: int,
    enable_thinking: bool = True,
) -> None:
    """Check that each prompt leaves room for an answer, see `count_prompt_tokens`, before any is asked.

    Only those are tokenized that may be too long: it takes ten times as long.

    Raises:
        ValueError: If one does not. The message names the first, by its place in `conversations`.
    """
    options = {"add_generation_prompt": True, "enable_thinking": enable_thinking, "tokenize": False}
    for number, conversation in enumerate(conversations):
        text = processor.apply_chat_template(conversation, **options)
        lengths = [len(sequence) + ADDED for shown in processor.dna_of(conversation) for sequence in shown]
        # A token of text is a byte at least, and one of DNA a base.
        most = len(text) + sum(max(length, processor.projector_num_queries) for length in lengths)
        if most >= positions or not text.isascii():
            try:
                count_prompt_tokens(processor, conversation, positions, enable_thinking)
            except ValueError as error:
                raise ValueError(f"Row {number}: {error}") from error


def check_question(
    row: Mapping,
    processor: TextGenomeProcessor,
    positions: int,
    enable_thinking: bool = True,
    **conversation_options,
) -> None:
    """Check a row as `row_to_messages` does, and that its prompt leaves room for an answer.

    Args:
        row: A row of columns. A conversation, which is not asked about, may have any length.
        processor: See `count_prompt_tokens`, like the following.
        positions: Most tokens of prompt and answer together.
        enable_thinking: Whether the assistant reasons first.
        conversation_options: See `row_to_messages`.

    Raises:
        BadRow: If the row is bad, or its prompt too long.
    """
    question, *_ = row_to_messages(row, **conversation_options)
    if row.get("messages") is None:
        try:
            check_prompts(processor, [[question]], positions, enable_thinking)
        except ValueError as error:
            raise BadRow("question", str(error.__cause__)) from error


__all__ = [
    "by_length",
    "check_prompts",
    "check_question",
    "count_prompt_tokens",
    "ends_of_turn",
    "evaluation_mode",
    "generate",
    "generate_batches",
    "most_positions",
    "prompt_inputs",
]
