"""Code that is run in a process of its own: for tests."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np


def run(*command, timeout=300, **environment):
    """Run Python; variables that are None are removed from the environment."""
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={name: value for name, value in variables.items() if value is not None},
    )


def alone(code):
    """Return what code prints; it may well end its process, and has the names it needs."""
    code = "import numpy as np\nimport deltaprop as dp\nfrom deltaprop import nn, optim\n" + code
    done = run("-X", "faulthandler", "-c", code, timeout=60, PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything(path, *threads, **environment):
    """Return all results, by name, of a process that writes them to a file."""
    done = run(Path(__file__).with_name("everything.py"), path, *threads, **environment)
    assert done.returncode == 0, done.stderr
    return dict(np.load(path))
