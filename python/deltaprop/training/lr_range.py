"""The learning-rate range test."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltaprop._arrays import Array, as_count, as_real, as_seed
from deltaprop._table import some_of
from deltaprop.optim import LambdaLR, Optimizer
from deltaprop.training.callbacks import Callback
from deltaprop.training.heads import HeadLosses
from deltaprop.training.protocols import TrainableNetwork
from deltaprop.training.run import Run

# Steps further away than this have less than 1 % of the weight in averages.
_REACH = 50


@dataclass(frozen=True, repr=False)
class LRRange:
    """The result of a learning-rate range test.

    Attributes
    ----------
    lr : ndarray, shape (steps,)
        The learning rates, increasing, up to where the loss diverged.
    loss : ndarray, shape (steps,)
        The loss of each batch before the update with this learning rate.
    """

    lr: Array
    loss: Array

    @property
    def smoothed(self) -> Array:
        """The loss averaged over neighbouring steps, with weights that decay with distance."""
        return _average(self.loss, ahead=_REACH)

    @property
    def suggestion(self) -> float:
        """The lr where the smoothed loss falls fastest against log(lr); NaN if it never falls."""
        loss = self.smoothed
        lowest = int(np.argmin(loss))
        if lowest == 0:
            return np.nan
        slope = np.gradient(loss, np.log(self.lr))[:lowest]
        return float(self.lr[np.argmin(slope)])

    def __repr__(self) -> str:
        """Return a table of at most 20 steps, including the suggestion."""
        steps = len(self.lr)
        suggested = np.flatnonzero(self.lr == self.suggestion)
        rows = np.unique(np.append(some_of(steps, 19), suggested))
        lines = [
            f"{self.lr[i]:>10.3g}  {self.loss[i]:>12.6g}  {self.smoothed[i]:>12.6g}"
            + ("  <- suggestion" if i in suggested else "")
            for i in rows
        ]
        head = f"{'lr':>10}  {'loss':>12}  {'smoothed':>12}"
        return "\n".join([f"LRRange: {steps} steps", head, "-" * len(head), *lines])


def lr_range_test(
    net: TrainableNetwork,
    X: Any,
    y: Any,
    *,
    loss: Any,
    optimizer: Optimizer,
    start: float = 1e-6,
    end: float = 1.0,
    steps: int = 100,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int | None = None,
    sample_weight: Any = None,
    loss_weights: Sequence[float] | None = None,
) -> LRRange:
    """Train a copy with an increasing learning rate until the loss diverges.

    Network and optimizer are not changed: copies of both are trained, starting from the current
    parameters and state.

    Parameters
    ----------
    net : Sequential
    X, y : array_like
        As for ``net.fit``.
    loss : loss
        As for ``net.fit``.
    optimizer : Optimizer
        An optimizer of the network's parameters. All its groups get the same learning rate.
    start, end : float, default 1e-6 and 1
        The first learning rate, above 0, and the last, above the first.
    steps : int, default 100
        Maximum number of updates, 2 or more.
    batch_size : int, default 32
        Rows per step, 1 or more.
    shuffle : bool, default True
        Whether to shuffle the rows in each pass over the data.
    seed : int, optional
        Seed of the shuffling. Default: the network's seed.
    sample_weight : array_like, shape (N,), optional
        A weight of 0 or more for each row's loss.
    loss_weights : sequence of float, optional
        Weight of each head's loss. Default: 1.

    Returns
    -------
    LRRange
        With `lr`, `loss`, `smoothed` and `suggestion`; prints as a table.

    Raises
    ------
    ValueError
        For a setting out of range, no rows, wrong shapes, an optimizer of another network, or a
        loss that is not finite at the first step.
    TypeError
        For an argument of the wrong type.

    Notes
    -----
    lr_k = start (end / start)^(k / (steps - 1)). The test ends early if the running average of the
    loss exceeds 4 times its minimum, or the loss is not finite. Smith, "Cyclical learning rates for
    training neural networks" (2017), section 3.3, where the learning rate grows linearly.
    """
    HeadLosses.of(loss, loss_weights, "lr_range_test").check_reductions("lr_range_test")
    start = as_real(start, "lr_range_test: start")
    end = as_real(end, "lr_range_test: end")
    if not 0 < start < end:
        raise ValueError(f"lr_range_test: expected 0 < start < end, got {start:g} and {end:g}")
    lrs = np.geomspace(start, end, as_count(steps, "lr_range_test: steps", 2))
    size = as_count(batch_size, "lr_range_test: batch_size", 1)
    rows, *_ = (
        *np.shape(X[0] if isinstance(X, tuple) and X else X),
        0,
    )  # `fit` raises for other arguments
    trained, mover = _copies(net, optimizer)
    mover.lr = 1.0
    LambdaLR(mover, lambda k: float(lrs[min(k, steps - 1)]), every="step")
    watch = _Watch(steps)
    try:
        trained.fit(
            X,
            y,
            loss=loss,
            loss_weights=loss_weights,
            optimizer=mover,
            epochs=-(-steps // max(1, -(-rows // size))),
            batch_size=size,
            shuffle=shuffle,
            seed=None if seed is None else as_seed(seed, "lr_range_test"),
            sample_weight=sample_weight,
            callbacks=[watch],
        )
    except FloatingPointError:
        if not watch.losses:
            raise ValueError(
                "lr_range_test: expected a finite loss and delta at the first step"
            ) from None
    return LRRange(lrs[: len(watch.losses)], np.array(watch.losses))


class _Watch(Callback):
    """Records the losses; stops at the last step, or when they diverge."""

    def __init__(self, steps: int) -> None:
        self.losses: list[float] = []
        self._steps = steps

    def on_train_batch_end(self, run: Run) -> None:
        self.losses.append(run.loss)
        average = _average(self.losses, ahead=0)
        diverged = average[-1] > average.min() + 3 * abs(average.min())
        if diverged or run.step == self._steps:
            run.stop()


def _copies(net: TrainableNetwork, optimizer: Optimizer) -> tuple[TrainableNetwork, Optimizer]:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"lr_range_test: expected an optimizer, got {type(optimizer).__name__}")
    groups = [dict(group) for group in optimizer.param_groups]
    if any(p._network is not net._network for group in groups for p in group["params"]):
        raise ValueError(
            "lr_range_test: expected an optimizer of this network's parameters, "
            "got one of another network's"
        )
    trained = copy.deepcopy(net)
    own = trained.parameters()
    kind: Any = type(optimizer)
    for group in groups:
        group["params"] = [own[p._index] for p in group["params"]]
    # Groups hold their own options; the state holds those of the whole optimizer.
    mover: Optimizer = kind(groups)
    mover.load_state_dict({k: v for k, v in optimizer.state_dict().items() if k != "schedule"})
    return trained, mover


def _average(values: Sequence[float] | Array, ahead: int) -> Array:
    """Return averages over all earlier and `ahead` later steps, with weights 0.9^distance."""
    weights = 0.9 ** np.abs(np.arange(-ahead, _REACH + 1))
    place = slice(ahead, ahead + len(values))
    return np.asarray(
        np.convolve(values, weights)[place] / np.convolve(np.ones(len(values)), weights)[place]
    )
