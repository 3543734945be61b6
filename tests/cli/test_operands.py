"""The command line: what an operand is, what a status means, what a terminal may see."""

import errno
import os
import pty
import re
import shutil
import subprocess

import oracle
import pytest
import treegen
from harness import read_bytes

COMMANDS = (
    "scan", "import", "export", "diff", "report", "log", "history", "ls", "find", "du",
    "lookup", "check", "init", "prune",
)
SOURCE_ID = "test-shelf"


class Shelf:
    """A small tree with fixed times, its stream, and a database of two generations.

    Only core fields are kept: golden files must not depend on what a file system has.
    """

    def __init__(self, fsmeta, folder):
        self.folder = folder
        self.tree = os.path.join(folder, "tree")
        self.stream = os.path.join(folder, "stream")
        self.entries = os.path.join(self.stream, "entries.fss")
        self.database = os.path.join(folder, "tree.db")
        fill(self.tree)
        scan = ("scan", self.tree, "--source-id", SOURCE_ID, "--fields=core")
        fsmeta.run(*scan, "-o", self.stream)
        fsmeta.run("import", self.database, self.stream)
        change(self.tree)
        fsmeta.run(*scan, "--db", self.database)


def put(path, size, seconds):
    with open(path, "wb") as file:
        file.write(b"x" * size)
    os.chmod(path, 0o640)
    os.utime(path, ns=(0, seconds * 10**9 + 1))


def fill(tree):
    for folder in ("", "cam1", "rec_0001", "old"):
        os.mkdir(os.path.join(tree, folder))
    for number, start in enumerate((1708584695, 1708585695, 1708586695)):
        put(os.path.join(tree, "cam1", f"{start}_video.rf1p"), 1000 + number, start + 1000)
    put(os.path.join(tree, "rec_0001", "meta.json"), 20, 1708584000)
    put(os.path.join(tree, "old", "one"), 1, 1600000000)
    put(os.path.join(tree, "old", "two"), 2, 1600000000)
    put(os.path.join(tree, "esc\x1b[31m"), 3, 1600000000)
    os.symlink("cam1", os.path.join(tree, "latest"))


def change(tree):
    os.unlink(os.path.join(tree, "cam1", "1708584695_video.rf1p"))
    put(os.path.join(tree, "cam1", "1708587695_video.rf1p"), 1003, 1708588695)
    put(os.path.join(tree, "cam1", "1708586695_video.rf1p"), 2002, 1708590000)
    os.chmod(os.path.join(tree, "rec_0001", "meta.json"), 0o600)
    shutil.rmtree(os.path.join(tree, "old"))
    os.mkdir(os.path.join(tree, "new"))
    put(os.path.join(tree, "new", "three"), 3, 1700000000)


@pytest.fixture(scope="module")
def shelf(fsmeta, module_scratch):
    return Shelf(fsmeta, module_scratch)


def paths(fsmeta, operand, **keywords):
    output = fsmeta.run("ls", "--format=jsonl", operand, **keywords).out
    return [entry["path"] for entry in oracle.parse_jsonl(output)]


# ---- help and wrong usage ----------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help(fsmeta, golden, command):
    result = fsmeta.run(command, "--help", code=0)
    assert result.err == b""
    golden(f"help-{command}.txt", result.out)


def test_main_help(fsmeta, golden):
    result = fsmeta.run("--help", code=0)
    assert result.err == b""
    for command in COMMANDS:
        assert re.search(rb"\b%s\b" % command.encode(), result.out), command
    golden("help.txt", result.out)
    assert all(len(line) <= 100 for line in result.out.split(b"\n"))


def test_version(fsmeta):
    result = fsmeta.run("--version", code=0)
    assert re.match(rb"^fsmeta \d+\.\d+\.\d+", result.out), repr(result)
    assert result.err == b""


