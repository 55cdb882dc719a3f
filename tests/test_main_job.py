"""``python -m deltaprop``, as a new user runs it."""

import re
import subprocess
import sys

import numpy as np
import pytest

from deltaprop.examples import train_digits, train_trapezoid


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_it_shows_layers_losses_accuracy_time_and_deltas():
    pytest.importorskip("sklearn")
    shown = run("-m", "deltaprop")
    assert re.search(r"Linear\(2, 50\) +\(N, 50\) +150", shown)
    assert len(re.findall(r"loss [\d.]+ -> [\d.]+.* in \d+ updates, [\d.]+ s", shown)) == 2
    assert "1000/1000" in shown  # the bar
    for layer in ("Sigmoid", "Linear(50, 1)", "ReLU", "Linear(512, 10)"):
        assert re.search(rf"{re.escape(layer)}.*\(\d+, \d+\) +[+-]\d\.\d+e[+-]\d+", shown)
    accuracy = float(re.search(r"held-out accuracy: ([\d.]+)% of 450 digits\n", shown)[1])
    assert accuracy >= 97


def test_without_scikit_learn_it_says_what_to_install():
    shown = run(
        "-c",
        "import sys, runpy; sys.modules['sklearn'] = None\n"
        "try: runpy.run_module('deltaprop', run_name='__main__')\n"
        "except SystemExit as e: assert e.code == 0",
    )
    assert 'pip install "deltaprop[examples]"' in shown
    assert "Linear(50, 1)" in shown
    assert "accuracy" not in shown


def test_the_trapezoid_is_learned():
    fitted = train_trapezoid()
    assert fitted.history.updates == 1000
    error = np.abs(fitted.network(fitted.X) - fitted.y)
    assert error.mean() < 0.02
    assert np.allclose(fitted.y[:, 0], (fitted.X[:, 0] + fitted.X[:, 1]) * fitted.X[:, 0] / 2)


def test_at_least_97_percent_of_held_out_digits_are_recognised():
    pytest.importorskip("sklearn")
    fits = [train_digits(random_state=i) for i in range(5)]
    assert all(len(f.y_test) == 450 and len(f.y_train) == 1347 for f in fits)
    assert fits[0].accuracy >= 0.97
    assert np.median([f.accuracy for f in fits]) >= 0.97
