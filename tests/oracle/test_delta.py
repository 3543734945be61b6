"""Two databases that are kept equal by deltas answer alike, and refuse what does not fit.

Runs as an ordinary user, because some of the folders are made unreadable for a while.
"""

import json
import os
import random
import shutil
import subprocess

import fss_reader
import pytest
import treegen
from harness import SEED, as_ordinary_user, read_bytes

GENERATIONS = 10
EXCLUDES = [[], [], ["--exclude", "*a*"], ["--subtree", "fixed/two"]]


@pytest.fixture(scope="module")
def user(fsmeta):
    return fsmeta.as_ordinary_user()


def give_away(root):
    if not as_ordinary_user():
        return
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [b"."] + folders + files:
            os.chown(os.path.join(folder, name), 65534, 65534, follow_symlinks=False)


def write(path, size):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"x" * size)


def make_tree(root):
    """A random tree, and beside it folders whose fate is decided by number."""
    treegen.generate(root, seed=SEED, entries=300)
    for name in ("one/a", "one/deep/b", "two/c", "two/deep/d", "three/e"):
        write(os.path.join(root, "fixed", name), len(name))


def step(root, number):
    """What changes in generation `number`, beside random changes."""
    fixed = os.path.join(root, "fixed")
    treegen.mutate(root, seed=SEED * 100 + number, changes=30)
    if not os.path.isdir(os.path.join(fixed, "two", "deep")):
        write(os.path.join(fixed, "two", "deep", "d"), 7)
    write(os.path.join(fixed, "two", f"new{number}"), number)
    three = os.path.join(fixed, "three")
    # There, gone, and there again; then a file in the folder's place.
    if number in (3, 6) and os.path.isdir(three):
        shutil.rmtree(three)
    if number == 4:
        write(os.path.join(three, "again"), 3)
    if number == 7 and not os.path.lexists(three):
        write(three, 4)


def lock(root, number):
    """Some folders cannot be read in some generations."""
    locked = {4: "one", 5: "one", 8: "two/deep", 9: "two/deep"}.get(number)
    path = os.path.join(root, "fixed", locked) if locked else None
    if path and os.path.isdir(path):
        os.chmod(path, 0)
        return [path]
    return []


@pytest.fixture(scope="module")
def history(user, module_scratch):
    """A database of ten generations, with its tree as it was last."""
    scratch = module_scratch
    os.chmod(scratch, 0o777)
    root = os.path.join(scratch, "tree")
    database = os.path.join(scratch, "a.db")
    make_tree(root)
    for number in range(1, GENERATIONS + 1):
        if number > 1:
            step(root, number)
        give_away(root)
        locked = lock(root, number)
        try:
            user.run(
                "scan", root, "--db", database, "--source-id", "delta-test", "-q",
                *EXCLUDES[number % len(EXCLUDES)], "--max-removed", "100%", code=(0, 2),
            )  # fmt: skip
        finally:
            for path in locked:
                os.chmod(path, 0o755)
    return scratch, database


def answers(user, database, number):
    """All that two databases must say alike of a generation."""
    return user.run("ls", "--format=jsonl", f"{database}@{number}", code=(0, 2)).out


def log(user, database):
    return user.run("log", "--format=jsonl", database).out


def export(user, database, since, until):
    return user.run("export", f"{database}@{until}", "--since", str(since), "-o", "-", "-q").out


def first_generation(user, database, path):
    """A second database that has the first generation."""
    stream = user.run("export", f"{database}@1", "-o", "-", "-q", code=(0, 2)).out
    user.run("import", path, "-", "-q", data=stream, code=(0, 2))


def assert_alike(user, one, other, numbers):
    for number in numbers:
        assert answers(user, one, number) == answers(user, other, number), f"generation {number}"
    assert log(user, one) == log(user, other)
    user.run("check", other)


def test_one_by_one(user, history):
    scratch, database = history
    other = os.path.join(scratch, "one-by-one.db")
    first_generation(user, database, other)
    for number in range(2, GENERATIONS + 1):
        delta = export(user, database, number - 1, number)
        user.run("import", other, "-", "-q", data=delta, code=(0, 2))
        assert answers(user, database, number) == answers(user, other, number)
    assert_alike(user, database, other, range(1, GENERATIONS + 1))


def test_at_once_through_a_pipe(user, history):
    scratch, database = history
    other = os.path.join(scratch, "at-once.db")
    first_generation(user, database, other)
    sender = user.start("export", database, "--since", "1", "-q", stdout=subprocess.PIPE)
    user.run("import", other, "-", "-q", stdin=sender.stdout, code=(0, 2))
    sender.stdout.close()
    assert sender.wait() == 0
    assert_alike(user, database, other, range(1, GENERATIONS + 1))


