"""The task `expression` of `train_dna.py`: what people express of genes, from their two haplotypes."""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from accelerate.utils import gather_object
from transformers import EvalPrediction, Trainer
from transformers.utils import logging

from textgenome import TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.data.expression import (
    Expression,
    choose_people,
    choose_split,
    drop_genes,
    normalize,
    read_covariates,
    read_expression,
)
from textgenome.data.expression_rows import (
    ExpressionCollator,
    ExpressionRows,
    GroupedByGene,
    ModelGenes,
    mean_states,
    save_genes,
)
from textgenome.data.expression_windows import GeneWindows, open_windows
from textgenome.evaluation.expression import correlate, evaluate_expression
from textgenome.evaluation.reporting import format_table
from textgenome.genome.vcf import open_vcf
from textgenome.inference.expression import CACHE, predict_people
from textgenome.inference.window_states import WindowStates, WindowTokens
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.training.jobs import Job, build_model


logger = logging.get_logger(__name__)

PAIRS = {"individuals": 0.3, "reference": 0.0}  # shares of the loss in gLM2X-Tower
DROPOUT = 0.5  # there, before its last layer


@dataclass
class People:
    """The rows of a run before they are windows.

    Args:
        expression: Genes and people.
        values: What is learnt, `(genes, people)`.
        trained: `(people,)`, bool: who is trained on.
        trained_genes: `(genes,)`, bool.
        windows: What they have around the starts of genes.
    """

    expression: Expression
    values: np.ndarray
    trained: np.ndarray
    trained_genes: np.ndarray
    windows: GeneWindows


def prepare(script_args: DNAArguments, training_args: DNATrainingArguments, model_args: DNAModelArguments) -> Job:
    """Read the files, encode the windows of all people once, and put the head on the encoder."""
    check_flags(script_args, training_args)
    people = read_people(script_args, training_args.seed)
    model, processor = build(script_args, model_args, people)
    collator = build_collator(script_args, training_args, model_args, people, model, processor)
    genes, tested = np.flatnonzero(people.trained_genes), np.flatnonzero(~people.trained)
    learnt = np.flatnonzero(people.trained)
    of_people = None if script_args.regime == "reference" else learnt
    rows = ExpressionRows(people.values, genes, of_people, learnt)
    labels = np.array([label for _, _, label in rows.rows])
    if not model_args.model_name_or_path:
        model.config.label_mean, model.config.label_scale = float(labels.mean()), float(labels.std() or 1)
    eval_rows = ExpressionRows(people.values, genes, tested) if training_args.do_eval and len(tested) else None
    seed = training_args.seed if training_args.data_seed is None else training_args.data_seed
    grouped = partial(GroupedByGene, rows, script_args.group_size, seed)
    return Job(
        model=model,
        processor=processor,
        train_rows=rows,
        eval_rows=eval_rows,
        collator=collator,
        compute_metrics=eval_rows and partial(mean_by_gene, rows=eval_rows),
        measure=partial(measure, people=people, collator=collator, script_args=script_args),
        settings={"data_fingerprint": fingerprint(people), "labels": [gene.name for gene in people.expression.genes]},
        sampler=None if of_people is None else lambda trainer: grouped(lambda: int(trainer.state.epoch or 0)),
    )


def check_flags(script_args: DNAArguments, training_args: DNATrainingArguments) -> None:
    """Raise ValueError for flags that are missing or do not fit together."""
    missing = [name for name in ("fasta", "vcf", "expression") if getattr(script_args, name) is None]
    if missing:
        raise ValueError(f"The task expression needs --{' --'.join(missing)}.")
    if script_args.regime == "reference" and script_args.subtract_gene_mean:
        raise ValueError(
            "subtract_gene_mean leaves only what differs between people, of which the regime reference has nothing."
        )
    batch = training_args.per_device_train_batch_size
    if script_args.regime == "individuals" and batch % script_args.group_size:
        raise ValueError(
            f"per_device_train_batch_size is {batch}, which does not hold whole groups of {script_args.group_size} "
            "people: choose a multiple, or another group_size."
        )


def read_people(script_args: DNAArguments, seed: int) -> People:
    """Read expression, covariates and genotypes, and keep the people and genes that can be used."""
    expression = read_expression(script_args.expression)
    has_covariates = script_args.covariates not in (None, "none")
    covariates = read_covariates(script_args.covariates) if has_covariates else None
    with open_vcf(script_args.vcf) as file:
        genotyped = file.samples
    expression, covariates = choose_people(expression, genotyped, covariates)
    splits = expression.splits or {}
    trained = choose_split(
        expression.samples,
        script_args.samples_train,
        script_args.samples_test,
        script_args.test_share,
        seed,
        splits.get("sample"),
    )
    expression = drop_genes(expression, trained)
    files = script_args.fasta, script_args.vcf
    expression, windows = open_windows(
        expression, *files, script_args.window, script_args.indels, script_args.unphased
    )
    names = [gene.name for gene in expression.genes]
    trained_genes = choose_split(names, None, script_args.genes_test, 0, seed, splits.get("gene"), "genes")
    columns = None if covariates is None else covariates.to_numpy(float)
    values = normalize(expression, trained, script_args.log, columns, script_args.normalization)
    logger.warning(
        f"{trained.sum()} people and {trained_genes.sum()} genes to train on, {(~trained).sum()} people and "
        f"{(~trained_genes).sum()} genes to evaluate on."
    )
    return People(expression, values, trained, trained_genes, windows)


