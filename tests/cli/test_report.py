"""What a report says is what `diff`, `log` and `ls` say; what is in a name stays text.

The page in a browser is the business of tests/browser.
"""

import base64
import hashlib
import json
import os
import random
import re
import shutil

import pytest
from harness import as_ordinary_user, read_bytes

KINDS = [None, "added", "removed", "modified", "moved", "corrupted", "unreadable", "unknown"]
LETTERS = {"A": "added", "D": "removed", "M": "modified", "R": "moved", "!": "corrupted", "U": "unreadable", "?": "unknown"}
HOSTILE = [
    b"<img src=x onerror=alert(1)>", b"</script", b"<!--<script>", b"a&amp;b", b"line\nend", b"tab\there", b'"quoted"', b"back\\slash",
    b"caf\xe9", b"\xe2\x80\xa8line separator", b"\xe2\x80\xaereversed", "Größe 🎥".encode(), b"\xed\xa0\x80", b"\x7f", b"${CSS}", b"@JS@", b"@DATA@",
]


class Shelf:
    """A tree and its database."""

    def __init__(self, fsmeta, folder):
        self.fsmeta = fsmeta
        self.folder = folder
        self.tree = os.fsencode(os.path.join(folder, "tree"))
        self.database = os.path.join(folder, "tree.db")
        os.mkdir(self.tree)

    def put(self, name, size):
        path = os.path.join(self.tree, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.truncate(size)

    def scan(self, *words, code=0):
        words = ("--source-id", "shelf", "--max-removed=100%", "-q", *words)
        self.fsmeta.run("scan", os.fsdecode(self.tree), "--db", self.database, *words, code=code)

    def page(self, *words, code=0):
        path = os.path.join(self.folder, "report.html")
        self.fsmeta.run("report", self.database, *words, "-q", "-o", path, code=code)
        return read_bytes(path)

    def report(self, *words, code=0):
        return data_of(self.page(*words, code=code))

    def lines(self, command, *words):
        out = self.fsmeta.run(command, "--format=jsonl", *words, code=(0, 1, 2)).out
        return [json.loads(line) for line in out.splitlines()]

    def changes(self, older, newer):
        return [line for line in self.lines("diff", f"{self.database}@{older}", f"{self.database}@{newer}") if line["kind"] in KINDS]


@pytest.fixture
def shelf(fsmeta, scratch):
    return Shelf(fsmeta, scratch)


def data_of(page):
    text = page.decode("utf-8")
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert len(found) == 1
    assert not re.search("[<>&\u2028\u2029]", found[0])
    return json.loads(found[0])


def quoted(path):
    """A path as `diff` shows it in text: what does not print as it is, in quotes."""
    text = path.decode("utf-8", "surrogateescape")
    bad = re.compile('["\\\\\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]')
    if not bad.search(text):
        return text
    named = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}

    def escape(match):
        raw = match[0].encode("utf-8", "surrogateescape")
        return "".join("\\" + named.get(byte, f"{byte:03o}") for byte in raw)

    return '"' + bad.sub(escape, text) + '"'


def rows_of(data):
    """The changes of a report as (kind, path, type, size) and more, from its columns."""
    folders, rows = [], []
    for piece in data["changes"]:
        for above, name in piece["folders"]:
            folders.append((folders[above] if above >= 0 else "") + name + "/")
        pairs = {key: dict(piece[key]) for key in ("oldSize", "entries", "oldMtime", "from", "note")}
        for i, letter in enumerate(piece["kind"]):
            path = (folders[piece["folder"][i]] if piece["folder"][i] >= 0 else "") + piece["name"][i]
            row = {"kind": LETTERS[letter], "type": piece["type"][i], "path": path, "size": piece["size"][i]}
            row.update({key: pairs[key][i] for key in pairs if i in pairs[key]})
            rows.append(row)
    return rows


def raw(line, key="path"):
    return base64.b64decode(line[key + "_b64"]) if key + "_b64" in line else line[key].encode()


