import pytest
import torch
from transformers import AutoConfig
from trl import TrlParser

from textgenome import HyenaDNAConfig, TextGenomeConfig
from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.configuration.configuration_textgenome import max_dna_tokens
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments


RANDOM_MODEL = ["--text_config", '{"model_type": "qwen3"}', "--dna_config", '{"model_type": "hyenadna"}']


FUSED = (DataArguments, TrainingArguments, ModelArguments)
DNA = (DNAArguments, DNATrainingArguments, DNAModelArguments)


def parse(tmp_path, *flags, dataset_name="x.csv", arguments=FUSED):
    parser = TrlParser(arguments)
    named = ["--dataset_name", dataset_name] if dataset_name else []
    return parser.parse_args_and_config([*named, *flags, "--output_dir", str(tmp_path), "--use_cpu"])


def test_defaults_are_qwen3_and_our_hyenadna():
    config = TextGenomeConfig()
    assert config.text_config.model_type == "qwen3"
    assert isinstance(config.dna_config, HyenaDNAConfig)
    assert config.get_text_config() is config.text_config


@pytest.mark.parametrize("encoder", ["hyenadna", "mixtral", "esm", "llama"])
def test_round_trip(tmp_path, encoder):
    layers = {"num_hidden_layers": 3}
    config = TextGenomeConfig(dna_config={"model_type": encoder, **layers}, dna_feature_layer=2, projector_type="mlp")
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()
    assert loaded.dna_config.num_hidden_layers == 3


def test_hyenadna_with_remote_code_means_ours():
    config = TextGenomeConfig(dna_config={"model_type": "hyenadna", "auto_map": {"AutoConfig": "x.Y"}, "d_model": 64})
    assert isinstance(config.dna_config, HyenaDNAConfig)
    assert config.dna_config.hidden_size == 64


@pytest.mark.parametrize(
    "values", [{"dna_token_id": "7"}, {"projector_type": "conv"}, {"dna_feature_layer": 1.5}, {"projector_bias": "no"}]
)
def test_wrong_types_are_refused_by_name(values):
    with pytest.raises(Exception, match=next(iter(values))):
        TextGenomeConfig(**values)


def test_feature_layer_beyond_the_encoder_is_refused():
    with pytest.raises(ValueError, match=r"dna_feature_layer.*9.*2 layers"):
        TextGenomeConfig(dna_feature_layer=9)


def test_head_is_tied_as_the_language_model_says():
    assert TextGenomeConfig(text_config={"model_type": "qwen3", "tie_word_embeddings": True}).tie_word_embeddings
    assert not TextGenomeConfig(text_config={"model_type": "qwen3", "tie_word_embeddings": False}).tie_word_embeddings


def test_defaults_are_the_predecessors_recipe(tmp_path):
    _, training, model = parse(tmp_path, *RANDOM_MODEL)
    assert training.report_to == [], "nothing reports by default"
    assert (model.use_peft, model.lora_r, model.lora_alpha, model.lora_dropout) == (True, 32, 64, 0.05)
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (1, 8)
    assert (training.num_train_epochs, training.learning_rate, training.weight_decay) == (5, 5e-5, 0.01)
    assert (training.lr_scheduler_type, training.warmup_steps, training.max_grad_norm) == ("cosine", 0.1, 1.0)
    assert model.freeze_dna_encoder
    assert training.report_to == []


def test_defaults_of_the_dna_family_are_the_predecessors_recipe(tmp_path):
    _, training, model = parse(tmp_path, "--dna_model", "x", arguments=DNA)
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (1, 8)
    assert (training.num_train_epochs, training.learning_rate, training.weight_decay) == (10, 5e-5, 0.01)
    assert model.freeze_dna_encoder and model.pooling_num_heads == 8
    assert training.do_eval and training.report_to == []


