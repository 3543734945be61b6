"""Lets the command line tests see tests/support, and gives them golden files.

    FSMETA=build/release/tools/fsmeta /usr/bin/python3 -m pytest tests/cli --update-golden

writes tests/cli/golden/* anew from what the program says now; read the difference before
it is committed.
"""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from harness import fsmeta, module_scratch, read_bytes, scratch  # noqa: E402,F401


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write tests/cli/golden anew")


@pytest.fixture
def golden(request):
    """golden(name, data): data must be what tests/cli/golden/NAME holds."""

    def compare(name, data):
        path = os.path.join(HERE, "golden", name)
        if request.config.getoption("--update-golden"):
            with open(path, "wb") as file:
                file.write(data)
            return
        assert os.path.exists(path), f"no {path}; run with --update-golden"
        assert data == read_bytes(path), (
            f"not what tests/cli/golden/{name} holds; if it is right so, run with --update-golden\n"
            + data.decode("utf-8", "replace")
        )

    return compare
