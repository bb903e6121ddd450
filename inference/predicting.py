"""What the head of a trained model says of a table, a FASTA file, regions or variants, into a file."""

from pathlib import Path

from textgenome.inference.checkpoints import open_checkpoint
from textgenome.inference.expression import write_expression
from textgenome.inference.label_predictions import predict_labels
from textgenome.inference.published_tracks import open_published
from textgenome.inference.requests import Request
from textgenome.inference.sequence_predictions import predict_sequences
from textgenome.inference.track_predictions import predict_signals
from textgenome.modeling_textgenome_dna import TextGenomeDNAForSequenceClassification
from textgenome.modeling_textgenome_dna_tokens import TextGenomeDNAForTokenClassification
from textgenome.modeling_textgenome_dna_tracks import TextGenomeDNAForTrackPrediction


WINDOW_POOLINGS = ("tower", "center")  # of models of expression
# By the name of its class what predicts with a head: it gets the checkpoint and the request, writes the output on the
# main process, and returns how many rows it has.
PREDICTORS = {
    TextGenomeDNAForSequenceClassification.__name__: predict_sequences,
    TextGenomeDNAForTokenClassification.__name__: predict_labels,
    TextGenomeDNAForTrackPrediction.__name__: predict_signals,
}


def predict(model: str, output: str | Path, revision: str = "main", species: str = "human", **request) -> int | None:
    """Write what a model says. The same call goes on with a run that was stopped; processes share the rows.

    Args:
        model: Folder or Hub id of a model with a head on DNA, or folder of an adapter.
        output: A new file, whose ending says the format.
        revision: Of a model on the Hub.
        species: Of Enformer and Borzoi, whose published tracks to predict.
        request: Further fields of `Request`.

    Returns:
        How many rows were written, on the main process.

    Raises:
        OSError: If another process writes to `output`, or a file cannot be read or written.
        ValueError: If the model has no head on DNA, does not read such sequences, or rows are bad.
    """
    checkpoint = open_published(model, revision, species) or open_checkpoint(model, revision)
    if getattr(checkpoint.config, "pooling", None) in WINDOW_POOLINGS:
        return write_expression(checkpoint, Request(Path(output), **request))
    head = checkpoint.kind.model_class.__name__
    if head not in PREDICTORS:
        way = "Ask it by `textgenome ask`." if checkpoint.kind.writes_text else "It is not predicted with yet."
        raise ValueError(f"{model} is a {head}. {way}")
    return PREDICTORS[head](checkpoint, Request(Path(output), **request))


__all__ = ["predict"]
