"""Seeded hostile trees, and seeded changes to them.

A tree made here holds what real archives hold only on bad days: names that are
no UTF-8 or that would ruin a terminal, links to nowhere and to themselves,
devices, sparse files of terabytes, times outside of every 32-bit clock.  The
same seed and the same options make the same tree, apart from inode numbers and
change times.

    python3 treegen.py DIR --seed 7 --entries 2000 --deep 2000 --wide 300000
    python3 treegen.py DIR --seed 8 --mutate 200

What the file system or the user is not allowed to have (device nodes without
root, 3 TB on tmpfs, a name that some file system refuses) is left out; the
tests read back what is there, so nothing depends on it.
"""

import argparse
import errno
import os
import random
import stat

NANO = 10**9

# Every name is there for a reason; the comments say which.
HOSTILE_NAMES = [
    b"new\nline",
    b"carriage\rreturn",
    b"tab\there",
    b"esc\x1b[31mred\x1b[0m",
    b"bell\x07",
    b"\x01\x02\x1f\x7f",
    b'double"quote',
    b"single'quote",
    b"back\\slash",
    b"\\#012",  # what rsync writes for a newline
    b"\\n",
    b"\xff\xfe\xfd",  # never UTF-8
    b"\xc3",  # cut short
    b"x\xe2\x82",  # cut short, twice over
    b"\xed\xa0\x80",  # a surrogate
    b"\xc0\xaf",  # an overlong slash
    b"\xf4\x90\x80\x80",  # beyond Unicode
    b"latin1-\xe9t\xe9",
    b"n" * 255,
    b"\xc3\xa9" * 127,
    b"!",  # before '/' in ASCII
    b"a!b",
    b"a",  # a folder in the tree: a, a/x, a!b, a-b, a.mp4 is canonical order
    b"a-b",
    b"a.mp4",
    b"a0",
    b"A",
    b" ",
    b" leading",
    b"trailing ",
    b".hidden",
    b"...",
    b"..a",
    b"-",
    b"-rf",
    b"--help",
    b"~",
    b"*",
    b"?[x]",
    b"$(id)",
    b"`id`",
    b"%s%n%x",
    b"name@1",
    b"@",
    b"live:x",
    b"cat.db",
    b"source.json",
    b"entries.fss",
    "ünï-çödé".encode(),
    "re\u0301sume\u0301".encode(),  # decomposed
    "r\u00e9sum\u00e9".encode(),  # composed: another name
    "日本語.mp4".encode(),
    "🎥".encode(),
    "\u202egpj.exe".encode(),  # right-to-left override
    "\ufeffbom".encode(),
    "next\u0085line".encode(),
    "line\u2028separator".encode(),
    "\ufffd".encode(),  # the replacement character itself, valid
    b"1708584695_video.rf1i",
    b"1708584695_video.rf1p",
    b"CON",
    b"nul.",
]

# Seconds since 1970.  ext4 keeps 1901 to 2446; what it clamps is read back clamped.
STRANGE_SECONDS = [
    -(2**31),  # 1901, the least of 32 bits
    -86400 * 365,
    -1,
    0,
    1,
    2**31 - 1,  # 2038
    2**31,
    2**32 - 1,
    2**32,  # 2106
    9223372036,  # 2262, the last second of int64 nanoseconds
    9223372037,
    12000000000,  # 2350
    1700000000,
    1763700000,
]

STRANGE_NANOSECONDS = [0, 1, 999999999, 500000000, 123456789, 100]


def random_ns(rng):
    """A time as signed nanoseconds since 1970, ordinary or strange."""
    if rng.random() < 0.5:
        seconds = rng.choice(STRANGE_SECONDS)
    else:
        seconds = rng.randrange(1400000000, 1763000000)
    if rng.random() < 0.5:
        nanoseconds = rng.choice(STRANGE_NANOSECONDS)
    else:
        nanoseconds = rng.randrange(NANO)
    return seconds * NANO + nanoseconds


def random_name(rng):
    """Any bytes that a name may have, mostly readable ones."""
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(HOSTILE_NAMES)
    if kind < 0.40:
        length = rng.choice([1, 2, 3, 8, 30, 255])
        allowed = [byte for byte in range(1, 256) if byte != 0x2F]
        name = bytes(rng.choice(allowed) for _ in range(length))
        return name if name not in (b".", b"..") else b"dots"
    if kind < 0.70:
        start = 1708584695 + 1000 * rng.randrange(500)
        return b"%d_video.rf1%c" % (start, rng.choice(b"ip"))
    return b"f%d.%s" % (rng.randrange(10**6), rng.choice([b"mp4", b"h264", b"npy", b"json"]))


