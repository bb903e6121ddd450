"""What each task of `train_dna.py` prepares for the trainer."""

from collections.abc import Callable, Sized
from dataclasses import dataclass

from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase, ProcessorMixin, Trainer

from textgenome import TextGenomeDNAConfig
from textgenome.configuration.dna_arguments import DNAModelArguments
from textgenome.modeling_textgenome_dna import TextGenomeDNAPreTrainedModel
from textgenome.training.joining import choose_features


@dataclass
class Job:
    """A model and the rows to train it on, as the function `prepare` of a task's module returns them.

    Args:
        model: With a head, and its encoder in `model.model`. `train_dna.py` freezes of the encoder what is to be
            frozen.
        processor: Is saved beside the model, in each checkpoint, too.
        train_rows: A data set, of which `len` and indices are read.
        eval_rows: What the trainer evaluates on, or None.
        collator: Makes a batch of a list of rows.
        compute_metrics: See `Trainer`; or None, for the loss alone.
        measure: Called with the trainer once it has trained, by all processes: it predicts the held-out rows, and
            writes what came out into `output_dir`. Or None.
        settings: What the result depends on beside the flags: `data_fingerprint`, a hash of the rows (see
            `fingerprint_rows`), and what follows from them, such as `labels`. A folder with a run of other settings
            is left alone.
        sampler: Makes the order of the training rows, by default a random one.
        rereads_windows: Whether each epoch reads the same windows: what a frozen encoder makes of them is then kept.
    """

    model: TextGenomeDNAPreTrainedModel
    processor: ProcessorMixin
    train_rows: Sized
    eval_rows: Sized | None
    collator: Callable
    compute_metrics: Callable | None
    measure: Callable[[Trainer], None] | None
    settings: dict
    sampler: Callable[[Trainer], Sampler] | None = None
    rereads_windows: bool = False


def build_model(
    model_class: type[TextGenomeDNAPreTrainedModel],
    model_args: DNAModelArguments,
    dna_tokenizer: PreTrainedTokenizerBase,
    **head,
) -> TextGenomeDNAPreTrainedModel:
    """A new head on a pretrained encoder, or on one with random weights.

    Args:
        model_class: With the head.
        model_args: Which encoder, and which of its features.
        dna_tokenizer: That of the encoder.
        head: Fields of `TextGenomeDNAConfig`, such as `id2label`.
    """
    settings = {**head, **choose_features(model_args, dna_tokenizer)}
    if model_args.dna_model:
        return model_class.from_dna_pretrained(
            model_args.dna_model, model_args.dtype, model_args.attn_implementation, **settings
        )
    dna_config = {"vocab_size": len(dna_tokenizer), **model_args.dna_config}
    return model_class(TextGenomeDNAConfig(dna_config=dna_config, **settings))


__all__ = ["Job", "build_model"]
