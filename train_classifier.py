"""Train a model of DNA alone: a DNA encoder that chooses among the answers of the table, without a language model.

Example run, on the built-in starter data, a few minutes on two cores:

    python train_classifier.py --config configuration/recipes/classifier_starter.yaml

On your own table, with a recipe for a GPU:

    python train_classifier.py --config configuration/recipes/classifier_kegg_genos_1.2b.yaml --dataset_name my.csv

The table needs the columns reference_sequence, variant_sequence and answer; the distinct answers of the train split
are the classes. Every line of a recipe is also a flag, and flags win. The same command resumes a run that was stopped:
SIGTERM saves a checkpoint first, SIGKILL loses what came after the last one. A finished run is only evaluated again;
for a fresh start remove the output folder or name another. Research use only, not for diagnosis.
"""

from dataclasses import asdict
from pathlib import Path

from datasets import Dataset
from transformers import EvalPrediction, PreTrainedTokenizerBase, Trainer, TrainerCallback, set_seed
from transformers.utils import logging
from trl import TrlParser

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.configuration.arguments import ClassifierArguments, ClassifierTrainingArguments, RowArguments
from textgenome.data import TextGenomeDNACollator
from textgenome.data.conversations import check_pair
from textgenome.data.rows import load_rows
from textgenome.data.settings import remember_settings
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.training.finetuning import prepare_dna_encoder
from textgenome.training.precision import KeepFloat32
from textgenome.training.pushing import push_trained, take_over_push
from textgenome.training.resuming import FREE_SETTINGS, WholeCheckpointsMixin, train_or_resume


logger = logging.get_logger("textgenome.train_classifier")


class ClassifierTrainer(WholeCheckpointsMixin, Trainer):
    pass


class CompleteCheckpoints(TrainerCallback):
    """Put the processor into every checkpoint."""

    def __init__(self, processor: TextGenomeDNAProcessor):
        self.processor = processor

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self.processor.save_pretrained(folder)


def load_split(data: RowArguments, split: str, dna_tokenizer: PreTrainedTokenizerBase) -> Dataset:
    if data.dataset_name == "starter":
        # A few rows are conversations without DNA.
        return load_rows("starter", split).filter(lambda row: row["reference_sequence"] is not None)
    options = {"dna_window": data.dna_window, "dna_tokenizer": dna_tokenizer}
    return load_rows(data.dataset_name, split, data.on_bad_row, check_pair, **options)


def build_model(
    args: ClassifierArguments, labels: list[str], dna_tokenizer: PreTrainedTokenizerBase
) -> TextGenomeDNAForSequenceClassification:
    settings = {
        "id2label": dict(enumerate(labels)),
        "dna_feature_layer": -1 if args.dna_feature_layer is None else args.dna_feature_layer,
        "pooling_num_heads": args.pooling_num_heads,
    }
    if args.dna_model:
        return TextGenomeDNAForSequenceClassification.from_dna_pretrained(
            args.dna_model, args.dtype, args.attn_implementation, **settings
        )
    dna_config = {"vocab_size": len(dna_tokenizer), **args.dna_config}
    return TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(dna_config=dna_config, **settings))


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def main(data: RowArguments, model_args: ClassifierArguments, training: ClassifierTrainingArguments) -> None:
    logging.set_verbosity(training.get_process_log_level())
    set_seed(training.seed)
    pushes = take_over_push(training)
    data.dna_window = data.dna_window or 2048
    dna_tokenizer = find_dna_tokenizer(model_args.dna_model, model_args.dna_config, model_args.dna_tokenizer)
    rows = load_split(data, data.dataset_train_split, dna_tokenizer)
    test_rows = load_split(data, data.dataset_test_split, dna_tokenizer) if training.do_eval else None
    labels = sorted({answer.strip() for answer in rows["answer"]})
    if training.process_index == 0:
        settings = {**asdict(data), **asdict(model_args), "labels": labels}
        remember_settings(settings, training.output_dir, "training", FREE_SETTINGS)

    processor = TextGenomeDNAProcessor(dna_tokenizer, data.dna_window)
    model = build_model(model_args, labels, dna_tokenizer)
    prepare_dna_encoder(model.model, model_args)
    trainer = ClassifierTrainer(
        model=model,
        args=training,
        train_dataset=rows,
        eval_dataset=test_rows,
        data_collator=TextGenomeDNACollator(processor, model.config.label2id),
        compute_metrics=accuracy,
        callbacks=[CompleteCheckpoints(processor)],
    )
    trainer.add_callback(KeepFloat32(trainer))
    result = train_or_resume(trainer)
    if trainer.is_world_process_zero():
        processor.save_pretrained(training.output_dir)
        (Path(training.output_dir) / "training_arguments.json").write_text(training.to_json_string() + "\n")
    if result is not None:
        trainer.log_metrics("train", result.metrics)
        trainer.save_metrics("train", result.metrics)
    if training.do_eval:
        unknown = sum(answer.strip() not in model.config.label2id for answer in test_rows["answer"])
        if unknown:
            logger.warning(f"{unknown} of {len(test_rows)} rows have an answer that was not trained: they are wrong.")
        metrics = trainer.evaluate()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    trainer.accelerator.wait_for_everyone()  # one that leaves while another still writes may be aborted
    trainer.end()
    if pushes and training.process_index == 0:
        push_trained(training)


if __name__ == "__main__":
    parser = TrlParser((RowArguments, ClassifierArguments, ClassifierTrainingArguments), description=__doc__)
    main(*parser.parse_args_and_config())
