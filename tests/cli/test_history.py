"""What happened to a path, the log, and what is unknown since when."""

import base64
import json
import os
import re
import shutil
import sqlite3

import pytest
from harness import as_ordinary_user

START = 1700000000


def parse(output):
    return [json.loads(line) for line in output.splitlines()]


def put(path, size, seconds=START, mode=0o640):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"x" * size)
    os.chmod(path, mode)
    os.utime(path, ns=(0, seconds * 10**9))


def settle(tree):
    """Times and modes of folders that do not depend on when the test runs."""
    for folder, _, _ in os.walk(tree, topdown=False):
        os.chmod(folder, 0o755)
        os.utime(folder, ns=(0, START * 10**9))


class Shelf:
    """A tree and its database."""

    def __init__(self, fsmeta, folder):
        self.fsmeta = fsmeta
        self.tree = os.path.join(folder, "tree")
        self.database = os.path.join(folder, "tree.db")
        os.mkdir(self.tree)

    def path(self, name):
        return os.path.join(self.tree, name)

    def scan(self, *words, code=0):
        settle(self.tree)
        words = ("--source-id", "shelf", "--fields=core", "--max-removed=100%", "-q", *words)
        self.fsmeta.run("scan", self.tree, "--db", self.database, *words, code=code)

    def history(self, path, *words):
        return self.fsmeta.run("history", self.database, path, *words).out

    def events(self, path, *words):
        return parse(self.history(path, "--format=jsonl", *words))

    def listing(self, number):
        output = self.fsmeta.run("ls", "--format=jsonl", f"{self.database}@{number}", code=(0, 2)).out
        return {entry["path"]: entry for entry in parse(output)}


@pytest.fixture
def shelf(fsmeta, scratch):
    return Shelf(fsmeta, scratch)


def scrub(output):
    """Without what depends on when and by whom the test is run."""
    output = re.sub(rb"^( *\d+  )[-\d]{10} [:\d]{8}  ", rb"\1YYYY-MM-DD hh:mm:ss  ", output, flags=re.M)
    output = re.sub(rb'"finished":"[^"]*"', b'"finished":"TIME"', output)
    output = re.sub(rb'("type":"folder",.*"size":)\d+', rb"\g<1>0", output)
    return re.sub(rb'"(uid|gid)":\d+', rb'"\1":0', output)


def live_through_a_lot(shelf):
    """Nine generations: a file changes, becomes a folder, goes with all, and comes again."""
    put(shelf.path("cam1/a.mp4"), 1000)
    put(shelf.path("cam1/sub/x"), 10)
    put(shelf.path("cam2/b.mp4"), 3)
    shelf.scan()
    put(shelf.path("cam1/a.mp4"), 5000, START + 60)
    shelf.scan()
    os.chmod(shelf.path("cam1/a.mp4"), 0o600)
    shelf.scan()
    os.unlink(shelf.path("cam1/a.mp4"))
    put(shelf.path("cam1/a.mp4/inside"), 7)
    shelf.scan()
    shelf.scan("--subtree", "cam2")
    shutil.rmtree(shelf.path("cam1"))
    shelf.scan()
    shelf.scan()
    put(shelf.path("cam1/a.mp4"), 2, START + 120)
    shelf.scan()
    shelf.scan("--exclude", "cam1")


def test_a_path_through_all_generations(shelf, golden):
    live_through_a_lot(shelf)
    for path, name in (("cam1/a.mp4", "file"), ("cam1", "folder"), (".", "root")):
        text, lines = shelf.history(path), shelf.history(path, "--format=jsonl")
        golden(f"history-{name}.txt", scrub(text))
        golden(f"history-{name}.jsonl", scrub(lines))
        for other in (path + "/", "./" + path):
            assert shelf.history(other) == text
        newest_first = shelf.history(path, "--reverse").splitlines()
        assert newest_first == text.splitlines()[::-1]


