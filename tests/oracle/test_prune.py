"""Pruning a history of a hostile tree: nothing that is kept may change, whatever happens.

    FSMETA_TEST_KILLS=N     moments at which a prune is killed (default 12; 100 = full)
    FSMETA_TEST_ENTRIES=N   files of the tree for killing (default 20000; 300000 = full)

Deltas that step over pruned generations must make a database that answers alike, and
never had what was pruned: its size is what a pruned database is measured by.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest
import treegen
from harness import ENTRIES, SEED

GENERATIONS = 9
# What a generation is asked for, in turns: what it leaves out is carried.
SCOPES = [[], ["--exclude", "*a*"], [], ["--subtree", "fixed/two"], ["--subtree", "fixed/one"], []]
KILLS = int(os.environ.get("FSMETA_TEST_KILLS", "12"))


def listing(fsmeta, database, number):
    return fsmeta.run("ls", "--format=jsonl", f"{database}@{number}", code=(0, 2)).out


def generations(fsmeta, database):
    lines = fsmeta.run("log", "--format=jsonl", database).out.splitlines()
    return [json.loads(line) for line in lines]


def kept(fsmeta, database):
    return [line["generation"] for line in generations(fsmeta, database) if not line["pruned"]]


def prune(fsmeta, database, last):
    fsmeta.run("prune", database, "--keep-last", str(last))


def prune_to(fsmeta, database, numbers):
    """Keeps just these numbers, by giving them dates that a rule keeps."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT number, source FROM generation").fetchall()
        for number, source in rows:
            month = max((n for n in range(len(rows) + 1) if n < number and n in numbers), default=0)
            moment = f"20{10 + month:02}-01-01T00:00:{number:02}.000000000Z"
            connection.execute(
                "UPDATE generation SET source = json_set(source, '$.scan.finished', ?)"
                " WHERE number = ?",
                (moment, number),
            )
    connection.close()
    fsmeta.run("prune", database, "--keep-yearly", str(len(numbers)))
    with sqlite3.connect(database) as connection:
        connection.executemany("UPDATE generation SET source = ? WHERE number = ?",
                               [(source, number) for number, source in rows])  # fmt: skip
    connection.close()
    assert kept(fsmeta, database) == sorted(numbers)


# ---- a history of many kinds of changes ----------------------------------------------


@pytest.fixture(scope="module")
def history(fsmeta, module_scratch):
    """A database of a hostile tree, and the listings of its generations."""
    root = os.path.join(module_scratch, "tree")
    database = os.path.join(module_scratch, "a.db")
    treegen.generate(root, seed=SEED, entries=400)
    for number in range(1, GENERATIONS + 1):
        if number > 1:
            treegen.mutate(root, seed=SEED * 1000 + number, changes=20)
        for folder in ("one", "two/deep", f"three{number}"):
            os.makedirs(os.path.join(root, "fixed", folder), exist_ok=True)
        with open(os.path.join(root, "fixed", "two", f"new{number}"), "wb") as file:
            file.write(b"x" * number)
        fsmeta.run("scan", root, "--db", database, "-q", "--max-removed=100%",
                   "--source-id", "prune-test", *SCOPES[(number - 1) % len(SCOPES)],
                   code=(0, 2))  # fmt: skip
    return database, {n: listing(fsmeta, database, n) for n in range(1, GENERATIONS + 1)}


@pytest.fixture
def copy(history, scratch):
    return shutil.copy(history[0], os.path.join(scratch, "copy.db"))


def subsets(count):
    rng = random.Random(SEED)
    numbers = range(1, GENERATIONS)
    for _ in range(count):
        yield sorted(rng.sample(numbers, rng.randrange(1, GENERATIONS - 2))) + [GENERATIONS]


@pytest.mark.parametrize("numbers", subsets(6), ids=str)
def test_kept_generations_and_deltas(fsmeta, history, copy, numbers):
    prune_to(fsmeta, copy, numbers)
    fsmeta.run("check", copy)
    for number in numbers:
        assert listing(fsmeta, copy, number) == history[1][number], f"generation {number}"
    other = chain_of_deltas(fsmeta, copy, numbers)
    for number in numbers:
        mine, theirs = history[1][number], listing(fsmeta, other, number)
        assert without_since(theirs) == without_since(mine), f"generation {number}"
    fsmeta.run("check", other)
    compare_logs(generations(fsmeta, copy), generations(fsmeta, other))
    compare_rows(copy, other)


