"""What the service counts, in the text format of Prometheus: sizes, times and outcomes, nothing of what is asked."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import torch


SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)  # upper bounds of the buckets of latencies
STATM = Path("/proc/self/statm")  # where there is none, the memory is left out
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Latencies in buckets, in seconds."""

    def __init__(self):
        self.buckets, self.sum = [0] * (len(SECONDS) + 1), 0.0

    def observe(self, seconds: float) -> None:
        place = next((i for i, bound in enumerate(SECONDS) if seconds <= bound), len(SECONDS))
        self.buckets[place] += 1
        self.sum += seconds

    def lines(self, name: str, label: str = "") -> Iterator[str]:
        below = list(accumulate(self.buckets))
        for bound, count in zip((*map(str, SECONDS), "+Inf"), below):
            labels = ",".join(filter(None, (label, f'le="{bound}"')))
            yield f"{name}_bucket{{{labels}}} {count}"
        labels = f"{{{label}}}" if label else ""
        yield f"{name}_sum{labels} {self.sum:.6f}"
        yield f"{name}_count{labels} {below[-1]}"


class Metrics:
    """Counts of one service. Only the event loop writes and reads them."""

    def __init__(self):
        self.started = time.time()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.request_seconds: dict[str, Histogram] = {}
        self.answers: Counter[str] = Counter()
        self.jobs: Counter[tuple[str, str]] = Counter()
        self.prompt_tokens = self.completion_tokens = 0
        self.first_token_seconds, self.answer_seconds = Histogram(), Histogram()

    def count_request(self, path: str, status: int, seconds: float) -> None:
        self.requests[path, status] += 1
        self.request_seconds.setdefault(path, Histogram()).observe(seconds)

    def count_answer(self, outcome: str, prompt_tokens: int, completion_tokens: int, seconds: float) -> None:
        self.answers[outcome] += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.answer_seconds.observe(seconds)

    def count_job(self, name: str, outcome: str, tokens: int) -> None:
        self.jobs[name, outcome] += 1
        self.prompt_tokens += tokens

    def text(self, **gauges: float) -> str:
        """All of it, with what is measured at this moment: by name its value."""
        lines = []
        for name, kind, meaning, samples in [*self._counters(), *self._histograms(), *self._gauges(gauges)]:
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *samples]
        return "\n".join(lines) + "\n"

    def _counters(self) -> Iterator[tuple[str, str, str, list[str]]]:
        name = "textgenome_requests_total"
        counts = sorted(self.requests.items())
        samples = [f'{name}{{path="{path}",status="{status}"}} {count}' for (path, status), count in counts]
        yield name, "counter", "Requests, by path and status.", samples
        name = "textgenome_answers_total"
        samples = [f'{name}{{outcome="{outcome}"}} {count}' for outcome, count in sorted(self.answers.items())]
        yield name, "counter", "Questions, by what became of them.", samples
        name = "textgenome_jobs_total"
        counts = sorted(self.jobs.items())
        samples = [f'{name}{{kind="{kind}",outcome="{outcome}"}} {count}' for (kind, outcome), count in counts]
        yield name, "counter", "Embeddings and scores that were asked for, by what became of them.", samples
        for part, count in (("prompt", self.prompt_tokens), ("completion", self.completion_tokens)):
            name = f"textgenome_{part}_tokens_total"
            yield name, "counter", f"Tokens of the {part}s of all questions and jobs.", [f"{name} {count}"]

    def _histograms(self) -> Iterator[tuple[str, str, str, list[str]]]:
        name, paths = "textgenome_request_seconds", sorted(self.request_seconds.items())
        samples = [line for path, latencies in paths for line in latencies.lines(name, f'path="{path}"')]
        yield name, "histogram", "Time from a request to the end of its response, by path.", samples
        name = "textgenome_first_token_seconds"
        samples = list(self.first_token_seconds.lines(name))
        yield name, "histogram", "Time from a question to its first token.", samples
        name = "textgenome_answer_seconds"
        yield (
            name,
            "histogram",
            "Time from a question to the end of its answer.",
            list(self.answer_seconds.lines(name)),
        )

    def _gauges(self, values: dict[str, float]) -> Iterator[tuple[str, str, str, list[str]]]:
        for name, value in (values | memory() | {"process_start_time_seconds": self.started}).items():
            yield name, "gauge", GAUGES[name], [f"{name} {value}"]


GAUGES = {
    "textgenome_ready": "Whether the model is loaded.",
    "textgenome_questions_waiting": "Questions in the queue.",
    "textgenome_questions_running": "Questions that are answered now.",
    "textgenome_jobs": "Embeddings and scores that wait or are computed now.",
    "textgenome_waiting_bytes": "What the requests that are read or wait hold of the bound on all of them.",
    "process_start_time_seconds": "When the service started, in seconds since 1970.",
    "process_resident_memory_bytes": "Resident memory of the service.",
    "textgenome_device_memory_bytes": "Memory of the accelerator that is allocated.",
}


def memory() -> dict[str, int]:
    """By name the memory in use, as far as this system tells."""
    found = {}
    if STATM.exists():
        found["process_resident_memory_bytes"] = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if torch.cuda.is_available():
        found["textgenome_device_memory_bytes"] = torch.cuda.memory_allocated()
    return found


__all__ = ["CONTENT_TYPE", "Metrics"]