def build(
    script_args: DNAArguments, model_args: DNAModelArguments, people: People
) -> tuple[TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor]:
    """The model, new or to go on with, and its processor."""
    pairs = PAIRS[script_args.regime] if script_args.pair_loss is None else script_args.pair_loss
    state_bin = script_args.state_bin if script_args.expression_head == "tower" else None
    if model_args.model_name_or_path:
        name = model_args.model_name_or_path
        model = TextGenomeDNAForSequenceClassification.from_pretrained(name)
        processor = TextGenomeDNAProcessor.from_pretrained(name)
        asked = (script_args.expression_head, state_bin, script_args.window)
        has = (model.config.pooling, model.config.state_bin, processor.dna_window)
        if asked != has:
            raise ValueError(
                f"{name} has the head, bases of a state and window {has}, but the flags say {asked}: they must agree."
            )
        model.config.pair_loss = pairs
        return model.eval(), processor
    dna_tokenizer = find_dna_tokenizer(model_args.dna_model, model_args.dna_config, model_args.dna_tokenizer)
    head = {
        "id2label": {0: "expression"},
        "problem_type": "regression",
        "num_sequences": 2,
        "pooling": script_args.expression_head,
        "combine": script_args.combine,
        "state_bin": state_bin,
        "pair_loss": pairs,
        "classifier_dropout": DROPOUT,
    }
    model = build_model(TextGenomeDNAForSequenceClassification, model_args, dna_tokenizer, **head)
    return model.eval(), TextGenomeDNAProcessor(dna_tokenizer, script_args.window)


def build_collator(
    script_args: DNAArguments,
    training_args: DNATrainingArguments,
    model_args: DNAModelArguments,
    people: People,
    model: TextGenomeDNAForSequenceClassification,
    processor: TextGenomeDNAProcessor,
) -> ExpressionCollator:
    """What makes batches: of states that are encoded here, or of tokens where the encoder is trained."""
    windows = people.windows
    if not model_args.freeze_dna_encoder or model_args.train_dna_layers or model_args.lora_dna_encoder:
        if script_args.subtract_gene_mean or script_args.indels:
            raise ValueError("subtract_gene_mean and indels need a frozen DNA encoder.")
        return ExpressionCollator(windows, WindowTokens(processor.dna_tokenizer))
    model.model.to(training_args.device)
    folder = Path(training_args.dna_cache_dir or Path(training_args.output_dir) / CACHE)
    states = WindowStates(
        model,
        processor.dna_tokenizer,
        folder,
        model.config.state_bin,
        script_args.indels,
        training_args.dna_cache_gb * 1e9,
    )
    states.encode(windows.haplotypes())
    logger.warning(f"DNA encoder: {states.cache.num_encoded:,} distinct inputs encoded, the others were known.")
    means = {}
    if script_args.subtract_gene_mean:
        trained = np.flatnonzero(people.trained)
        means = {number: mean_states(windows, number, trained, states) for number in range(len(windows.genes))}
    return ExpressionCollator(windows, states, means)


def mean_by_gene(prediction: EvalPrediction, rows: ExpressionRows) -> dict[str, float]:
    """The mean of Pearson's r by gene across the people that are evaluated on while training goes on."""
    genes = np.array([gene for gene, _, _ in rows.rows])
    found = [
        correlate(prediction.label_ids[None, genes == gene], prediction.predictions[None, genes == gene, 0])[0]
        for gene in np.unique(genes)
    ]
    return {"pearson_by_gene": float(np.nanmean(found))}


def fingerprint(people: People) -> str:
    """SHA-256 of what is learnt, and of what people carry in the windows."""
    digest = hashlib.sha256(json.dumps([people.expression.genes, people.expression.samples]).encode())
    alleles = people.windows.reader.genotypes.alleles.values()
    for each in (people.values, people.trained, people.trained_genes, *alleles):
        digest.update(np.ascontiguousarray(each).tobytes())
    return digest.hexdigest()


def measure(trainer: Trainer, people: People, collator: ExpressionCollator, script_args: DNAArguments) -> None:
    """Save the genes and means of the model; predict all genes and people, and write the grid and the report."""
    folder = Path(trainer.args.output_dir)
    genes = people.expression.genes
    if trainer.is_world_process_zero():
        trained_encoder = isinstance(collator.states, WindowTokens)
        saved = ModelGenes(genes, script_args.window, script_args.indels, trained_encoder, collator.means)
        save_genes(folder, saved)
    if not trainer.args.do_eval:
        return
    if trainer.eval_dataset is not None:
        metrics = trainer.evaluate()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    predictions = predict_matrix(trainer, people, collator)
    if trainer.is_world_process_zero():
        results, grid = evaluate_expression(
            folder / "evaluation",
            people.expression,
            people.values,
            predictions,
            people.trained_genes,
            people.trained,
            script_args.vcf,
            script_args.window,
            script_args.unphased,
            trainer.args.seed,
            {"model": folder.name, "regime": script_args.regime},
        )
        print(f"{format_table(results)}\n\n{grid}\n\n{folder / 'evaluation' / 'report.html'}")


def predict_matrix(trainer: Trainer, people: People, collator: ExpressionCollator) -> np.ndarray:
    """The predictions for all genes and people, `(genes, people)`; processes share the genes."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    number, count = trainer.args.process_index, trainer.args.world_size
    mine = range(number, len(people.expression.genes), count)
    everyone = range(len(people.expression.samples))
    found = [(gene, predict_people(model, collator, gene, everyone).numpy()) for gene in mine]
    found = dict(gather_object(found) if count > 1 else found)
    return np.stack([found[gene] for gene in range(len(people.expression.genes))])


__all__ = ["prepare"]
