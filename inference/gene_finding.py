"""Coding transcripts from the probabilities of coding bases: the best path through starts, introns and stops."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textgenome.data.sequences import reverse_complement
from textgenome.genome.transcripts import Transcript


_NOTHING = (float("-inf"), None)
_LOGIT = 6.0  # log-odds of a base beyond which its probability tells no more
_A, _G, _T = b"AGT"
# What a codon that an intron cuts must not go on with, by what is kept of it.
_STOPS = {"": ("TAA", "TAG", "TGA"), "T": ("AA", "AG", "GA"), "TA": ("A", "G"), "TG": ("A",)}


@dataclass(frozen=True)
class GeneRules:
    """What a transcript has to be.

    Args:
        any_introns: Introns may have any ends; by default they go from GT to AG.
        min_exon: Fewest bases of a coding exon, at least 3.
        min_intron: Fewest bases of an intron.
        max_intron: Most bases of an intron.
        cds_has_stop: Whether the probabilities are those of coding parts with the stop codon.
        gene_cost: How much a transcript has to gain, in log-odds.
        intron_cost: The same of an intron.
    """

    any_introns: bool = False
    min_exon: int = 12
    min_intron: int = 30
    max_intron: int = 200_000
    cds_has_stop: bool = True
    gene_cost: float = 8.0
    intron_cost: float = 8.0


def log_odds_of(probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """How much more a base counts if it is coding; 0 where its probability is the threshold."""
    p = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.clip(np.log(p / (1 - p)) - np.log(threshold / (1 - threshold)), -_LOGIT, _LOGIT)


def find_transcripts(
    contig: str,
    start: int,
    letters: str,
    log_odds: Sequence[np.ndarray],
    rules: GeneRules = GeneRules(),
    prefix: str = "g",
) -> list[Transcript]:
    """The coding transcripts of a stretch of a contig; of those that overlap on both strands the better one.

    Args:
        contig: Its name.
        start: Where on it the letters begin.
        letters: A, C, G, T and N.
        log_odds: Of the strands `+` and `-`, in the direction of `+`, see `log_odds_of`. One of them for both.
        rules: What a transcript has to be.
        prefix: What names of genes begin with.

    Returns:
        Transcripts along the contig, one a gene, with `cds` that ends with the stop codon, `exons` alike, and as
        `score` what the best path gains by it.
    """
    found, size = [], len(letters)
    for strand in "+-":
        odds = log_odds[0 if strand == "+" else -1]
        if strand == "+":
            genes = best_path(letters, odds, rules)
        else:
            genes = best_path(reverse_complement(letters), odds[::-1], rules)
            genes = [(gain, tuple((size - b, size - a) for a, b in parts[::-1])) for gain, parts in genes]
        found += [(gain, strand, parts) for gain, parts in genes]
    kept: list[tuple[float, str, tuple]] = []
    taken = np.zeros(size, bool)
    for gain, strand, parts in sorted(found, reverse=True):
        if not any(taken[a:b].any() for a, b in parts):
            kept.append((gain, strand, parts))
            for a, b in parts:
                taken[a:b] = True
    transcripts = []
    for gain, strand, parts in sorted(kept, key=lambda each: each[2]):
        name = f"{prefix}{len(transcripts) + 1}"
        parts = tuple((a + start, b + start) for a, b in parts)
        transcripts.append(Transcript(f"{name}.1", name, contig, strand, parts, parts, 0, gain))
    return transcripts


def with_untranslated(transcripts: Sequence[Transcript], start: int, exonic: Sequence[np.ndarray]) -> list[Transcript]:
    """Let the first and the last exon of transcripts go on as far as bases without a gap are labelled as exons.

    Args:
        transcripts: As `find_transcripts` gives them.
        start: Where on the contig the labels begin.
        exonic: Of the strands `+` and `-`, in the direction of `+`, which bases are labelled, bool. One for both.

    Returns:
        The transcripts with longer `exons`, which reach into no coding part of another one on their strand.
    """
    breaks = {}
    for strand in "+-":
        covered = exonic[0 if strand == "+" else -1].copy()
        for each in transcripts:
            for first, last in each.cds if each.strand == strand else ():
                covered[first - start : last - start] = False
        breaks[strand] = np.concatenate([[-1], np.flatnonzero(~covered), [len(covered)]]) + start
    found = []
    for each in transcripts:
        ends, (first, last) = breaks[each.strand], (each.cds[0][0], each.cds[-1][1])
        left = int(ends[np.searchsorted(ends, first) - 1]) + 1
        right = int(ends[np.searchsorted(ends, last)])
        parts = [list(part) for part in each.cds]
        parts[0][0], parts[-1][1] = left, right
        found.append(each._replace(exons=tuple(map(tuple, parts))))
    return found


def best_path(letters: str, log_odds: np.ndarray, rules: GeneRules) -> list[tuple[float, tuple[tuple[int, int], ...]]]:
    """The transcripts of one strand, from ATG to a stop codon, with the highest sum of log-odds over coding bases.

    The path is outside of genes, in one of three frames, or in an intron. In a frame no stop codon is passed; in an
    intron what is kept of the codon that it cuts sees to the same. Outside of exons nothing is added.

    Returns:
        What each transcript gains, its costs taken off, and its coding parts with the stop codon.
    """
    return _Path(letters, log_odds, rules).run()


class _Path:
    """The best paths to where reading is: each a value, and a chain of what it went through."""

    def __init__(self, letters: str, log_odds: np.ndarray, rules: GeneRules):
        self.letters, self.rules = letters, rules
        self.sums = np.concatenate([[0.0], np.cumsum(log_odds, dtype=np.float64)]).tolist()
        self.outside = (0.0, None)
        self.frames = [_NOTHING] * 3  # by the start of codons modulo 3; values less the sum where the exon begins
        self.introns: dict[str, tuple] = {}  # by what is kept of a codon
        self.entered: deque = deque()  # exons too short to end
        self.left: deque = deque()  # introns too short to end
        self.ended: deque = deque()  # genes whose stop codon is not over
        self.stopped: deque = deque()  # frames that may go on only by an intron in their stop codon

    def run(self) -> list[tuple[float, tuple[tuple[int, int], ...]]]:
        starts, stops, donors, acceptors = _sites(self.letters, self.rules.any_introns)
        kinds = starts + 2 * stops + 4 * donors + 8 * acceptors
        places = np.flatnonzero(kinds)
        for place, kind in zip(places.tolist(), kinds[places].tolist()):
            self.let_end(place)
            if kind & 2:
                self.stop(place)
            if kind & 4:
                self.leave(place)
            if kind & 8:
                self.enter(place)
            if kind & 1:
                self.start(place)
        self.let_end(len(self.letters) + self.rules.min_intron)
        found, chain = [], self.outside[1]
        while chain is not None:
            chain, gain, exons = chain
            parts = []
            while exons is not None:
                exons, first, last = exons
                parts.append((first, last))
            found.append((gain, tuple(parts[::-1])))
        return found[::-1]

    def let_end(self, place: int) -> None:
        while self.entered and self.entered[0][0] <= place:
            _, frame, value, chain = self.entered.popleft()
            if value > self.frames[frame][0]:
                self.frames[frame] = (value, chain)
        while self.ended and self.ended[0][0] <= place:
            _, value, chain = self.ended.popleft()
            if value > self.outside[0]:
                self.outside = (value, chain)
        while self.stopped and self.stopped[0][0] <= place:
            self.stopped.popleft()
        while self.left and self.left[0][0] <= place:
            _, kept, value, chain = self.left.popleft()
            if value > self.introns.get(kept, _NOTHING)[0]:
                self.introns[kept] = (value, chain)

    def start(self, place: int) -> None:
        value = self.outside[0] - self.rules.gene_cost - self.sums[place]
        self._push(place, place % 3, value, (self.outside, None, place))

    def stop(self, place: int) -> None:
        """End a gene, and all that go on in the frame of this stop codon, but for an intron that cuts it."""
        frame = place % 3
        value, chain = self.frames[frame]
        if chain is not None:
            self.stopped.append((place + 3, frame, value, chain))
            value += self.sums[place + 3 if self.rules.cds_has_stop else place]
            if value > self.outside[0]:
                before, exons, first = chain
                exons = (exons, first, place + 3)
                self.ended.append((place + 3, value, (before[1], value - before[0], exons)))
        self.frames[frame] = _NOTHING
        if any(each[1] == frame for each in self.entered):
            self.entered = deque(each for each in self.entered if each[1] != frame)

    def leave(self, place: int) -> None:
        """End exons by the intron that begins here."""
        going = [(frame, *each) for frame, each in enumerate(self.frames)]
        for frame, value, chain in [*going, *(each[1:] for each in self.stopped)]:
            if chain is None:
                continue
            kept = self.letters[place - (place - frame) % 3 : place]
            kept = kept if kept in _STOPS else "*" * len(kept)
            value += self.sums[place] - self.rules.intron_cost
            if value > self.introns.get(kept, _NOTHING)[0]:
                before, exons, first = chain
                self.left.append((place + self.rules.min_intron, kept, value, (before, (exons, first, place))))

    def enter(self, place: int) -> None:
        """Begin exons after the intron that ends here."""
        for kept, (value, (before, exons)) in self.introns.items():
            following = self.letters[place : place + 3 - len(kept)]
            if following in _STOPS.get(kept, ()) or place - exons[2] > self.rules.max_intron:
                continue
            self._push(place, (place - len(kept)) % 3, value - self.sums[place], (before, exons, place))

    def _push(self, place: int, frame: int, value: float, chain: tuple) -> None:
        if value > self.frames[frame][0]:
            self.entered.append((place + self.rules.min_exon, frame, value, chain))


def _sites(letters: str, any_introns: bool) -> tuple[np.ndarray, ...]:
    """Where start codons and stop codons begin, and introns begin and end, each uint8 of `(bases + 1,)`."""
    codes = np.frombuffer(letters.encode(), np.uint8)
    size = len(codes)
    starts, stops, donors, acceptors = (np.zeros(size + 1, np.uint8) for _ in range(4))
    if size < 3:
        return starts, stops, donors, acceptors
    first, second, third = codes[:-2], codes[1:-1], codes[2:]
    starts[: size - 2] = (first == _A) & (second == _T) & (third == _G)
    stops[: size - 2] = (first == _T) & (
        (second == _A) & ((third == _A) | (third == _G)) | (second == _G) & (third == _A)
    )
    if any_introns:
        donors[1:size] = acceptors[1:size] = 1
    else:
        donors[: size - 1] = (codes[:-1] == _G) & (codes[1:] == _T)
        acceptors[2 : size + 1] = (codes[:-1] == _A) & (codes[1:] == _G)
    return starts, stops, donors, acceptors


__all__ = ["GeneRules", "best_path", "find_transcripts", "log_odds_of", "with_untranslated"]
