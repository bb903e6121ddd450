import pytest
import torch
from conftest import TINY_CHECKPOINT, random_dna
from dna_language_models import CAUSAL, MODELS, folder_of, tiny_language_model

from textgenome import EnformerConfig, EnformerModel, HyenaDNAModel
from textgenome.data.sequences import reverse_complement
from textgenome.inference.language_models import load_language_model
from textgenome.inference.likelihoods import score_variants


def snv(length: int = 61, place: int = 30, seed: int = 0) -> tuple[str, str]:
    reference = random_dna(length, seed)
    other = "ACGT"["CGTA".index(reference[place])]
    return reference, reference[:place] + other + reference[place + 1 :]


@torch.no_grad()
def log_probs(language_model, ids) -> torch.Tensor:
    return language_model.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)


@pytest.mark.parametrize("kind", CAUSAL)
def test_causal_models_compare_the_likelihoods_of_the_windows(kind):
    language_model = tiny_language_model(kind)
    assert language_model.is_causal
    pairs = [snv(), (random_dna(50), random_dna(50)[:20] + "ACGT" + random_dna(50)[20:]), snv(40, 0)]

    def log_likelihood(sequence: str) -> float:
        ids = language_model.tokenizer(sequence)["input_ids"]
        return log_probs(language_model, ids)[torch.arange(len(ids) - 1), ids[1:]].sum().item()

    expected = [log_likelihood(variant) - log_likelihood(reference) for reference, variant in pairs]
    assert score_variants(language_model, pairs) == pytest.approx(expected, abs=1e-4)
    assert min(map(abs, expected)) > 1e-2


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind not in CAUSAL])
def test_masked_models_compare_the_tokens_that_the_variant_changes(kind):
    language_model = tiny_language_model(kind)
    assert not language_model.is_causal
    reference, variant = snv()
    ids = [language_model.tokenizer(sequence)["input_ids"] for sequence in (reference, variant)]
    places = [i for i, (one, other) in enumerate(zip(*ids)) if one != other]
    assert len(places) == 1
    masked = [*ids[0]]
    masked[places[0]] = language_model.tokenizer.mask_token_id
    found = log_probs(language_model, masked)[places[0]]
    # The window puts the place of the variant in its token where `snv` has it already.
    assert score_variants(language_model, [(reference, variant)], window=61) == pytest.approx(
        [(found[ids[1][places[0]]] - found[ids[0][places[0]]]).item()], abs=1e-4
    )
    assert score_variants(language_model, [(reference, variant[:40] + variant[41:])]) == [None]


@pytest.mark.parametrize("kind", MODELS)
def test_batches_strands_and_turned_pairs(kind):
    language_model = tiny_language_model(kind)
    pairs = [snv(), snv(50, 20, seed=1), snv(33, 5, seed=2)]
    scores = score_variants(language_model, pairs)
    assert [score_variants(language_model, [pair])[0] for pair in pairs] == pytest.approx(scores, abs=1e-4)
    turned = score_variants(language_model, [pair[::-1] for pair in pairs])
    assert [-score for score in turned] == pytest.approx(scores, abs=1e-4)
    others = score_variants(language_model, [tuple(map(reverse_complement, pair)) for pair in pairs])
    both = score_variants(language_model, pairs, both_strands="average")
    assert both == pytest.approx([(one + other) / 2 for one, other in zip(scores, others)], abs=1e-4)


def test_a_variant_has_the_same_place_in_its_token_at_the_end_of_a_contig():
    language_model = tiny_language_model("nt_v1")
    dna = random_dna(60)
    whole = [score_variants(language_model, [snv(60, 29)], window=60)[0]]
    for cut in (1, 5, 6):
        # The window reaches over the start of the contig by so many bases.
        pair = tuple(sequence[cut:] for sequence in snv(60, 29))
        ids = language_model.tokenizer(dna[-(-cut // 6) * 6 :])["input_ids"]
        place = ids.index(language_model.tokenizer(dna[24:30])["input_ids"][1])
        masked = [*ids]
        masked[place] = language_model.tokenizer.mask_token_id
        other = snv(60, 29)[1]
        found = log_probs(language_model, masked)[place]
        alternative = language_model.tokenizer(other[24:30])["input_ids"][1]
        expected = (found[alternative] - found[ids[place]]).item()
        assert score_variants(language_model, [pair], window=60) == pytest.approx([expected], abs=1e-4)
        assert whole != pytest.approx([expected], abs=1e-4)


def test_n_is_context_only():
    language_model = tiny_language_model("hyenadna")
    reference, variant = snv()
    pair = [sequence[:40] + "NNN" + sequence[43:] for sequence in (reference, variant)]
    ids = [language_model.tokenizer(sequence)["input_ids"] for sequence in pair]
    sums = [
        sum(log_probs(language_model, row)[i - 1, row[i]].item() for i in range(30, 61) if not 40 <= i < 43)
        for row in ids
    ]
    assert score_variants(language_model, [tuple(pair)]) == pytest.approx([sums[1] - sums[0]], abs=1e-4)


def test_windows_are_cut_to_what_the_model_reads():
    language_model = tiny_language_model("hyenadna")
    reference, variant = snv(1000, 500)
    assert language_model.most_bases == 128
    expected = score_variants(language_model, [(reference[437:565], variant[437:565])])
    assert score_variants(language_model, [(reference, variant)]) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"A window of 129 bases is longer than .* reads: choose at most 128\."):
        score_variants(language_model, [(reference, variant)], window=129)
    assert tiny_language_model("nt_v1").most_bases == (64 - 1 - 5) * 6 + 5
    assert len(score_variants(tiny_language_model("nt_v1"), [(reference, variant)])) == 1


def test_models_without_a_head_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"\(TextGenomeForConditionalGeneration\) has no head that predicts"):
        load_language_model(str(TINY_CHECKPOINT))
    EnformerModel(
        EnformerConfig(dim=12, depth=1, heads=2, attn_dim_key=4, num_downsamples=3, dim_divisible_by=2)
    ).save_pretrained(tmp_path / "enformer")
    with pytest.raises(ValueError, match=r"\(EnformerModel\) has neither a causal nor a masked head"):
        load_language_model(str(tmp_path / "enformer"))
    with pytest.raises(OSError, match="there is no such folder"):
        load_language_model(str(tmp_path / "nothing"))


def test_an_encoder_that_was_saved_without_its_head_is_refused(tmp_path):
    from transformers import MixtralModel

    MixtralModel.from_pretrained(folder_of("genos")).save_pretrained(tmp_path / "genos")
    with pytest.raises(ValueError, match=r"hold no weights for lm_head\.weight\. It was saved without its head"):
        load_language_model(str(tmp_path / "genos"))
    # This one has its head in its embedding.
    HyenaDNAModel.from_pretrained(folder_of("hyenadna")).save_pretrained(tmp_path / "hyenadna")
    pair = snv()
    again = load_language_model(str(tmp_path / "hyenadna"))
    assert score_variants(again, [pair]) == pytest.approx(score_variants(tiny_language_model("hyenadna"), [pair]))
