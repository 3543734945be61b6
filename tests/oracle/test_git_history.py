"""A repository's history, replayed: git says what changed, fsmeta must say the same.

Successive commits are checked out into one work tree, each is scanned into one database,
and for every step `fsmeta diff DB@N-1 DB@N` must name exactly the files of
`git diff --name-status --no-renames`.  The git folder lies outside of the work tree.

As far as mtime and size can tell: git writes a changed file anew, so its mtime is the time
of the checkout.  Two checkouts within one tick of the file system's clock could give one
file the same mtime twice; so before each checkout we wait until a file written to probe the
clock is younger than everything in the work tree.  Files that did not change are not written
(git trusts its index), so their mtimes stay.

Read as fsmeta would say it: D = removed, A = added, M = modified, T (type change, a file
became a symlink) = removed and added.  A commit that only changes the executable bit is M
on both sides.  Submodules are empty folders, and are left out with all folders.
"""

import collections
import os
import random
import subprocess
import time

import oracle
import pytest
from harness import ROOT, SEED, need

# The project's own history by default; a big one by FSMETA_TEST_REPO and _STEPS.  With
# FSMETA_TEST_RENAMES=1 moves are looked for in the steps that renamed most, wherever they are.
REPOSITORY = os.environ.get("FSMETA_TEST_REPO", ROOT)
STEPS = int(os.environ.get("FSMETA_TEST_STEPS", "12"))
RENAMES = bool(int(os.environ.get("FSMETA_TEST_RENAMES", "0")))

SUBMODULE = "160000"
FILE_KINDS = {"100644": "file", "100755": "file", "120000": "symlink", "000000": None}