def without_since(output):
    """Whether a scan looked at an entry, but not which was the first that did not.

    The receiver has no rows of generations that were pruned before, so it cannot know which
    of them looked.
    """
    return re.sub(rb'"unknown_since":\d+', b'"unknown_since"', output)


def chain_of_deltas(fsmeta, database, numbers):
    """Another database, made of the oldest and one delta over all the others."""
    other = database + "-other"
    first = fsmeta.run("export", f"{database}@{numbers[0]}", "-o", "-", "-q", code=(0, 2)).out
    fsmeta.run("import", other, "-", "-q", data=first, code=(0, 2))
    if len(numbers) > 1:
        sender = fsmeta.start(
            "export", database, "--since", str(numbers[0]), "-o", "-", "-q", stdout=subprocess.PIPE
        )
        fsmeta.run("import", other, "-", "-q", stdin=sender.stdout, code=(0, 2))
        sender.stdout.close()
        assert sender.wait() in (0, 2)
    return other


def compare_logs(pruned, other):
    """Alike but for what an export of a whole generation does not carry."""
    pruned = [line for line in pruned if not line["pruned"]]
    assert pruned[1:] == other[1:]
    assert pruned[0]["state_digest"] == other[0]["state_digest"]


TABLES = ("file", "file_past", "folder", "folder_past", "folder_position", "change")


def count_rows(database):
    with sqlite3.connect(database) as connection:
        rows = {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}
    connection.close()
    return rows


def compare_rows(pruned, other):
    """A few rows may outlive their time, until the folder goes that holds them."""
    mine, theirs = count_rows(pruned), count_rows(other)
    assert sum(mine.values()) >= sum(theirs.values())
    assert sum(mine.values()) <= 1.05 * sum(theirs.values()) + 50, (mine, theirs)


def test_receiver_goes_on(fsmeta, history, scratch):
    """A receiver at a kept generation takes the rest; at a pruned one it is told so."""
    sender = shutil.copy(history[0], os.path.join(scratch, "sender.db"))
    receivers = {}
    for number in (4, 5):
        receivers[number] = os.path.join(scratch, f"{number}.db")
        first = fsmeta.run("export", f"{sender}@{number}", "-o", "-", "-q", code=(0, 2)).out
        fsmeta.run("import", receivers[number], "-", "-q", data=first, code=(0, 2))
    prune_to(fsmeta, sender, [4, 7, 8, GENERATIONS])
    refused = fsmeta.refused("export", sender, "--since", "5", "-o", "-")
    assert b"generation 5 was pruned" in refused.err
    delta = fsmeta.run("export", sender, "--since", "4", "-o", "-", "-q").out
    assert b"needs generation 4" in fsmeta.refused("import", receivers[5], "-", data=delta).err
    fsmeta.run("import", receivers[4], "-", "-q", data=delta, code=(0, 2))
    assert kept(fsmeta, receivers[4]) == [4, 7, 8, GENERATIONS]
    for number in (4, 7, 8, GENERATIONS):
        assert listing(fsmeta, receivers[4], number) == history[1][number]
    fsmeta.run("check", receivers[4])


def test_ids_and_numbers_go_on(fsmeta, history, copy, scratch):
    """The next generation is as if nothing had been pruned."""
    tree = os.path.join(os.path.dirname(history[0]), "tree")
    grown = os.path.join(scratch, "grown")
    subprocess.run(["cp", "-a", "--", tree, grown], check=True)
    treegen.mutate(grown, seed=SEED * 77, changes=40)
    whole = shutil.copy(history[0], os.path.join(scratch, "whole.db"))
    prune(fsmeta, copy, 1)
    for database in (whole, copy):
        fsmeta.run("scan", grown, "--db", database, "-q", "--max-removed=100%",
                   "--source-id", "prune-test", "--accept-other-filesystem",
                   code=(0, 2))  # fmt: skip
    assert listing(fsmeta, copy, GENERATIONS + 1) == listing(fsmeta, whole, GENERATIONS + 1)
    fsmeta.run("check", copy)


def test_reader_keeps_its_snapshot(fsmeta, history, copy):
    """A connection that reads while generations are pruned goes on reading them."""
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("BEGIN")
    before = connection.execute("SELECT count(*) FROM file_past").fetchone()
    prune(fsmeta, copy, 1)
    assert connection.execute("SELECT count(*) FROM file_past").fetchone() == before
    connection.execute("COMMIT")
    assert connection.execute("SELECT count(*) FROM file_past").fetchone() == (0,)
    connection.close()
    assert listing(fsmeta, copy, GENERATIONS) == history[1][GENERATIONS]


