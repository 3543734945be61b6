"""What a scan is refused for that sees far less than before, and what accepts it."""

import os
import sqlite3

import pytest

ENTRIES = 1200


@pytest.fixture
def tree(scratch):
    """A root with ENTRIES files in it."""
    folder = os.path.join(scratch, "tree")
    os.mkdir(folder)
    for number in range(ENTRIES):
        with open(os.path.join(folder, f"{number:05}"), "wb"):
            pass
    return folder


def remove(tree, count):
    for name in sorted(os.listdir(tree))[:count]:
        os.unlink(os.path.join(tree, name))


def kept(database):
    connection = sqlite3.connect(database)
    try:
        row = connection.execute("SELECT value FROM source WHERE name = 'max_removed'").fetchone()
        return row and row[0]
    finally:
        connection.close()


def newest(fsmeta, database):
    return len(fsmeta.run("log", "--format=jsonl", database).out.splitlines())


def into(fsmeta, way, tree, database, scratch, *options, refused=False):
    """Brings the tree into the database, by `scan` or by a stream and `import`."""
    if way == "scan":
        words = ("scan", tree, "--db", database, "--source-id=guards")
    else:
        stream = os.path.join(scratch, "stream")
        fsmeta.run("scan", tree, "-o", stream, "--source-id=guards", "-q")
        words = ("import", database, stream)
    run = fsmeta.refused if refused else fsmeta.run
    return run(*words, "-q", *options)


@pytest.mark.parametrize("way", ["scan", "import"])
def test_max_removed_is_kept(fsmeta, tree, scratch, way):
    database = os.path.join(scratch, "a.db")
    into(fsmeta, way, tree, database, scratch)
    assert kept(database) is None

    remove(tree, 700)
    result = into(fsmeta, way, tree, database, scratch, refused=True)
    assert b"700 of 1201 entries are gone (58%, more than 50%)" in result.err
    assert b"--accept-removed" in result.err

    # A limit is kept with a generation that came in, and only then.
    into(fsmeta, way, tree, database, scratch, "--max-removed=10%", refused=True)
    assert kept(database) is None and newest(fsmeta, database) == 1
    into(fsmeta, way, tree, database, scratch, "--accept-removed", "--max-removed=10%")
    assert kept(database) == 10 and newest(fsmeta, database) == 2

    # It holds from then on, whoever asks; here for a tree that has grown again.
    for number in range(2 * ENTRIES, 3 * ENTRIES):
        with open(os.path.join(tree, f"{number:05}"), "wb"):
            pass
    into(fsmeta, way, tree, database, scratch)
    remove(tree, 300)
    for other in ("scan", "import"):
        result = into(fsmeta, other, tree, database, scratch, refused=True)
        assert b"more than 10%" in result.err
    assert kept(database) == 10

    # What was accepted once is not accepted for ever; 100% is off for good.
    into(fsmeta, way, tree, database, scratch, "--accept-removed")
    assert kept(database) == 10
    remove(tree, 1000)
    into(fsmeta, way, tree, database, scratch, refused=True)
    into(fsmeta, way, tree, database, scratch, "--max-removed=100%")
    assert kept(database) == 100
    fsmeta.run("check", database)


def test_max_removed_of_the_first_generation(fsmeta, tree, scratch):
    database = os.path.join(scratch, "a.db")
    into(fsmeta, "scan", tree, database, scratch, "--max-removed=2.5")
    assert kept(database) == 2.5
    remove(tree, 40)
    assert b"more than 2.5%" in into(fsmeta, "scan", tree, database, scratch, refused=True).err
    # Another database of the source has its own.
    other = os.path.join(scratch, "b.db")
    stream = os.path.join(scratch, "full")
    fsmeta.run("export", database, "-o", stream, "-q")
    fsmeta.run("import", other, stream, "-q")
    assert kept(other) is None
    into(fsmeta, "scan", tree, other, scratch)


def test_a_root_that_is_empty(fsmeta, tree, scratch):
    database = os.path.join(scratch, "a.db")
    into(fsmeta, "scan", tree, database, scratch)
    remove(tree, ENTRIES)
    for options in ((), ("--accept-removed",), ("--max-removed=100%",)):
        result = into(fsmeta, "scan", tree, database, scratch, *options, refused=True)
        assert b"--accept-empty" in result.err
    assert kept(database) is None
    into(fsmeta, "scan", tree, database, scratch, "--accept-empty", "--accept-removed")
    assert newest(fsmeta, database) == 2