def test_what_it_tells_is_what_neighbours_differ_in(shelf):
    """diff, log, ls and history of the same events say the same numbers."""
    live_through_a_lot(shelf)
    rows = parse(shelf.fsmeta.run("log", "--format=jsonl", shelf.database).out)
    events = {(one["generation"], one["kind"]): one for one in shelf.events("cam1")}
    told = parse(
        shelf.fsmeta.run(
            "diff", "--format=jsonl", shelf.database + "@5", shelf.database + "@6", code=1
        ).out
    )
    gone = [one for one in told if one["kind"] == "removed"]
    assert gone[0]["path"] == "cam1" and len(gone) == gone[0]["entries"] + 1
    assert rows[5]["removed"] == len(gone)
    assert events[6, "removed"]["entries"] == gone[0]["entries"] == 4
    assert events[6, "removed"]["bytes"] == gone[0]["bytes"] == 17
    assert rows[4]["entries"] - rows[5]["entries"] == len(gone)
    # Absent for a generation, it is another one.
    ids = [shelf.listing(number).get("cam1", {}).get("id") for number in (5, 6, 7, 8)]
    assert ids[1] is None and ids[2] is None and ids[0] != ids[3]
    assert events[6, "removed"]["id"] == ids[0] and events[8, "added"]["id"] == ids[3]
    # What was in it has ended with it, and nothing is told twice.
    assert [one["kind"] for one in shelf.events("cam1/sub/x")] == ["added", "removed"]
    assert rows[7]["added"] == 2 and events[8, "added"]["entries"] == 1


def test_across_moves(shelf, golden):
    put(shelf.path("a/x"), 10)
    put(shelf.path("old/y"), 20)
    os.makedirs(shelf.path("b"))
    shelf.scan()
    put(shelf.path("a/x"), 12)
    shelf.scan()
    os.rename(shelf.path("a/x"), shelf.path("b/x"))
    os.rename(shelf.path("old"), shelf.path("new"))
    shelf.scan()
    put(shelf.path("b/x"), 14)
    shelf.scan()
    golden("history-moves.txt", scrub(shelf.history("b/x") + shelf.history("old/y")))
    golden("history-moves.jsonl", scrub(shelf.history("b/x", "--format=jsonl")))
    assert shelf.history("a/x") == shelf.history("b/x")
    assert shelf.history("new/y") == shelf.history("old/y")
    assert shelf.history("old") == shelf.history("new")
    moved = [one for one in shelf.events("new") if one["kind"] == "moved"]
    assert [(one["old_path"], one["entries"], one["bytes"]) for one in moved] == [("old", 1, 20)]


def test_pruned_generations(shelf, golden):
    live_through_a_lot(shelf)
    before = shelf.events("cam1/a.mp4")
    shelf.fsmeta.run("prune", shelf.database, "--keep-last=4")
    after = shelf.events("cam1/a.mp4")
    assert [one["generation"] for one in after] == [8, 9]
    assert [one for one in before if one["generation"] >= 8] == after
    # What only pruned generations had is gone; what is left says when it really came.
    assert shelf.events("cam2/b.mp4")[0]["since"] == 1
    golden("history-pruned.txt", scrub(shelf.history("cam2/b.mp4")))
    refused = shelf.fsmeta.refused("history", shelf.database, "cam1/sub/x")
    assert b"no kept generation" in refused.err
    text = shelf.fsmeta.run("log", shelf.database).out
    assert text.count(b"pruned") == 5


def test_refusals(shelf, scratch):
    put(shelf.path("x"), 1)
    shelf.scan()
    run = shelf.fsmeta.run
    assert b"no kept generation" in shelf.fsmeta.refused("history", shelf.database, "y").err
    shelf.fsmeta.refused("history", shelf.database, "x/y")
    for path in ("../x", "/x", "a//b", "a/../b"):
        assert run("history", shelf.database, path, code=64).out == b""
    for words in ((shelf.database + "@1", "x"), (shelf.tree, "x"), (shelf.database,), ()):
        assert run("history", *words, code=64).out == b""
    assert run("log", shelf.database + "@1", code=64).out == b""
    shelf.fsmeta.refused("history", os.path.join(scratch, "missing.db"), "x")


def test_names_that_are_no_text(shelf):
    name = b"line\nfeed-\xff"
    put(os.path.join(os.fsencode(shelf.tree), name), 5)
    shelf.scan()
    (event,) = parse(
        shelf.fsmeta.run("history", "--format=jsonl", shelf.database, name).out
    )
    assert base64.b64decode(event["path_b64"]) == name
    assert rb'"line\nfeed-\377"' in shelf.fsmeta.run("history", shelf.database, name).out