@pytest.mark.parametrize(
    "flags",
    [
        ["--packing"],
        ["--padding_free"],
        ["--max_length", "1024"],
        ["--assistant_only_loss", "false"],
        ["--remove_unused_columns"],
        ["--dataset_kwargs", "{}"],
    ],
    ids=lambda flags: flags[0],
)
def test_settings_that_drop_the_dna_cannot_start(tmp_path, flags):
    with pytest.raises(ValueError, match=rf"{flags[0].strip('-')}.*drop the DNA"):
        parse(tmp_path, *RANDOM_MODEL, *flags)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_kernels_for_a_gpu_cannot_start_without_one(tmp_path):
    with pytest.raises(ValueError, match=r"use_liger_kernel: .* need a GPU"):
        parse(tmp_path, *RANDOM_MODEL, "--use_liger_kernel")


def test_batches_are_made_by_other_processes_on_a_gpu(tmp_path, monkeypatch):
    def loading(*flags: str) -> tuple[int, bool]:
        _, training, _ = parse(tmp_path, *RANDOM_MODEL, *flags)
        return training.dataloader_num_workers, training.accelerator_config.non_blocking

    assert (loading(), loading("--dataloader_num_workers", "3")) == ((0, False), (3, False))
    monkeypatch.setattr(TrainingArguments, "device", torch.device("cuda"))
    assert (loading(), loading("--dataloader_num_workers", "0")) == ((2, True), (0, False))


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--text_model", "a"],
        ["--dna_model", "a"],
        ["--text_model", "a", *RANDOM_MODEL],
        ["--text_model", "a", "--dna_model", "b", "--model_name_or_path", "c"],
    ],
)
def test_half_a_model_is_refused(tmp_path, flags):
    with pytest.raises(ValueError, match="Give one model"):
        parse(tmp_path, *flags)


def test_rows_must_be_named(tmp_path):
    with pytest.raises(ValueError, match="Name the rows"):
        parse(tmp_path, *RANDOM_MODEL, dataset_name=None)


@pytest.mark.parametrize(
    "line",
    ["dna: text", "on_bad_row: Raise", "reasoning_format: palin", "dna_truncation: perside", "projector_type: conv"],
)
def test_a_recipe_with_a_value_that_is_no_choice_is_refused(tmp_path, line):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{line}\ntext_config: {{}}\ndna_config: {{}}\n")
    name, value = line.split(": ")
    with pytest.raises(ValueError, match=f"{name} is '{value}', but must be one of"):
        parse(tmp_path, "--config", str(recipe))


@pytest.mark.parametrize(
    "flags",
    [
        ["--projector_type", "mlp"],
        ["--dna_feature_layer", "0"],
        ["--projector_num_queries", "3"],
        ["--show_special_tokens"],
    ],
    ids=lambda flags: flags[0],
)
def test_what_a_fused_checkpoint_has_of_its_own_is_refused(tmp_path, flags):
    with pytest.raises(ValueError, match=f"{flags[0].strip('-')}: a fused checkpoint has its own"):
        parse(tmp_path, "--model_name_or_path", "x", *flags)


def test_longest_input_of_an_encoder():
    assert max_dna_tokens(TextGenomeConfig(dna_config={"max_seq_len": 77}).dna_config) == 77
    esm = {"model_type": "esm", "max_position_embeddings": 66, "pad_token_id": 4}
    absolute = TextGenomeConfig(dna_config={**esm, "position_embedding_type": "absolute"})
    assert max_dna_tokens(absolute.dna_config) == 61


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--freeze_dna_encoder", "false", "--train_dna_layers", "1"], "one way to train the DNA encoder"),
        (["--lora_dna_encoder", "--train_dna_layers", "1"], "one way to train the DNA encoder"),
        (["--lora_dna_encoder", "--use_peft", "false"], "lora_dna_encoder needs use_peft"),
    ],
)
def test_ways_to_train_the_encoder_that_contradict_are_refused(tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        parse(tmp_path, *RANDOM_MODEL, *flags)


def test_lora_on_a_frozen_language_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="freeze_language_model"):
        parse(tmp_path, *RANDOM_MODEL, "--freeze_language_model")