def row_of(line):
    """What a report must say of a line of `diff`."""
    is_folder = line["type"] == "folder"
    path = raw(line)
    parts = [] if path == b"." else path.split(b"/")
    size = line.get("new", {}).get("size", line.get("size"))
    row = {
        "kind": line["kind"],
        "type": {"file": "f", "folder": "d", "symlink": "l"}[line["type"]],
        "path": "/".join(quoted(part) for part in parts) + ("/" if is_folder and parts else ""),
        "size": line.get("bytes", 0) if is_folder else size,
    }
    if is_folder and line.get("entries"):
        row["entries"] = line["entries"]
    if "size" in line.get("old", {}) and not is_folder:
        row["oldSize"] = line["old"]["size"]
    if "old_path" in line:
        row["from"] = quoted(raw(line, "old_path"))
    return row


def check_rows(data, lines):
    for row, line in zip(rows_of(data), lines, strict=True):
        expected = row_of(line)
        if expected["size"] is None:  # of what changed in another field the line has no size
            expected["size"] = row["size"]
        assert {key: value for key, value in row.items() if key not in ("note", "oldMtime")} == expected, (row, line)


def check_sums(data, lines):
    counts, sizes = [0] * 8, [0] * 8
    for line in lines:
        kind = KINDS.index(line["kind"])
        whole = line["type"] == "folder" and line["kind"] not in ("added", "removed", "modified")
        counts[kind] += 1 + (line["entries"] if whole else 0)
        sizes[kind] += line["bytes"] if whole else 0
    assert data["counts"] == counts
    for kind in ("added", "removed"):
        at = KINDS.index(kind)
        assert data["bytes"][at] == sum(line["size"] for line in lines if line["kind"] == kind and line["type"] == "file")


def check_tree(data, listing):
    """The map: sums of what is below each place, and every change in just one of them."""
    tree = data["tree"]
    paths = []
    for node in tree:
        above = paths[node["in"]] if node["in"] >= 0 else None
        paths.append(node["name"] if not above else above + "/" + node["name"])
        if node["in"] >= 0:
            assert tree[node["in"]]["size"] >= node["size"]
    files = [(quoted_path(raw(entry)), entry["size"]) for entry in listing if entry["type"] == "file"]
    for node, path in zip(tree, paths):
        inside = sum(size for name, size in files if not path or name == path or name.startswith(path + "/"))
        assert node["size"] == inside, path
    total = [sum(node["counts"][kind] for node in tree) for kind in range(8)]
    assert total == data["counts"]
    sizes = [sum(node["bytes"][kind] for node in tree) for kind in range(8)]
    assert sizes[1:5] == data["bytes"][1:5]


def quoted_path(path):
    return "/".join(quoted(part) for part in path.split(b"/"))


def mutate(shelf, source, names):
    """Some of everything that can happen to a tree."""
    files = [os.path.join(folder, name) for folder, _, found in os.walk(shelf.tree) for name in found]
    for path in source.sample(sorted(files), min(len(files), 6)):
        what = source.randrange(4)
        if what == 0:
            os.remove(path)
        elif what == 1:
            os.truncate(path, source.randrange(10**6))
        elif what == 2:
            os.chmod(path, source.choice([0o400, 0o640, 0o755]))
        else:
            os.rename(path, path + b"%d" % source.randrange(100))
    folders = sorted(os.path.join(folder, name) for folder, found, _ in os.walk(shelf.tree) for name in found)
    if folders and source.randrange(2):
        shutil.rmtree(source.choice(folders))
    folders = [path for path in folders if os.path.exists(path)]
    if folders and source.randrange(2):
        os.rename(source.choice(folders), os.path.join(shelf.tree, b"moved%d" % source.randrange(10**6)))
    for _ in range(source.randrange(1, 12)):
        name = b"/".join(source.choice(names) for _ in range(source.randrange(1, 4))) + b".%d" % source.randrange(50)
        shelf.put(name, source.randrange(10**6))


