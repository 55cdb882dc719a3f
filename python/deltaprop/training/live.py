"""A live view of losses and deltas while `fit` runs."""

import contextlib
import copy
import sys
import time
from typing import Any, Protocol

import numpy as np

from deltaprop import _html
from deltaprop._arrays import Array, as_real
from deltaprop._table import some_of
from deltaprop.training.callbacks import Callback
from deltaprop.training.history_html import delta_sizes, losses
from deltaprop.training.run import Run

# Fraction of the time of `fit` that drawing may take; measuring the deltas may take as much.
_BUDGET = 0.01
# Seconds between calls of `on_epoch_end`, each of which costs some microseconds.
_INTERVAL = 0.01
# Estimated seconds per parameter of the first measurement, which copies the network.
_COPY_SECONDS = 5e-8
# Fraction of the time that the measurement at the end may take, and seconds that it always may.
_FINAL_BUDGET = 0.02
_FINAL_SECONDS = 0.005
_MAX_SAMPLES = 1000  # of the deltas' norms that are kept
_MAX_LAYERS = 8  # in a line of text


class LiveView(Callback):
    """Show the losses and the norms of each layer's deltas while `fit` runs.

    In Jupyter it updates one output: loss and validation loss by epoch, and the Euclidean norm of
    dJ/d(output) of each layer. Elsewhere it prints the same numbers to standard error. The final
    state is always shown, also after an exception.

    Parameters
    ----------
    every : float, default 0.3
        Minimum number of seconds between updates; slow drawing increases it.

    Raises
    ------
    ValueError
        If `every` is negative or not finite.
    TypeError
        If `every` is not a number.

    Notes
    -----
    Updates occur at ends of epochs; a fit shorter than `every` is shown once, at its end. Drawing
    and measuring the deltas take at most 2 % of the time, and at the end at most 2 % or a few
    milliseconds. A network of millions of parameters, which takes some tenths of a second to copy,
    is therefore not measured in a fit of a few seconds. Unless another callback needs every epoch,
    `fit` calls the view at most 100 times per second.

    The deltas come from training passes on a copy of the network, which ``copy.deepcopy`` must be
    able to copy. The passes use evenly spaced rows of the data, as many as a batch has but at most
    256; for an iterable of batches, rows of the first batch. Sample weights are ignored. The fit
    itself is unchanged, to the bit. For the deltas of all rows in every epoch, use
    ``record=("deltas",)`` and ``history["delta_norm"]``, which costs a pass over every delta.

    Examples
    --------
    >>> import deltaprop as dp, numpy as np
    >>> from deltaprop import nn, optim
    >>> X = np.linspace(-1, 1, 100).reshape(-1, 1)
    >>> net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1), seed=0)
    >>> history = net.fit(X, X**2, loss=nn.MSELoss(), epochs=200, callbacks=[dp.LiveView()],
    ...                   optimizer=optim.Adam(net.parameters(), lr=0.01))
    """

    def __init__(self, every: float = 0.3) -> None:
        self.every = as_real(every, "LiveView: every", 0)
        if type(self) is LiveView:  # a subclass may need every epoch
            self._every = _INTERVAL

    def on_train_begin(self, run: Run) -> None:
        """Start a new view."""
        self._screen: _Screen = _Page() if _in_notebook() else _Lines()
        self._deltas = _Deltas()
        self._drawing = _Timer(self.every)
        copying = _COPY_SECONDS * run.network.flat_parameters.size
        self._measuring = _Timer(0.0, copying)
        self._final_from = time.monotonic() + (copying - _FINAL_SECONDS) / _FINAL_BUDGET

    def on_epoch_end(self, run: Run) -> None:
        """Measure the deltas and update the view, if they are due."""
        now = time.monotonic()
        if now >= self._measuring.due:
            self._deltas.measure(run)
            self._measuring.restart(now)
        if now >= self._drawing.due:
            self._screen.show(run, self._deltas, "")
            self._drawing.restart(now)

    def on_train_end(self, run: Run) -> None:
        """Show the final state."""
        self._final_measurement(run)
        self._screen.show(run, self._deltas, "")

    def _on_exception(self, run: Run) -> None:
        # The measurement may fail for the same reason; the exception of `fit` must propagate.
        with contextlib.suppress(Exception):
            self._final_measurement(run)
        self._screen.show(run, self._deltas, ", broken off")

    def _final_measurement(self, run: Run) -> None:
        if run.history.epochs > 0 and time.monotonic() >= self._final_from:
            self._deltas.measure(run)