WRONG_USAGE = {
    "nothing": (),
    "unknown-command": ("frobnicate",),
    "unknown-option": ("ls", "--frobnicate", "."),
    "unknown-global-option": ("--frobnicate",),
    "scan-without-folder": ("scan",),
    "scan-without-output": ("scan", "."),
    "scan-two-folders": ("scan", ".", ".", "-o", "x"),
    "scan-fields": ("scan", ".", "-o", "x", "--fields=colour"),
    "scan-max-removed": ("scan", ".", "--db", "x", "--max-removed=lots"),
    "import-without-stream": ("import", "x.db"),
    "import-nothing": ("import",),
    "export-nothing": ("export",),
    "export-format": ("export", "--format=xml", "."),
    "export-since-csv": ("export", "--format=csv", "--since=1", "x"),
    "diff-one": ("diff", "."),
    "diff-three": ("diff", ".", ".", "."),
    "diff-format": ("diff", "--format=xml", ".", "."),
    "ls-nothing": ("ls",),
    "ls-format": ("ls", "--format=xml", "."),
    "ls-depth": ("ls", "--depth=-1", "."),
    "ls-depth-word": ("ls", "--depth=deep", "."),
    "ls-unknown-csv": ("ls", "--unknown", "--format=csv", "x"),
    "diff-kind": ("diff", "--kind=added,gone", ".", "."),
    "diff-color": ("diff", "--color=sometimes", ".", "."),
    "diff-stat-csv": ("diff", "--stat", "--format=csv", ".", "."),
    "diff-depth": ("diff", "--depth=1", ".", "."),
    "find-nothing": ("find",),
    "find-larger": ("find", "--larger=10X", "."),
    "find-newer": ("find", "--newer=yesterday", "."),
    "find-type": ("find", "--type=file,", "."),
    "du-nothing": ("du",),
    "du-format": ("du", "--format=mtree", "."),
    "log-nothing": ("log",),
    "log-last": ("log", "-n", "few", "x"),
    "report-nothing": ("report",),
    "report-without-output": ("report", "x"),
    "report-range": ("report", "x", "7", "-o", "x.html"),
    "report-limit": ("report", "x", "-o", "x.html", "--limit=0"),
    "history-nothing": ("history",),
    "history-path": ("history", "x", "../y"),
    "ls-unknown": ("ls", "--unknown", "--seen", "x"),
    "check-nothing": ("check",),
    "progress": ("scan", ".", "-o", "x", "--progress=sometimes"),
}


@pytest.mark.parametrize("name", WRONG_USAGE)
def test_wrong_usage(fsmeta, golden, scratch, name):
    result = fsmeta.run(*WRONG_USAGE[name], code=64, cwd=scratch)
    assert result.out == b"", repr(result)
    assert result.err.startswith((b"fsmeta", b"Usage: fsmeta")), repr(result)
    assert os.listdir(scratch) == [], "wrong usage left something behind"
    golden(f"usage-{name}.txt", result.err)


def test_scan_without_output_hints(fsmeta, scratch):
    result = fsmeta.run("scan", scratch, code=64)
    assert b"-o" in result.err and b"--db" in result.err, repr(result)


# ---- exit statuses -----------------------------------------------------------


def test_diff_statuses(fsmeta, shelf, scratch):
    assert fsmeta.run("diff", shelf.tree, shelf.tree, code=0).out == b""
    assert fsmeta.run("diff", shelf.stream, shelf.tree, code=1).out
    fsmeta.refused("diff", shelf.stream, os.path.join(scratch, "missing"))
    fsmeta.refused("diff", os.path.join(scratch, "missing"), shelf.stream)

    # 2 outranks 1, and the changes are printed all the same.
    tree = os.path.join(scratch, "tree")
    stream = os.path.join(scratch, "stream")
    os.makedirs(os.path.join(tree, "locked"))
    if os.geteuid() == 0:
        for folder in (scratch, tree, os.path.join(tree, "locked")):
            os.chown(folder, 65534, 65534)
    user = fsmeta.as_ordinary_user()
    user.run("scan", tree, "-o", stream, code=0)
    os.chmod(os.path.join(tree, "locked"), 0)
    put(os.path.join(tree, "fresh"), 1, 1700000000)
    result = user.run("diff", "--format=jsonl", stream, tree, code=2)
    assert b'"fresh"' in result.out
    os.chmod(os.path.join(tree, "locked"), 0o755)


def test_diff_text(fsmeta, shelf, golden):
    """What people see; the sample has no times of its own in it but those that `fill` gave."""
    result = fsmeta.run("diff", shelf.database + "@1", shelf.database + "@2", code=1)
    golden("diff-text.txt", result.out)


def test_diff_jsonl(fsmeta, shelf, golden):
    """Fields that differ from run to run are replaced, all else is as it stands."""
    result = fsmeta.run(
        "diff", "--format=jsonl", shelf.database + "@1", shelf.database + "@2", code=1
    )
    golden("diff.jsonl", normalized(result.out))


def test_ls_jsonl(fsmeta, shelf, golden):
    golden("ls.jsonl", normalized(fsmeta.run("ls", "--format=jsonl", shelf.database).out))


