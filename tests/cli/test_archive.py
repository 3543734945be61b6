"""The commands below `fsmeta archive`: their help, and what is wrong usage."""

import os

import pytest

COMMANDS = ["read", "write"]

WRONG_USAGE = {
    "archive-read-nothing": ("archive", "read"),
    "archive-read-no-output": ("archive", "read", "a", "cam"),
    "archive-read-backwards": (
        "archive", "read", "a", "cam", "-o", "x.mp4", "--from=2026-11-02", "--to=2026-11-01",
    ),
    "archive-read-time": ("archive", "read", "a", "cam", "-o", "x.mp4", "--from=soon"),
    "archive-write-nothing": ("archive", "write", "a"),
    "archive-write-layout": ("archive", "write", "--layout=avi", "a", "cam", "x.mp4"),
    "archive-write-many": ("archive", "write", "a", "cam", "x.mp4", "y.mp4"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help(fsmeta, golden, command):
    result = fsmeta.run("archive", command, "--help", code=0)
    assert result.err == b""
    golden(f"help-archive-{command}.txt", result.out)


@pytest.mark.parametrize("name", WRONG_USAGE)
def test_wrong_usage(fsmeta, golden, scratch, name):
    result = fsmeta.run(*WRONG_USAGE[name], code=64, cwd=scratch)
    assert result.out == b"", repr(result)
    assert os.listdir(scratch) == [], "wrong usage left something behind"
    golden(f"usage-{name}.txt", result.err)
