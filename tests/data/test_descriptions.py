import pytest

from textgenome.data.descriptions import KEGG, STARTER, Description, find_description
from textgenome.data.rows import load_rows


PATHWAY = (
    "Genes in the pathway: PDE11A; phosphodiesterase 11A | CREB1; responsive element binding protein 1\n\n"
    "Given this context, what is the biological effect of this PDE11A allele?"
)


def test_a_known_data_set_is_recognised_by_its_questions(kegg_folder):
    rows = load_rows(str(kegg_folder), "val").to_list()
    description = find_description(rows)
    assert description == KEGG
    assert all(description.locus(row) in description.genes(row) for row in rows)
    assert find_description(load_rows("starter", "validation").to_list()) == STARTER


def test_loci_and_genes_of_a_pathway():
    row = {"question": PATHWAY}
    assert find_description([{"question": None}, row]) == KEGG
    assert KEGG.locus(row) == "PDE11A" and KEGG.genes(row) == {"PDE11A", "CREB1"}
    assert KEGG.locus({"question": "Why?"}) is None and KEGG.genes({"question": "Why?"}) == set()


def test_another_table_is_described_by_what_is_given():
    rows = [{"question": "Is BRCA2 c.68-7T>A harmful?", "symbol": " BRCA2 ", "number": 0}, {"symbol": ""}]
    assert find_description(rows) == Description() and Description().locus(rows[0]) is None
    by_pattern = find_description(rows, locus_pattern=r"^Is (\w+) ", locus_column=None)
    assert [by_pattern.locus(row) for row in rows] == ["BRCA2", None]
    by_column = find_description(rows, locus_column="symbol", constant_question="Is it harmful?")
    assert [by_column.locus(row) for row in rows] == ["BRCA2", None]
    assert by_column.genes(rows[0]) == {"BRCA2"} and by_column.constant_question == "Is it harmful?"
    assert find_description(rows, locus_column="number").locus(rows[0]) == "0"


@pytest.mark.parametrize(
    "given, message",
    [
        (
            {"locus_pattern": "of this allele"},
            "locus_pattern 'of this allele' has 0 groups in parentheses, but needs 1",
        ),
        ({"locus_pattern": "(a)(b)"}, "has 2 groups in parentheses, but needs 1"),
        ({"listed_gene_pattern": r"(\w+);"}, "listed_gene_pattern .* has 1 groups in parentheses, but needs 2"),
        ({"locus_pattern": "of this ("}, "locus_pattern 'of this \\(' is not a regular expression"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        find_description([], **given)
