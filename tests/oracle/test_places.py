"""Where a database may lie: on a disk that nobody can write to, on a file system without shared memory, and inside
the tree that it describes.

A read-only file system is a mount of its own where the tests may make one (root in a mount namespace), and a
folder that permissions protect. A file system that cannot map files shared is played by a library
(tests/support/no_shared_memory.c), as mounting one that cannot needs a second machine.
"""

import os
import shutil
import sqlite3
import subprocess

import oracle
import pytest
from harness import SUPPORT, Fsmeta, as_ordinary_user, drop_scratch, make_scratch, read_bytes

NAMES = ("one.mp4", "two.mp4", "sub/three.mp4")


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def make_tree(root):
    for name in NAMES:
        write(os.path.join(root, name), name.encode())


def grow(root):
    write(os.path.join(root, "two.mp4"), b"longer than it was")
    write(os.path.join(root, "sub", "four.mp4"), b"4")
    os.unlink(os.path.join(root, "one.mp4"))


def two_generations(fsmeta, scratch):
    """A tree, and a database with two generations of it in a folder of its own."""
    tree, folder = os.path.join(scratch, "tree"), os.path.join(scratch, "db")
    database = os.path.join(folder, "archive.db")
    os.makedirs(folder)
    make_tree(tree)
    fsmeta.run("scan", tree, "--db", database, "-q")
    grow(tree)
    fsmeta.run("scan", tree, "--db", database, "-q")
    return tree, database


def answers(program, database, tree=None):
    """All that can be asked of a database without writing to it; what names the database is left out."""
    found = [
        program.run("ls", "--format=jsonl", database).out,
        program.run("ls", "--format=jsonl", database + "@1").out,
        program.run("diff", "--format=jsonl", database + "@1", database + "@2", code=1).out,
        program.run("log", "--format=jsonl", database).out,
        program.run("history", database, "two.mp4").out,
        program.run("export", database + "@1", "-o", "-").out,
    ]
    program.run("check", database)
    if tree:
        program.run("diff", database, tree)
    return found


def listed(fsmeta, *operand):
    output = fsmeta.run("ls", "--format=jsonl", *operand).out
    return [entry["path"].decode() for entry in oracle.parse_jsonl(output)]


def changed_paths(fsmeta, *operands, code):
    output = fsmeta.run("diff", "--format=jsonl", *operands, code=code).out
    return sorted((change["kind"], change["path"].decode()) for change in oracle.parse_changes(output))


def files_in(folder):
    return {name: read_bytes(os.path.join(folder, name)) for name in os.listdir(folder)}


# ---- nobody can write there -----------------------------------------------------------


def protect(folder):
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o444)
    os.chmod(folder, 0o555)


def test_in_a_folder_that_cannot_be_written_to(fsmeta, scratch):
    tree, database = two_generations(fsmeta, scratch)
    before = answers(fsmeta, database)
    folder = os.path.dirname(database)
    protect(folder)
    files = files_in(folder)
    user = fsmeta.as_ordinary_user()
    assert answers(user, database, tree) == before
    for command in (("scan", tree, "--db", database), ("prune", database, "--keep-last", "1")):
        assert b"Permission denied" in user.refused(*command).err
    assert files_in(folder) == files


def test_with_a_log_that_was_left_behind(fsmeta, scratch):
    """Somebody died before the log was folded in, and the disk was made read-only: nothing of it is lost."""
    tree, database = two_generations(fsmeta, scratch)
    copies = {name: os.path.join(scratch, name, "archive.db") for name in ("with", "without", "empty")}
    reader = sqlite3.connect(database)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM generation").fetchone()
    write(os.path.join(tree, "five.mp4"), b"5")
    fsmeta.run("scan", tree, "--db", database, "-q")
    # The third generation is in the log alone.
    assert os.path.getsize(database + "-wal") > 0
    for name, other in copies.items():
        os.makedirs(os.path.dirname(other))
        shutil.copy(database, other)
        if name != "empty":
            shutil.copy(database + "-wal", other + "-wal")
    shutil.copy(database + "-shm", copies["with"] + "-shm")
    write(copies["empty"] + "-wal", b"")
    reader.close()
    for other in copies.values():
        protect(os.path.dirname(other))
    user = fsmeta.as_ordinary_user()
    assert "five.mp4" in listed(user, copies["with"])
    assert answers(user, copies["with"], tree) == answers(fsmeta, database, tree)
    # Without -shm only who may write can read the log. Not to read it would be to show another generation.
    assert b"-wal" in user.refused("ls", copies["without"]).err
    assert "five.mp4" not in listed(user, copies["empty"])


