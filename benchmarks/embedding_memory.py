"""Peak memory and speed of `textgenome embed` for more and more windows, each number in a process of its own.

Random windows of a random genome, by a tiny HyenaDNA encoder of random weights unless another one is named.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from textgenome import HyenaDNAConfig, HyenaDNAModel
from textgenome.processing import build_dna_tokenizer


CONTIG = 5_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--bases", type=int, default=128, help="of a window")
    parser.add_argument("--batch_bases", type=int, default=8192, help="so few that the fewest windows fill batches")
    parser.add_argument("--model", help="folder or Hub id")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fasta, model = write_genome(folder / "genome.fa"), args.model or write_model(folder / "model", args.bases)
        print(f"| windows of {args.bases} bases | peak memory | seconds | bases a second | output |")
        print("|---|---|---|---|---|")
        for number in args.windows:
            bed = write_bed(folder / f"{number}.bed", number, args.bases)
            output = folder / f"{number}.parquet"
            words = ["--model", model, "--fasta", fasta, "--bed", bed, "--output", output]
            words += ["--batch_bases", args.batch_bases]
            seconds, peak = run([sys.executable, "-m", "textgenome.commands", "embed", *map(str, words)])
            speed, size = number * args.bases / seconds, output.stat().st_size
            print(
                f"| {number:,} | {peak / 1e9:.2f} GB | {seconds:.0f} | {speed:,.0f} | {size / 1e6:.1f} MB |",
                flush=True,
            )


def run(words: list[str]) -> tuple[float, float]:
    """Seconds that a command takes, and the peak of its resident memory in bytes."""
    started = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with the status {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_maxrss * 1024


def write_genome(path: Path) -> Path:
    bases = "".join(random.Random(0).choices("ACGT", k=CONTIG))
    path.write_text(">chr1\n" + "\n".join(bases[i : i + 80] for i in range(0, CONTIG, 80)) + "\n")
    return path


def write_bed(path: Path, number: int, bases: int) -> Path:
    draw = random.Random(1)
    starts = (draw.randrange(CONTIG - bases) for _ in range(number))
    path.write_text("".join(f"chr1\t{start}\t{start + bases}\n" for start in starts))
    return path


def write_model(folder: Path, bases: int) -> Path:
    HyenaDNAModel(HyenaDNAConfig(d_model=16, d_inner=32, n_layer=2, max_seq_len=bases)).save_pretrained(folder)
    build_dna_tokenizer(model_max_length=bases).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