def test_ls_text(fsmeta, shelf):
    output = fsmeta.run("ls", shelf.database).out
    assert output.count(b"\n") == len(paths(fsmeta, shelf.database))
    assert b"1708587695_video.rf1p" in output


def normalized(output):
    """Replaces what the machine decides: owners, folders' sizes and modes, times of the run."""
    lines = []
    for line in output.split(b"\n"):
        line = re.sub(rb'"(uid|gid)":\d+', rb'"\1":0', line)
        if b'"type":"folder"' in line or b'"type":"symlink"' in line:
            line = re.sub(rb'"mtime":"[^"]*"', rb'"mtime":"TIME"', line)
        if b'"type":"folder"' in line:
            line = re.sub(rb'"size":\d+', rb'"size":0', line)
            line = re.sub(rb'"mode":"\d+"', rb'"mode":"MODE"', line)
        lines.append(line)
    return b"\n".join(lines)


# ---- what an operand is ------------------------------------------------------


def test_operand_kinds(fsmeta, shelf):
    live = paths(fsmeta, shelf.tree)
    assert live[0] == b"." and b"new/three" in live
    assert paths(fsmeta, "live:" + shelf.tree) == live
    assert paths(fsmeta, shelf.database) == live
    assert paths(fsmeta, "db:" + shelf.database) == live
    first = paths(fsmeta, shelf.stream)
    assert b"old/one" in first and b"new/three" not in first
    for operand in (
        "stream:" + shelf.stream,
        shelf.entries,
        "stream:" + shelf.entries,
        shelf.database + "@1",
        "db:" + shelf.database + "@1",
        shelf.database + "@-1",
        shelf.stream + "/",
    ):
        assert paths(fsmeta, operand) == first, operand
    for operand in (shelf.database + "@2", shelf.database + "@latest", shelf.database + "@{2199-01-01}"):
        assert paths(fsmeta, operand) == live, operand
    fsmeta.refused("ls", shelf.database + "@3")
    fsmeta.refused("ls", shelf.database + "@0")
    fsmeta.refused("ls", shelf.database + "@-2")
    fsmeta.refused("ls", shelf.database + "@{1999-01-01}")
    fsmeta.run("ls", shelf.database + "@nonsense", code=(3, 64))
    fsmeta.run("ls", shelf.database + "@{nonsense}", code=(3, 64))


def test_prefix_decides(fsmeta, shelf):
    """A stream's folder is a folder, too: as a live tree it holds two files."""
    assert paths(fsmeta, "live:" + shelf.stream) == [b".", b"entries.fss", b"source.json"]
    fsmeta.refused("ls", "stream:" + shelf.tree)
    fsmeta.refused("ls", "stream:" + shelf.database)
    fsmeta.refused("ls", "db:" + shelf.tree)
    fsmeta.refused("ls", "db:" + shelf.entries)
    fsmeta.refused("ls", "live:" + shelf.database)


def test_scan_is_always_live(fsmeta, shelf, scratch):
    """`scan DIR` of a stream's folder scans its two files."""
    stream = os.path.join(scratch, "stream")
    fsmeta.run("scan", shelf.stream, "-o", stream)
    assert paths(fsmeta, stream) == [b".", b"entries.fss", b"source.json"]


def test_content_decides_not_the_name(fsmeta, shelf, scratch):
    """A folder named x.db is a folder; a database and a stream of any name are what they are."""
    folder = os.path.join(scratch, "x.db")
    os.mkdir(folder)
    put(os.path.join(folder, "file"), 1, 1700000000)
    assert paths(fsmeta, folder) == [b".", b"file"]
    assert paths(fsmeta, folder + "/") == [b".", b"file"]

    database = os.path.join(scratch, "database.fss")
    shutil.copy(shelf.database, database)
    assert paths(fsmeta, database) == paths(fsmeta, shelf.database)
    entries = os.path.join(scratch, "stream.db")
    shutil.copy(shelf.entries, entries)
    assert paths(fsmeta, entries) == paths(fsmeta, shelf.stream)

    # A folder that merely has files of a stream's names is live.
    fake = os.path.join(scratch, "fake")
    os.mkdir(fake)
    for name in ("entries.fss", "source.json"):
        put(os.path.join(fake, name), 10, 1700000000)
    assert paths(fsmeta, fake) == [b".", b"entries.fss", b"source.json"]


