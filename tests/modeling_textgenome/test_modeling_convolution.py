import pytest
import torch

from textgenome.modeling_convolution import fft_convolution, fft_length


@pytest.mark.parametrize("length", [1, 2, 97, 128, 251])
@pytest.mark.parametrize("taps", [1, 0.5, 0], ids=["all", "half", "one"])
def test_convolution_is_the_sum_over_what_came_before(length, taps):
    taps = max(1, int(taps * length))
    signal, filters = torch.randn(2, 3, length, dtype=torch.double), torch.randn(3, taps, dtype=torch.double)
    expected = torch.zeros_like(signal)
    for lag in range(taps):
        expected[..., lag:] += filters[:, lag, None] * signal[..., : length - lag]
    torch.testing.assert_close(fft_convolution(signal, filters), expected)


def test_lengths_are_the_next_products_of_two_three_and_five():
    def is_smooth(number: int) -> bool:
        for prime in (2, 3, 5):
            while number % prime == 0:
                number //= prime
        return number == 1

    for least in (*range(1, 300), 3905, 4093, 4096, 65_497, 2_000_003):
        assert fft_length(least) == next(n for n in range(least + least % 2, 2 * least + 2, 2) if is_smooth(n))
