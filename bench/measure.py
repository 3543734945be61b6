"""Timing whole commands in turn.

Absolute times say little: machines differ, and one machine differs from minute to minute. So commands that are to be
compared run in turn, A B C A B C, and what is printed of two of them is the median of their ratios within a turn.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time


REPORT_FD = 3


class Failure(Exception):
    pass


class Run:
    """One finished process: seconds, and peak memory in bytes."""

    def __init__(self, wall, cpu, memory, output):
        self.wall, self.cpu, self.memory, self.output = wall, cpu, memory, output


timed = None


def time_with(program):
    """The program that measures (bench/timed.c); before the first run."""
    global timed
    timed = program


def run(argv, output=None, accept=(0,)):
    """Runs a command once. Its output goes to the file `output`, or is kept when that is None."""
    with tempfile.TemporaryFile() as kept, tempfile.TemporaryFile() as report, open(output or os.devnull, "wb") as sink:
        target = sink if output else kept
        code = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawnp(
            timed, [timed, *argv], os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, target.fileno(), 1),
                          (os.POSIX_SPAWN_DUP2, report.fileno(), REPORT_FD)]), 0)[1])
        if code not in accept:
            raise Failure(f"exit status {code}: {' '.join(argv)}")
        kept.seek(0)
        text = "" if output else kept.read().decode(errors="replace")
        report.seek(0)
        wall, user, system, memory = report.read().split()
    return Run(float(wall), float(user) + float(system), int(memory), text)


class Command:
    """What is timed: a command line, where its output goes, and what must be done before each run."""

    def __init__(self, name, argv, output=None, prepare=None, accept=(0,), seconds=None):
        self.name, self.argv, self.output, self.prepare, self.accept = name, argv, output, prepare, accept
        # Where a program times a part of itself: from its output to seconds.
        self.seconds = seconds or (lambda finished: finished.wall)
        self.runs = []

    def once(self):
        if self.prepare:
            self.prepare()
        return run(self.argv, self.output, self.accept)

    def median(self, what=None):
        return statistics.median((what or self.seconds)(finished) for finished in self.runs)

    @property
    def memory(self):
        return max(finished.memory for finished in self.runs)

    def ratio(self, other, what=None):
        """Median over the turns of this one's seconds by the other's."""
        return statistics.median(
            (what or self.seconds)(mine) / (what or other.seconds)(theirs)
            for mine, theirs in zip(self.runs, other.runs))


def in_turn(commands, runs, warm_up=1):
    for turn in range(warm_up + runs):
        for command in commands:
            finished = command.once()
            if turn >= warm_up:
                command.runs.append(finished)
    return commands


def table(title, head, rows):
    """Prints rows under a head; the first column is text, the others are flush right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    print(f"\n{title}\n")
    for number, row in enumerate([head, ["-" * width for width in widths], *rows]):
        cells = [cell.ljust(widths[0]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        print("| " + " | ".join(cells) + " |" if number != 1 else "|-" + "-|-".join(cells) + "-|")
    sys.stdout.flush()


def have(program):
    return shutil.which(program) is not None


def megabytes(size):
    return f"{size / 1e6:.1f}"


def seconds(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def machine():
    """The machine in two lines."""
    with open("/proc/cpuinfo") as file:
        models = {line.split(":", 1)[1].strip() for line in file if line.startswith("model name")}
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) // 1024 // 1024
    name = os.uname()
    return (f"{os.cpu_count()} cores ({', '.join(sorted(models)) or name.machine}), {memory} GiB, "
            f"{name.sysname} {name.release}")
