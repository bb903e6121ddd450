"""Answers per second and memory of the service under load, and whether many together hear what each hears alone.

Starts the service, asks one at a time, then with many clients at once. Example run, after `make train`:

    python benchmarks/serving.py --model outputs/starter
"""

import argparse
import collections
import socket
import statistics
import subprocess
import sys
import threading
import time

import psutil
import requests
from tqdm import tqdm

from textgenome.data.rows import load_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="outputs/starter", help="Folder or Hub id.")
    parser.add_argument("--dataset_name", default="starter", help="Rows: file, folder, Hub id or `starter`.")
    parser.add_argument("--split", default="validation", help="Split of the rows.")
    parser.add_argument("--rows", type=int, default=64, help="Different rows to ask about.")
    parser.add_argument("--clients", type=int, default=64, help="Clients at once.")
    parser.add_argument("--seconds", type=float, default=60, help="How long they ask.")
    parser.add_argument(
        "--long", type=int, default=600, help="Tokens of a long answer, during which a short one is asked for."
    )
    args = parser.parse_args()

    columns = ("question", "reference_sequence", "variant_sequence")
    rows = load_rows(args.dataset_name, args.split).to_list()[: args.rows]
    bodies = [{name: row[name] for name in columns} | {"max_length": 64} for row in rows]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    words = [sys.executable, "-m", "textgenome.commands", "serve", args.model, "--port", str(port)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_ready(url, process)
            measure_beside(url, bodies[0], args.long)
            measure(url, process, bodies, args.clients, args.seconds)
        finally:
            process.terminate()


def wait_until_ready(url: str, process: subprocess.Popen) -> None:
    while process.poll() is None:
        try:
            if requests.get(f"{url}/health").ok:
                return
        except requests.exceptions.ConnectionError:
            pass
        time.sleep(0.2)
    raise RuntimeError("The service did not start: run `textgenome serve` to see why.")


def measure_beside(url: str, body: dict, tokens: int) -> None:
    """Seconds to a short answer, alone and while a long one is written."""

    def seconds(**options) -> float:
        asked = time.monotonic()
        requests.post(f"{url}/predict", json={**body, "max_length": 8, **options}).raise_for_status()
        return time.monotonic() - asked

    alone = statistics.median(seconds() for _ in range(5))
    # At a temperature answers do not end early.
    long = threading.Thread(target=seconds, kwargs={"max_length": tokens, "temperature": 5.0})
    long.start()
    time.sleep(2 * alone)
    beside = [seconds() for _ in range(5) if long.is_alive()]
    long.join()
    print(
        f"8 tokens: {alone:.3f} s alone; {statistics.median(beside):.3f} s beside a long answer ({len(beside)} asked)"
    )


def measure(url: str, process: subprocess.Popen, bodies: list[dict], clients: int, seconds: float) -> None:
    session = requests.Session()
    started = time.monotonic()
    alone = [session.post(f"{url}/predict", json=body).json()["answer"] for body in tqdm(bodies, "One at a time")]
    speed = len(bodies) / (time.monotonic() - started)
    print(f"one at a time: {speed:.1f} answers/s")

    statuses, different, waits = collections.Counter(), collections.Counter(), []
    end = time.monotonic() + seconds

    def ask_in_turn(client: int) -> None:
        session, i = requests.Session(), client
        while (asked := time.monotonic()) < end:
            response = session.post(f"{url}/predict", json=bodies[i % len(bodies)])
            waits.append(time.monotonic() - asked)
            statuses[response.status_code] += 1
            if response.ok:
                different[response.json()["answer"] != alone[i % len(bodies)]] += 1
            i += 1

    threads = [threading.Thread(target=ask_in_turn, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    memory = []
    for second in tqdm(range(1, round(seconds) + 1), f"{clients} clients", unit="s"):
        time.sleep(max(0, end - seconds + second - time.monotonic()))
        memory.append(psutil.Process(process.pid).memory_info().rss)
    for thread in threads:
        thread.join()
    together = statuses[200] / seconds
    print(f"{clients} clients: {together:.1f} answers/s, {together / speed:.1f} times as many")
    print(f"statuses: {dict(statuses)}; answers that differ from those alone: {different[True]}")
    *_, most = statistics.quantiles(waits, n=20)
    half = statistics.median(waits)
    print(f"seconds to an answer: {1 / speed:.2f} alone; together {half:.2f} (median), {most:.2f} (95 %)")
    early = memory[min(9, len(memory) - 1)]
    print(f"resident memory: {early / 1e6:.0f} MB after 10 s, {memory[-1] / 1e6:.0f} MB after {seconds:g} s")


if __name__ == "__main__":
    main()