def test_as_a_folder(user, history):
    scratch, database = history
    other = os.path.join(scratch, "folder.db")
    folder = os.path.join(scratch, "folder-delta")
    user.run("export", database, "--since", "1", "-o", folder, "-q")
    assert sorted(os.listdir(folder)) == ["entries.fss", "source.json"]
    assert user.run("check", folder).out.startswith(b"delta is whole: generation 1 to 10")
    first_generation(user, database, other)
    user.run("import", other, folder, "-q", code=(0, 2))
    assert_alike(user, database, other, range(1, GENERATIONS + 1))
    lines = user.run("ls", "--format=jsonl", folder).out.splitlines()
    assert sum(line.startswith(b'{"kind":"section"') for line in lines) == GENERATIONS - 1
    refused = user.refused("diff", folder, database)
    assert b"it is a delta, which is no tree" in refused.err
    assert b"a delta" in user.refused("export", folder, "-o", "-").err


def test_source_json(user, history):
    """A source.json that is another delta's is damage, and so is none."""
    scratch, database = history
    other = os.path.join(scratch, "source-json.db")
    folder, path = os.path.join(scratch, "exchanged"), os.path.join(scratch, "exchanged", "source.json")
    user.run("export", f"{database}@5", "--since", "2", "-o", folder, "-q")
    first_generation(user, database, other)
    good = read_bytes(path)
    source = json.loads(good)
    for key, value, words in (
        ("base_generation", 1, b"the base generation in source.json"),
        ("base_state_digest", "0" * 32, b"the state digest of the base in source.json"),
        ("generation", 6, b"the generation in source.json"),
        ("state_digest", "0" * 32, b"the state digest in source.json"),
        ("source", {"id": "another"}, b"the source id in source.json"),
        ("scan", {"started": "2020-01-01T00:00:00Z"}, b"the time at which the scan started"),
    ):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**source, key: value}, file)
        assert words in user.refused("check", folder, code=1).err
        assert words in user.refused("import", other, folder).err
    os.unlink(path)
    user.refused("import", other, folder)
    with open(path, "wb") as file:
        file.write(good)
    user.run("check", folder)


def test_independent_reader(user, history):
    """What was written by the document can be read by it."""
    _, database = history
    delta = fss_reader.Delta(export(user, database, 1, GENERATIONS))
    sections = list(delta.sections())
    assert [section.generation for section, _ in sections] == list(range(2, GENERATIONS + 1))
    assert all(len(changes) == section.changes for section, changes in sections)


