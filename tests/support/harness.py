"""Running fsmeta from tests, and the fixtures that all Python tests share.

The binary is named by the environment variable FSMETA; ctest sets it.  By hand:

    FSMETA=build/release/tools/fsmeta /usr/bin/python3 -m pytest tests/oracle

Sizes are made for a minute of CI; a full run raises them:

    FSMETA_TEST_SEED=N          seed of the random trees (default 1)
    FSMETA_TEST_ENTRIES=N       entries of "large" trees (default 20000; 300000 = full)
    FSMETA_TEST_TREE=DIR        an existing tree to list as well (default /usr/include)
    FSMETA_TEST_REPO=GITDIR     a repository whose history is replayed (default: this one)
    FSMETA_TEST_STEPS=N         commits to replay (default 12)
    FSMETA_TEST_RENAMES=1       moves: replay the steps that renamed most (default: the newest)
    FSMETA_TEST_KILLS=N         kills in each test of kill -9 (default 8; 100 = full)
    FSMETA_TEST_SYNC_GENERATIONS=N  generations that three sources are synced through (default 6)
    FSMETA_TEST_TMP=DIR         where trees are made (default: the system's)
    FSMETA_TEST_THREADS=N       live trees are read with N threads (default: the program's choice)
"""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

# What others say is read: in the one language that every machine has.
os.environ.update(LC_ALL="C", LANGUAGE="C")

# Tests make folders that another user is to come into, and say which modes files have.
os.umask(0o022)

SUPPORT = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(SUPPORT))

SEED = int(os.environ.get("FSMETA_TEST_SEED", "1"))
ENTRIES = int(os.environ.get("FSMETA_TEST_ENTRIES", "20000"))
THREADS = os.environ.get("FSMETA_TEST_THREADS")

# Seconds after which a single command counts as hanging.
COMMAND_TIMEOUT = float(os.environ.get("FSMETA_TEST_COMMAND_TIMEOUT", "300"))

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


def as_ordinary_user():
    """Words in front of a command, so that permissions count: none unless root."""
    return NOBODY if os.geteuid() == 0 else []


class Result:
    """What a command gave: `code`, `out` and `err` (bytes)."""

    def __init__(self, command, code, out, err):
        self.command = command
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self):
        words = " ".join(os.fsdecode(word) for word in self.command)
        return (
            f"$ {words}\n  exit status {self.code}\n"
            f"  stdout {self.out[:1500]!r}\n  stderr {self.err[:1500]!r}"
        )


# A line for the user: `fsmeta: PATH: ACTION: REASON`, PATH perhaps quoted.
MESSAGE = re.compile(rb"^fsmeta: (?:[^:]+: )+[^:].*$", re.MULTILINE)


class Fsmeta:
    """The program under test."""

    def __init__(self, binary, prefix=()):
        self.binary = binary
        self.prefix = list(prefix)
        # A time zone far from UTC and a locale of bytes: neither may show anywhere.
        self.environment = {**os.environ, "TZ": "Asia/Kolkata", "LC_ALL": "C"}

    def as_ordinary_user(self):
        """The same for a user whom permissions stop.

        The binary is copied to where such a user can reach it: a clone below /root is not.
        """
        if os.geteuid() != 0:
            return self
        folder = make_scratch()
        atexit.register(drop_scratch, folder)
        return Fsmeta(shutil.copy(self.binary, folder), as_ordinary_user())

    def command(self, *arguments):
        words = [os.fsencode(word) for word in arguments]
        if THREADS and words and words[0] in (b"scan", b"diff", b"ls", b"find", b"du"):
            words[1:1] = [b"--threads", os.fsencode(THREADS)]
        return [*self.prefix, self.binary, *words]

    def run(self, *arguments, code=0, stdin=subprocess.DEVNULL, data=None, **keywords):
        """Runs it; `code` is the exit status expected, a tuple of several, or None for any."""
        command = self.command(*arguments)
        if data is not None:
            keywords["input"] = data
        else:
            keywords["stdin"] = stdin
        process = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            timeout=COMMAND_TIMEOUT,
            check=False,
            **keywords,
        )
        result = Result(command, process.returncode, process.stdout, process.stderr)
        allowed = code if isinstance(code, tuple) else (code,)
        assert code is None or result.code in allowed, f"expected exit status {code}\n{result!r}"
        assert b"Sanitizer" not in result.err, repr(result)
        return result

    def start(self, *arguments, **keywords):
        """A process to be killed or fed; the caller waits for it."""
        return subprocess.Popen(
            self.command(*arguments), env=self.environment, **keywords
        )

    def refused(self, *arguments, code=3, **keywords):
        """Expects a refusal: status 3, nothing but messages of the agreed form on stderr."""
        result = self.run(*arguments, code=code, **keywords)
        assert result.err.startswith(b"fsmeta: "), repr(result)
        assert MESSAGE.match(result.err), repr(result)
        return result


def find_binary():
    binary = os.environ.get("FSMETA")
    if not binary:
        pytest.exit("the environment variable FSMETA must name the binary", returncode=2)
    return os.path.abspath(binary)


@pytest.fixture(scope="session")
def fsmeta():
    return Fsmeta(find_binary())


def make_scratch():
    folder = tempfile.mkdtemp(prefix="fsmeta-test-", dir=os.environ.get("FSMETA_TEST_TMP"))
    os.chmod(folder, 0o755)  # an ordinary user may come in
    return folder


def drop_scratch(folder):
    # rm(1), because shutil.rmtree() cannot go 2,000 levels deep.
    subprocess.run(["chmod", "-R", "u+rwX", folder], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["rm", "-rf", "--", folder], check=True)


@pytest.fixture
def scratch():
    """An empty folder of the test's own (str)."""
    folder = make_scratch()
    yield folder
    drop_scratch(folder)


@pytest.fixture(scope="module")
def module_scratch():
    """The same for all tests of a file."""
    folder = make_scratch()
    yield folder
    drop_scratch(folder)


def need(program):
    """Skips the test where a program that it asks for its opinion is missing."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    sys.exit("a library of tests; see its head for how to run them")


if __name__ == "__main__":
    main()
