"""Progress output of `fit`, in a terminal or notebook."""

import sys
import time
from typing import Any, Protocol


class Progress(Protocol):
    """Shows the progress of `fit`."""

    def at(self, epochs: int, values: dict[str, float]) -> None:
        """Show the number of finished epochs and the values of the last one."""

    def close(self) -> None:
        """Finish the output."""


class Bar:
    """A progress bar by tqdm."""

    def __init__(self, tqdm: Any, epochs: int) -> None:
        self._bar = tqdm(total=epochs, unit="epoch")
        self._last = 0.0
        self._due: tuple[int, dict[str, float]] = (0, {})

    def at(self, epochs: int, values: dict[str, float]) -> None:
        """Move the bar, at most 10 times per second: drawing can take longer than an epoch."""
        self._due = (epochs, values)
        if time.monotonic() - self._last > 0.1:
            self._draw()

    def _draw(self) -> None:
        epochs, values = self._due
        self._last = time.monotonic()
        self._bar.set_postfix({k: f"{v:.4g}" for k, v in values.items()}, refresh=False)
        self._bar.update(epochs - self._bar.n)

    def close(self) -> None:
        """Draw the final state of the bar."""
        self._draw()
        self._bar.close()


class Lines:
    """One line of text per epoch."""

    def __init__(self, epochs: int) -> None:
        self._total = epochs
        self._shown = 0

    def at(self, epochs: int, values: dict[str, float]) -> None:
        """Print the epoch's line, once."""
        if epochs > self._shown:
            self._shown = epochs
            text = ", ".join(f"{k} {v:.4g}" for k, v in values.items())
            print(f"epoch {epochs}/{self._total}: {text}", file=sys.stderr)

    def close(self) -> None:
        """Nothing to do."""


def progress_of(epochs: int) -> Progress:
    """Return a bar if tqdm is installed, else lines."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return Lines(epochs)
    return Bar(tqdm, epochs)
