"""The conditions of an evaluation: names for flags and files, and the words that tables and pages show for them."""

from typing import NamedTuple


class Condition(NamedTuple):
    """One way to ask, or to answer, the evaluated rows.

    Attributes:
        title: What tables show.
        kind: `model`, `text-only`, `control` or `baseline`.
        meaning: A sentence or two: what is done, and what a difference in accuracy shows.
    """

    title: str
    kind: str
    meaning: str


AS_IS, TEXT_ONLY = "as_is", "text_only_model"
CONDITIONS = {
    AS_IS: Condition("unchanged", "model", "The model answers the unchanged rows."),
    TEXT_ONLY: Condition(
        "text-only model",
        "text-only",
        "Another model, trained by the same recipe without DNA. What the model gets right beyond it comes from DNA.",
    ),
    "dna_exchanged": Condition(
        "DNA exchanged",
        "control",
        "Each row gets the DNA of another row. A drop shows that answers depend on which DNA the model reads.",
    ),
    "dna_removed": Condition(
        "DNA removed",
        "control",
        "The model reads the question only. A drop shows that it needs DNA, or that prompts without any confuse it.",
    ),
    "dna_shuffled": Condition(
        "DNA shuffled",
        "control",
        "The bases of each window are shuffled, its dinucleotides kept. A drop shows that their order matters, beyond "
        "composition.",
    ),
    "pair_swapped": Condition(
        "pair swapped",
        "control",
        "Reference and variant change places. A drop shows that the model tells which is which.",
    ),
    "reference_only": Condition(
        "reference only",
        "control",
        "The reference replaces the variant. A drop shows that the model reads the change, not only its surroundings.",
    ),
    "reverse_complement": Condition(
        "reverse complement",
        "control",
        "The model reads the other strand. A drop shows that it depends on which strand is given.",
    ),
    "constant_question": Condition(
        "constant question",
        "control",
        "Every row asks the same question. A drop shows that the questions gave answers away.",
    ),
    "genes_masked": Condition(
        "genes masked",
        "control",
        "Random symbols replace the genes in the question. A drop shows that answers depend on the names of genes.",
    ),
    "labels_shuffled": Condition(
        "labels shuffled",
        "control",
        "The small CNN, trained again with the labels of the train split in random order: what chance reaches here.",
    ),
    "majority": Condition("majority", "baseline", "The most frequent answer of the train split."),
    "mean": Condition("mean", "baseline", "The mean of the train split."),
    "substitution": Condition(
        "substitution in context",
        "baseline",
        "Logistic regression, of values ridge regression, on the change and the bases beside it (the trinucleotide).",
    ),
    "kmers": Condition(
        "3-5-mers",
        "baseline",
        "Logistic regression, of values ridge regression, on counts of 3-, 4- and 5-mers; of pairs also on their "
        "differences.",
    ),
    "small_cnn": Condition(
        "small CNN", "baseline", "A convolutional network of two layers, trained from scratch on the train split."
    ),
    "question_lookup": Condition(
        "question look-up", "baseline", "The most frequent answer that the train split gives to the same question."
    ),
    "question_tfidf": Condition(
        "question tf-idf", "baseline", "Logistic regression on the words of the question, fitted to the train split."
    ),
    "reference_16mers": Condition(
        "reference 16-mers", "baseline", "The answer of the train row whose reference shares most 16-mers."
    ),
    "reference_6mers": Condition(
        "reference 6-mers",
        "baseline",
        "Logistic regression on the reference's 6-mers, fitted to the train split.",
    ),
}


def find_condition(name: str) -> Condition:
    """The condition of a name in `CONDITIONS`, or of controls that are joined by `+` and made one after the other."""
    if name in CONDITIONS:
        return CONDITIONS[name]
    parts = [CONDITIONS[part] for part in name.split("+")]
    title = ", ".join(part.title for part in parts)
    return Condition(title, "control", "Together: " + " ".join(part.meaning for part in parts))


__all__ = ["AS_IS", "CONDITIONS", "TEXT_ONLY", "Condition", "find_condition"]