@pytest.mark.parametrize("seed", range(4))
def test_says_what_diff_says(shelf, seed):
    source = random.Random(seed)
    names = [b"cam%d" % i for i in range(4)] + source.sample(HOSTILE, 5)
    for _ in range(5):
        mutate(shelf, source, names)
        shelf.scan()
    for words, older, newer in (((), 4, 5), (("1..4",), 1, 4), (("..3",), 2, 3), (("2..",), 2, 5)):
        data = shelf.report(*words)
        assert (data["older"], data["newer"]) == (older, newer)
        lines = shelf.changes(older, newer)
        check_rows(data, lines)
        check_sums(data, lines)
        check_tree(data, shelf.lines("ls", f"{shelf.database}@{newer}"))
        assert [step["newer"] for step in data["steps"]] == list(range(2, newer + 1))
        for step in data["steps"]:
            check_sums(step, shelf.changes(step["older"], step["newer"]))
    log = shelf.lines("log", shelf.database)
    assert [[row[0], row[2], row[4]] for row in data["generations"]] == [
        [line["generation"], line["entries"], line["bytes"]] for line in log
    ]


def test_hostile_names(shelf):
    shelf.scan()
    for name in HOSTILE:
        shelf.put(name + b"/" + name, 5)
        shelf.put(name + b".x", 5)
    shelf.scan()
    page = shelf.page()
    check_rows(data_of(page), shelf.changes(1, 2))
    added = data_of(page)["counts"][KINDS.index("added")]
    assert b"Since generation 1: %d added (170 B), 0 removed (0 B)" % added in page
    assert page.count(b"<script") == 2 and page.count(b"</script>") == 2
    assert b"onerror" not in re.sub(rb'id="data">.*?</script>', b"", page, flags=re.S)


