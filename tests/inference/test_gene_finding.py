import gzip
import random
from itertools import pairwise

import numpy as np
import pytest
from conftest import SHARED

from textgenome.data.sequences import reverse_complement
from textgenome.genome.gtf import read_annotation
from textgenome.genome.transcripts import Transcript
from textgenome.inference.gene_finding import GeneRules, best_path, find_transcripts, log_odds_of, with_untranslated


CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in ("TAA", "TAG", "TGA", "ATG")]


def make_gene(seed, introns=2, ends=("GT", "AG")):
    """A gene with 100 bases before and after it, and its coding parts with the stop codon."""
    rng = random.Random(seed)
    coding = "ATG" + "".join(rng.choices(CODONS, k=60)) + "TAA"
    cuts = [0, *sorted(rng.sample(range(20, 160, 21), introns)), len(coding)]
    text, parts = "".join(rng.choices("ACGT", k=100)), []
    for number, (first, last) in enumerate(pairwise(cuts)):
        parts.append((len(text), len(text) + last - first))
        text += coding[first:last]
        if number < introns:
            text += ends[0] + "".join(rng.choices("ACGT", k=50)) + ends[1]
    return text + "".join(rng.choices("ACGT", k=100)), tuple(parts)


def odds_of(size, parts, height=2.0, noise=0.0, seed=0):
    odds = np.full(size, -height)
    for start, end in parts:
        odds[start:end] = height
    return odds + np.random.default_rng(seed).normal(0, noise, size)


@pytest.mark.parametrize("seed", range(8))
def test_a_gene_is_found_on_either_strand(seed):
    letters, parts = make_gene(seed)
    odds = odds_of(len(letters), parts)
    (found,) = find_transcripts("c", 7, letters, [odds, np.full(len(odds), -2.0)])
    assert (found.strand, found.contig) == ("+", "c")
    assert found.cds == tuple((a + 7, b + 7) for a, b in parts)
    size = len(letters)
    (found,) = find_transcripts("c", 0, reverse_complement(letters), [odds[::-1]])
    assert (found.strand, found.cds) == ("-", tuple((size - b, size - a) for a, b in parts[::-1]))


def test_ends_are_found_where_probabilities_are_a_few_bases_off():
    right = 0
    for seed in range(8):
        letters, parts = make_gene(seed)
        blurred = [(a - 3, b + 3) for a, b in parts]
        right += best_path(letters, odds_of(len(letters), blurred, noise=1.0), GeneRules())[0][1] == parts
    assert right >= 4


@pytest.mark.parametrize("seed", range(20))
def test_what_is_found_is_always_a_transcript(seed):
    letters = "".join(random.Random(seed).choices("ACGTN", [5, 5, 5, 5, 0.1], k=3000))
    odds = np.random.default_rng(seed).normal(0.3, 1.5, 3000)
    rules = GeneRules(gene_cost=1, intron_cost=1, min_exon=12)
    genes = best_path(letters, odds, rules)
    assert genes
    for (gain, parts), following in zip(genes, [*genes[1:], (0, ((3000, 3000),))]):
        text = "".join(letters[a:b] for a, b in parts)
        codons = [text[i : i + 3] for i in range(0, len(text), 3)]
        assert text[:3] == "ATG" and codons[-1] in ("TAA", "TAG", "TGA") and len(text) % 3 == 0
        assert not {"TAA", "TAG", "TGA"} & set(codons[:-1])
        assert all(b - a >= 12 for a, b in parts) and parts[-1][1] <= following[1][0][0]
        for (_, a), (b, _) in pairwise(parts):
            assert letters[a : a + 2] == "GT" and letters[b - 2 : b] == "AG" and b - a >= 30
        costs = 1 + len(parts) - 1
        assert gain == pytest.approx(sum(odds[a:b].sum() for a, b in parts) - costs) and gain > 0


def test_introns_with_other_ends_are_asked_for():
    letters, parts = make_gene(3, introns=1, ends=("CC", "TT"))
    odds = odds_of(len(letters), parts, height=4.0)
    assert best_path(letters, odds, GeneRules(any_introns=True))[0][1] == parts
    assert [found for _, found in best_path(letters, odds, GeneRules())] != [parts]


def test_nothing_is_found_where_nothing_is_coding():
    letters, _ = make_gene(1)
    assert not find_transcripts("c", 0, letters, [np.full(len(letters), -1.0)])
    assert not find_transcripts("c", 0, "AC", [np.full(2, 1.0)])


def test_untranslated_parts_go_on_from_coding_ones_without_a_gap():
    parts = {"a": ("+", ((110, 119), (130, 136))), "b": ("+", ((150, 156),)), "c": ("-", ((160, 166),))}
    found = [Transcript(name, name, "c", strand, cds, cds) for name, (strand, cds) in parts.items()]
    plus, minus = np.zeros(80, bool), np.zeros(80, bool)
    plus[0:2] = plus[5:60] = minus[50:80] = True
    exons = [each.exons for each in with_untranslated(found, 100, [plus, minus])]
    assert exons == [((105, 119), (130, 150)), ((136, 160),), ((150, 180),)]
    assert [each.exons for each in with_untranslated(found, 100, [plus])][2] == ((105, 166),)
    assert all(each.cds == parts[each.name][1] for each in with_untranslated(found, 100, [plus, minus]))


def test_log_odds_are_0_at_the_threshold():
    odds = log_odds_of(np.array([0.2, 0.5, 1.0, 0.0], np.float16), 0.2)
    assert odds[0] == pytest.approx(0, abs=1e-3) and odds[1] == pytest.approx(np.log(4)) and abs(odds[2:]).max() == 6


def test_true_labels_give_the_genes_of_the_fly_back():
    folder = SHARED / "data" / "annotation"
    if not folder.exists():
        pytest.skip("the loci of ../shared/data/annotation are not beside this checkout")
    annotation = read_annotation(folder / "fly.gtf.gz")
    contigs = gzip.decompress((folder / "fly.fa.gz").read_bytes()).decode().split(">")[1:60]
    rules = GeneRules(any_introns=False, min_exon=3, cds_has_stop=False)
    right = canonical = 0
    for text in contigs:
        name, _, letters = text.partition("\n")
        letters = letters.replace("\n", "").upper()
        (truth,) = annotation.transcripts(name.split()[0])
        labels = [annotation.labels(truth.contig, 0, len(letters), ["CDS"], strand)[:, 0] for strand in "+-"]
        found = find_transcripts(truth.contig, 0, letters, [log_odds_of(each) for each in labels], rules)
        introns = [(a, b) for (_, a), (b, _) in zip(truth.cds, truth.cds[1:])]
        ends = {("GT", "AG"), ("CT", "AC")}
        canonical += all((letters[a : a + 2], letters[b - 2 : b]) in ends for a, b in introns)
        last = slice(0, -1) if truth.strand == "+" else slice(1, None)
        same = [each for each in found if each.strand == truth.strand and each.cds[last] == truth.cds[last]]
        right += len(found) == 1 and bool(same)
    assert right == canonical > 50