def test_path_that_exists_wins_over_at(fsmeta, shelf, scratch):
    """A real file named tree.db@1 is that file; without it, it is generation 1."""
    database = os.path.join(scratch, "tree.db")
    shutil.copy(shelf.database, database)
    assert b"old" in paths(fsmeta, database + "@1")
    os.mkdir(database + "@1")
    assert paths(fsmeta, database + "@1") == [b"."]
    os.rmdir(database + "@1")

    odd = os.path.join(scratch, "a@b.db")
    shutil.copy(shelf.database, odd)
    assert paths(fsmeta, odd) == paths(fsmeta, shelf.database)
    assert paths(fsmeta, odd + "@1") == paths(fsmeta, shelf.database + "@1")
    tree = os.path.join(scratch, "live@1")
    os.mkdir(tree)
    assert paths(fsmeta, tree) == [b"."]
    relative = fsmeta.run("ls", "--format=jsonl", "live@1", cwd=scratch)
    assert len(oracle.parse_jsonl(relative.out)) == 1


def test_paths_like_prefixes(fsmeta, scratch):
    """./live:x is a path; live:live:x is the live folder named live:x."""
    os.mkdir(os.path.join(scratch, "live:x"))
    for operand in ("./live:x", "live:live:x", "live:./live:x"):
        result = fsmeta.run("ls", "--format=jsonl", operand, cwd=scratch)
        assert len(oracle.parse_jsonl(result.out)) == 1, operand


def test_missing_operand_says_so(fsmeta, scratch):
    missing = os.path.join(scratch, "missing")
    for words in (("ls", missing), ("diff", missing, scratch), ("check", missing)):
        result = fsmeta.refused(*words)
        assert b"missing" in result.err and b"o such file" in result.err, repr(result)
        assert result.err.count(b"\n") == 1, repr(result)


# ---- pipes and terminals -----------------------------------------------------


def test_pipe_in_and_out(fsmeta, shelf, scratch):
    """scan | import, export | ls, and - on either side of a diff."""
    stream = fsmeta.run("scan", shelf.tree, "--source-id", SOURCE_ID, "-o", "-").out
    database = os.path.join(scratch, "tree.db")
    fsmeta.run("import", database, "-", data=stream)
    assert paths(fsmeta, database) == paths(fsmeta, shelf.tree)
    exported = fsmeta.run("export", database, "-o", "-").out
    assert paths(fsmeta, "-", data=exported) == paths(fsmeta, shelf.tree)
    old = read_bytes(shelf.entries)
    for words, code in (
        (("-", shelf.tree), 1),
        ((shelf.tree, "-"), 1),
        ((shelf.stream, "-"), 0),
        ((shelf.database + "@1", "-"), 0),
    ):
        fsmeta.run("diff", *words, code=code, data=old)
    # One standard input cannot be two trees.
    fsmeta.run("diff", "-", "-", code=(3, 64), data=old)
    fifo = os.path.join(scratch, "fifo")
    os.mkfifo(fifo)
    writer = subprocess.Popen(["cp", shelf.entries, fifo])
    assert paths(fsmeta, fifo) == paths(fsmeta, shelf.stream)
    writer.wait(10)


def test_output_in_place(fsmeta, shelf, scratch):
    """-o replaces a stream, and nothing else."""
    stream = os.path.join(scratch, "stream")
    fsmeta.run("scan", shelf.tree, "-o", stream)
    fsmeta.run("export", shelf.database + "@latest", "-o", stream)
    assert sorted(os.listdir(stream)) == ["entries.fss", "source.json"]
    assert os.listdir(scratch) == ["stream"]
    folder = os.path.join(scratch, "precious")
    os.mkdir(folder)
    put(os.path.join(folder, "file"), 1, 1)
    fsmeta.refused("scan", shelf.tree, "-o", folder)
    assert os.listdir(folder) == ["file"]
    file = os.path.join(scratch, "file")
    put(file, 5, 1)
    fsmeta.refused("scan", shelf.tree, "-o", file)
    assert read_bytes(file) == b"xxxxx"
    fsmeta.refused("scan", shelf.tree, "-o", os.path.join(scratch, "no", "such", "stream"))
    assert sorted(os.listdir(scratch)) == ["file", "precious", "stream"]


