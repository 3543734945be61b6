"""kill -9 at random moments: always the previous or the new generation, and a database that `check` finds whole.

    FSMETA_TEST_KILLS=N     kills in each test (default 8; 100 = full)

How long a command runs is measured first, and the kills are spread over a little more than that, so that
some come after the end.
"""

import os
import random
import re
import shutil
import signal
import time

import pytest
from harness import SEED

KILLS = int(os.environ.get("FSMETA_TEST_KILLS", "8"))


def killed_after(fsmeta, seconds, *words):
    """Runs a command and kills it; True where it had not ended by itself."""
    process = fsmeta.start(*words, stdout=-3, stderr=-3)  # DEVNULL
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def listing(fsmeta, operand):
    return fsmeta.run("ls", "--format=jsonl", operand, code=(0, 2)).out


def newest(fsmeta, database):
    return fsmeta.run("log", "--format=jsonl", database).out.count(b'{"generation":')


def left_over(database):
    """Names of temporaries that stand beside the database."""
    folder, name = os.path.split(database)
    return [entry for entry in os.listdir(folder) if entry.startswith(f".{name}.fsmeta-")]


def copy_database(source, target):
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(target + suffix):
            os.remove(target + suffix)
    shutil.copy(source, target)


def make_tree(tree):
    """100 folders with 50 small files each."""
    for folder in range(100):
        path = os.path.join(tree, f"camera{folder % 10}", f"day{folder:03}")
        os.makedirs(path)
        for number in range(50):
            with open(os.path.join(path, f"{number:04}.mp4"), "wb") as file:
                file.write(b"x" * (number % 7))


def change_tree(tree):
    """Folders that go, come and move, files that go, come and grow."""
    rng = random.Random(SEED)
    for folder in range(0, 100, 10):
        shutil.rmtree(os.path.join(tree, "camera0", f"day{folder:03}"))
    os.rename(os.path.join(tree, "camera1"), os.path.join(tree, "moved"))
    shutil.copytree(os.path.join(tree, "camera2"), os.path.join(tree, "camera9", "copy"))
    for folder, _, files in sorted(os.walk(os.path.join(tree, "camera3"))):
        for name in sorted(files):
            path = os.path.join(folder, name)
            if rng.random() < 0.3:
                os.unlink(path)
            else:
                with open(path, "ab") as file:
                    file.write(b"more")


@pytest.fixture(scope="module")
def states(fsmeta, module_scratch):
    """A tree in two states, as streams, as database generations, and as a delta."""
    scratch = module_scratch
    tree = os.path.join(scratch, "tree")
    paths = {name: os.path.join(scratch, name) for name in ("one", "two", "one.db", "two.db", "delta")}
    make_tree(tree)
    fsmeta.run("scan", tree, "-o", paths["one"], "--source-id=kill", "-q")
    fsmeta.run("import", paths["one.db"], paths["one"], "-q")
    change_tree(tree)
    fsmeta.run("scan", tree, "-o", paths["two"], "--source-id=kill", "-q")
    shutil.copy(paths["one.db"], paths["two.db"])
    fsmeta.run("import", paths["two.db"], paths["two"], "-q", "--accept-removed")
    fsmeta.run("export", paths["two.db"], "--since", "1", "-o", paths["delta"], "-q")
    return tree, paths


def moments(fsmeta, prepare, words):
    """Seconds after which to kill: over the time that the command takes, from its very beginning."""
    prepare()
    started = time.monotonic()
    fsmeta.run(*words, code=(0, 2))
    duration = time.monotonic() - started
    rng = random.Random(SEED)
    return [rng.uniform(0, 1.1 * duration) for _ in range(KILLS)]


def assert_before_or_after(fsmeta, database, before, after):
    """Which of the two the database holds, after proving that it is exactly that."""
    fsmeta.run("check", database, "-q")
    number = newest(fsmeta, database)
    assert number in (1, 2)
    assert listing(fsmeta, f"{database}@1") == before
    if number == 2:
        assert listing(fsmeta, database) == after
    return number


def test_first_import(fsmeta, states, scratch):
    """Nothing or the whole; and what is left over of it goes with the next."""
    _, paths = states
    database = os.path.join(scratch, "a.db")
    words = ("import", database, paths["one"], "-q")
    expected = listing(fsmeta, paths["one.db"])
    outcomes = {"nothing": 0, "left over": 0, "whole": 0}

    def prepare():
        for name in os.listdir(scratch):
            os.remove(os.path.join(scratch, name))

    for moment in moments(fsmeta, prepare, words):
        killed_after(fsmeta, moment, *words)
        outcomes["left over"] += bool(left_over(database))
        if os.path.exists(database):
            outcomes["whole"] += 1
            fsmeta.run("check", database, "-q")
        else:
            outcomes["nothing"] += 1
            assert len([name for name in os.listdir(scratch) if not name.startswith(".")]) == 0
            fsmeta.run(*words)
        assert listing(fsmeta, database) == expected
        assert left_over(database) == []
        prepare()
    print(outcomes)


@pytest.mark.parametrize("way", ["import", "delta", "scan"])
def test_next_generation(fsmeta, states, scratch, way):
    tree, paths = states
    database = os.path.join(scratch, "a.db")
    before, after = listing(fsmeta, paths["one.db"]), listing(fsmeta, paths["two.db"])
    words = {
        "import": ("import", database, paths["two"], "-q", "--accept-removed"),
        "delta": ("import", database, paths["delta"], "-q"),
        "scan": ("scan", tree, "--db", database, "-q", "--source-id=kill", "--accept-removed"),
    }[way]
    outcomes = {1: 0, 2: 0}

    for moment in moments(fsmeta, lambda: copy_database(paths["one.db"], database), words):
        copy_database(paths["one.db"], database)
        killed_after(fsmeta, moment, *words)
        number = assert_before_or_after(fsmeta, database, before, after)
        outcomes[number] += 1
        # Whoever comes next goes on from there.
        if number == 1:
            fsmeta.run(*words, code=(0, 2))
            assert assert_before_or_after(fsmeta, database, before, after) == 2
    print(way, outcomes)


def test_scan_with_stream_and_delta(fsmeta, states, scratch):
    """All three at once: the delta has its name only where its generation is in."""
    tree, paths = states
    database, stream, delta = (os.path.join(scratch, name) for name in ("a.db", "stream", "delta"))
    before, after = listing(fsmeta, paths["one.db"]), listing(fsmeta, paths["two.db"])
    words = ("scan", tree, "--db", database, "-o", stream, "--delta", delta, "-q", "--source-id=kill",
             "--accept-removed")  # fmt: skip

    def prepare():
        copy_database(paths["one.db"], database)
        for folder in (stream, delta):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(paths["one"], stream)

    for moment in moments(fsmeta, prepare, words):
        prepare()
        killed_after(fsmeta, moment, *words)
        number = assert_before_or_after(fsmeta, database, before, after)
        fsmeta.run("check", stream, "-q")
        # A stream is named before, and is that of the generation that was missed.
        if number == 2:
            assert without_ids(listing(fsmeta, stream)) == without_ids(after)
        if os.path.exists(delta):
            assert number == 2
            fsmeta.run("check", delta, "-q")
        else:
            fsmeta.run("export", database, "--since", "1", "-o", delta, code=0 if number == 2 else 3)
        fsmeta.run("scan", tree, "-o", stream, "-q", "--source-id=kill")
        names = [name for name in os.listdir(scratch) if name.startswith(".stream.fsmeta-")]
        assert names == [], "what was left over goes with the next"


def without_ids(lines):
    return re.sub(rb'"id":[0-9]+,', b"", lines)
