"""What a head on sequences or pairs predicts, as a table or in a copy of a VCF file."""

import hashlib
import math
import shutil
from collections.abc import Mapping

from transformers.utils import logging

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.files import refuse_unknown_table, write_table
from textgenome.data.labels import REGRESSION, SEPARATOR, SEVERAL
from textgenome.data.rows import report_bad_rows
from textgenome.data.sequences import SequenceRow
from textgenome.data.settings import remember_settings
from textgenome.genome.annotating import annotate_vcf, check_vcf
from textgenome.inference.checkpoints import Checkpoint, fingerprint_weights, without_path
from textgenome.inference.predictions import Predictions, classify_predictions, join_processes, one_writer
from textgenome.inference.requests import Request
from textgenome.processing.processing_dna import check_tokens_differ, min_tokens, tokenize_dna
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


logger = logging.get_logger(__name__)

PREDICTED = "predicted"
VCF = ".vcf.gz"
LIKELY = 0.5  # from which on a label of several is given


def predict_sequences(checkpoint: Checkpoint, request: Request) -> int | None:
    """Write the class, the labels or the value of each sequence or pair, with probabilities. See `predict`."""
    check_output(request)
    state = join_processes()
    with state.main_process_first():  # it may have to write the index of the genome
        rows, fingerprint = read_rows(checkpoint, request)
    settings = {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "weights": fingerprint_weights(checkpoint.name),
        "data_fingerprint": fingerprint,
        "dtype": request.dtype,
    }
    with one_writer(request.folder):
        if state.is_main_process:
            remember_settings(settings, request.folder, "predicting")
        predictions = Predictions(request.folder)
        model = checkpoint.load(request.dtype).to(state.device)
        given = list(map(as_columns, rows))
        classify_predictions(model, checkpoint.processor, given, PREDICTED, predictions, request.batch_size)
        predictions.merge()
        if not state.is_main_process:
            return None
        answers = [read_scores(each["scores"], checkpoint.config.problem_type) for each in predictions.of(PREDICTED)]
        write_answers(rows, answers, checkpoint, request)
    shutil.rmtree(request.folder)
    return len(rows)


def check_output(request: Request) -> None:
    """Refuse an output that cannot be written, before anything is predicted."""
    if not request.output.name.endswith(VCF):
        refuse_unknown_table(request.output)
    elif request.vcf is None:
        raise ValueError(f"{request.output}: a VCF file is written of the variants of another one, named by --vcf.")
    elif request.output.exists():
        raise ValueError(f"{request.output} is there already. Remove it, or name another file.")
    else:
        check_vcf(request.vcf)


def read_rows(checkpoint: Checkpoint, request: Request) -> tuple[list[SequenceRow], str]:
    """The rows that the model can read, and a hash of them.

    Raises:
        ValueError: If rows are bad and none is to be left out, or the model reads pairs where there are none.
    """
    processor, reads_pairs = checkpoint.processor, checkpoint.config.num_sequences == 2
    good, bad, digest = [], [], hashlib.sha256()
    for row in request.rows(processor.dna_window):
        if (row.variant is not None) != reads_pairs:
            what = "pairs of a reference and a variant" if reads_pairs else "one sequence a row"
            raise ValueError(f"{checkpoint.name} reads {what}, which {row.name} is not.")
        try:
            letters = check_row(row, processor)
        except ValueError as error:
            bad.append(f"{row.name}: {error}")
            continue
        digest.update("\t".join([row.name, *letters, ""]).encode())
        good.append(row)
    report_bad_rows(bad, len(good) + len(bad), request.on_bad_row)
    if not good:
        raise ValueError("There is nothing to predict for.")
    return good, digest.hexdigest()


def check_row(row: SequenceRow, processor: TextGenomeDNAProcessor) -> list[str]:
    """The letters of a row. Raises `ValueError` if the encoder cannot read them, or sees no variant."""
    tokenizer, given = processor.dna_tokenizer, [row.sequence] if row.variant is None else [row.sequence, row.variant]
    least, limit = min_tokens(tokenizer, len(row.sequence)), tokenizer.model_max_length
    if least > limit:  # and is not read, for it may be a whole chromosome
        raise ValueError(
            f"its {len(row.sequence)} bases are at least {least} tokens, but the encoder reads at most {limit}: "
            "name stretches of it by --bed"
        )
    letters = [each[:] for each in given]
    encoded, _ = tokenize_dna(tokenizer, letters)
    if row.variant is not None:
        check_tokens_differ(*encoded)
    return letters


def as_columns(row: SequenceRow) -> dict:
    """A row as a head reads it. Stretches of a genome are read only when they are sliced."""
    return {"sequence": row.sequence} if row.variant is None else dict(zip(DNA_COLUMNS, (row.sequence, row.variant)))


def read_scores(scores: Mapping[str, float], problem_type: str | None) -> dict:
    """What scores say, see `classify_batches`: the `value` of a regression; else `answer`, of several labels those
    that are likely, and `probability_LABEL` of each."""
    if problem_type == REGRESSION:
        return dict(scores)
    probabilities = {label: math.exp(score) for label, score in scores.items()}
    likely = [label for label, probability in probabilities.items() if probability > LIKELY]
    answer = SEPARATOR.join(likely) if problem_type == SEVERAL else max(scores, key=scores.get)
    return {"answer": answer} | {f"probability_{label}": value for label, value in probabilities.items()}


def write_answers(rows: list[SequenceRow], answers: list[dict], checkpoint: Checkpoint, request: Request) -> None:
    if not request.output.name.endswith(VCF):
        write_table([{"name": row.name, **answer} for row, answer in zip(rows, answers)], request.output)
        return
    model, labels = without_path(checkpoint.name), ", ".join(checkpoint.config.label2id)
    if checkpoint.config.problem_type == REGRESSION:
        fields = {"TG_VALUE": ("Float", f"Value that {model} predicts")}
        values = [{"TG_VALUE": answer["value"]} for answer in answers]
    else:
        fields = {"TG_ANSWER": ("String", f"What {model} answers, of: {labels} (percent-encoded)")}
        values = [{"TG_ANSWER": answer["answer"]} for answer in answers]
        if checkpoint.config.problem_type != SEVERAL:
            fields["TG_SCORE"] = ("Float", "Probability of TG_ANSWER")
            for value, answer in zip(values, answers):
                value["TG_SCORE"] = answer[f"probability_{answer['answer']}"]
    annotate_vcf(request.vcf, request.output, fields, ((row.name, value) for row, value in zip(rows, values)))


__all__ = ["predict_sequences"]
