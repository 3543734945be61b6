"""Lets the oracle tests see tests/support."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))

from harness import fsmeta, module_scratch, scratch  # noqa: E402,F401
