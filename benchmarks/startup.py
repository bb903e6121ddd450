"""Processor time of `textgenome --help`, of the help of each command, and of `import textgenome`, in fresh processes.

Example run, of two environments side by side:

    python benchmarks/startup.py before/.venv/bin .venv/bin
"""

import argparse
import os
import re
import statistics
import subprocess
from pathlib import Path


def processor_time(command: list[str | Path]) -> float:
    """Seconds of processor time, user and system, of a process that must end well."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with exit code {process.returncode}.")
    return usage.ru_utime + usage.ru_stime


def commands_of(folder: Path) -> list[str]:
    """The commands that the console script of an environment has."""
    shown = subprocess.run([folder / "textgenome", "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  (\w+) ", shown.partition("Commands:")[2], re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="`bin` of environments that have textgenome.")
    parser.add_argument("--runs", type=int, default=3, help="Of each process; the median is printed.")
    args = parser.parse_args()
    names = {name: None for folder in args.folders for name in commands_of(folder)}
    measured = {"import textgenome": ["python", "-c", "import textgenome"], "--help": ["textgenome", "--help"]}
    measured |= {f"{name} --help": ["textgenome", name, "--help"] for name in names}
    print(f"{'processor time [s]':<20}" + "".join(f"{str(folder)[-28:]:>30}" for folder in args.folders))
    for title, (script, *words) in measured.items():
        times = {folder: [] for folder in args.folders}
        for _ in range(args.runs):
            for folder in args.folders:
                times[folder].append(processor_time([folder / script, *words]))
        print(f"{title:<20}" + "".join(f"{statistics.median(each):>30.2f}" for each in times.values()), flush=True)


if __name__ == "__main__":
    main()
