"""Alleles per second that `read_variants` makes rows of, on a random genome, with the checks of a model, on one core.

Example run:

    OMP_NUM_THREADS=1 python benchmarks/variants.py --alleles 10000
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from textgenome.data.variants import read_variants
from textgenome.processing import build_dna_tokenizer
from textgenome.processing.processing_dna import DNA_WINDOW


LENGTH = 2_000_000  # bases of the genome


def write_genome(folder: Path, alleles: int, soft_masked: bool) -> tuple[Path, Path]:
    """A FASTA file of one contig and a VCF file of so many single-base changes."""
    draw = random.Random(0)
    bases = "".join(draw.choices("ACGT", k=LENGTH))
    bases = bases.lower() if soft_masked else bases
    fasta, vcf = folder / "genome.fa", folder / "calls.vcf"
    fasta.write_text(">chr1\n" + "\n".join(bases[i : i + 60] for i in range(0, LENGTH, 60)) + "\n")
    lines = ["##fileformat=VCFv4.2", "\t".join(("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"))]
    for place in sorted(draw.sample(range(LENGTH), alleles)):
        reference = bases[place].upper()
        other = draw.choice("ACGT".replace(reference, ""))
        lines.append(f"chr1\t{place + 1}\tid{place % 5}\t{reference}\t{other}\t.\t.\t.")
    vcf.write_text("\n".join(lines) + "\n")
    return fasta, vcf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alleles", type=int, default=10_000, help="Of the VCF file.")
    parser.add_argument("--window", type=int, default=DNA_WINDOW, help="Bases of either window.")
    parser.add_argument("--soft_masked", action="store_true", help="A genome in lower case.")
    args = parser.parse_args()
    checks = {"dna_tokenizer": build_dna_tokenizer("hyenadna", args.window), "dna_window": args.window}
    with tempfile.TemporaryDirectory() as folder:
        fasta, vcf = write_genome(Path(folder), args.alleles, args.soft_masked)
        next(read_variants(vcf, fasta, window=args.window, **checks))  # writes the index, asks the tokenizer
        started = time.process_time()
        count = sum(1 for _ in read_variants(vcf, fasta, window=args.window, **checks))
    print(f"{count / (time.process_time() - started):,.0f} alleles a second")


if __name__ == "__main__":
    main()