class Replay:
    """A borrowed object store, its own index, and a work tree to check out into."""

    def __init__(self, scratch, repository):
        self.tree = os.path.join(scratch, "tree")
        self.folder = os.path.join(scratch, "replay.git")
        self.probe = os.path.join(scratch, "probe")
        os.mkdir(self.tree)
        # Objects are borrowed, nothing is written to the repository, whoever owns it.
        source = self.find_git_folder(repository)
        subprocess.run(["git", "init", "-q", "--bare", self.folder], check=True)
        with open(os.path.join(self.folder, "objects/info/alternates"), "w") as file:
            file.write(os.path.join(source, "objects") + "\n")
        head = self.git_at(source, "rev-parse", "HEAD").decode().strip()
        shallow = os.path.join(source, "shallow")
        if os.path.exists(shallow):
            with open(shallow) as old, open(os.path.join(self.folder, "shallow"), "w") as new:
                new.write(old.read())
        self.commits = (
            self.git("rev-list", "--first-parent", f"--max-count={STEPS + 1}", head)
            .decode()
            .split()[::-1]
        )

    def richest_in_renames(self, steps):
        """So many steps of the history with the most renames, in its order: before, after, …"""
        log = self.git(
            "log", "--first-parent", "-m", "-M100%", "-l0", "--diff-filter=R", "--name-status",
            "-z", "--format=commit %H %P", self.commits[-1],
        )  # fmt: skip
        renames = {}
        for word in log.split(b"\0"):
            words = word.decode("ascii", "replace").split()
            if words[:1] == ["commit"] and len(words) > 2 and len(words[1]) == 40:
                step = words[2], words[1]
            elif words == ["R100"]:
                renames[step] = renames.get(step, 0) + 1
        chosen = set(sorted(renames, key=lambda step: -renames[step])[:steps])
        return [commit for step in reversed(renames) if step in chosen for commit in step]

    @staticmethod
    def find_git_folder(repository):
        if os.path.isdir(os.path.join(repository, "objects")):
            return os.path.abspath(repository)
        return os.path.abspath(
            subprocess.run(
                ["git", "-c", "safe.directory=*", "-C", repository]
                + ["rev-parse", "--path-format=absolute", "--git-common-dir"],
                stdout=subprocess.PIPE,
                check=True,
            )
            .stdout.decode()
            .strip()
        )

    @staticmethod
    def git_at(folder, *arguments):
        return subprocess.run(
            ["git", "-c", "safe.directory=*", f"--git-dir={folder}", *arguments],
            stdout=subprocess.PIPE,
            check=True,
            env={**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"},
        ).stdout

    def git(self, *arguments):
        return self.git_at(self.folder, *arguments)

    def pass_clock_tick(self):
        """Waits until the file system's clock is beyond every mtime of the work tree."""
        newest = max(entry["mtime"] for entry in oracle.find_listing(self.tree))
        while True:
            with open(self.probe, "wb") as file:
                file.write(b"x")
            if os.stat(self.probe).st_mtime_ns > newest:
                return
            time.sleep(0.001)

    def checkout(self, commit):
        self.git(
            f"--work-tree={self.tree}",
            "-c",
            "core.autocrlf=false",
            "-c",
            "core.symlinks=true",
            "-c",
            "core.fileMode=true",
            "-c",
            "filter.lfs.smudge=",
            "-c",
            "filter.lfs.required=false",
            "-c",
            "core.bare=false",
            "read-tree",
            "-u",
            "--reset",
            commit,
        )

    def expected(self, older, newer):
        """What git says, as (kind, path) pairs of entries that are no folders."""
        output = self.git("diff", "--raw", "-z", "--no-renames", "--no-abbrev", older, newer)
        words = output.split(b"\0")[:-1]
        changes = set()
        for header, path in zip(words[::2], words[1::2]):
            old_mode, new_mode, _, _, status = header.decode().lstrip(":").split()
            old = FILE_KINDS.get(old_mode) if old_mode != SUBMODULE else None
            new = FILE_KINDS.get(new_mode) if new_mode != SUBMODULE else None
            if old and old == new:
                assert status == "M", header
                changes.add(("modified", path))
                continue
            if old:
                changes.add(("removed", path))
            if new:
                changes.add(("added", path))
        return changes


def told(output):
    """What fsmeta says, without folders."""
    changes = oracle.parse_changes(output)
    oracle.assert_order(changes)
    return {
        (change["kind"], change["path"]) for change in changes if change["type"] != "folder"
    }


def test_history(fsmeta, scratch):
    need("git")
    if subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", REPOSITORY, "rev-parse", "HEAD"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode:
        pytest.skip(f"{REPOSITORY} is no git repository")
    replay = Replay(scratch, REPOSITORY)
    if len(replay.commits) < 2:
        pytest.skip("a history of one commit has no steps")

    database = os.path.join(scratch, "history.db")
    kept = []  # per generation: what ls said when it was the newest
    told_total = 0
    for number, commit in enumerate(replay.commits, start=1):
        replay.pass_clock_tick()
        replay.checkout(commit)
        # Some commits of some histories remove most of the tree: not what we test here.
        fsmeta.run("scan", replay.tree, "--db", database, "--max-removed=100%")
        kept.append(fsmeta.run("ls", "--format=jsonl", database).out)
        live = oracle.find_listing(replay.tree)
        oracle.assert_listings_equal(
            oracle.parse_jsonl(kept[-1]), live, oracle.CORE, f"generation {number}"
        )
        if number > 1:
            older = replay.commits[number - 2]
            expected = replay.expected(older, commit)
            result = fsmeta.run(
                "diff",
                "--no-moves",
                "--format=jsonl",
                f"{database}@{number - 1}",
                f"{database}@{number}",
                code=(0, 1),
            )
            step = f"step {number - 1}: {older[:12]} to {commit[:12]}"
            oracle.assert_changes_equal(told(result.out), expected, step)
            assert result.code == (1 if result.out else 0), repr(result)
            told_total += len(expected)
        # Two generations later the older one reads back exactly, byte for byte.
        if number > 2:
            again = fsmeta.run("ls", "--format=jsonl", f"{database}@{number - 2}").out
            assert again == kept[number - 3], f"generation {number - 2} has changed"

    for number, listing in enumerate(kept, start=1):
        again = fsmeta.run("ls", "--format=jsonl", f"{database}@{number}").out
        assert again == listing, f"generation {number} has changed in the end"

    # Over all steps at once: removed and added again in between does not matter, but a file
    # that is as it was may have been written anew; such ones are modified in mtime alone.
    expected = replay.expected(replay.commits[0], replay.commits[-1])
    result = fsmeta.run(
        "diff", "--no-moves", "--format=jsonl", f"{database}@1", f"{database}@latest", code=(0, 1)
    )
    for change in oracle.parse_changes(result.out):
        pair = change["kind"], change["path"]
        if change["type"] == "folder" or pair in expected:
            expected.discard(pair)
            continue
        assert change["kind"] == "modified" and change["fields"] == ["mtime"], change
    assert not expected, f"not told: {sorted(expected)[:5]}"

    fsmeta.run("check", database)
    print(f"{len(kept)} generations, {told_total} changes, {len(live)} entries at the end")


# ---- moves ----------------------------------------------------------------------


def make_repository(folder, steps):
    """A history with many renames: of files, of folders, of some that look alike, and edits."""
    chance = random.Random(SEED)

    def git(*arguments):
        subprocess.run(
            ["git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@y", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def place():
        return os.path.join(*(chance.choice("abcdef") for _ in range(chance.randrange(1, 4))))

    def write(path, content):
        path = os.path.join(folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(content)

    os.mkdir(folder)
    git("init", "-q")
    for number in range(80):
        write(os.path.join(place() + "D", f"f{number}"), f"content {number // 2 if number % 9 < 2 else -number}\n" * 9)
    git("add", "-A")
    git("commit", "-qm", "0")
    for step in range(1, steps + 1):
        for change in range(chance.randrange(2, 12)):
            files = subprocess.run(
                ["git", "-C", folder, "ls-files"], check=True, stdout=subprocess.PIPE
            ).stdout.decode().split()
            old = chance.choice(files)
            if chance.random() < 0.25:
                old = os.path.dirname(old)
            new = os.path.join(place() + "D", f"m{step}_{change}")
            what = chance.random()
            if what < 0.7 and old and not (new + "/").startswith(old + "/"):
                os.makedirs(os.path.join(folder, os.path.dirname(new)), exist_ok=True)
                git("mv", old, new)
            elif what < 0.8 and os.path.isfile(os.path.join(folder, old)):
                git("rm", "-q", "-f", old)
            elif what < 0.9 and os.path.isfile(os.path.join(folder, old)):
                write(old, f"edited {step} {change}\n" * 9)
                git("add", old)
            else:
                write(new, f"content {chance.randrange(100)}\n" * 9)
                git("add", new)
        git("commit", "-qm", str(step), "--allow-empty")


def blobs(replay, older, newer):
    """
    What came and what went, as {path: blob}, git's own pairs of equal content, and paths
    that are a file on one side alone, which git does not think of as renamed.
    """
    went, came, pairs, retyped = {}, {}, set(), set()
    words = replay.git("diff", "--raw", "-z", "--no-renames", "--no-abbrev", older, newer)
    words = words.split(b"\0")[:-1]
    for header, path in zip(words[::2], words[1::2]):
        old_mode, new_mode, old, new, status = header.decode().lstrip(":").split()
        if status == "T":
            retyped.add(path)
        if status in "DT" and FILE_KINDS.get(old_mode) == "file":
            went[path] = old
        if status in "AT" and FILE_KINDS.get(new_mode) == "file":
            came[path] = new
    words = replay.git(
        "diff", "--name-status", "-z", "-M100%", "-l0", "--diff-filter=R", older, newer
    )
    words = iter(words.split(b"\0")[:-1])
    for status in words:
        old, new = next(words), next(words)
        assert status == b"R100", status
        if old in went and new in came:
            pairs.add((old, new))
    return went, came, pairs, retyped


def test_moves(fsmeta, scratch):
    """
    Moves of files that nobody edited are git's, where git has but one choice.  Every pair that one
    of the two names and the other does not is explained by what went and came itself.
    """
    need("git")
    repository = os.environ.get("FSMETA_TEST_REPO")
    if not repository:
        repository = os.path.join(scratch, "repository")
        make_repository(repository, STEPS)
    replay = Replay(scratch, repository)
    commits = replay.richest_in_renames(STEPS) if RENAMES else replay.commits
    empty = replay.git("hash-object", "-t", "blob", "/dev/null").decode().strip()
    database = os.path.join(scratch, "moves.db")
    seen = {}
    counts = collections.Counter()
    for number, commit in enumerate(commits):
        replay.pass_clock_tick()
        replay.checkout(commit)
        fsmeta.run("scan", replay.tree, "--hash=xxh3", "--db", database, "--max-removed=100%")
        listing = oracle.parse_jsonl(fsmeta.run("ls", "--format=jsonl", database).out)
        places = {one["id"]: one["path"] for one in listing if one["type"] == "file"}
        if number:
            went, came, pairs, retyped = blobs(replay, commits[number - 1], commit)
            ours = {(seen[i], path) for i, path in places.items() if seen.get(i, path) != path}
            for old, new in ours:
                assert old in went and new in came, (number, old, new)
            candidates = collections.Counter(went.values()), collections.Counter(came.values())

            def why_not(old, new):
                """Why one of the two may name a pair that the other does not."""
                if went[old] != came[new]:
                    return "edited on the way, in a folder that moved"
                if went[old] == empty:
                    return "empty"
                if old in retyped or new in retyped:
                    return "something else came to the place of a file"
                if any(one[went[old]] > 1 for one in candidates):
                    return "several candidates with the same content"
                return None

            for old, new in ours ^ pairs:
                why = why_not(old, new)
                who = "fsmeta" if (old, new) in ours else "git"
                assert why, f"{commit}: {old!r} to {new!r} is told by {who} alone"
                counts[f"by {who} alone: {why}"] += 1
            counts["by both"] += len(ours & pairs)
        seen = places
    fsmeta.run("check", database)
    print(f"{len(commits)} commits, moves told:")
    for what, count in sorted(counts.items()):
        print(f"{count:8} {what}")
    if "FSMETA_TEST_REPO" not in os.environ:
        assert counts["by both"] > STEPS