class _Timer:
    """Limits the fraction of time that a repeated action takes."""

    def __init__(self, every: float, first: float = 0.0) -> None:
        """Start; `every`: minimum interval, `first`: expected duration of the first action."""
        self._every = every
        self.due = time.monotonic() + max(every, first / _BUDGET)

    def restart(self, start: float) -> None:
        """Set the next time, after an action that ran from `start` until now."""
        now = time.monotonic()
        self.due = now + max(self._every, (now - start) / _BUDGET)


class _Deltas:
    """The norms of the deltas measured so far."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.epochs: list[int] = []
        self._sizes: list[list[float]] = []
        self._twin: Any = None

    @property
    def sizes(self) -> Array:
        """The Euclidean norms, (samples, layers)."""
        return np.array(self._sizes)

    def measure(self, run: Run) -> None:
        """Compute and append the norms for the network's current parameters."""
        epochs = run.history.epochs
        if self.epochs and self.epochs[-1] == epochs:
            return
        if self._twin is None:
            self._twin = copy.deepcopy(run.network)
            self.names = [
                f"{path}: {type(module).__name__}"
                for path, module in self._twin._inside()
                if not module._children()
            ]
        twin = self._twin
        for own, leaf in zip(twin._leaves(), run.network._leaves(), strict=True):
            if own._frozen != leaf._frozen:
                own._set_frozen(leaf._frozen)
        for own, value in zip(twin._state().values(), run.network._state().values(), strict=True):
            own[...] = value
        run._manual_pass(twin)
        blocks = twin._network.deltas()
        with np.errstate(over="ignore"):  # when training diverges
            sizes = [float(np.linalg.norm(blocks[leaf._stored.block])) for leaf in twin._leaves()]
        self._sizes.append(sizes)
        self.epochs.append(epochs)
        if len(self.epochs) > _MAX_SAMPLES:
            del self.epochs[1::2], self._sizes[1::2]


class _Screen(Protocol):
    """A display for the view."""

    def show(self, run: Run, deltas: _Deltas, note: str) -> None:
        """Show the current state of the run."""


class _Page:
    """An output area of a notebook."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, run: Run, deltas: _Deltas, note: str) -> None:
        """Replace the content of the output."""
        parts = [losses(run.history)]
        if deltas.epochs:
            parts.append(delta_sizes(deltas.epochs, deltas.sizes, deltas.names))
        cells = "".join(f"<div>{part}</div>" for part in parts)
        title = f"epoch {run.history.epochs:,} of {run.epochs:,}{run.history._ending}{note}"
        content = {
            "text/html": _html.block(
                title, f'<div style="display:flex;flex-wrap:wrap;gap:0 1.5em">{cells}</div>'
            ),
            "text/plain": _line(run, deltas, note),
        }
        if self._handle is None:
            from IPython import display

            screen: Any = display
            self._handle = screen.display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


class _Lines:
    """Lines of text on standard error."""

    def show(self, run: Run, deltas: _Deltas, note: str) -> None:
        """Print a line."""
        print(_line(run, deltas, note), file=sys.stderr)


def _line(run: Run, deltas: _Deltas, note: str) -> str:
    history = run.history
    keys = [key for key in ("loss", "val_loss") if key in history and len(history[key]) > 0]
    values = [f"{key} {history[key][-1]:.4g}" for key in keys]
    if deltas.epochs:
        shown = some_of(len(deltas.names), _MAX_LAYERS)
        sizes = (f"{deltas.names[i]} {deltas.sizes[-1, i]:.2g}" for i in shown)
        values.append(f"deltas {', '.join(sizes)}")
    return f"epoch {history.epochs}/{run.epochs}{history._ending}{note}: {'; '.join(values)}"


def _in_notebook() -> bool:
    """Return whether the code runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
