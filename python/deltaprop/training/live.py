"""A fit looked at while it runs."""

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

# The part of a fit's time that drawing may take, and that looking at the deltas may.
_SHARE = 0.01
# Seconds between two times that it hears of epochs: a call takes some microseconds.
_PATIENCE = 0.01
# Seconds that the first look takes for each parameter: the network is copied.
_COPY = 5e-8
# The part of the time that this may take at a fit's end, and the seconds that it always may.
_LAST_SHARE = 0.02
_LAST = 0.005
_MOST_LOOKS = 1000  # that are kept
_MOST_LAYERS = 8  # of which a line of text tells


class LiveView(Callback):
    """Show the losses and the size of each layer's deltas while `fit` runs.

    In Jupyter one output is drawn again and again: the loss and the validation loss by epoch, and
    beside them the Euclidean norm of dJ/d(output) of each layer. Elsewhere it prints lines with the
    same numbers on the standard error. How the fit ended is always shown, be it an exception.

    Parameters
    ----------
    every : float, default 0.3
        Seconds between two drawings at the least. Where drawing is slow they are further apart.

    Raises
    ------
    ValueError
        For an `every` below 0 or not finite.
    TypeError
        For an `every` that is no number.

    Notes
    -----
    Drawings are made at the ends of epochs; a fit shorter than `every` is drawn once, at its end.
    Drawings and looks at the deltas take no more than 2 % of the time, and those at the end no more
    than some milliseconds or 2 %: a network of millions of parameters, which takes some tenths of a
    second to copy, is not looked at in a fit of a few seconds. Of epochs it hears a hundred times a
    second, unless something else wants each of them.

    The deltas are those of training passes by hand on a copy of the network, which must be one that
    ``copy.deepcopy`` copies: over rows evenly between those of the data, as many as a batch has,
    but at most 256; of an iterable of batches, over rows of the first batch. Sample weights are
    left out. So nothing of the fit changes, to the bit. ``record=("deltas",)`` has
    ``history["delta_norm"]`` of every epoch and all rows instead, at the cost of looking at every
    delta.

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
        if type(self) is LiveView:  # what is made of it may want each epoch
            self._every = _PATIENCE

    def on_train_begin(self, run: Run) -> None:
        """Begin anew."""
        self._screen: _Screen = _Page() if _in_notebook() else _Lines()
        self._deltas = _Deltas()
        self._drawing = _Pace(self.every)
        copying = _COPY * run.network.flat_parameters.size
        self._looking = _Pace(0.0, copying)
        self._last_look_from = time.monotonic() + (copying - _LAST) / _LAST_SHARE

    def on_epoch_end(self, run: Run) -> None:
        """Look at the deltas, and draw, where it is time to."""
        now = time.monotonic()
        if now >= self._looking.due:
            self._deltas.look(run)
            self._looking.took(now)
        if now >= self._drawing.due:
            self._screen.show(run, self._deltas, "")
            self._drawing.took(now)

    def on_train_end(self, run: Run) -> None:
        """Draw how the fit ended."""
        self._last_look(run)
        self._screen.show(run, self._deltas, "")

    def _on_exception(self, run: Run) -> None:
        # What failed may fail again, and the fit's own exception is the one to be seen.
        with contextlib.suppress(Exception):
            self._last_look(run)
        self._screen.show(run, self._deltas, ", broken off")

    def _last_look(self, run: Run) -> None:
        if run.history.epochs > 0 and time.monotonic() >= self._last_look_from:
            self._deltas.look(run)


class _Pace:
    """When something may be done again, so that it takes no more than its share of the time."""

    def __init__(self, every: float, first: float = 0.0) -> None:
        """Let it be done every so many seconds at the most; the first time may take `first`."""
        self._every = every
        self.due = time.monotonic() + max(every, first / _SHARE)

    def took(self, start: float) -> None:
        """Take notice that it was done from `start` until now."""
        now = time.monotonic()
        self.due = now + max(self._every, (now - start) / _SHARE)


class _Deltas:
    """The sizes of the deltas so far."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.epochs: list[int] = []
        self._sizes: list[list[float]] = []
        self._twin: Any = None

    @property
    def sizes(self) -> Array:
        """The Euclidean norms, (times, layers)."""
        return np.array(self._sizes)

    def look(self, run: Run) -> None:
        """Find those of the network as it is now."""
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
        with np.errstate(over="ignore"):  # of a fit that diverges
            sizes = [float(np.linalg.norm(blocks[leaf._stored.block])) for leaf in twin._leaves()]
        self._sizes.append(sizes)
        self.epochs.append(epochs)
        if len(self.epochs) > _MOST_LOOKS:
            del self.epochs[1::2], self._sizes[1::2]


class _Screen(Protocol):
    """Where a fit is shown."""

    def show(self, run: Run, deltas: _Deltas, note: str) -> None:
        """Show the state of a fit."""


class _Page:
    """An output of a notebook."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, run: Run, deltas: _Deltas, note: str) -> None:
        """Draw over what was drawn before."""
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
    """Lines of text."""

    def show(self, run: Run, deltas: _Deltas, note: str) -> None:
        """Print a line more."""
        print(_line(run, deltas, note), file=sys.stderr)


def _line(run: Run, deltas: _Deltas, note: str) -> str:
    history = run.history
    keys = [key for key in ("loss", "val_loss") if key in history and len(history[key]) > 0]
    values = [f"{key} {history[key][-1]:.4g}" for key in keys]
    if deltas.epochs:
        shown = some_of(len(deltas.names), _MOST_LAYERS)
        sizes = (f"{deltas.names[i]} {deltas.sizes[-1, i]:.2g}" for i in shown)
        values.append(f"deltas {', '.join(sizes)}")
    return f"epoch {history.epochs}/{run.epochs}{history._ending}{note}: {'; '.join(values)}"


def _in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