def test_refusals(user, history):
    """Doubled, dropped, out of order, other history, other source, cut short."""
    scratch, database = history
    other = os.path.join(scratch, "refusing.db")
    first_generation(user, database, other)
    deltas = {n: export(user, database, n, n + 1) for n in range(1, 5)}
    user.run("import", other, "-", "-q", data=deltas[1], code=(0, 2))
    before = log(user, other), answers(user, other, 2)

    def refuse(data, words, operand=other):
        result = user.refused("import", operand, "-", data=data)
        assert words in result.err, repr(result)
        assert (log(user, other), answers(user, other, 2)) == before

    refuse(deltas[1], b"leads from generation 1 to 2, and the newest here is already 2")
    refuse(deltas[3], b"needs generation 3, and the newest here is 2")
    refuse(export(user, database, 1, 5), b"and the newest here is already 2")
    refuse(deltas[2][: len(deltas[2]) // 2], b"it ends")
    refuse(deltas[2] + b"\0", b"reading the seek table")
    empty = os.path.join(scratch, "not-there.db")
    refuse(deltas[2], b"it is empty, and the delta needs generation 2", empty)
    assert not os.path.exists(empty)

    root = os.path.join(scratch, "tree")
    for name, source, words in (
        ("history", "delta-test", b"another history"),
        ("source", "somebody-else", b'this is the database of source "somebody-else"'),
    ):
        stranger = os.path.join(scratch, f"{name}.db")
        for _ in range(2):
            user.run("scan", root, "--db", stranger, "--source-id", source, "-q", code=(0, 2))
        seen = log(user, stranger)
        result = user.refused("import", stranger, "-", data=deltas[2])
        assert words in result.err or name == "source", repr(result)
        assert log(user, stranger) == seen

    user.run("import", other, "-", "-q", data=deltas[2], code=(0, 2))
    user.run("import", other, "-", "-q", data=deltas[3], code=(0, 2))
    assert answers(user, other, 4) == answers(user, database, 4)


def test_scan_writes_it_too(fsmeta, scratch):
    """What scan --delta writes is what export --since writes."""
    root = os.path.join(scratch, "tree")
    database, delta, again = (os.path.join(scratch, name) for name in ("a.db", "delta", "again"))
    other = os.path.join(scratch, "b.db")
    write(os.path.join(root, "folder", "file"), 1)
    scan = ("scan", root, "--db", database, "--source-id", "scan", "-q")
    assert b"no generation to start from" in fsmeta.refused(*scan, "--delta", delta).err
    assert not os.path.exists(database) and not os.path.exists(delta)
    fsmeta.run("scan", root, "-o", delta, "--delta", delta, code=64)
    fsmeta.run(*scan)
    first_generation(fsmeta, database, other)
    write(os.path.join(root, "folder", "file"), 5)
    write(os.path.join(root, "new"), 3)
    fsmeta.run(*scan, "--delta", delta)
    fsmeta.run("export", database, "--since", "1", "-o", again, "-q")
    for name in ("entries.fss", "source.json"):
        with open(os.path.join(delta, name), "rb") as one, open(os.path.join(again, name), "rb") as two:
            assert one.read() == two.read()
    listing = fsmeta.run("ls", delta).out.decode()
    assert listing.startswith("generation 1 \u2192 2\n")
    assert "M  folder/file  (size, mtime, ctime" in listing
    assert "A  new  (3 B)\n" in listing
    fsmeta.run("import", other, delta, "-q")
    assert_alike(fsmeta, database, other, (1, 2))


def test_nothing_to_send(user, history):
    _, database = history
    assert b"no generation after 10" in user.refused("export", database, "--since", "10").err
    assert b"no generation 11" in user.refused("export", database, "--since", "11").err
    assert b"no generation 0" in user.refused("export", database, "--since", "0").err


def test_damage(user, history):
    """Every cut and many flipped bits: refused, and nothing was changed."""
    scratch, database = history
    other = os.path.join(scratch, "damaged.db")
    first_generation(user, database, other)
    before = log(user, other)
    delta = export(user, database, 1, 3)
    rng = random.Random(SEED)
    cuts = sorted(rng.sample(range(len(delta)), 15))
    for cut in cuts:
        user.refused("import", other, "-", data=delta[:cut])
    for _ in range(40):
        place = rng.randrange(len(delta))
        data = bytearray(delta)
        data[place] ^= 1 << rng.randrange(8)
        result = user.run("import", other, "-", "-q", data=bytes(data), code=None)
        # A few of zstd's bits say nothing; then the delta is the same.
        if result.code in (0, 2):
            shutil.copy(os.path.join(scratch, "damaged.db"), other + ".good")
            os.remove(other)
            first_generation(user, database, other)
        assert log(user, other) == before
    user.run("import", other, "-", "-q", data=delta, code=(0, 2))


def test_sizes(fsmeta, scratch):
    """Small changes make small deltas: 5 below 1,261 bytes, 192 below 12 KB."""
    root = os.path.join(scratch, "archive")
    database = os.path.join(scratch, "archive.db")
    rng = random.Random(SEED)
    files = []
    for camera in range(40):
        for day in range(25):
            for segment in range(6):
                files.append(os.path.join(root, f"cam{camera:02}", f"2026-11-{day:02}",
                                          f"{1763000000 + day * 86400 + segment * 600}.mp4"))  # fmt: skip
    for path in files:
        write(path, rng.randrange(5000))
    scan = ("scan", root, "--db", database, "--source-id", "sizes", "-q")
    fsmeta.run(*scan)

    def change(count):
        picked = rng.sample(files, 3 * count)
        for path in picked[:count]:
            os.remove(path)
            files.remove(path)
        for path in picked[count : 2 * count]:
            write(path, rng.randrange(5000, 10000))
        for path in picked[2 * count :]:
            write(path + ".new", rng.randrange(5000))
        fsmeta.run(*scan)

    folder = os.path.join(scratch, "archive-delta")
    with open(files[0], "ab") as file:
        file.write(b"more")
    os.remove(files.pop())
    write(files[1] + ".new", 3)
    fsmeta.run(*scan)
    fsmeta.run("export", database, "--since", "1", "-o", folder, "-q")
    few = os.path.getsize(os.path.join(folder, "entries.fss"))
    change(64)
    fsmeta.run("export", database, "--since", "2", "-o", folder, "-q")
    many = os.path.getsize(os.path.join(folder, "entries.fss"))
    print(f"5 changes: {few} bytes; 192 changes and their folders: {many} bytes")
    assert few < 1261
    assert many < 12 * 1024