def test_results_replace_no_database(fsmeta, shelf, scratch):
    """A page or a listing takes the place of an older one, never of a database or a stream."""
    results = os.path.join(scratch, "results")
    database = os.path.join(scratch, "archive.db")
    stream = os.path.join(scratch, "entries.fss")
    shutil.copy(shelf.database, database)
    shutil.copy(os.path.join(shelf.stream, "entries.fss"), stream)
    for path in (database, stream):
        before = read_bytes(path)
        for words in (("report", database), ("export", "--format=csv", shelf.stream)):
            assert b"would be lost" in fsmeta.refused(*words, "-o", path).err
        assert read_bytes(path) == before
    for words in (("report", database), ("export", "--format=csv", shelf.stream)):
        fsmeta.run(*words, "-o", results, code=(0, 2))
        fsmeta.run(*words, "-o", results, code=(0, 2))


def test_own_output_is_not_scanned(fsmeta, scratch):
    """The database and the stream being written are never part of the scan."""
    tree = os.path.join(scratch, "tree")
    os.mkdir(tree)
    put(os.path.join(tree, "file"), 1, 1700000000)
    stream = os.path.join(tree, "stream")
    database = os.path.join(tree, "tree.db")
    for _ in range(3):
        fsmeta.run("scan", tree, "--db", database)
        assert paths(fsmeta, database) == [b".", b"file"]
    os.unlink(database)
    for _ in range(2):
        fsmeta.run("scan", tree, "-o", stream)
        assert paths(fsmeta, stream) == [b".", b"file"]


def run_on_terminal(fsmeta, *arguments, cwd=None):
    """Runs with stdout and stderr on a terminal; returns its status and what it showed."""
    try:
        master, slave = pty.openpty()
    except OSError:
        pytest.skip("no pseudo terminals here")
    process = fsmeta.start(
        *arguments, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=cwd
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError as error:
            assert error.errno == errno.EIO  # the last one has closed it
            break
        if not part:
            break
        shown += part
    os.close(master)
    return process.wait(60), shown


def test_binary_output_to_a_terminal_is_refused(fsmeta, shelf):
    for words in (("scan", shelf.tree, "-o", "-"), ("export", shelf.database, "-o", "-")):
        code, shown = run_on_terminal(fsmeta, *words)
        assert code in (3, 64), shown
        assert b"terminal" in shown and b"\x28\xb5\x2f\xfd" not in shown, shown


def test_hostile_names_never_reach_a_terminal(fsmeta, scratch):
    """No control byte of a name: not in listings, not in diffs, not in messages."""
    tree = os.path.join(scratch, "tree")
    empty = os.path.join(scratch, "empty")
    os.mkdir(empty)
    treegen.generate(tree, 5, entries=100, sparse=False)
    # After CR LF of the terminal and colours of our own are gone, nothing may be left.
    control = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae\xa8\xa9]")
    plain_control = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")  # all that JSON lines promise

    def assert_clean(shown, words):
        pattern = plain_control if "--format=jsonl" in words else control
        shown = shown.replace(b"\r\n", b"\n")
        shown = re.sub(rb"\x1b\[(?:[0-9;]*m|K)|\r", b"", shown)
        assert not pattern.search(shown), (words, pattern.search(shown), shown[:300])
        shown.decode("utf-8")
        assert b"31mred" in shown or words[0] in ("scan", "check", "du") or "--stat" in words, words

    evil = os.path.join(scratch, "evil\x1b[31mred\n")
    for words in (
        ("ls", tree),
        ("diff", empty, tree),
        ("diff", "--accept-empty", tree, empty),
        ("scan", tree, "-o", evil),
        ("check", evil),
        ("ls", evil + "-missing"),
        ("ls", "--format=jsonl", tree),
        ("ls", "--format=csv", tree),
        ("ls", "--format=mtree", tree),
        ("export", "--format=ncdu", tree),
        ("diff", "--format=csv", empty, tree),
        ("diff", "--stat", "--depth=9", "--type=folder,file,symlink", empty, tree),
        ("find", "--name=*red*", tree),
        ("du", tree),
    ):
        code, shown = run_on_terminal(fsmeta, *words)
        assert code in (0, 1, 2, 3), (words, code)
        assert_clean(shown, words)
    # Into a file or a pipe text is quoted just the same: logs are read on terminals.
    assert not control.search(fsmeta.run("ls", tree).out)


