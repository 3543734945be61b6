"""What a scan looks at: --subtree and --exclude, with git and find as judges.

Excludes are compared with `git check-ignore`, which speaks about every path of the tree,
with thousands of random patterns; sub-trees with find's listing, filtered by the plain
definition.  Then what a narrower scan means for a diff and for a database.

    FSMETA_TEST_PATTERNS=N      lists of patterns to try on the tree (default 400)

One thing git does otherwise than its manual says is kept out of the random patterns: "**"
that is only a part of a name, in a pattern with a slash.
"""

import os
import random
import subprocess

import oracle
import pytest
import treegen
from harness import SEED, need

ROUNDS = int(os.environ.get("FSMETA_TEST_PATTERNS", "400"))


# ---- the judge -----------------------------------------------------------------


class Git:
    """`git check-ignore` over a tree that is no repository."""

    def __init__(self, scratch, tree):
        need("git")
        self.tree = os.fsencode(tree)
        self.git_dir = os.path.join(scratch, "judge.git")
        self.patterns = os.path.join(scratch, "judge.patterns")
        self.environment = {
            **os.environ,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        subprocess.run(["git", "init", "-q", "--bare", self.git_dir], check=True, env=self.environment)

    @staticmethod
    def line(pattern):
        """A pattern as a line of a .gitignore, where '#' in front and spaces behind count."""
        body = pattern.rstrip(b" ")
        escaped = (len(body) - len(body.rstrip(b"\\"))) % 2
        spaces = len(pattern) - len(body)
        if spaces and escaped:
            body, spaces = body + b" ", spaces - 1
        line = body + b"\\ " * spaces
        return b"\\" + line if line.startswith(b"#") else line

    def excluded(self, patterns, paths):
        """Those of `paths` (without the root) that the patterns exclude, or a folder above."""
        with open(self.patterns, "wb") as file:
            file.write(b"# patterns\n")
            for pattern in patterns:
                assert b"\n" not in pattern
                file.write(self.line(pattern) + b"\n")
        command = ["git", "--git-dir", self.git_dir, "--work-tree", self.tree]
        command += ["-c", "core.ignoreCase=false", "-c", "core.excludesFile=" + self.patterns]
        command += ["check-ignore", "--no-index", "-z", "--stdin"]
        process = subprocess.run(
            command,
            cwd=self.tree,
            env=self.environment,
            input=b"".join(b"./" + path + b"\0" for path in paths),  # a ':' in front is magic
            stdout=subprocess.PIPE,
            check=False,
        )
        assert process.returncode in (0, 1), process
        return {path[2:] for path in process.stdout.split(b"\0") if path}


def kept_by_subtrees(path, subtrees):
    """The plain definition: on the way to a sub-tree, or in it."""
    if not subtrees or path == b".":
        return True
    return any(
        path == subtree
        or path.startswith(subtree + b"/")
        or subtree.startswith(path + b"/")
        for subtree in subtrees
    )


def options(subtrees=(), excludes=()):
    words = []
    for subtree in subtrees:
        words += ["--subtree", subtree]
    for pattern in excludes:
        words.append(b"--exclude=" + pattern)
    return words


def scan(fsmeta, tree, subtrees=(), excludes=()):
    """The listing of a scan in that scope, through a pipe."""
    stream = fsmeta.run("scan", "-q", tree, "-o", "-", *options(subtrees, excludes)).out
    return oracle.parse_jsonl(fsmeta.run("ls", "--format=jsonl", "-", data=stream).out)


def paths_of(listing):
    return [entry["path"] for entry in listing]


def ls(fsmeta, *operand):
    return oracle.parse_jsonl(fsmeta.run("ls", "--format=jsonl", *operand).out)


def diff(fsmeta, before, after, code=(0, 1)):
    return oracle.parse_changes(fsmeta.run("diff", "--format=jsonl", before, after, code=code).out)


# ---- random patterns -------------------------------------------------------------

# Names that patterns love to get wrong.
NAMES = [
    b"a", b"b", b"ab", b"abc", b"a.tmp", b"b.tmp", b"tmp", b".tmp", b"A", b"a b", b"a ", b" a",
    b"#a", b"!a", b"a*", b"*", b"?", b"[a]", b"[", b"]", b"a\\b", b"\\", b"-", b"a-b", b"^a", b"1",
    b"10", b"a1", b"foo", b"foobar", b"bar", b"baz.mp4", b"\xff", b"\xc3\xa9", b"a\nb", b"...",
]  # fmt: skip

CLASSES = [
    b"[ab]", b"[!ab]", b"[^a]", b"[a-c]", b"[]a]", b"[!]a]", b"[a-]", b"[-a]", b"[[:digit:]]",
    b"[![:alpha:]]", b"[[:upper:]1]", b"[[:nothing:]]", b"[a", b"[\\]a]", b"[\\a-c]", b"[a-\\c]",
    b"[[:alpha:]-z]", b"[*?]", b"[a/b]", b"[\x80-\xff]", b"[b-a]", b"[[]", b"[[:]", b"[[:a]", b"[a-c-e]",
    b"[[:space:]]", b"[[:punct:]]", b"[.-0]", b"[]-a]", b"[!-a]", b"[]",
]  # fmt: skip


def grow_tree(rng, folder, depth, left):
    """Random folders and files of those names, links and a FIFO among them."""
    for name in rng.sample(NAMES, rng.randrange(2, 9)):
        if left[0] <= 0:
            return
        left[0] -= 1
        path = os.path.join(folder, name)
        kind = rng.random()
        if kind < 0.5 and depth < 5:
            os.mkdir(path)
            grow_tree(rng, path, depth + 1, left)
        elif kind < 0.55:
            os.symlink(rng.choice(NAMES), path)
        elif kind < 0.58:
            os.mkfifo(path)
        else:
            with open(path, "wb") as file:
                file.write(b"x" * rng.randrange(50))


def escape(rng, name):
    """A name as a pattern: every special byte escaped, and some others too."""
    special = b"*?[\\!#"
    return b"".join(
        b"\\" + bytes([byte]) if byte in special or rng.random() < 0.05 else bytes([byte])
        for byte in name
    )


def random_part(rng, name):
    """Something that may well match `name`."""
    kind = rng.random()
    if kind < 0.3:
        return escape(rng, name)
    if kind < 0.35:
        return name.replace(b"\n", b"?")
    if kind < 0.45:
        return b"*"
    if kind < 0.55:
        return b"*" + escape(rng, name[len(name) // 2 :])
    if kind < 0.65:
        return escape(rng, name[: len(name) // 2]) + b"*"
    if kind < 0.9:
        place = rng.randrange(len(name))
        middle = rng.choice(CLASSES + [b"?", b"*", b"\\" + name[place : place + 1]])
        return escape(rng, name[:place]) + middle + escape(rng, name[place + 1 :])
    return rng.choice(CLASSES) + rng.choice([b"", b"*", b"?"])


def random_pattern(rng, paths):
    names = rng.choice(paths).split(b"/")
    if rng.random() < 0.45:  # by name, at any depth
        pattern = random_part(rng, rng.choice(names))
    else:
        names = names[: rng.randrange(1, len(names) + 1)]
        parts = [random_part(rng, name) if rng.random() < 0.5 else escape(rng, name) for name in names]
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            place = rng.randrange(len(parts) + 1)
            parts[place : place + rng.randrange(3)] = [b"**"]
        pattern = b"/".join(parts)
        if rng.random() < 0.5:
            pattern = b"/" + pattern
    if rng.random() < 0.25:
        pattern += b"/"
    if rng.random() < 0.25:
        pattern = b"!" + pattern
    pattern = pattern.replace(b"\n", b"?")
    if b"/" in pattern.rstrip(b"/").replace(b"/**/", b"/"):
        # "**" as a part of a name: see the head of this file.
        parts = pattern.split(b"/")
        parts = [part if part in (b"**", b"!**") else squeeze(part) for part in parts]
        pattern = b"/".join(parts)
    return pattern or b"*"


def squeeze(part):
    while b"**" in part:
        part = part.replace(b"**", b"*")
    return part


def test_random_patterns_like_git(fsmeta, scratch):
    """Every path of the tree, for every list of patterns: excluded exactly where git says so."""
    rng = random.Random(SEED * 77)
    tree = os.path.join(scratch, "tree")
    os.mkdir(tree)
    grow_tree(rng, os.fsencode(tree), 0, [400])
    whole = oracle.find_listing(tree)
    paths = paths_of(whole)[1:]
    git = Git(scratch, tree)
    hits = 0
    for _ in range(ROUNDS):
        patterns = [random_pattern(rng, paths) for _ in range(rng.randrange(1, 8))]
        excluded = git.excluded(patterns, paths)
        hits += 0 < len(excluded) < len(paths)
        kept = set(paths_of(scan(fsmeta, tree, (), patterns)))
        wrong = [path for path in paths if (path in kept) == (path in excluded)]
        assert not wrong, f"{patterns}: {wrong[:5]}, by git excluded: {wrong[0] in excluded}"
    assert hits > ROUNDS // 3, "too few of the patterns had anything to say"


PATTERNS = [
    [b"*.tmp"], [b"/a"], [b"a/"], [b"/a/", b"!/a/b"], [b"*", b"!a"], [b"**"], [b"/**"], [b"**/"],
    [b"a/**"], [b"a/**/b"], [b"**/b"], [b"**/a/**"], [b"/**/a"], [b"a/*"], [b"/*", b"!/a"],
    [b"*/b"], [b"/"], [b"//"], [b"!"], [b"!/"], [b"a//b"], [b"//a"], [b"foo\\"], [b"[a"], [b"\\a"],
    [b"#a"], [b"\\#a"], [b"\\!a"], [b"a "], [b" "], [b"a\\ "], [b"[a-c]/", b"!a"], [b"***"],
    [b"/***/b"], [b"a", b"!a", b"a"], [b"!a"], [b"a*b*c"], [b"*a*"], [b"?"], [b"[!a]"], [b"\\"],
    [b"/[ab]/[ab]"], [b"[a/b]c"], [b"a/**/**/b"], [b"**/**"], [b"*", b"!*/"], [b".*"], [b"/a/b/"],
]  # fmt: skip


def test_known_patterns_like_git(fsmeta, scratch):
    rng = random.Random(SEED * 78)
    tree = os.path.join(scratch, "tree")
    os.mkdir(tree)
    grow_tree(rng, os.fsencode(tree), 0, [300])
    for path in ("a/b/c/b", "b/a/b"):
        os.makedirs(os.path.join(tree, path), exist_ok=True)
    paths = paths_of(oracle.find_listing(tree))[1:]
    git = Git(scratch, tree)
    for patterns in PATTERNS:
        excluded = git.excluded(patterns, paths)
        kept = set(paths_of(scan(fsmeta, tree, (), patterns)))
        wrong = [path for path in paths if (path in kept) == (path in excluded)]
        assert not wrong, f"{patterns}: {wrong[:5]}, by git excluded: {wrong[0] in excluded}"


# ---- listings in a scope ------------------------------------------------------------


def random_subtrees(rng, paths):
    """Some that are there, some that are not, one inside another, a file, doubles."""
    subtrees = [rng.choice(paths) for _ in range(rng.randrange(1, 5))]
    if rng.random() < 0.3:
        subtrees.append(rng.choice(paths) + b"/missing")
    if rng.random() < 0.3:
        subtrees.append(rng.choice(subtrees))
    if rng.random() < 0.3:
        subtrees.append(subtrees[0].split(b"/")[0])
    return subtrees


@pytest.mark.parametrize("offset", range(4))
def test_hostile_tree_in_scope(fsmeta, scratch, offset):
    """find's listing, filtered by git and by definition, and nothing else; all fields equal."""
    rng = random.Random(SEED * 100 + offset)
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED * 100 + offset, entries=600, deep=40, sparse=False)
    subprocess.run(["sync", "-f", tree], check=True)
    whole = oracle.find_listing(tree)
    paths = paths_of(whole)[1:]
    git = Git(scratch, tree)
    for _ in range(25):
        patterns = [random_pattern(rng, paths) for _ in range(rng.randrange(4))]
        subtrees = random_subtrees(rng, paths) if rng.random() < 0.6 else []
        excluded = git.excluded(patterns, paths)
        result = fsmeta.run("scan", "-q", tree, "-o", "-", *options(subtrees, patterns), code=None)
        if result.code == 64:
            # Asked for and excluded at once: that there is such a one is for git to say.
            assert b"asked for and excluded" in result.err
            asked = set(subtrees) & excluded
            assert asked or any(subtree not in paths for subtree in subtrees), (subtrees, patterns)
            continue
        assert result.code == 0, repr(result)
        listing = oracle.parse_jsonl(fsmeta.run("ls", "--format=jsonl", "-", data=result.out).out)
        expected = [
            entry
            for entry in whole
            if entry["path"] not in excluded and kept_by_subtrees(entry["path"], subtrees)
        ]
        what = f"{subtrees} {patterns}"
        oracle.assert_listings_equal(listing, expected, oracle.CORE, what)


def test_scoped_scan_through_everything(fsmeta, scratch):
    """scan = stream = import = scan --db = export, in a scope; the source tells the scope."""
    tree = os.path.join(scratch, "tree")
    treegen.generate(tree, SEED, entries=800, deep=30, sparse=False)
    subprocess.run(["sync", "-f", tree], check=True)
    paths = paths_of(oracle.find_listing(tree))
    top = sorted({path.split(b"/")[0] for path in paths[1:] if b".mp4" not in path})
    scope = options(top[::2], [b"*.mp4", b"!1*", b"/no/such/"])
    stream, again = os.path.join(scratch, "stream"), os.path.join(scratch, "again")
    imported, direct = os.path.join(scratch, "imported.db"), os.path.join(scratch, "direct.db")
    fsmeta.run("scan", tree, "-o", stream, *scope)
    fsmeta.run("import", imported, stream)
    fsmeta.run("scan", tree, "--db", direct, *scope)
    fsmeta.run("export", imported, "-o", again)
    listing = ls(fsmeta, stream)
    assert 1 < len(listing) < len(paths)
    for operand in (imported, direct, again):
        oracle.assert_listings_equal(ls(fsmeta, operand), listing, None, operand)
        fsmeta.run("check", operand)
    assert diff(fsmeta, stream, imported, code=0) == []


# ---- what it means for a database -----------------------------------------------------


def build(tree, paths):
    for path in paths:
        path = os.path.join(tree, path)
        if path.endswith("/"):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(path.encode())


def without(entry, *keys):
    return {key: value for key, value in entry.items() if key not in ("id", "unknown_since", *keys)}


@pytest.mark.parametrize("offset", range(6))
def test_generations_of_subtrees(fsmeta, scratch, offset):
    """After each scan: inside the sub-trees as it is now, outside as it was, nothing lost.

    The naive database is a dict: a sub-tree scan replaces what was in its sub-trees and the
    folders on the way, and what is below a folder that is gone is gone.
    """
    rng = random.Random(SEED * 1000 + offset)
    tree, database = os.path.join(scratch, "tree"), os.path.join(scratch, "tree.db")
    treegen.generate(tree, SEED * 1000 + offset, entries=300, deep=10, sparse=False)
    state = {}
    for number in range(1, 8):
        subprocess.run(["sync", "-f", tree], check=True)
        now = {entry["path"]: entry for entry in ls(fsmeta, tree)}
        known = sorted((set(now) | set(state)) - {b"."})
        subtrees = random_subtrees(rng, known) if number > 1 and rng.random() < 0.8 else []
        words = options(subtrees)
        fsmeta.run("scan", tree, "--db", database, "--accept-empty", "--max-removed=100%", *words)
        seen = {path: entry for path, entry in now.items() if kept_by_subtrees(path, subtrees)}
        for path in sorted(state, key=oracle.canonical_key):
            above = path.rsplit(b"/", 1)[0] if b"/" in path else b"."
            alone = path != b"." and (above not in seen or seen[above]["type"] != "folder")
            if not kept_by_subtrees(path, subtrees) and not alone:
                seen[path] = state[path]
        state = seen
        listing = ls(fsmeta, database)
        assert paths_of(listing) == sorted(state, key=oracle.canonical_key), (number, subtrees)
        for entry in listing:
            assert without(entry) == without(state[entry["path"]]), (number, subtrees)
        fsmeta.run("check", database)
        treegen.mutate(tree, rng.randrange(10**6), 25)


def test_missing_subtree_is_not_one_that_was_not_asked_for(fsmeta, scratch):
    tree, database = os.path.join(scratch, "tree"), os.path.join(scratch, "tree.db")
    build(tree, ["cam1/2026/a", "cam2/2026/b", "cam3/c"])
    fsmeta.run("scan", tree, "--db", database)
    subprocess.run(["rm", "-r", os.path.join(tree, "cam1"), os.path.join(tree, "cam2/2026")], check=True)

    result = fsmeta.run("scan", tree, "--db", database, "--subtree=cam3")
    assert b"not there" not in result.err
    assert b"cam1/2026/a" in paths_of(ls(fsmeta, database))
    assert diff(fsmeta, database + "@1", database + "@2", code=0) == []

    result = fsmeta.run("scan", tree, "--db", database, "--subtree=cam2/2026", "--subtree=cam3")
    assert b"cam2/2026: note: this sub-tree is not there" in result.err
    removed = [c["path"] for c in diff(fsmeta, database + "@2", database) if c["kind"] == "removed"]
    assert removed == [b"cam2/2026", b"cam2/2026/b"]
    assert b"cam1/2026/a" in paths_of(ls(fsmeta, database))

    # All that is asked for is missing: as likely a drive that is not mounted.
    result = fsmeta.refused("scan", tree, "--db", database, "--subtree=cam1")
    assert b"--accept-empty" in result.err
    fsmeta.run("scan", tree, "--db", database, "--subtree=cam1", "--accept-empty")
    assert paths_of(ls(fsmeta, database)) == [b".", b"cam2", b"cam3", b"cam3/c"]


def test_subtree_that_is_no_folder(fsmeta, scratch):
    tree = os.path.join(scratch, "tree")
    build(tree, ["a/file", "a/other", "b/real/x", "z"])
    os.symlink("b", os.path.join(tree, "link"))
    assert paths_of(scan(fsmeta, tree, [b"a/file"])) == [b".", b"a", b"a/file"]
    assert paths_of(scan(fsmeta, tree, [b"a/file/below"])) == [b".", b"a", b"a/file"]
    # A link on the way is what is there; it is not followed.
    assert paths_of(scan(fsmeta, tree, [b"link/real"])) == [b".", b"link"]
    result = fsmeta.run("scan", tree, "-o", "-", "--subtree=link/real", "--subtree=a/file/below")
    assert result.err.count(b"not there") == 2, repr(result)


def test_only_the_way_is_touched(fsmeta, scratch):
    """Folders that are locked, outside of the sub-trees or excluded, do not matter."""
    tree = os.path.join(scratch, "tree")
    build(tree, ["cam1/x/f", "cam1/locked/f", "locked/f"])
    for path in ("cam1/locked", "locked"):
        os.chmod(os.path.join(tree, path), 0)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "65534:65534", tree], check=True)
    user = fsmeta.as_ordinary_user()
    user.run("scan", tree, "-o", "-", code=2)
    user.run("scan", tree, "-o", "-", "--subtree=cam1", code=2)
    user.run("scan", tree, "-o", "-", "--subtree=cam1/x")
    user.run("scan", tree, "-o", "-", "--exclude=locked/")
    # On the way there must be a listing: what cannot be listed hides the sub-tree, and says so.
    user.run("scan", tree, "-o", "-", "--subtree=locked/f", code=2)


def test_excluded_is_unknown_never_removed(fsmeta, scratch):
    tree, database = os.path.join(scratch, "tree"), os.path.join(scratch, "tree.db")
    stream = os.path.join(scratch, "stream")
    build(tree, ["keep/a", "keep/b.tmp/", "tmp/deep/x", "tmp/deep/y", "tmp/z", "gone/tmp/q"])
    fsmeta.run("scan", tree, "--db", database)
    before = ls(fsmeta, database)
    size = sum(e["size"] for e in before if e["path"].startswith(b"tmp/") and e["type"] == "file")
    subprocess.run(["rm", "-r", os.path.join(tree, "gone"), os.path.join(tree, "tmp/z")], check=True)

    fsmeta.run("scan", tree, "-o", stream, "--exclude=tmp/", "--exclude=*.tmp")
    changes = {(c["kind"], c["path"]): c for c in diff(fsmeta, database, stream)}
    # What is below a folder that is gone is gone, excluded or not.
    removed = {path for kind, path in changes if kind == "removed"}
    assert removed == {b"gone", b"gone/tmp", b"gone/tmp/q"}
    unknown = {path: c for (kind, path), c in changes.items() if kind == "unknown"}
    assert set(unknown) == {b"keep/b.tmp", b"tmp"}
    assert (unknown[b"tmp"]["entries"], unknown[b"tmp"]["bytes"]) == (4, size)

    fsmeta.run("import", database, stream)
    carried = {e["path"]: e for e in ls(fsmeta, database) if "unknown_since" in e}
    assert set(carried) == {
        b"keep/b.tmp", b"tmp", b"tmp/deep", b"tmp/deep/x", b"tmp/deep/y", b"tmp/z",
    }  # fmt: skip
    assert all(entry["unknown_since"] == 2 for entry in carried.values())
    fsmeta.run("check", database)
    assert [(c["kind"], c["path"]) for c in diff(fsmeta, database + "@1", database)] == [
        (kind, path) for kind, path in changes
    ]

    # Once more: no news.
    fsmeta.run("scan", tree, "--db", database, "--exclude=tmp/", "--exclude=*.tmp")
    again = [c for c in diff(fsmeta, database + "@2", database, code=0)]
    assert {c["kind"] for c in again} <= {"unknown"}
    assert {e["path"] for e in ls(fsmeta, database) if "unknown_since" in e} == set(carried)

    # Looked at again: what is there is there, what went meanwhile is removed.
    fsmeta.run("scan", tree, "--db", database)
    assert paths_of(ls(fsmeta, database)) == paths_of(ls(fsmeta, tree))
    assert not [e for e in ls(fsmeta, database) if "unknown_since" in e]
    changes = diff(fsmeta, database + "@3", database)
    assert [(c["path"]) for c in changes if c["kind"] == "removed"] == [b"tmp/z"]
    fsmeta.run("check", database)


# ---- wrong usage ------------------------------------------------------------------------


@pytest.mark.parametrize("subtree", ["", ".", "./", "/", "/etc", "..", "a/..", "../a", "a/../b"])
def test_subtree_refused(fsmeta, scratch, subtree):
    result = fsmeta.run("scan", scratch, "-o", "-", "--subtree=" + subtree, code=64)
    assert result.out == b"" and b"--subtree" in result.err


def test_subtree_as_a_shell_completes_it(fsmeta, scratch):
    tree = os.path.join(scratch, "tree")
    build(tree, ["a/b/c", "a/x"])
    for subtree in (b"a/b/", b"./a/b", b"a//b", b"a/./b//"):
        assert paths_of(scan(fsmeta, tree, [subtree])) == [b".", b"a", b"a/b", b"a/b/c"]


def test_contradiction_is_refused(fsmeta, scratch):
    tree = os.path.join(scratch, "tree")
    build(tree, ["a/b/c"])
    for pattern in ("a", "/a/", "b", "a/*", "**/b"):
        words = ("--subtree=a/b", "--exclude=" + pattern)
        result = fsmeta.run("scan", tree, "-o", "-", *words, code=64)
        assert b"a/b: choosing sub-trees: it is asked for and excluded" in result.err
    fsmeta.run("scan", tree, "-o", "-", "--subtree=a/b", "--exclude=c")
    fsmeta.run("scan", tree, "-o", "-", "--subtree=a/b", "--exclude=a", "--exclude=!/a")
    fsmeta.run("scan", tree, "-o", "-", "--exclude=", code=64)
