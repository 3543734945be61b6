"""Three sources on one machine, three databases on another, and between them a line that cannot be trusted.

Deltas are lost, come twice, in the wrong order, cut short, from the wrong source, and from a machine that tells
another history of the same source.  Each is refused with the reason, and where a generation is missing, with its
number; the database stays as it is to the last byte; and then the right one goes in.  At the end both sides answer
alike, by every command and through every view.

    FSMETA_TEST_SYNC_GENERATIONS=N     generations of each source (default 6)
"""

import hashlib
import os
import random
import sqlite3
import subprocess

import pytest
import treegen
from harness import SEED, read_bytes

GENERATIONS = int(os.environ.get("FSMETA_TEST_SYNC_GENERATIONS", "6"))
SOURCES = ("told", "marker", "place")
# Cuts of every delta that is sent; each must be refused.
CUTS = 6


def sha256(path):
    assert not os.path.exists(path + "-wal") and not os.path.exists(path + "-journal")
    return hashlib.sha256(read_bytes(path)).hexdigest()


class Source:
    """A tree, the database that scans it, and the one that gets deltas."""

    def __init__(self, fsmeta, folder, name):
        self.fsmeta = fsmeta
        self.name = name
        self.tree = os.path.join(folder, name)
        self.sender = os.path.join(folder, f"{name}-sender.db")
        self.receiver = os.path.join(folder, f"{name}-receiver.db")
        self.options = ["--source-id", "told by hand"] if name == "told" else []
        self.generation = 0
        self.rng = random.Random(f"{SEED}-{name}")

    def step(self):
        """The next generation."""
        self.generation += 1
        if self.generation == 1:
            treegen.generate(self.tree, seed=self.rng.randrange(1 << 30), entries=150)
            if self.name == "marker":
                self.fsmeta.run("init", self.tree)
        else:
            treegen.mutate(self.tree, seed=self.rng.randrange(1 << 30), changes=25)
        if self.name == "place" and self.generation == 4:
            self.fsmeta.run("init", self.tree)
        parts = [[], [], ["--exclude", "*a*"], []][self.generation % 4]
        self.fsmeta.run("scan", self.tree, "--db", self.sender, "-q", "--accept-removed", *parts, *self.options)

    def delta(self, since, until, database=None):
        operand = f"{database or self.sender}@{until}"
        return self.fsmeta.run("export", operand, "--since", str(since), "-o", "-", "-q").out

    def first(self):
        """The first generation, through a pipe."""
        sender = self.fsmeta.start("export", f"{self.sender}@1", "-q", stdout=subprocess.PIPE)
        self.fsmeta.run("import", self.receiver, "-", "-q", stdin=sender.stdout)
        sender.stdout.close()
        assert sender.wait() == 0

    def refuse(self, data, *words):
        """The receiver refuses the bytes, and is what it was."""
        before = sha256(self.receiver)
        result = self.fsmeta.refused("import", self.receiver, "-", data=data)
        for word in words:
            assert word in result.err, repr(result)
        assert sha256(self.receiver) == before, "a refusal left its mark"

    def take(self, data):
        self.fsmeta.run("import", self.receiver, "-", "-q", data=data)


def make_stranger(fsmeta, source, folder):
    """Another machine's database of the same source, from the second generation on with another history."""
    path = os.path.join(folder, f"{source.name}-stranger.db")
    stream = fsmeta.run("export", f"{source.sender}@1", "-o", "-", "-q").out
    fsmeta.run("import", path, "-", "-q", data=stream)
    for number in range(2, GENERATIONS + 1):
        with open(os.path.join(source.tree, f"of another history {number}"), "wb") as file:
            file.write(b"x" * number)
        fsmeta.run("scan", source.tree, "--db", path, "-q", "--accept-removed", *source.options)
    return path