def in_read_only_mount(fsmeta, folder, *arguments, code=0):
    """Runs fsmeta where `folder` is mounted read-only; in a namespace, so that nothing of it stays."""
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", folder]
    return Fsmeta(fsmeta.binary, words).run(*arguments, code=code)


@pytest.fixture
def can_mount(scratch):
    command = ["unshare", "--mount", "--propagation", "private", "mount", "--bind", scratch, scratch]
    if not shutil.which("unshare") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounts cannot be made here")


def test_on_a_read_only_mount(fsmeta, scratch, can_mount):
    tree, database = two_generations(fsmeta, scratch)
    folder = os.path.dirname(database)
    files = files_in(folder)
    for words, code in (
        (("ls", "--format=jsonl", database), 0),
        (("diff", "--format=jsonl", database + "@1", database + "@2"), 1),
        (("log", database), 0),
        (("check", database), 0),
        (("diff", database, tree), 0),
    ):
        assert in_read_only_mount(fsmeta, folder, *words, code=code).out == fsmeta.run(*words, code=code).out
    grow_again = os.path.join(tree, "five.mp4")
    write(grow_again, b"5")
    refused = in_read_only_mount(fsmeta, folder, "scan", tree, "--db", database, code=3)
    assert b"Read-only file system" in refused.err
    assert files_in(folder) == files
    fsmeta.run("scan", tree, "--db", database, "-q")


# ---- no shared memory ------------------------------------------------------------------


@pytest.fixture(scope="module")
def without_shared_memory(fsmeta):
    """fsmeta on file systems that cannot map files shared."""
    linked = subprocess.run(["ldd", fsmeta.binary], capture_output=True, check=False).stdout
    if b"libasan" in linked or b"libtsan" in linked:
        pytest.skip("sanitizers want to be the first library")
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no compiler for the library that plays it")
    folder = make_scratch()
    library = os.path.join(folder, "no_shared_memory.so")
    source = os.path.join(SUPPORT, "no_shared_memory.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    yield Fsmeta(fsmeta.binary, ["env", f"LD_PRELOAD={library}"])
    drop_scratch(folder)


def test_the_library_plays_it(without_shared_memory, scratch):
    """SQLite itself falls back, or nothing would be tested."""
    code = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1])\n"
        "print(db.execute('PRAGMA journal_mode = WAL').fetchone()[0])\n"
        "db.execute('CREATE TABLE t (a)')\n"
    )
    command = [*without_shared_memory.prefix, "/usr/bin/python3", "-c", code, os.path.join(scratch, "x.db")]
    process = subprocess.run(command, capture_output=True, check=False)
    assert process.stdout.strip() != b"wal" or process.returncode, process


def test_quick_without_shared_memory(without_shared_memory, scratch):
    """Without a log who reads keeps others from committing: the guide has to be gone by then."""
    tree, database = os.path.join(scratch, "tree"), os.path.join(scratch, "x.db")
    os.mkdir(tree)
    without_shared_memory.run("scan", tree, "--db", database)
    without_shared_memory.run("scan", tree, "--db", database, "--quick")
    with open(os.path.join(tree, "new"), "wb"):
        pass
    without_shared_memory.run("scan", tree, "--db", database, "--quick")
    without_shared_memory.run("check", database)
    assert b'"quick":true' in without_shared_memory.run("log", "--format=jsonl", database).out