def test_policy_allows_just_its_own(shelf):
    shelf.scan()
    page = shelf.page()
    policy = re.search(rb'Content-Security-Policy" content="([^"]*)"', page)[1].decode()
    for tag, directive in ((b"style", "style-src"), (b"script", "script-src")):
        text = re.search(rb"<%s>(.*?)</%s>" % (tag, tag), page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    rest = re.sub(rb"<script.*?</script>|<style>.*?</style>", b"", page, flags=re.S)
    assert not re.search(rb"\son\w+=|https?:|\ssrc=", rest)


def test_first_generation(shelf):
    shelf.put(b"a/b", 7)
    shelf.scan()
    data = shelf.report()
    assert (data["older"], data["newer"], data["lines"], data["changes"], data["steps"]) == (0, 1, 0, [], [])
    assert b"Generation 1 holds 7 B in 1 file. This page" in shelf.page()
    assert data["tree"][0]["size"] == 7


def test_empty_database_and_ranges(shelf):
    shelf.fsmeta.refused("report", os.path.join(shelf.folder, "none.db"), "-o", os.path.join(shelf.folder, "x.html"))
    for size in range(3):
        shelf.put(b"a", size)
        shelf.scan()
    target = os.path.join(shelf.folder, "x.html")
    for words, code in ((("3..1",), 64), (("2..2",), 64), (("1..9",), 3), (("7",), 64), (("..",), 0), (("1..latest",), 0)):
        shelf.fsmeta.run("report", shelf.database, *words, "-q", "-o", target, code=code)
        assert os.path.exists(target) == (code == 0)
    shelf.fsmeta.run("report", os.fsdecode(shelf.tree), "-o", target, code=64)


def test_pruned_generations_are_stepped_over(shelf):
    for size in range(5):
        shelf.put(b"a", size)
        shelf.scan()
    shelf.fsmeta.run("prune", shelf.database, "--keep-last", "2")
    data = shelf.report()
    assert [(step["older"], step["newer"]) for step in data["steps"]] == [(4, 5)]
    assert [row[7] for row in data["generations"]] == [1, 1, 1, 0, 0]
    shelf.fsmeta.run("report", shelf.database, "2..5", "-o", os.path.join(shelf.folder, "x.html"), code=3)


def test_limit_leaves_out_what_is_inside_first(shelf):
    shelf.put(b"begin", 1)
    shelf.scan()
    for i in range(20):
        shelf.put(b"new%d/%d" % (i % 4, i), 10)
    shelf.scan()
    whole = shelf.report()
    assert whole["lines"] == len(rows_of(whole)) == 24 and whole["outerLines"] == 4
    outer = shelf.report("--limit=23")
    assert [row["path"] for row in rows_of(outer)] == ["new0/", "new1/", "new2/", "new3/"]
    assert outer["counts"] == whole["counts"] and outer["lines"] == 24
    assert [row["path"] for row in rows_of(shelf.report("--limit=2"))] == ["new0/", "new1/"]


def test_unknown_is_no_removal(fsmeta, scratch):
    os.chmod(scratch, 0o777)
    fsmeta = fsmeta.as_ordinary_user()
    shelf = Shelf.__new__(Shelf)
    shelf.fsmeta, shelf.folder = fsmeta, scratch
    shelf.tree, shelf.database = os.fsencode(os.path.join(scratch, "tree")), os.path.join(scratch, "tree.db")
    os.mkdir(shelf.tree)
    shelf.put(b"private/x", 100)
    shelf.put(b"open/y", 10)
    for path in (b"", b"private", b"open"):
        os.chmod(os.path.join(shelf.tree, path), 0o755)
    if as_ordinary_user():
        shutil.chown(os.path.join(shelf.tree, b"private"), 65534, 65534)
    shelf.scan()
    os.chmod(os.path.join(shelf.tree, b"private"), 0)
    shelf.scan(code=2)
    data = shelf.report(code=2)
    assert data["counts"][KINDS.index("removed")] == 0
    assert data["counts"][KINDS.index("unreadable")] == 2
    assert data["unknown"]["places"] == [["private", 2, "Permission denied"]]
    assert (data["unknown"]["entries"], data["unknown"]["bytes"]) == (1, 100)
    assert data["tree"][0]["unknown"] == 100
    rows = [row for row in rows_of(data) if row["kind"] == "unreadable"]
    assert [(row["path"], row["note"], row["entries"], row["size"]) for row in rows] == [("private/", "Permission denied", 1, 100)]
    os.chmod(os.path.join(shelf.tree, b"private"), 0o755)


def test_churn_is_one_sentence(shelf):
    for i in range(200):
        shelf.put(b"cam%d/%d" % (i % 4, i), 10)
    shelf.scan()
    for i in range(200):
        path = os.path.join(shelf.tree, b"cam%d/%d" % (i % 4, i))
        time = os.stat(path).st_mtime_ns + 3600 * 10**9
        os.utime(path, ns=(time, time))
    shelf.put(b"cam1/1", 11)
    shelf.scan()
    data = shelf.report()
    assert data["churn"] == [["times", 199, 3600, 0]]
    assert [(row["kind"], row["path"]) for row in rows_of(data)] == [("modified", "cam1/1")]
    assert data["counts"][KINDS.index("modified")] == 1 and data["lines"] == 1
    assert data["steps"][0]["counts"] == data["counts"]
    assert sum(node["counts"][KINDS.index("modified")] for node in data["tree"]) == 1


def test_written_whole_or_not_at_all(shelf):
    shelf.put(b"a", 1)
    shelf.scan()
    page = shelf.page()
    target = os.path.join(shelf.folder, "report.html")
    shelf.fsmeta.run("report", shelf.database, "1..7", "-o", target, code=3)
    assert read_bytes(target) == page
    shelf.fsmeta.refused("report", shelf.database, "-o", os.path.join(shelf.folder, "tree"))
    assert shelf.fsmeta.run("report", shelf.database, "-o", "-").out == page
    assert [name for name in os.listdir(shelf.folder) if name.startswith(".")] == []
