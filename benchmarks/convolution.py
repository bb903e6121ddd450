"""Milliseconds of a long convolution and its gradients, against one whose transforms are twice as long as the signal.

Example run:

    OMP_NUM_THREADS=1 python benchmarks/convolution.py
"""

import argparse
import time
from collections.abc import Callable

import torch

from textgenome.modeling_convolution import fft_convolution


def twice_the_length(signal: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    length = signal.shape[-1]
    spectrum = torch.fft.rfft(signal, n=2 * length) * torch.fft.rfft(filters, n=2 * length)
    return torch.fft.irfft(spectrum, n=2 * length)[..., :length]


def milliseconds(convolution: Callable, signal: torch.Tensor, filters: torch.Tensor, runs: int) -> float:
    """Processor time, the least of several runs."""
    times = []
    for _ in range(runs + 1):
        started = time.process_time()
        convolution(signal, filters).sum().backward()
        times.append(time.process_time() - started)
    return 1e3 * min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=128, help="Of the signal.")
    parser.add_argument("--runs", type=int, default=5, help="The least of these counts.")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 1953, 2039, 2047, 2048, 4099], help="Bases.")
    args = parser.parse_args()
    for length in args.lengths:
        signal = torch.randn(2, args.channels, length, requires_grad=True)
        filters = torch.randn(args.channels, length, requires_grad=True)
        before, after = (
            milliseconds(each, signal, filters, args.runs) for each in (twice_the_length, fft_convolution)
        )
        print(f"{length:>7} bases: {before:8.2f} -> {after:8.2f} ms, {after / before:.2f} x")


if __name__ == "__main__":
    main()
