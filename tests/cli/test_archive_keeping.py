"""`fsmeta archive info`, `check`, `recover` and `sweep`: help and wrong usage."""

import pytest


@pytest.mark.parametrize("command", ("info", "check", "recover", "sweep"))
def test_help(fsmeta, golden, command):
    result = fsmeta.run("archive", command, "--help", code=0)
    assert result.err == b""
    golden(f"help-archive-{command}.txt", result.out)


@pytest.mark.parametrize("words", (
    ("check",),
    ("check", "--policy", "keep 9", "."),
    ("check", "--policy", "budget 2TB cam*", "."),
    ("check", "--format=csv", "."),
    ("recover",),
    ("sweep",),
    ("sweep", "--budget=many", "."),
    ("sweep", "--unneeded-for=soon", "."),
))
def test_wrong_usage(fsmeta, golden, words):
    result = fsmeta.run("archive", *words, code=64)
    assert result.out == b""
    name = "-".join(word.strip("-").replace(" ", "-").replace("=", "-").replace("*", "") for word in words if word != ".")
    golden(f"usage-archive-{name}.txt", result.err)
