"""What a model is served for: to write answers, or to predict with a head."""

from transformers import PreTrainedModel, ProcessorMixin

from textgenome.inference.checkpoints import find_kind
from textgenome.modeling_textgenome_dna import TextGenomeDNAForSequenceClassification
from textgenome.modeling_textgenome_dna_tokens import TextGenomeDNAForTokenClassification
from textgenome.modeling_textgenome_dna_tracks import TextGenomeDNAForTrackPrediction


ANSWERS, CLASSIFICATION, ANNOTATION, TRACKS = "answers", "classification", "annotation", "tracks"
HEADS = {
    TextGenomeDNAForSequenceClassification.__name__: CLASSIFICATION,
    TextGenomeDNAForTokenClassification.__name__: ANNOTATION,
    TextGenomeDNAForTrackPrediction.__name__: TRACKS,
}


def task_of(model: PreTrainedModel) -> str:
    """`answers` of a model that writes text; else what its head predicts."""
    name = type(model).__name__
    return ANSWERS if find_kind(name).writes_text else HEADS[name]


def sequences_read(model: PreTrainedModel) -> int:
    """How many sequences a model reads at a time: 2 for the pairs of a reference and its variant."""
    return getattr(model.config, "num_sequences", 2) if task_of(model) in (ANSWERS, CLASSIFICATION) else 1


def labels_known(model: PreTrainedModel, processor: ProcessorMixin) -> list[str] | None:
    """The answers, classes, labels or tracks of a model, where it knows them."""
    if task_of(model) == ANSWERS:
        return processor.labels
    return [model.config.id2label[i] for i in range(model.config.num_labels)]


__all__ = ["ANNOTATION", "ANSWERS", "CLASSIFICATION", "TRACKS", "labels_known", "sequences_read", "task_of"]
