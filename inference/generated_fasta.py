"""Sequences that a model writes after those of a FASTA file, into another; a killed run resumes."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from textgenome.data.sequences import read_sequences
from textgenome.data.settings import remember_settings
from textgenome.genome.intervals import printable
from textgenome.inference.checkpoints import fingerprint_weights
from textgenome.inference.language_models import DNALanguageModel
from textgenome.inference.next_bases import Generated, check_prompt, check_writes_bases, generate_batches
from textgenome.inference.predictions import Predictions, join_processes, one_writer


GENERATED = "generated"
_LINE = 60  # bases


def open_prompts(language_model: DNALanguageModel, fasta: str | Path, length: int) -> dict[str, str]:
    """The records of a FASTA file, by name, which a model is to continue by so many bases.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a FASTA file, or a record is too long; the message names it.
    """
    check_writes_bases(language_model)
    prompts = {}
    for row in read_sequences(fasta=fasta):
        check_prompt(language_model, f"{fasta}, record {printable(row.name)}", len(row.sequence), length)
        prompts[row.name] = row.sequence[:]
    return prompts


def write_generated(
    language_model: DNALanguageModel,
    prompts: Mapping[str, str],
    output: str | Path,
    num: int = 1,
    length: int = 200,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 8,
) -> list[Generated] | None:
    """Continue sequences, and write what is new as a FASTA file.

    What is generated is kept in the folder `OUTPUT.generated`, from which the same call resumes a run that was killed.
    Processes under `accelerate launch` share the sequences.

    Args:
        language_model: See `generate_bases`.
        prompts: See `open_prompts`.
        output: New file. Its headers have the name of the prompt, the number of the sample, seed, temperature, and
            bits a base at temperature 1.
        num: Sequences for each prompt.
        length: See `generate_batches`.
        temperature: See `generate_batches`.
        seed: See `generate_batches`.
        batch_size: See `generate_batches`.

    Returns:
        On the main process, the sequences.

    Raises:
        OSError: If a file cannot be written, or another process writes to `output`.
        ValueError: If the file is there already, or an unfinished run with other settings is in the way.
    """
    state, work = join_processes(), Path(f"{output}.generated")
    if Path(output).exists():
        raise ValueError(f"{output} is there already. Remove it, or name another file.")
    options = {"length": length, "temperature": temperature, "seed": seed}
    with one_writer(work):
        if state.is_main_process:
            name, digest = language_model.name, hashlib.sha256("\n".join(prompts.values()).encode()).hexdigest()
            settings = {"model": name, "revision": language_model.revision, "weights": fingerprint_weights(name)}
            remember_settings({**settings, **options, "num": num, "data_fingerprint": digest}, work, "generation")
        predictions = Predictions(work)
        language_model.model.to(state.device)
        asked = [divmod(row, num) for row in predictions.missing(GENERATED, len(prompts) * num, "output")]
        for batch in generate_batches(language_model, [*prompts.values()], asked, **options, batch_size=batch_size):
            predictions.write([_as_record(one, num) for one in batch])
        predictions.merge()
        if not state.is_main_process:
            return None
        found = [_from_record(record, num) for record in predictions.of(GENERATED)]
        unfinished = Path(f"{output}.unfinished")
        unfinished.write_text("".join(_as_fasta(one, [*prompts], seed, temperature) for one in found))
        unfinished.replace(output)
    shutil.rmtree(work)
    return found


def _as_record(one: Generated, num: int) -> dict:
    row = one.prompt * num + one.sample
    scores = {"log_likelihood": one.log_likelihood}
    return {"condition": GENERATED, "row": row, "output": one.bases, "tokens": len(one.bases), "scores": scores}


def _from_record(record: Mapping, num: int) -> Generated:
    return Generated(*divmod(record["row"], num), record["output"], record["scores"]["log_likelihood"])


def _as_fasta(one: Generated, names: list[str], seed: int, temperature: float) -> str:
    name = f"{names[one.prompt]}.{one.sample + 1}"
    lines = [one.bases[i : i + _LINE] for i in range(0, len(one.bases), _LINE)]
    header = f">{name} bits_per_base={one.bits_per_base:.4f} temperature={temperature:g} seed={seed}"
    return "\n".join([header, *lines]) + "\n"


__all__ = ["open_prompts", "write_generated"]