def test_colours(fsmeta, shelf):
    """On a terminal, unless NO_COLOR says no; elsewhere when asked."""
    words = ("diff", shelf.database + "@1", shelf.database + "@2")
    plain = fsmeta.run(*words, code=1).out
    coloured = fsmeta.run(*words, "--color=always", code=1).out
    assert b"\x1b" not in plain
    assert re.sub(rb"\x1b\[[0-9;]*m", b"", coloured) == plain
    for letter, colour in ((b"A", b"32"), (b"D", b"31"), (b"M", b"33")):
        assert re.search(rb"^\x1b\[%sm%s  [^\x1b]*\x1b\[0m  \(" % (colour, letter), coloured, re.M)
    assert fsmeta.run(*words, "-0", "--color=always", code=1).out == fsmeta.run(*words, "-0", code=1).out
    for environment, options, expected in (
        ({"TERM": "xterm"}, (), coloured),
        ({"TERM": "xterm", "NO_COLOR": ""}, (), coloured),
        ({"TERM": "xterm", "NO_COLOR": "1"}, (), plain),
        ({"TERM": "dumb"}, (), plain),
        ({"TERM": "xterm"}, ("--color=never",), plain),
        ({"TERM": "xterm", "NO_COLOR": "1"}, ("--color=always",), coloured),
    ):
        fsmeta_there = type(fsmeta)(fsmeta.binary)
        fsmeta_there.environment = {**fsmeta.environment, **environment}
        if "NO_COLOR" not in environment:
            fsmeta_there.environment.pop("NO_COLOR", None)
        _, shown = run_on_terminal(fsmeta_there, *words, *options)
        assert shown.replace(b"\r\n", b"\n") == expected, (environment, options)


def test_diff_stat(fsmeta, shelf, golden):
    words = ("diff", "--stat", shelf.database + "@1", shelf.database + "@2")
    golden("diff-stat.txt", fsmeta.run(*words, code=1).out)
    golden("diff-stat.jsonl", fsmeta.run(*words, "--format=jsonl", code=1).out)


def test_tables(fsmeta, shelf, golden):
    """What other programs get; the shelf has core fields alone."""
    wanted = "--type=file"
    for command, operands in (("find", (shelf.database, wanted)),
                              ("diff", (shelf.database + "@1", shelf.database + "@2", wanted))):
        out = fsmeta.run(command, "--format=csv", *operands, code=(0, 1)).out
        # The owner of the files is who runs the test.
        golden(command + ".csv", re.sub(rb",(0\d{3}),\d+,\d+,", rb",\1,0,0,", out))
    golden("du.txt", fsmeta.run("du", shelf.database).out)


def test_progress_only_on_a_terminal(fsmeta, scratch, shelf):
    """auto: no carriage returns into files; never: none at all; always: even there."""
    stream = os.path.join(scratch, "stream")
    assert b"\r" not in fsmeta.run("scan", shelf.tree, "-o", stream).err
    assert b"\r" not in fsmeta.run("scan", shelf.tree, "-o", stream, "--progress=never").err
    fsmeta.run("scan", shelf.tree, "-o", stream, "--progress=always")
    _, shown = run_on_terminal(fsmeta, "scan", shelf.tree, "-o", stream, "--progress=never")
    assert b"\r" not in shown.replace(b"\r\n", b"\n")


def test_closed_pipe_is_silent(fsmeta, shelf, scratch):
    """`fsmeta ls | head -1`: no message, and not status 3."""
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, 5, entries=10, wide=20000, sparse=False)
    empty = os.path.join(scratch, "empty")
    os.mkdir(empty)
    for words in (
        ("ls", tree),
        ("ls", "--format=jsonl", tree),
        ("diff", "--format=jsonl", empty, tree),
        ("scan", tree, "-o", "-"),
    ):
        process = fsmeta.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(1)
        process.stdout.close()
        errors = process.stderr.read()
        code = process.wait(60)
        assert errors == b"", (words, errors)
        assert code in (0, 1, 141, -13), (words, code)


def test_full_disk_is_told(fsmeta, shelf):
    """/dev/full: an error that a pipe's end must not swallow."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    for words in (("ls", shelf.database), ("diff", shelf.stream, shelf.tree), ("log", shelf.database)):
        with open("/dev/full", "wb") as full:
            process = fsmeta.start(*words, stdout=full, stderr=subprocess.PIPE)
            errors = process.stderr.read()
        assert process.wait(60) == 3, words
        assert b"o space left" in errors, errors


def test_starts_fast(fsmeta):
    """A command that has nothing to do takes milliseconds; the bound is for slow machines."""
    fsmeta.run("--version")
    best = min(timed(fsmeta, "--version") for _ in range(5))
    assert best < 0.5, best


def timed(fsmeta, *words):
    """Processor time, which a machine that is busy with other things hardly changes."""
    process = fsmeta.start(*words, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0
    return used.ru_utime + used.ru_stime
