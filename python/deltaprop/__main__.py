"""``python -m deltaprop``: train two example networks and print the results."""

import importlib.util
import sys
import time
from typing import Any

from deltaprop import nn
from deltaprop.examples import train_digits, train_trapezoid

# Without tqdm, progress prints one line per epoch: too much for 1,000 epochs.
BAR = importlib.util.find_spec("tqdm") is not None


def show_deltas(network: nn.Sequential, loss: Any, X: Any, y: Any) -> None:
    """Print the first deltas of each layer, from one forward and one backward pass."""
    network.backward(loss.delta(network.forward(X), y))
    network.zero_grad()
    print(f"\nThe delta recursion for a batch of {len(X)}: dJ/d(output of the layer), first row")
    for i, (layer, delta) in enumerate(zip(network, network.deltas, strict=True)):
        first = "  ".join(f"{d:+.2e}" for d in delta[0, :5])
        more = "  ..." if delta.shape[1] > 5 else ""
        print(f"{i}  {layer!r:<16}  {delta.shape!s:<10}  {first}{more}")


def trapezoid() -> None:
    """Train the regression example and print its results."""
    print("1. The area of a trapezoid from its sides\n")
    start = time.perf_counter()
    run = train_trapezoid(progress=BAR)
    seconds = time.perf_counter() - start
    run.network.summary()
    losses = run.history["loss"]
    print(
        f"\nloss {losses[0]:.5f} -> {losses[-1]:.5f} "
        f"in {run.history.updates} updates, {seconds:.3f} s"
    )
    print("\n  x1   x2   area  predicted")
    for (x1, x2), (area,), (predicted,) in zip(
        run.X[:5], run.y[:5], run.network(run.X[:5]), strict=True
    ):
        print(f"{x1:4.1f} {x2:4.1f} {area:6.3f}  {predicted:9.3f}")
    error = abs(run.network(run.X) - run.y)
    print(f"mean error of all {len(run.y)}: {error.mean():.3f}")
    show_deltas(run.network, nn.MSELoss(), run.X[:10], run.y[:10])


def digits() -> None:
    """Train the classification example and print its results."""
    print("\n2. Handwritten digits\n")
    start = time.perf_counter()
    run = train_digits(progress=BAR)
    seconds = time.perf_counter() - start
    run.network.summary()
    losses, validation = run.history["loss"], run.history["val_loss"]
    print(
        f"\nloss {losses[0]:.4f} -> {losses[-1]:.4f}, "
        f"validation loss {validation[0]:.4f} -> {validation[-1]:.4f}, "
        f"in {run.history.updates} updates, {seconds:.3f} s"
    )
    show_deltas(run.network, nn.CrossEntropyLoss(), run.X_train[:32], run.y_train[:32])
    print(f"\nheld-out accuracy: {run.accuracy:.1%} of {len(run.y_test)} digits")


def main() -> int:
    """Run both examples; the second needs scikit-learn for its data."""
    trapezoid()
    try:
        import sklearn  # noqa: F401
    except ImportError:
        print('\nThe digits come with scikit-learn: pip install "deltaprop[examples]"')
        return 0
    digits()
    return 0


if __name__ == "__main__":
    sys.exit(main())
