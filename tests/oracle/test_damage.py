"""Damaged input is refused with path, offset and reason, and changes nothing.

A stream is cut and bit-flipped at many offsets, replaced by foreign files, and offered to
every command that reads streams; an import is killed at random moments.
"""

import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import oracle
import pytest
import treegen
from harness import ENTRIES, SEED, read_bytes

READERS = ("ls", "check", "import", "diff")


def folder_state(folder):
    """Names and content of all files in a folder: for "nothing was changed"."""
    return {name: read_bytes(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}


class Workshop:
    """A tree, its stream, and a folder `home` with a database that nothing may touch."""

    def __init__(self, fsmeta, scratch):
        self.fsmeta = fsmeta
        self.scratch = scratch
        self.tree = os.path.join(scratch, "tree")
        treegen.generate(self.tree, SEED, entries=400, deep=20, wide=6000, sparse=False)
        self.home = os.path.join(scratch, "home")
        os.mkdir(self.home)
        self.database = os.path.join(self.home, "tree.db")
        fsmeta.run("scan", self.tree, "--db", self.database)
        # Younger than the generation, so that only damage is a reason to refuse it.
        self.stream = os.path.join(scratch, "stream")
        fsmeta.run("scan", self.tree, "-o", self.stream)
        self.entries = os.path.join(self.stream, "entries.fss")
        self.good = read_bytes(self.entries)
        self.listing = fsmeta.run("ls", "--format=jsonl", self.stream).out
        self.damaged = os.path.join(scratch, "damaged")
        self.state = folder_state(self.home)

    def damage(self, data):
        """A stream folder with these bytes as its entries."""
        shutil.rmtree(self.damaged, ignore_errors=True)
        shutil.copytree(self.stream, self.damaged)
        with open(os.path.join(self.damaged, "entries.fss"), "wb") as file:
            file.write(data)

    def commands(self, operand):
        """Every command that reads a stream, on this one."""
        return {
            "ls": ("ls", "--format=jsonl", operand),
            "check": ("check", operand),
            "import": ("import", self.database, operand),
            "diff": ("diff", operand, self.tree),
            "diff, other side": ("diff", self.database, operand),
        }

    def assert_refused(self, operand, readers=None, data=None, want_offset=True):
        for name, words in self.commands(operand).items():
            if readers and name not in readers:
                continue
            # `check` answers the question "is it damaged?"; the others cannot do their work.
            allowed = (1, 3) if name == "check" else 3
            result = self.fsmeta.refused(*words, code=allowed, data=data)
            first = result.err.split(b"\n")[0]
            assert os.fsencode(self.name_of(operand)) in first, repr(result)
            if want_offset:
                assert re.search(rb"\bbyte \d+|\boffset \d+", first), repr(result)
            if name.startswith("diff"):
                assert result.out == b"", "changes were printed before the damage was found"
        assert folder_state(self.home) == self.state, "the database was touched"

    @staticmethod
    def name_of(operand):
        return "" if operand == "-" else os.path.basename(operand.split(":", 1)[-1])


@pytest.fixture(scope="module")
def workshop(fsmeta, module_scratch):
    return Workshop(fsmeta, module_scratch)


def test_undamaged(workshop, scratch):
    """The harness itself: what is not damaged goes in."""
    database = os.path.join(scratch, "tree.db")
    shutil.copy(workshop.database, database)
    workshop.damage(workshop.good)
    workshop.fsmeta.run("import", database, "stream:" + workshop.damaged)
    workshop.fsmeta.run("check", workshop.damaged)
    shutil.copy(workshop.database, database)
    workshop.fsmeta.run("import", database, "-", data=workshop.good)


def spread(length, count, rng):
    """Offsets at both ends, densely, and at random between."""
    picked = {0, 1, 2, 3, 4, 8, 12, 16, 20, 64}
    picked |= {length - back for back in (1, 2, 4, 8, 9, 10, 17, 18, 40, 100, 1000)}
    picked |= {rng.randrange(length) for _ in range(count)}
    return sorted(offset for offset in picked if 0 <= offset < length)


def test_truncated(workshop):
    rng = random.Random(SEED)
    for place, length in enumerate(spread(len(workshop.good), 40, rng)):
        workshop.damage(workshop.good[:length])
        # All readers now and then, the writing one always.
        readers = None if place % 5 == 0 else ("import", "ls")
        # Without a byte there is nothing that an offset could point at.
        workshop.assert_refused("stream:" + workshop.damaged, readers, want_offset=length > 0)


def test_remains_are_no_live_folder(workshop, scratch):
    """What import is given is meant as a stream, whatever is left of it.

    Without the prefix, too, a stream whose first bytes are gone must not be taken for a live
    folder of two files.
    """
    fresh = os.path.join(scratch, "fresh.db")
    good = workshop.good
    for data in (b"", good[:3], b"\xff" + good[1:], good[:3] + b"\xff" + good[4:], bytes(5000)):
        workshop.damage(data)
        for database in (workshop.database, fresh):
            workshop.fsmeta.refused("import", database, workshop.damaged)
        assert not os.path.exists(fresh)
    assert folder_state(workshop.home) == workshop.state


def test_truncated_pipe(workshop):
    rng = random.Random(SEED + 1)
    for length in spread(len(workshop.good), 25, rng):
        # What follows the trailer is only the seek table, which a pipe does not need …
        for words in (("ls", "--format=jsonl", "-"), ("import", workshop.database, "-")):
            result = workshop.fsmeta.run(*words, code=None, data=workshop.good[:length])
            assert result.code == 3, f"cut at {length} of {len(workshop.good)}: {result!r}"
            assert result.err.startswith(b"fsmeta: "), repr(result)
        assert folder_state(workshop.home) == workshop.state


def content(data):
    """What zstd makes of all frames, or None where it refuses."""
    result = subprocess.run(
        ["zstd", "-q", "-d", "-c"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return None if result.returncode else result.stdout


def flipped(good, offset, rng):
    """`good` with one bit at `offset` turned over, but never a bit that means nothing.

    There are a few of those: one in 500 leaves zstd's frame with the very same content (RFC 8878
    has an unused bit in each frame header, and more than one spelling of some tables).  A file
    that differs in such a bit says the same, with all its checksums; it is no damage.  The seek
    table at the end is no such place.
    """
    table = good.rindex(bytes.fromhex("5e2a4d18"))
    while True:
        data = bytearray(good)
        data[offset] ^= 1 << rng.randrange(8)
        if offset >= table or content(bytes(data)) != content(good):
            return bytes(data)


def test_bit_flipped(workshop):
    """Each frame has a checksum, each batch a digest, the seek table its own arithmetic."""
    rng = random.Random(SEED + 2)
    for place, offset in enumerate(spread(len(workshop.good), 60, rng)):
        workshop.damage(flipped(workshop.good, offset, rng))
        readers = None if place % 6 == 0 else ("import",)
        workshop.assert_refused("stream:" + workshop.damaged, readers)


def test_bit_flipped_pipe(workshop):
    rng = random.Random(SEED + 3)
    for offset in spread(len(workshop.good), 20, rng):
        data = flipped(workshop.good, offset, rng)
        for words in (("import", workshop.database, "-"), ("ls", "-")):
            result = workshop.fsmeta.run(*words, code=None, data=data)
            assert result.code == 3, f"bit flipped at {offset} of {len(data)}: {result!r}"
        assert folder_state(workshop.home) == workshop.state


def test_bytes_inserted_and_appended(workshop):
    middle = len(workshop.good) // 2
    for data in (
        workshop.good + b"\0",
        workshop.good + workshop.good,
        workshop.good[:middle] + b"\0\0\0\0" + workshop.good[middle:],
        workshop.good[:middle] + workshop.good[middle + 1 :],
        b"\0" + workshop.good,
    ):
        workshop.damage(data)
        workshop.assert_refused("stream:" + workshop.damaged, want_offset=False)


def test_foreign_files(workshop):
    """Things that are no streams, under a stream's name and under their own."""
    text = os.path.join(workshop.scratch, "text")
    foreign = {
        "empty": b"",
        "one byte": b"x",
        "text": b"This is not the file you are looking for.\n" * 100,
        "zeros": bytes(100000),
        "noise": random.Random(SEED).randbytes(100000),
        "zstd of something else": subprocess.run(
            ["zstd", "-q", "-c"], input=b"hello" * 1000, stdout=subprocess.PIPE, check=True
        ).stdout
        if shutil.which("zstd")
        else b"\x28\xb5\x2f\xfd\x00",
        "a database": read_bytes(workshop.database),
    }
    for name, data in foreign.items():
        workshop.damage(data)
        workshop.assert_refused("stream:" + workshop.damaged, want_offset=False)
        with open(text, "wb") as file:
            file.write(data)
        for words in (("ls", "stream:" + text), ("import", workshop.database, "stream:" + text)):
            workshop.fsmeta.refused(*words)
        if name != "a database":
            workshop.fsmeta.refused("ls", text)
            workshop.fsmeta.refused("import", workshop.database, text)
            workshop.fsmeta.refused("ls", "db:" + text)
            workshop.fsmeta.refused("import", workshop.database, "-", data=data)
        assert folder_state(workshop.home) == workshop.state, name


def test_missing_and_unfit_operands(workshop):
    missing = os.path.join(workshop.scratch, "missing")
    for words in (
        ("ls", missing),
        ("diff", missing, workshop.tree),
        ("import", workshop.database, missing),
        ("scan", missing, "-o", missing + ".stream"),
        ("export", missing, "-o", missing + ".stream"),
        ("log", missing),
        ("check", missing),
        ("ls", workshop.database + "@7"),
        ("ls", "db:" + workshop.stream),
        ("ls", "stream:" + workshop.tree),
    ):
        workshop.fsmeta.refused(*words)
    # The right kind of thing for another command is wrong usage.
    for words in (("log", workshop.tree), ("check", workshop.tree), ("log", workshop.stream)):
        workshop.fsmeta.refused(*words, code=(3, 64))
    assert not os.path.exists(missing) and not os.path.exists(missing + ".stream")
    assert folder_state(workshop.home) == workshop.state


def test_source_json(workshop):
    """source.json and entries.fss must agree; JSON that lies is not believed."""
    whole = read_bytes(os.path.join(workshop.stream, "source.json"))
    for data in (b"", b"{", b"[]", b"{}", whole[: len(whole) // 2], b"\xff" + whole, b"null"):
        workshop.damage(workshop.good)
        with open(os.path.join(workshop.damaged, "source.json"), "wb") as file:
            file.write(data)
        workshop.assert_refused("stream:" + workshop.damaged, ("import", "check"), want_offset=False)


def test_foreign_database(workshop, scratch):
    """Another application's database is neither read nor written."""
    other = os.path.join(scratch, "other.db")
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE precious (x)")
    connection.commit()
    connection.close()
    before = folder_state(scratch)
    for words in (
        ("import", other, workshop.stream),
        ("scan", workshop.tree, "--db", other),
        ("ls", other),
        ("log", other),
        ("check", other),
        ("export", other, "-o", os.path.join(scratch, "stream")),
    ):
        workshop.fsmeta.refused(*words)
    assert folder_state(scratch) == before


def test_damaged_database(workshop, scratch):
    """Pages overwritten with noise: no crash, no silence; check finds it."""
    rng = random.Random(SEED + 4)
    good = read_bytes(workshop.database)
    path = os.path.join(scratch, "tree.db")
    for _ in range(12):
        data = bytearray(good)
        offset = rng.randrange(4096, len(data) - 600)
        data[offset : offset + 512] = rng.randbytes(512)
        with open(path, "wb") as file:
            file.write(data)
        result = workshop.fsmeta.run("check", path, code=None)
        assert result.code in (0, 1, 3), repr(result)
        if result.code == 0:  # it hit a free page or the unused middle of one
            listing = workshop.fsmeta.run("ls", "--format=jsonl", path).out
            assert listing == workshop.fsmeta.run("ls", "--format=jsonl", workshop.database).out
        else:
            assert result.err.startswith(b"fsmeta: "), repr(result)
        ls = workshop.fsmeta.run("ls", path, code=None)
        assert ls.code in (0, 3), repr(ls)


def test_truncated_database(workshop, scratch):
    """A database whose end is missing, be it the last byte, is damaged."""
    good = read_bytes(workshop.database)
    path = os.path.join(scratch, "tree.db")
    lengths = 0, 1, 99, 100, 4095, 4096, 8192, len(good) // 2, len(good) - 4096, len(good) - 1
    for length in lengths:
        with open(path, "wb") as file:
            file.write(good[:length])
        result = workshop.fsmeta.run("check", path, code=None)
        assert result.code in (1, 3), f"cut at {length} of {len(good)}: {result!r}"


# ---- kill -9 ----------------------------------------------------------------


@pytest.fixture(scope="module")
def large(fsmeta, module_scratch):
    """Two scans of a large tree, the second with a tenth of it gone and a tenth new."""
    tree = os.path.join(module_scratch, "large")
    streams = os.path.join(module_scratch, "large-1"), os.path.join(module_scratch, "large-2")
    os.mkdir(tree)
    folder_size = 500
    folders = max(1, ENTRIES // folder_size)
    for folder in range(folders):
        path = os.path.join(tree, f"cam{folder:04d}")
        os.mkdir(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        for number in range(folder_size):
            flags = os.O_WRONLY | os.O_CREAT
            os.close(os.open(f"{number:06d}_video.rf1p", flags, 0o644, dir_fd=descriptor))
        os.close(descriptor)
    fsmeta.run("scan", tree, "-o", streams[0])
    for folder in range(0, folders):
        path = os.path.join(tree, f"cam{folder:04d}")
        for number in range(folder_size // 10):
            old = os.path.join(path, f"{number:06d}_video.rf1p")
            os.rename(old, os.path.join(path, f"{number + folder_size:06d}_video.rf1p"))
    fsmeta.run("scan", tree, "-o", streams[1])
    return streams


class Pace:
    """Moments while a command runs. How long that is, is learnt: a machine is not equally busy all the time."""

    def __init__(self, seconds, seed):
        self.seconds, self.rng = seconds, random.Random(seed)

    def moment(self, low=0.0, high=1.0):
        return self.seconds * self.rng.uniform(low, high)

    def was_too_early(self):
        self.seconds *= 1.1

    def was_too_late(self):
        self.seconds *= 0.8


def kill_at(fsmeta, delay, *words):
    """Runs, kills after `delay` seconds; True where it had not ended by itself."""
    process = fsmeta.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(delay)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def generations(fsmeta, database):
    """How many generations the database holds, by asking for each."""
    number = 0
    while fsmeta.run("ls", "--depth=0", f"{database}@{number + 1}", code=(0, 3)).code == 0:
        number += 1
    return number


def test_killed_import(fsmeta, large, scratch):
    """The second import is killed: the first generation is there, whole, or both are."""
    first, second = large
    pristine = os.path.join(scratch, "pristine.db")
    fsmeta.run("import", pristine, first)
    expected = fsmeta.run("ls", "--format=jsonl", pristine).out
    database = os.path.join(scratch, "tree.db")
    shutil.copy(pristine, database)
    start = time.monotonic()
    fsmeta.run("import", database, second)
    pace = Pace(time.monotonic() - start, SEED)
    both = fsmeta.run("ls", "--format=jsonl", database).out
    assert both != expected

    killed = held = attempt = 0
    # How many moments hit depends on how busy the machine is: until enough have.
    while killed < 8 or held < 5:
        attempt += 1
        assert attempt < 100, f"killed {killed}, previous generation found {held} times"
        for name in os.listdir(scratch):
            if name.startswith("tree.db"):
                os.unlink(os.path.join(scratch, name))
        shutil.copy(pristine, database)
        # The write transaction is the last part; most of the moments lie there.
        low = 0.0 if attempt % 3 == 0 else 0.5
        if kill_at(fsmeta, pace.moment(low, 1.05), "import", database, second):
            killed += 1
            pace.was_too_early()
        else:
            pace.was_too_late()
        count = generations(fsmeta, database)
        assert count in (1, 2)
        held += count == 1
        listing = fsmeta.run("ls", "--format=jsonl", database + "@1").out
        assert listing == expected, "the previous generation is not whole"
        if count == 2:
            assert fsmeta.run("ls", "--format=jsonl", database).out == both
        fsmeta.run("check", database)
        # And it goes on from there: nothing is locked, nothing half done.
        if count == 1:
            fsmeta.run("import", database, second)
            assert fsmeta.run("ls", "--format=jsonl", database).out == both


def test_killed_first_import(fsmeta, large, scratch):
    """The very first import is killed: no database, an empty one, or a whole one."""
    first, _ = large
    database = os.path.join(scratch, "tree.db")
    start = time.monotonic()
    fsmeta.run("import", database, first)
    duration = time.monotonic() - start
    expected = fsmeta.run("ls", "--format=jsonl", database).out
    rng = random.Random(SEED + 1)
    for _ in range(6):
        for name in os.listdir(scratch):
            os.unlink(os.path.join(scratch, name))
        kill_at(fsmeta, duration * rng.uniform(0, 1.05), "import", database, first)
        if os.path.exists(database):
            result = fsmeta.run("ls", "--format=jsonl", database, code=(0, 3))
            assert result.out in (b"", expected), "half a generation"
        fsmeta.run("import", database, first, code=(0, 3))
        assert fsmeta.run("ls", "--format=jsonl", database).out == expected
        fsmeta.run("check", database)


def test_killed_scan(fsmeta, scratch):
    """A scan that is killed leaves the stream that was there before."""
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED, entries=50, wide=max(ENTRIES, 20000), sparse=False)
    stream = os.path.join(scratch, "stream")
    start = time.monotonic()
    fsmeta.run("scan", tree, "-o", stream)
    duration = time.monotonic() - start
    before = read_bytes(os.path.join(stream, "entries.fss"))
    listing = fsmeta.run("ls", "--format=jsonl", stream).out
    rng = random.Random(SEED + 2)
    for _ in range(6):
        kill_at(fsmeta, duration * rng.uniform(0, 0.9), "scan", tree, "-o", stream)
        fsmeta.run("check", stream)
        if read_bytes(os.path.join(stream, "entries.fss")) != before:
            assert fsmeta.run("ls", "--format=jsonl", stream).out == listing


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "words",
    [
        ("scan", "TREE", "-o", "NEW"),
        ("scan", "TREE", "--db", "NEW"),
        ("scan", "TREE", "--db", "DATABASE"),
        ("import", "NEW", "STREAM"),
        ("import", "DATABASE", "STREAM"),
        ("export", "DATABASE", "-o", "NEW"),
        ("export", "STREAM", "-o", "NEW"),
        ("diff", "STREAM", "DATABASE"),
        ("ls", "--format=jsonl", "TREE"),
        ("ls", "--format=jsonl", "STREAM"),
        ("ls", "--format=jsonl", "DATABASE"),
        ("check", "STREAM"),
        ("check", "DATABASE"),
    ],
    ids=" ".join,
)
def test_stopped_politely(fsmeta, large, scratch, number, words):
    """SIGINT and SIGTERM: 130 and 143, within a second, nothing left half-written."""
    pristine = os.path.join(scratch, "pristine.db")
    work = os.path.join(scratch, "work")
    fsmeta.run("import", pristine, large[0])
    places = {
        "TREE": os.path.join(os.path.dirname(large[0]), "large"),
        "STREAM": large[1],
        "DATABASE": os.path.join(work, "tree.db"),
        "NEW": os.path.join(work, "new"),
    }
    words = [places.get(word, word) for word in words]

    def prepare():
        shutil.rmtree(work, ignore_errors=True)
        os.mkdir(work)
        shutil.copy(pristine, places["DATABASE"])
        return folder_state(work)

    prepare()
    start = time.monotonic()
    fsmeta.run(*words, code=(0, 1))
    pace = Pace(time.monotonic() - start, SEED + 3)
    seen = []
    while seen.count(128 + number) < 2:
        before = prepare()
        process = fsmeta.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(pace.moment())
        process.send_signal(number)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
        # -number: it came before main() had set its handlers.
        assert process.returncode in (0, 1, 128 + number, -number), errors
        assert time.monotonic() - start < 3  # a second, and a busy machine
        if process.returncode not in (0, 1):
            assert folder_state(work) == before, os.listdir(work)
        seen.append(process.returncode)
        if process.returncode < 0:
            pace.was_too_early()
        elif process.returncode in (0, 1):
            pace.was_too_late()
        assert len(seen) < 60, f"hardly ever stopped: {seen}"
