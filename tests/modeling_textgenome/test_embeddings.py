"""Embeddings by every kind of encoder: they depend neither on padding nor on the batch."""

import copy

import pytest
import torch
from conftest import random_dna
from tiny_models import ENCODERS, SEVERAL_BASES, tiny_config
from transformers import EsmForMaskedLM, EsmTokenizer, LlamaForCausalLM
from transformers.models.esm import EsmConfig

from textgenome import (
    HyenaDNAForCausalLM,
    NTv2Model,
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeForConditionalGeneration,
)
from textgenome.inference import embed
from textgenome.inference.embedding import POOLINGS
from textgenome.modeling_dna_encoder import build_dna_encoder
from textgenome.processing import build_dna_tokenizer


SIX = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIX |= {"pad_token_id": 1, "mask_token_id": 2, "max_position_embeddings": 66}
KMERS = EsmConfig(vocab_size=4105, position_embedding_type="absolute", **SIX)
NTV2 = EsmConfig(vocab_size=4107, position_embedding_type="rotary", token_dropout=False, add_bias_fnn=False, **SIX)
KINDS = {**{name: ("hyenadna", config) for name, config in ENCODERS.items()}}
KINDS |= {name: ("enformer", config) for name, config in SEVERAL_BASES.items()}
KINDS |= {"6-mers": ("nucleotide_transformer", KMERS), "ntv2": ("nucleotide_transformer_v2", NTV2)}
# The second has N, the last one more bases than any of these encoders reads.
SEQUENCES = [random_dna(21), random_dna(13) + "NNA" + random_dna(17), random_dna(2), random_dna(90, 2)]
READS = 40  # tokens


def encoder_of(kind):
    vocabulary, config = KINDS[kind]
    config = copy.deepcopy(config)
    encoder = NTv2Model(config) if kind == "ntv2" else build_dna_encoder(config)
    return encoder.eval(), build_dna_tokenizer(vocabulary, model_max_length=READS)


def states_of(encoder, tokenizer, sequence):
    """States of a sequence that the encoder reads whole, without those of added tokens, and the bases of each."""
    step = getattr(encoder.config, "bases_per_state", 1)
    batch = tokenizer(sequence, return_offsets_mapping=True, return_tensors="pt")
    states = encoder(batch["input_ids"]).last_hidden_state[0].detach()
    spans = torch.tensor([end - start for start, end in batch["offset_mapping"][0].tolist()])
    spans = torch.tensor([part.sum() for part in spans.split(step)])
    return states[spans > 0], spans[spans > 0]


def pooled(states, spans, pooling):
    if pooling == "mean":
        return states.repeat_interleave(spans, dim=0).mean(0)  # each base counts once
    return {"max": states.amax(0), "min": states.amin(0), "last": states[-1], "none": states}[pooling]


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_batch_as_alone_and_on_either_side(kind):
    encoder, tokenizer = encoder_of(kind)
    for pooling in POOLINGS:
        tokenizer.padding_side = "right"
        together = embed(encoder, tokenizer, SEQUENCES, pooling)
        tokenizer.padding_side = "left"
        left = embed(encoder, tokenizer, SEQUENCES, pooling, batch_bases=100)
        for i in (1, 3):
            (alone,) = embed(encoder, tokenizer, SEQUENCES[i], pooling)
            torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(left[i], alone, atol=1e-5, rtol=1e-5)
            assert alone.dtype == torch.float32
        for found, sequence in zip(together, SEQUENCES[:3]):
            expected = pooled(*states_of(encoder, tokenizer, sequence), pooling)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["6-mers", "ntv2"])
def test_a_state_of_six_bases_counts_six_times_and_cls_never(kind):
    encoder, tokenizer = encoder_of(kind)
    states, spans = states_of(encoder, tokenizer, SEQUENCES[0])
    assert spans.tolist() == [6, 6, 6, 1, 1, 1]
    for pooling in POOLINGS:
        found = embed(encoder, tokenizer, SEQUENCES[0], pooling)[0]
        torch.testing.assert_close(found, pooled(states, spans, pooling), atol=1e-5, rtol=1e-5)