def views(database):
    """Every row of every view, as a stranger with a database browser sees them."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.text_factory = bytes
    try:
        names = [row[0].decode() for row in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")]  # fmt: skip
        return {name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"'))) for name in names}
    finally:
        connection.close()


def assert_alike(fsmeta, source):
    one, other = source.sender, source.receiver

    def same(*words, code=0):
        told = [fsmeta.run(*(word.replace("DB", path) for word in words), code=code).out for path in (one, other)]
        told = [out.replace(os.fsencode(path), b"DB") for out, path in zip(told, (one, other))]
        assert told[0] == told[1], words
        return told[0]

    same("log", "--format=jsonl", "DB")
    paths = []
    for number in range(1, source.generation + 1):
        listing = same("ls", "--format=jsonl", f"DB@{number}")
        same("ls", "--format=jsonl", "--seen", f"DB@{number}")
        if number > 1:
            same("diff", "--format=jsonl", f"DB@{number - 1}", f"DB@{number}", code=(0, 1))
        paths += [line.split(b'"path":"')[1].split(b'"')[0] for line in listing.splitlines() if b"path_b64" not in line]
    same("diff", "--format=jsonl", "DB@1", f"DB@{source.generation}", code=(0, 1))
    plain = sorted({path.decode() for path in paths if b"\\" not in path and not path.startswith(b"-")})
    for path in random.Random(SEED).sample(plain, 12):
        told = [fsmeta.run("history", "--format=jsonl", database, path).out for database in (one, other)]
        assert told[0] == told[1] and told[0], path
    assert views(one) == views(other)
    connections = [sqlite3.connect(path) for path in (one, other)]
    aliases = [set(connection.execute("SELECT id FROM source_alias")) for connection in connections]
    for connection in connections:
        connection.close()
    assert aliases[0] == aliases[1]
    fsmeta.run("check", "-q", other)


@pytest.fixture(scope="module")
def sources(fsmeta, module_scratch):
    made = {name: Source(fsmeta, module_scratch, name) for name in SOURCES}
    for source in made.values():
        for _ in range(GENERATIONS):
            source.step()
    return made


@pytest.mark.parametrize("name", SOURCES)
def test_a_line_that_cannot_be_trusted(fsmeta, sources, module_scratch, name):
    source = sources[name]
    rng = random.Random(f"{SEED}-line-{name}")
    deltas = {number: source.delta(number - 1, number) for number in range(2, GENERATIONS + 1)}
    other = sources[SOURCES[(SOURCES.index(name) + 1) % len(SOURCES)]]
    stranger = make_stranger(fsmeta, source, module_scratch)

    # Nothing goes into a database that does not exist, and none comes to be.
    result = fsmeta.refused("import", source.receiver, "-", data=deltas[2])
    assert b"the delta needs generation 1" in result.err and not os.path.exists(source.receiver)
    source.first()
    for number in range(2, GENERATIONS + 1):
        here = number - 1
        for later in range(number + 1, GENERATIONS + 1):
            source.refuse(deltas[later], b"needs generation %d, and the newest here is %d" % (later - 1, here))
        for earlier in range(2, number):
            source.refuse(deltas[earlier], b"the newest here is already %d" % here)
        # One that begins further back than what is here, and one that leaps over it.
        if number > 2:
            source.refuse(source.delta(1, number), b"the newest here is already %d" % here)
        source.refuse(other.delta(here, number), b"comparing the source: this is the database of", b"the scan is of")
        # The stranger's first delta starts from the state that is here; its others do not.
        if number > 2:
            source.refuse(source.delta(here, number, stranger), b"generation %d of another history" % here)
        data = deltas[number]
        for cut in [0, len(data) - 1] + rng.sample(range(1, len(data) - 1), CUTS):
            source.refuse(data[:cut])
        source.refuse(data + data)
        source.refuse(data[: len(data) // 2] + data)
        source.take(data)
        source.refuse(data, b"the newest here is already %d" % number)
    assert_alike(fsmeta, source)


@pytest.mark.parametrize("name", SOURCES)
def test_all_at_once(fsmeta, sources, module_scratch, name):
    """What was missed for long goes in with one delta; a full stream that skips numbers is no delta's equal."""
    source = sources[name]
    source.receiver = os.path.join(module_scratch, f"{name}-late.db")
    source.first()
    source.take(source.delta(1, 2))
    source.take(source.delta(2, GENERATIONS))
    assert_alike(fsmeta, source)


def test_of_another_source_with_its_digest(fsmeta, scratch):
    """Two sources with equal trees and equal numbers: the name alone keeps them apart."""
    trees = [os.path.join(scratch, name, "tree") for name in ("one", "two")]
    databases = [os.path.join(scratch, name, "a.db") for name in ("one", "two")]
    for tree, database, name in zip(trees, databases, ("one", "two")):
        os.makedirs(tree)
        for number in (1, 2):
            path = os.path.join(tree, f"file{number}")
            with open(path, "wb"):
                pass
            os.utime(path, (10**9, 10**9))
            os.utime(tree, (10**9, 10**9))
            fsmeta.run("scan", tree, "--db", database, "--fields=core", f"--source-id={name}", "-q")
    log = [fsmeta.run("log", "--format=jsonl", database).out for database in databases]
    digests = [line.split(b'"state_digest":"')[1][:32] for line in b"".join(log).splitlines()]
    assert digests[:2] == digests[2:], "they are equal but for their names"
    receiver = os.path.join(scratch, "receiver.db")
    first = fsmeta.run("export", f"{databases[0]}@1", "-o", "-", "-q").out
    fsmeta.run("import", receiver, "-", "-q", data=first)
    before = sha256(receiver)
    for database, number in ((databases[1], 2), (databases[0], 2)):
        delta = fsmeta.run("export", database, "--since", "1", "-o", "-", "-q").out
        if database == databases[1]:
            result = fsmeta.refused("import", receiver, "-", data=delta)
            assert b'the database of source "one"' in result.err and b'"two"' in result.err
            assert sha256(receiver) == before
        else:
            fsmeta.run("import", receiver, "-", "-q", data=delta)
    assert fsmeta.run("ls", receiver).out == fsmeta.run("ls", databases[0]).out
