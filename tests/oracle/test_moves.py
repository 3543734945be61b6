"""What is done to a tree is what is told: renames, and nothing else, for what is unambiguous.

Inodes are the judge: an entry that has its inode and birth time still is the same one, so
the database must give it the id that it had, wherever it went, through chains, exchanges and
folders that moved into one another.  What is told of each step, applied to the listing before,
must give the listing after; and a database that gets the steps as deltas must say the same.
"""

import os
import random

import oracle
from harness import SEED

STEPS = int(os.environ.get("FSMETA_TEST_STEPS", "12"))
NAMES = [b"a", b"b", b"c", b"cam1", b"a!b", b"\xff", b"x.mp4", b"long " * 20]


class Tree:
    def __init__(self, root, seed):
        self.root = os.fsencode(root)
        self.random = random.Random(seed)
        self.serial = 0

    def paths(self):
        """Relative paths of all below the root, and whether each is a folder."""
        found = []
        for folder, folders, files in os.walk(self.root):
            for name in folders + files:
                path = os.path.relpath(os.path.join(folder, name), self.root)
                found.append((path, name in folders))
        return sorted(found)

    def place(self):
        folders = [b""] + [path for path, is_folder in self.paths() if is_folder]
        path = os.path.join(self.random.choice(folders), self.random.choice(NAMES))
        return None if os.path.lexists(os.path.join(self.root, path)) else path

    def add(self):
        path = self.place()
        if path is None:
            return
        path = os.path.join(self.root, path)
        self.serial += 1
        if self.random.random() < 0.4:
            os.mkdir(path)
        else:
            with open(path, "wb") as file:
                file.write(b"x" * self.serial)

    def change(self):
        old = self.random.choice(self.paths() or [(None, False)])[0]
        what = self.random.random()
        new = self.place()
        if old is None or what < 0.2:
            self.add()
        elif what < 0.75:
            if new and not (new + b"/").startswith(old + b"/"):
                os.rename(os.path.join(self.root, old), os.path.join(self.root, new))
        elif what < 0.85:
            if not os.path.isdir(os.path.join(self.root, old)):
                os.unlink(os.path.join(self.root, old))
        elif what < 0.95 or not new or os.path.isdir(os.path.join(self.root, old)):
            self.serial += 1
            os.utime(os.path.join(self.root, old), ns=(0, 10**18 + self.serial))
        else:
            os.link(os.path.join(self.root, old), os.path.join(self.root, new))


def applied(before, changes):
    """The paths after `changes`, each with the path that it had or None."""
    removed = {change["path"] for change in changes if change["kind"] == "removed"}
    moved = {change["old_path"]: change["path"] for change in changes if change["kind"] == "moved"}
    result = {change["path"]: None for change in changes if change["kind"] == "added"}
    for path in before:
        if path in removed:
            continue
        parts = path.split(b"/")
        for length in range(len(parts), 0, -1):
            folder = b"/".join(parts[:length])
            if folder in moved:
                now = b"/".join([moved[folder]] + parts[length:])
                break
        else:
            now = path
        assert now not in result, now
        result[now] = path
    return result


def test_moves(fsmeta, scratch):
    root = os.path.join(scratch, "tree")
    database = os.path.join(scratch, "moves.db")
    copy = os.path.join(scratch, "copy.db")
    os.mkdir(root)
    tree = Tree(root, SEED)
    for _ in range(60):
        tree.add()
    fsmeta.run("scan", root, "--db", database, "--max-removed=100%")
    fsmeta.run("export", f"{database}@1", "-o", os.path.join(scratch, "first"))
    fsmeta.run("import", copy, os.path.join(scratch, "first"))
    told = 0
    for number in range(1, STEPS + 1):
        before = listing(fsmeta, database)
        for _ in range(tree.random.randrange(1, 9)):
            tree.change()
        fsmeta.run("scan", root, "--db", database, "--max-removed=100%")
        after = listing(fsmeta, database)
        output = fsmeta.run(
            "diff", "--format=jsonl", f"{database}@{number}", f"{database}@latest", code=(0, 1)
        ).out
        changes = oracle.parse_changes(output)
        oracle.assert_order(changes)
        where = applied(before, changes)
        assert set(where) == set(after), f"generation {number}"
        for path, old in where.items():
            # The same id is the same entry, and nothing that came has one that was known.
            if old is None:
                assert after[path]["id"] not in {e["id"] for e in before.values()}, (number, path)
            else:
                assert after[path]["id"] == before[old]["id"], (number, path, old)
                assert after[path]["type"] == before[old]["type"]
        told += sum(change["kind"] == "moved" for change in changes)
        judge_by_inode(before, after, where, number)
        delta = os.path.join(scratch, f"delta{number}")
        fsmeta.run("export", database, f"--since={number}", "-o", delta)
        fsmeta.run("import", copy, delta)
        assert listing(fsmeta, copy) == after, f"generation {number}"
    fsmeta.run("check", database)
    fsmeta.run("check", copy)
    assert told >= STEPS


def listing(fsmeta, database):
    entries = oracle.parse_jsonl(fsmeta.run("ls", "--format=jsonl", database).out)
    return {entry["path"]: entry for entry in entries}


def judge_by_inode(before, after, where, number):
    """An inode that went from one only path to another one moved there."""

    def by_inode(entries):
        places = {}
        for path, entry in entries.items():
            places.setdefault((entry["inode"], str(entry["btime"])), []).append(path)
        return places

    older, newer = by_inode(before), by_inode(after)
    for inode, paths in newer.items():
        if len(paths) != 1 or len(older.get(inode, [])) != 1:
            continue
        old, new = older[inode][0], paths[0]
        # Equal path and type always pairs first.
        if before.get(new, {}).get("type") == after[new]["type"]:
            continue
        if old in after and after[old]["type"] == before[old]["type"]:
            continue
        assert where[new] == old, (number, old, new, where[new])