def test_a_tokenizer_written_in_python(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join("<cls> <pad> <eos> <unk> ACG A C G T <mask>".split()))
    tokenizer = EsmTokenizer(tmp_path / "vocab.txt", model_max_length=READS)
    ids = tokenizer("ACGTN")["input_ids"]
    assert not tokenizer.is_fast and tokenizer.convert_ids_to_tokens(ids) == ["<cls>", "ACG", "T", "<unk>", "<eos>"]
    config = EsmConfig(vocab_size=10, position_embedding_type="absolute", **SIX)
    encoder = build_dna_encoder(config).eval()
    states = encoder(torch.tensor([ids])).last_hidden_state[0, 1:-1].detach()
    found = embed(encoder, tokenizer, "ACGTN")[0]
    torch.testing.assert_close(found, pooled(states, torch.tensor([3, 1, 1]), "mean"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["hyenadna", "borzoi", "6-mers"])
def test_tiles_of_a_long_sequence_are_pooled_together(kind):
    encoder, tokenizer = encoder_of(kind)
    step = {"hyenadna": 1, "borzoi": 8, "6-mers": 6}[kind]
    sequence, size = random_dna(116, 2), 24
    parts = [states_of(encoder, tokenizer, sequence[i : i + size]) for i in range(0, 116, size)]
    states, spans = (torch.cat(each) for each in zip(*parts))
    assert size % step == 0 and spans.sum() == 116
    for pooling in POOLINGS:
        found = embed(encoder, tokenizer, sequence, pooling, tile=size)[0]
        torch.testing.assert_close(found, pooled(states, spans, pooling), atol=1e-5, rtol=1e-5)


def test_equal_sequences_are_encoded_once():
    encoder, tokenizer = encoder_of("hyenadna")
    rows = []
    encoder.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    embed(encoder, tokenizer, [SEQUENCES[0]] * 50 + [SEQUENCES[2]])
    assert rows == [2]


def test_the_layer_and_the_strands_that_are_asked_for():
    encoder, tokenizer = encoder_of("hyenadna")
    sequence, turned = "ACCGTTNA", "TNAACGGT"
    ids = [tokenizer(each, return_tensors="pt")["input_ids"] for each in (sequence, turned)]
    states = [encoder(each, output_hidden_states=True).hidden_states[1][0] for each in ids]
    given, other = (each.mean(0) for each in states)
    expectations = {"none": given, "average": (given + other) / 2, "concat": torch.cat([given, other])}
    for strands, expected in expectations.items():
        found = embed(encoder, tokenizer, sequence, both_strands=strands, dna_feature_layer=1)[0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    found = embed(encoder, tokenizer, sequence, "last", dna_feature_module="layers.0")[0]
    torch.testing.assert_close(found, states[0][-1], atol=1e-5, rtol=1e-5)


def test_the_encoder_of_any_model(tiny_model, tiny_processor):
    config = TextGenomeDNAConfig(dna_config=copy.deepcopy(ENCODERS["hyenadna"]), pooling_num_heads=1)
    fused = TextGenomeForConditionalGeneration(tiny_config(dna_config=copy.deepcopy(ENCODERS["hyenadna"])))
    tokenizer = build_dna_tokenizer(model_max_length=64)
    models = [HyenaDNAForCausalLM(copy.deepcopy(ENCODERS["hyenadna"])), fused]
    models += [TextGenomeDNAForSequenceClassification(config)]
    for model in models:
        model.train()
        found = embed(model, tokenizer, SEQUENCES)
        bare = next(module for module in model.modules() if type(module).__name__ == "HyenaDNAModel").eval()
        torch.testing.assert_close(found, embed(bare, tokenizer, SEQUENCES), atol=1e-6, rtol=0)
        model.train()
    assert embed(tiny_model, tiny_processor, "ACGT").shape == (1, tiny_model.config.dna_config.hidden_size)


def test_features_are_those_of_the_model_unless_others_are_asked_for():
    config = TextGenomeDNAConfig(
        dna_config=copy.deepcopy(ENCODERS["hyenadna"]), dna_feature_layer=1, pooling_num_heads=1
    )
    model, tokenizer = TextGenomeDNAForSequenceClassification(config), build_dna_tokenizer(model_max_length=64)
    encoder = model.model.dna_encoder
    torch.testing.assert_close(
        embed(model, tokenizer, "ACGTA"), embed(encoder, tokenizer, "ACGTA", dna_feature_layer=1)
    )
    torch.testing.assert_close(
        embed(model, tokenizer, "ACGTA", dna_feature_layer=-1), embed(encoder, tokenizer, "ACGTA")
    )


@pytest.mark.parametrize("model", [LlamaForCausalLM, EsmForMaskedLM])
def test_the_model_is_left_as_it_was(model):
    model = model(copy.deepcopy(ENCODERS["llama" if model is LlamaForCausalLM else "esm"])).train()
    before, modules = model.config.to_dict(), dict(model.named_modules())
    embed(model, build_dna_tokenizer(model_max_length=64), "ACGTA")
    assert model.config.to_dict() == before and dict(model.named_modules()) == modules
    assert model.training and model.base_model.training


def test_half_precision_weights_are_pooled_in_float32():
    encoder, tokenizer = encoder_of("hyenadna")
    encoder.bfloat16()
    states = embed(encoder, tokenizer, SEQUENCES[1], "none")[0]
    assert states.dtype == torch.float32
    torch.testing.assert_close(embed(encoder, tokenizer, SEQUENCES[1])[0], states.mean(0), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "sequences, options, message",
    [
        (["ACGT", "ACJT"], {}, "Sequence 1: The character 'J' at position 3 of the DNA is not a base"),
        ([], {}, "No sequences to embed"),
        (["ACGT"], {"pooling": "median"}, "There is no pooling 'median': choose from mean, max, min, last, none"),
        (["ACGT"], {"dna_feature_layer": 7}, "Field 'dna_feature_layer' is 7, but the DNA encoder has 2 layers"),
        (["ACGT"], {"tile": 41}, "A tile of 41 bases: the encoder reads 1 to 40 of them at once"),
    ],
)
def test_what_cannot_be_embedded_is_named(sequences, options, message):
    with pytest.raises(ValueError, match=message):
        embed(*encoder_of("hyenadna"), sequences, **options)


def test_both_strands_of_6_mers_are_refused():
    with pytest.raises(ValueError, match="both_strands needs a DNA tokenizer with a token for each base"):
        embed(*encoder_of("6-mers"), "ACGT", both_strands="average")
