"""Code that is run in a process of its own: for tests."""

import os
import subprocess
import sys


def alone(code):
    """Return what code prints; it may well end its process, and has the names it needs."""
    code = "import numpy as np\nimport deltaprop as dp\nfrom deltaprop import nn, optim\n" + code
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