def test_other_fields(shelf):
    put(shelf.path("x"), 1)
    shelf.scan("--fields=all")
    put(shelf.path("x"), 1)
    shelf.scan("--fields=all")
    assert [one["kind"] for one in shelf.events("x")] == ["added"]
    (_, event) = shelf.events("x", "--fields=+ctime")
    assert event["fields"] == ["ctime"]
    assert len(shelf.events("x", "--fields=mode")) == 1


# ---- log -----------------------------------------------------------------------


def columns(line):
    """Where the columns end."""
    return [match.end() for match in re.finditer(rb"\S+(?: \S+)*", line)]


def test_log_is_aligned_and_says_what_was_partial(shelf, golden):
    live_through_a_lot(shelf)
    database = sqlite3.connect(shelf.database)
    with database:
        database.execute("UPDATE generation SET added = 123456789012, bytes = 1 << 60 WHERE number = 4")
        database.execute("UPDATE generation SET finished = started + 7384000000000 WHERE number = 3")
    database.close()
    text = shelf.fsmeta.run("log", shelf.database).out
    lines = text.splitlines()
    assert len(lines) == 10
    ends = columns(lines[0])
    for line in lines[1:]:
        assert columns(line)[: len(ends)] == ends, line
    assert b"only cam2" in lines[5] and b"carried" in lines[5]
    short = shelf.fsmeta.run("log", shelf.database, "-n", "2").out
    assert short == b"\n".join([lines[0], *lines[-2:]]) + b"\n"
    assert shelf.fsmeta.run("log", shelf.database, "--last=2").out == short
    rows = parse(shelf.fsmeta.run("log", "--format=jsonl", shelf.database).out)
    assert rows[4]["subtrees"] == ["cam2"] and rows[8]["excludes"] == ["cam1"]
    last = shelf.fsmeta.run("log", "--format=jsonl", "-n2", shelf.database).out
    assert parse(last) == rows[-2:]


# ---- what is unknown ---------------------------------------------------------------


def test_unknown_places(fsmeta, scratch, golden):
    shelf = Shelf(fsmeta.as_ordinary_user(), scratch)
    os.chmod(scratch, 0o777)
    for name, size in (("cam1/a", 10), ("private/deep/p", 20), ("private/q", 5), ("scratch/s", 40)):
        put(shelf.path(name), size)
    put(shelf.path("top"), 1)

    def scan(*words, code=0):
        settle(shelf.tree)
        for folder, folders, files in os.walk(shelf.tree):
            for name in [".", *folders, *files]:
                if as_ordinary_user():
                    os.chown(os.path.join(folder, name), 65534, 65534)
        os.chmod(shelf.path("private"), 0 if code else 0o755)
        words = ("--source-id", "shelf", "--fields=core", "-q", *words)
        shelf.fsmeta.run("scan", shelf.tree, "--db", shelf.database, *words, code=code)

    scan()
    scan(code=2)
    scan("--exclude", "scratch", code=2)
    scan("--subtree", "cam1")
    scan()
    said = b""
    for number, code in ((1, 0), (2, 2), (3, 2), (4, 2), (5, 0)):
        for words in ((), ("--format=jsonl",)):
            words = ("ls", "--unknown", f"{shelf.database}@{number}", *words)
            said += b"generation %d\n" % number + shelf.fsmeta.run(*words, code=code).out
        carried = [one for one in shelf.listing(number).values() if "unknown_since" in one]
        places = parse(shelf.fsmeta.run(*words, code=code).out)
        # Places that were seen themselves are not carried; all else is counted once.
        whole = [one for one in places if one["path"] in {entry["path"] for entry in carried}]
        assert len(whole) + sum(one.get("entries", 0) for one in places) == len(carried)
    golden("ls-unknown.txt", said)
    golden(
        "history-unknown.txt",
        scrub(b"".join(shelf.history(path) for path in ("private", "private/q", "scratch/s"))),
    )
    inside = shelf.fsmeta.run("ls", "--unknown", shelf.database + "@2", "private/deep").out
    assert inside.startswith(b"U  private/deep/  (Permission denied; below it 1 entry")
    for words in (("--seen",), ("--depth=1",)):
        shelf.fsmeta.run("ls", "--unknown", shelf.database, *words, code=64)