def is_root():
    return os.geteuid() == 0


def attempt(function, *arguments, **keywords):
    """True where it worked; False where this system or user cannot have it."""
    try:
        function(*arguments, **keywords)
        return True
    except (PermissionError, FileExistsError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno in (
            errno.EINVAL,
            errno.EFBIG,
            errno.EILSEQ,
            errno.ENOSYS,
            errno.EOPNOTSUPP,
            errno.EOVERFLOW,
            errno.EMLINK,
            errno.ENAMETOOLONG,
        ):
            return False
        raise


def write_file(path, rng, size=None):
    if size is None:
        size = rng.choice([0, 0, 1, 10, 100, 4096, 5000, 70000])
    with open(path, "wb") as file:
        file.write(rng.randbytes(size))


def make_sparse(path, size):
    with open(path, "wb") as file:
        os.ftruncate(file.fileno(), size)


def make_entry(path, rng, files):
    """Makes one entry that is no folder; `files` are candidates for hard links."""
    kind = rng.random()
    if kind < 0.62:
        if attempt(write_file, path, rng):
            files.append(path)
    elif kind < 0.80:
        target = rng.choice(
            [
                b"nowhere",
                b".",
                b"..",
                b"/",
                os.path.basename(path),  # itself
                b"../" * 20 + b"etc",
                b"with\nnewline",
                b"\xff\xfe",
                b"x" * 2000,
                b"/proc/self/exe",
                random_name(rng),
            ]
        )
        attempt(os.symlink, target, path)
    elif kind < 0.86:
        attempt(os.mkfifo, path)
    elif kind < 0.91:
        attempt(os.mknod, path, stat.S_IFSOCK | 0o600)
    elif kind < 0.95 and is_root():
        major, minor = rng.choice([(1, 3), (8, 17), (0, 0), (4095, 1048575), (259, 256)])
        file_type = rng.choice([stat.S_IFCHR, stat.S_IFBLK])
        attempt(os.mknod, path, file_type | 0o600, os.makedev(major, minor))
    elif files:
        attempt(os.link, rng.choice(files), path, follow_symlinks=False)


def decorate(path, rng):
    """Random mode, owner and times; folders stay usable by their owner."""
    status = os.lstat(path)
    if is_root() and rng.random() < 0.3:
        owners = [0, 1, 1000, 65534, 2**31, 2**32 - 2]
        attempt(
            os.chown, path, rng.choice(owners), rng.choice(owners), follow_symlinks=False
        )
    if not stat.S_ISLNK(status.st_mode) and rng.random() < 0.5:
        mode = rng.choice([0o644, 0o600, 0o444, 0, 0o4755, 0o2755, 0o1777, 0o7777, 0o640])
        if stat.S_ISDIR(status.st_mode):
            mode |= 0o700
        elif not is_root():
            mode |= 0o600  # so that cp(1) and the mutator can do their work
        attempt(os.chmod, path, mode)
    if rng.random() < 0.7:
        when = random_ns(rng)
        attempt(os.utime, path, ns=(when, when), follow_symlinks=False)


def make_chain(root, name, levels, rng):
    """A chain of `levels` folders below root/name, by descriptor: no path is long enough."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for level in range(levels):
        component = name if level == 0 else rng.choice([b"d", b"deep", b"!", b"\xff"])
        os.mkdir(component, 0o755, dir_fd=descriptor)
        below = os.open(component, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        if level % 100 == 99 or level == levels - 1:
            file = os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=below)
            os.write(file, b"x" * level)
            os.close(file)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)


def make_wide(root, name, count):
    """One folder of `count` empty files, made in an order that is not theirs."""
    os.mkdir(os.path.join(root, name))
    descriptor = os.open(os.path.join(root, name), os.O_RDONLY | os.O_DIRECTORY)
    stride = 7919 if count % 7919 else 7907
    for number in range(count):
        component = b"frame_%06d.npy" % (number * stride % count)
        os.close(os.open(component, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=descriptor))
    os.close(descriptor)


def generate(root, seed=1, entries=1500, deep=0, wide=0, sparse=True):
    """Fills the folder `root` (made if missing).  Takes and keeps bytes paths."""
    root = os.fsencode(root)
    rng = random.Random(seed)
    os.makedirs(root, exist_ok=True)

    folders = [root]
    files = []
    made = []

    # The names that matter are always there, once as an entry and once as a folder.
    for name in HOSTILE_NAMES:
        path = os.path.join(root, name)
        if name == b"a" or rng.random() < 0.4:
            if attempt(os.mkdir, path):
                folders.append(path)
                made.append(path)
        else:
            make_entry(path, rng, files)
            made.append(path)
    write_file(os.path.join(root, b"a", b"x"), rng)
    made.append(os.path.join(root, b"a", b"x"))
    files.append(made[-1])

    for _ in range(entries):
        parent = rng.choice(folders)
        path = os.path.join(parent, random_name(rng))
        if os.path.lexists(path):
            continue
        if rng.random() < 0.15 and len(path) < 1500:
            if attempt(os.mkdir, path):
                folders.append(path)
                made.append(path)
        else:
            make_entry(path, rng, files)
            made.append(path)

    if sparse:
        for size in (3 * 10**12, 2**32, 2**31 - 1):
            path = os.path.join(root, b"sparse-%d" % size)
            if attempt(make_sparse, path, size):
                made.append(path)
            elif os.path.lexists(path):
                os.unlink(path)

    if deep:
        make_chain(root, b"chain", deep, rng)
    if wide:
        make_wide(root, b"wide", wide)

    # Children before parents, because making a child changes the parent's mtime.
    for path in reversed(made):
        if os.path.lexists(path):
            decorate(path, rng)


def walk(root):
    """All paths below `root`, folders before what is below them, sorted: reproducible."""
    found = []
    pending = [root]
    while pending:
        folder = pending.pop()
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            found.append(path)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                pending.append(path)
    return found


def remove(path):
    """Removes an entry, a folder with all that is below it."""
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for child in reversed(walk(path)):
            if stat.S_ISDIR(os.lstat(child).st_mode):
                os.rmdir(child)
            else:
                os.unlink(child)
        os.rmdir(path)
    else:
        os.unlink(path)


def touch_later(path):
    """Sets an mtime that differs from the present one by more than any clock tick."""
    when = os.lstat(path).st_mtime_ns
    shifted = when + 7 * NANO + 13 if when < 4 * 10**18 else when - 7 * NANO - 13
    os.utime(path, ns=(shifted, shifted), follow_symlinks=False)


def mutate_one(root, rng, serial):
    """One change; returns its name, or None where the die fell on something unfit."""
    paths = walk(root)
    kind = rng.choice(
        [
            "add-file",
            "add-file",
            "add-folder",
            "add-link",
            "remove",
            "remove",
            "append",
            "append",
            "rewrite",
            "touch",
            "touch-by-a-nanosecond",
            "chmod",
            "chmod-folder",
            "chown",
            "retarget",
            "file-to-folder",
            "folder-to-file",
            "file-to-link",
            "rename",
        ]
    )
    is_file = lambda path: stat.S_ISREG(os.lstat(path).st_mode)
    is_folder = lambda path: stat.S_ISDIR(os.lstat(path).st_mode)
    is_link = lambda path: stat.S_ISLNK(os.lstat(path).st_mode)
    small = lambda path: is_file(path) and os.lstat(path).st_size < 10**6
    folders = [path for path in paths if is_folder(path)] + [root]
    files = [path for path in paths if small(path) and os.lstat(path).st_nlink == 1]
    fresh = lambda: os.path.join(rng.choice(folders), b"new%d-" % serial + random_name(rng)[:200])

    if kind == "add-file":
        path = fresh()
        write_file(path, rng)
        os.chmod(path, rng.choice([0o644, 0o600, 0o755]))
    elif kind == "add-folder":
        path = fresh()
        os.mkdir(path)
        for number in range(rng.randrange(4)):
            write_file(os.path.join(path, b"inside%d" % number), rng)
    elif kind == "add-link":
        os.symlink(rng.choice([b"nowhere", b"..", b"\xfe\n"]), fresh())
    elif kind == "remove":
        candidates = [path for path in paths if not is_folder(path) or len(walk(path)) < 20]
        remove(rng.choice(candidates))
    elif kind == "append":
        path = rng.choice(files)
        with open(path, "ab") as file:
            file.write(rng.randbytes(rng.randrange(1, 100)))
        touch_later(path)
    elif kind == "rewrite":
        path = rng.choice([path for path in files if os.lstat(path).st_size] or files)
        with open(path, "r+b") as file:
            file.write(rng.randbytes(os.lstat(path).st_size))
        touch_later(path)
    elif kind == "touch":
        touch_later(rng.choice(files))
    elif kind == "touch-by-a-nanosecond":
        path = rng.choice(files)
        when = os.lstat(path).st_mtime_ns
        when += -1 if when % NANO else 1
        os.utime(path, ns=(when, when))
    elif kind == "chmod":
        path = rng.choice(files)
        os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) ^ 0o011)
    elif kind == "chmod-folder":
        path = rng.choice(folders)
        os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) ^ 0o005)
    elif kind == "chown":
        if not is_root():
            return None
        path = rng.choice(paths)
        status = os.lstat(path)
        mode = stat.S_IMODE(status.st_mode)
        os.chown(path, status.st_uid ^ 1, status.st_gid ^ 2, follow_symlinks=False)
        if not is_link(path):
            os.chmod(path, mode)  # chown has dropped set-id bits
    elif kind == "retarget":
        links = [path for path in paths if is_link(path)]
        if not links:
            return None
        path = rng.choice(links)
        os.unlink(path)
        os.symlink(b"retargeted-%d" % serial, path)
    elif kind == "file-to-folder":
        path = rng.choice(files)
        os.unlink(path)
        os.mkdir(path)
        write_file(os.path.join(path, b"was-a-file"), rng)
    elif kind == "folder-to-file":
        candidates = [path for path in folders if path != root and len(walk(path)) < 20]
        path = rng.choice(candidates)
        remove(path)
        write_file(path, rng)
    elif kind == "file-to-link":
        path = rng.choice(files)
        os.unlink(path)
        os.symlink(b"was-a-file", path)
    elif kind == "rename":
        path = rng.choice(files)
        os.rename(path, os.path.join(os.path.dirname(path), b"renamed-%d" % serial))
    return kind


def mutate(root, seed=1, changes=200):
    """Makes `changes` changes of all kinds; returns how many of each."""
    root = os.fsencode(root)
    rng = random.Random(seed)
    done = {}
    serial = 0
    while sum(done.values()) < changes:
        kind = mutate_one(root, rng, serial)
        serial += 1
        if kind:
            done[kind] = done.get(kind, 0) + 1
    return done


def make_archive(root, cameras=3, segments=20, frames=50, seed=1):
    """A recorder's archive in miniature: all four layouts, deterministic times."""
    rng = random.Random(seed)
    root = os.fsencode(root)
    for camera in range(cameras):
        folder = os.path.join(root, b"cam%d" % camera)
        os.makedirs(folder)
        for segment in range(segments):
            start = 1708584695 + segment * 1000
            for suffix, size in ((b"rf1i", 400), (b"rf1p", 5000)):
                path = os.path.join(folder, b"%d_video.%s" % (start, suffix))
                write_file(path, rng, size + rng.randrange(100))
                os.utime(path, ns=((start + 1000) * NANO, (start + 1000) * NANO + 7))
    recording = os.path.join(root, b"rec_0001")
    os.makedirs(recording)
    for name, size in ((b"data.bin", 9000), (b"index.jsonl", 500), (b"meta.json", 60)):
        write_file(os.path.join(recording, name), rng, size)
    store = os.path.join(root, b"frames", b"video7")
    os.makedirs(store)
    for frame in range(frames):
        write_file(os.path.join(store, b"frame_%06d.npy" % frame), rng, 128)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--entries", type=int, default=1500)
    parser.add_argument("--deep", type=int, default=0, metavar="LEVELS")
    parser.add_argument("--wide", type=int, default=0, metavar="FILES")
    parser.add_argument("--no-sparse", action="store_true")
    parser.add_argument("--mutate", type=int, default=0, metavar="CHANGES")
    parser.add_argument("--archive", action="store_true", help="a recorder's archive instead")
    arguments = parser.parse_args()
    if arguments.mutate:
        print(mutate(arguments.folder, arguments.seed, arguments.mutate))
    elif arguments.archive:
        make_archive(arguments.folder, seed=arguments.seed)
    else:
        generate(
            arguments.folder,
            arguments.seed,
            arguments.entries,
            arguments.deep,
            arguments.wide,
            not arguments.no_sparse,
        )


if __name__ == "__main__":
    main()