# ---- a large history that hardly anything is left of ----------------------------------------


def touch(root, rng, share):
    for folder, _, files in os.walk(root):
        for name in files:
            if rng.random() < share:
                os.utime(os.path.join(folder, name), ns=(0, rng.randrange(2**60)))


@pytest.fixture(scope="module")
def large(fsmeta, module_scratch):
    """Six generations, each with half of the files modified, a third of the folders renamed."""
    rng = random.Random(SEED)
    root = os.path.join(module_scratch, "large")
    database = os.path.join(module_scratch, "large.db")
    for folder in range(100):
        os.makedirs(os.path.join(root, f"folder{folder}", "deep"))
        for number in range(ENTRIES // 200):
            for name in (f"{number:08}.mp4", os.path.join("deep", f"{number:08}.mp4")):
                with open(os.path.join(root, f"folder{folder}", name), "wb"):
                    pass
    for number in range(6):
        fsmeta.run("scan", root, "--db", database, "-q", "--max-removed=100%",
                   "--source-id", "large")  # fmt: skip
        touch(root, rng, 0.5)
        for folder in rng.sample(sorted(os.listdir(root)), 33):
            os.rename(os.path.join(root, folder), os.path.join(root, f"{folder}-{number}"))
    return database


def test_space_comes_back(fsmeta, large, scratch):
    """Pruned to one generation it is as large as a database that never had another."""
    copy = shutil.copy(large, os.path.join(scratch, "copy.db"))
    stream = os.path.join(scratch, "stream")
    alone = os.path.join(scratch, "alone.db")
    fsmeta.run("export", large, "-o", stream, "-q")
    fsmeta.run("import", alone, stream, "-q")
    prune(fsmeta, copy, 1)
    assert sorted(os.listdir(scratch)) == ["alone.db", "copy.db", "stream"]
    size = os.path.getsize(copy)
    assert size < os.path.getsize(large) / 2
    assert size <= 1.03 * os.path.getsize(alone) + 64 * 1024
    for table, rows in count_rows(alone).items():
        assert count_rows(copy)[table] == rows, table


class Killed:
    """A copy of the large database, on which a prune is interrupted."""

    def __init__(self, fsmeta, large, folder):
        self.fsmeta = fsmeta
        self.folder = folder
        self.large = large
        self.path = os.path.join(folder, "copy.db")
        self.expected = {n: listing(fsmeta, large, n) for n in (2, 5, 6)}

    def renew(self):
        shutil.copy(self.large, self.path)

    def start(self):
        return self.fsmeta.start("prune", self.path, "--keep-last", "2", stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)  # fmt: skip

    def duration(self):
        self.renew()
        begun = time.monotonic()
        assert self.start().wait() == 0
        return time.monotonic() - begun

    def check(self):
        """The state before or the state after; returns whether it was pruned."""
        self.fsmeta.run("check", self.path)
        numbers = kept(self.fsmeta, self.path)
        assert numbers in ([1, 2, 3, 4, 5, 6], [5, 6])
        for number in set(numbers) & set(self.expected):
            assert listing(self.fsmeta, self.path, number) == self.expected[number]
        return len(numbers) == 2

    def check_next(self):
        """The next prune goes through, and leaves nothing beside the database."""
        prune(self.fsmeta, self.path, 2)
        assert kept(self.fsmeta, self.path) == [5, 6]
        assert os.listdir(self.folder) == ["copy.db"]
        self.fsmeta.run("check", self.path)


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGINT))
def test_interrupted(fsmeta, large, scratch, number):
    rng = random.Random(SEED)
    killed = Killed(fsmeta, large, scratch)
    duration = killed.duration()
    outcomes = set()
    for _ in range(KILLS if number == signal.SIGKILL else max(4, KILLS // 4)):
        killed.renew()
        process = killed.start()
        time.sleep(rng.uniform(0, duration))
        process.send_signal(number)
        code = process.wait()
        was_pruned = killed.check()
        outcomes.add(was_pruned)
        if number == signal.SIGINT:
            # Perhaps it came before the handler stood, or when all was done.
            assert code in (0, 130, -signal.SIGINT)
            assert was_pruned or code
        killed.check_next()


def limit_files(size):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.fixture
def swollen(fsmeta, scratch):
    """A database in which a sixth of the rows is of folders that came and went."""
    root = os.path.join(scratch, "tree")
    path = os.path.join(scratch, "db", "swollen.db")
    os.mkdir(os.path.dirname(path))
    for folder in range(6):
        os.makedirs(os.path.join(root, str(folder)))
        for number in range(1000):
            with open(os.path.join(root, str(folder), f"{number:08}.mp4"), "wb"):
                pass
    for _ in range(2):
        fsmeta.run("scan", root, "--db", path, "-q", "--max-removed=100%")
        shutil.rmtree(os.path.join(root, "5"), ignore_errors=True)
    return path


def test_no_room_to_rewrite(fsmeta, swollen):
    """What does not fit on the disk stays inside the file, and is given back another time."""
    expected = listing(fsmeta, swollen, 2)
    before = os.path.getsize(swollen)
    # Enough for what pruning writes, too little for a copy of what is left.
    result = fsmeta.run("prune", swollen, "--keep-last", "1", code=2,
                        preexec_fn=limit_files(before // 2))  # fmt: skip
    assert b"the generations are removed" in result.err
    assert b"0 B came back" in result.out and b"inside are free" in result.out
    assert kept(fsmeta, swollen) == [2]
    assert os.path.getsize(swollen) == before
    assert listing(fsmeta, swollen, 2) == expected
    fsmeta.run("check", swollen)
    fsmeta.run("prune", swollen, "--keep-last", "1")
    assert os.path.getsize(swollen) < 0.9 * before
    assert os.listdir(os.path.dirname(swollen)) == ["swollen.db"]
    assert listing(fsmeta, swollen, 2) == expected
    fsmeta.run("check", swollen)


def test_no_room_to_prune(fsmeta, large, scratch):
    """Where not even pruning fits, nothing has changed."""
    path = shutil.copy(large, os.path.join(scratch, "copy.db"))
    fsmeta.refused("prune", path, "--keep-last", "2", preexec_fn=limit_files(64 * 1024))
    assert kept(fsmeta, path) == [1, 2, 3, 4, 5, 6]
    fsmeta.run("check", path)


# ---- moves within a gap ------------------------------------------------------------------


def test_moves_in_generations_that_were_pruned(fsmeta, scratch):
    """What moved, once, twice, to and fro, or with its folder, keeps its id also for whoever learns it all at once."""
    root, database, copy = (os.path.join(scratch, name) for name in ("tree", "a.db", "b.db"))
    for name in ("file", "twice", "back", "changed", "folder/in", "folder/deep/er", "swap/a", "swap/b", "stays/x"):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(name)

    def scan():
        fsmeta.run("scan", root, "--db", database, "--source-id", "gap", "-q", "--max-removed", "100%")

    def move(old, new):
        os.makedirs(os.path.dirname(os.path.join(root, new)), exist_ok=True)
        os.rename(os.path.join(root, old), os.path.join(root, new))

    scan()
    stream = fsmeta.run("export", database, "-o", "-", "-q").out
    fsmeta.run("import", copy, "-", "-q", data=stream)
    for step in (
        (("file", "new/file"), ("twice", "stays/twice"), ("back", "new/back")),
        (("folder", "renamed"), ("swap/a", "new/a"), ("changed", "stays/changed")),
        (("stays/twice", "renamed/twice"), ("new/back", "back"), ("swap/b", "swap/a")),
        (("renamed/deep", "new/deep"), ("stays", "swap/stays"), ("new/a", "swap/b")),
    ):
        for old, new in step:
            move(old, new)
        scan()
    with open(os.path.join(root, "swap/stays/changed"), "a") as file:
        file.write("longer")
    scan()
    ids = {generation: ids_of(fsmeta, database, generation) for generation in (1, 6)}
    moved = {"file": "new/file", "twice": "renamed/twice", "back": "back", "folder": "renamed",
             "folder/in": "renamed/in", "folder/deep/er": "new/deep/er", "swap/a": "swap/b", "swap/b": "swap/a",
             "changed": "swap/stays/changed", "stays": "swap/stays", "stays/x": "swap/stays/x"}  # fmt: skip
    for old, new in moved.items():
        assert ids[1][old] == ids[6][new], f"{old} -> {new}"
    prune_to(fsmeta, database, {1, 6})
    delta = fsmeta.run("export", database, "--since", "1", "-o", "-", "-q").out
    fsmeta.run("import", copy, "-", "-q", data=delta)
    assert ids_of(fsmeta, copy, 6) == ids[6]
    for number in (1, 6):
        assert listing(fsmeta, database, number) == listing(fsmeta, copy, number)
    for database_of in (database, copy):
        fsmeta.run("check", database_of)


def ids_of(fsmeta, database, number):
    lines = listing(fsmeta, database, number).splitlines()
    return {entry["path"]: entry["id"] for entry in map(json.loads, lines)}
