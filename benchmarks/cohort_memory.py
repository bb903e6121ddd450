"""Peak memory and processor seconds of `textgenome ask --vcf`, `evaluate` and `windows`, by number of alleles.

Each is a process of its own. The model writes one token. Windows of `--window` bases are cut of the genome, of which
the model sees what its own window holds. Example run, some minutes on one core:

    OMP_NUM_THREADS=1 python benchmarks/cohort_memory.py --alleles 1000 100000 --window 64 --batch_size 256
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from variants import write_genome

from textgenome.data.files import write_rows
from textgenome.data.variants import read_variants
from textgenome.evaluation import evaluate_model
from textgenome.inference import ask_vcf
from textgenome.processing.processing_dna import DNA_WINDOW


def measured(run: Callable[[], object]) -> tuple[float, float]:
    """Peak resident memory in MB, and processor seconds, of a call in a process that ends with it."""

    def child(pipe) -> None:
        started = time.process_time()
        run()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        pipe.send((memory, time.process_time() - started))

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def make_windows(vcf: Path, fasta: Path, table: Path, window: int) -> None:
    write_rows(read_variants(vcf, fasta, window=window, labels="ID", dna_window=window), table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tests/tiny_checkpoint", help="A fused model: folder or Hub id.")
    parser.add_argument("--alleles", type=int, nargs="+", default=[1000, 100_000], help="Of the VCF file.")
    parser.add_argument("--window", type=int, default=DNA_WINDOW, help="Bases of either window.")
    parser.add_argument("--batch_size", type=int, default=64, help="Rows to process at a time.")
    args = parser.parse_args()

    peaks: dict[str, list[float]] = {}
    for alleles in args.alleles:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            fasta, vcf = write_genome(folder, alleles, soft_masked=False)
            table, options = folder / "rows.jsonl", {"batch_size": args.batch_size, "max_new_tokens": 1}
            runs = {
                "windows": partial(make_windows, vcf, fasta, table, args.window),
                "ask --vcf": partial(
                    ask_vcf, args.model, vcf, fasta, "Harmful?", folder / "answers", window=args.window, **options
                ),
                "evaluate": partial(
                    evaluate_model, args.model, str(table), "train", folder / "evaluation", [], **options
                ),
            }
            for name, run in runs.items():
                memory, seconds = measured(run)
                peaks.setdefault(name, []).append(memory)
                ratio = memory / peaks[name][0]
                print(f"{name:<10}{alleles:>8} alleles: {memory:7.0f} MB, {ratio:.3f} x; {seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