def test_on_a_file_system_without_shared_memory(fsmeta, without_shared_memory, scratch):
    """Made, written, read and pruned there, and the same as anywhere else."""
    tree, there, here = (os.path.join(scratch, name) for name in ("tree", "there.db", "here.db"))
    make_tree(tree)
    for number in range(3):
        stream = os.path.join(scratch, f"stream{number}")
        fsmeta.run("scan", tree, "-q", "-o", stream)
        without_shared_memory.run("import", there, stream, "-q")
        fsmeta.run("import", here, stream, "-q")
        write(os.path.join(tree, f"{number}.mp4"), b"new")
    with_memory = answers_of_three(fsmeta, here)
    assert answers_of_three(without_shared_memory, there) == with_memory
    assert answers_of_three(fsmeta, there) == with_memory
    without_shared_memory.run("prune", there, "--keep-last", "1")
    without_shared_memory.run("check", there)
    assert [name for name in os.listdir(scratch) if name.startswith("there.db")] == ["there.db"]


def answers_of_three(program, database):
    found = [program.run("ls", "--format=jsonl", f"{database}@{number}").out for number in (1, 2, 3)]
    found.append(program.run("diff", "--format=jsonl", database + "@1", database + "@3", code=1).out)
    program.run("check", database)
    return found


def test_what_was_written_with_shared_memory_is_read_without(fsmeta, without_shared_memory, scratch):
    tree, database = two_generations(fsmeta, scratch)
    assert answers(without_shared_memory, database, tree) == answers(fsmeta, database, tree)


# ---- inside the tree --------------------------------------------------------------------


def test_inside_the_tree_that_it_describes(fsmeta, scratch):
    """Neither the file nor its log are part of any generation, nor of a comparison with it."""
    tree = os.path.join(scratch, "tree")
    database = os.path.join(tree, "sub", "archive.db")
    make_tree(tree)
    expected = sorted([".", "sub", *NAMES])
    for _ in range(3):
        fsmeta.run("scan", tree, "--db", database, "-q")
        assert sorted(listed(fsmeta, database)) == expected
        assert changed_paths(fsmeta, database, tree, code=0) == []
    assert sorted(listed(fsmeta, tree)) == sorted([*expected, "sub/archive.db"])


def test_beside_a_log_that_is_in_use(fsmeta, scratch):
    """Somebody has the database open, so that -wal and -shm lie in the tree while it is scanned."""
    tree = os.path.join(scratch, "tree")
    database = os.path.join(tree, "archive.db")
    make_tree(tree)
    fsmeta.run("scan", tree, "--db", database, "-q")
    reader = sqlite3.connect(database)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM generation").fetchone()
    grow(tree)
    fsmeta.run("scan", tree, "--db", database, "-q")
    beside = sorted(name for name in os.listdir(tree) if name.startswith("archive.db"))
    assert beside == ["archive.db", "archive.db-shm", "archive.db-wal"]
    fsmeta.run("scan", tree, "--db", database, "-q")
    names = [".", "sub", "sub/four.mp4", "sub/three.mp4", "two.mp4"]
    assert sorted(listed(fsmeta, database)) == names
    assert changed_paths(fsmeta, database, tree, code=0) == []
    assert reader.execute("SELECT count(*) FROM generation").fetchone() == (1,)
    reader.close()
    stream = os.path.join(tree, "stream")
    fsmeta.run("scan", tree, "--db", database, "-o", stream, "-q")
    assert sorted(listed(fsmeta, database)) == names
    assert sorted(listed(fsmeta, stream)) == names


def test_named_through_links(fsmeta, scratch):
    """By whatever name it is called, it is the same file."""
    tree = os.path.join(scratch, "tree")
    make_tree(tree)
    os.symlink(tree, os.path.join(scratch, "link"))
    database = os.path.join(scratch, "link", "sub", "..", "archive.db")
    for _ in range(2):
        fsmeta.run("scan", os.path.join(scratch, "link", "."), "--db", database, "-q")
        assert sorted(listed(fsmeta, database)) == sorted([".", "sub", *NAMES])
        assert changed_paths(fsmeta, database, tree, code=0) == []
