"""The proteins that coding sequences encode, and how they are asked for."""

# The standard genetic code, table 1 of NCBI, with the bases in the order T, C, A, G.
_AMINO_ACIDS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODE = {a + b + c: _AMINO_ACIDS[16 * i + 4 * j + k] for i, a in enumerate("TCAG") for j, b in enumerate("TCAG")
        for k, c in enumerate("TCAG")}  # fmt: skip
QUESTIONS = {
    "known": "Which protein does this coding sequence encode?",
    "unknown": "Which protein does one frame of this sequence encode?",
}


def translate(sequence: str) -> str:
    """The protein of a coding sequence in the letters A, C, G, T and N, by the standard code.

    A stop codon is `*`, a codon with N is `X`; one or two bases after the last codon are left out.
    """
    return "".join(CODE.get(sequence[i : i + 3], "X") for i in range(0, len(sequence) - 2, 3))


def spaced(protein: str) -> str:
    """A protein as it is asked for: with spaces, so that tokenizers keep one token for each amino acid."""
    return " ".join(protein)


__all__ = ["CODE", "QUESTIONS", "spaced", "translate"]