@pytest.mark.parametrize("way", ["scan", "import"])
def test_what_moved_is_not_gone(fsmeta, tree, scratch, way):
    database = os.path.join(scratch, "a.db")
    os.mkdir(os.path.join(scratch, "root"))
    os.rename(tree, os.path.join(scratch, "root", "cam1"))
    root = os.path.join(scratch, "root")
    into(fsmeta, way, root, database, scratch)
    os.rename(os.path.join(root, "cam1"), os.path.join(root, "cam2"))
    result = into(fsmeta, way, root, database, scratch, "--no-moves", refused=True)
    assert b"1201 of 1202 entries are gone" in result.err
    into(fsmeta, way, root, database, scratch)
    assert fsmeta.run("diff", f"{database}@1", database, code=1).out == (
        b"R  cam2/  (from cam1/, 1,200 entries, 0 B)\n"
    )


def test_churn_is_one_line(fsmeta, tree, scratch):
    older, newer = (os.path.join(scratch, name) for name in ("older", "newer"))
    fsmeta.run("scan", tree, "-o", older)
    for name in os.listdir(tree):
        path = os.path.join(tree, name)
        time = os.stat(path).st_mtime_ns
        os.utime(path, ns=(time, time - 3600 * 10**9))
    with open(os.path.join(tree, "00007"), "wb") as file:
        file.write(b"written")
    fsmeta.run("scan", tree, "-o", newer)
    told = fsmeta.run("diff", older, newer, code=1).out.splitlines()
    assert [line[:8] for line in told] == [b"M  00007", b"~  1,199"], told
    assert told[1].endswith(b"all times are shifted by -3600 s  (--all shows them)")
    lines = fsmeta.run("diff", "--format=jsonl", older, newer, code=1).out.splitlines()
    assert len(lines) == ENTRIES + 1
    assert lines[-1] == (
        b'{"kind":"churn","rule":"times","count":1199,"shift":"-3600","rounded":false}'
    )
    assert len(fsmeta.run("diff", "--all", older, newer, code=1).out.splitlines()) == ENTRIES
    # What is one thing is a change all the same.
    fsmeta.run("diff", older, older)


def test_churn_of_an_archive_is_no_event(fsmeta, scratch):
    """Its times were all shifted: nothing was written to, nor to what was sealed."""
    root = os.path.join(scratch, "archive")
    os.makedirs(os.path.join(root, "cam1"))
    for number in range(40):
        for ending in ("rf1i", "rf1p"):
            start = 1_700_000_000 + 1000 * number
            path = os.path.join(root, "cam1", f"{start}_video.{ending}")
            with open(path, "wb") as file:
                file.write(b"x" * number)
            os.utime(path, (start + 1000, start + 1000))
    older, newer = (os.path.join(scratch, name) for name in ("older", "newer"))
    fsmeta.run("scan", root, "-o", older)
    for name in os.listdir(os.path.join(root, "cam1")):
        path = os.path.join(root, "cam1", name)
        os.utime(path, (0, os.stat(path).st_mtime + 3600))
    fsmeta.run("scan", root, "-o", newer)
    told = fsmeta.run("diff", older, newer, code=1).out
    assert told.startswith(b"~  80 entries: all times are shifted by +3600 s") and told.count(b"\n") == 1
    lines = fsmeta.run("diff", "--format=jsonl", older, newer, code=1).out.splitlines()
    assert len(lines) == 81 and not any(b'"event"' in line for line in lines)
    # One that was written to besides is told, in the archive's words too.
    with open(os.path.join(root, "cam1", "1700003000_video.rf1p"), "wb") as file:
        file.write(b"tampered with")
    fsmeta.run("scan", root, "-o", newer + "2")
    told = fsmeta.run("diff", older, newer + "2", code=1).out.splitlines()
    assert [line[:1] for line in told] == [b"V", b"M", b"~"], told
    assert b"[altered]" in told[1]
