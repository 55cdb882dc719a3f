"""`fit`: checks its arguments, and runs the core's epoch loop on them."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import as_count
from deltaprop.optim import Optimizer
from deltaprop.training.callbacks import Callback, as_callbacks
from deltaprop.training.checkpoint import resumed
from deltaprop.training.data import Batches, digests, manual_pass
from deltaprop.training.events import EventDispatcher
from deltaprop.training.heads import CoreLosses, HeadLosses
from deltaprop.training.history import History
from deltaprop.training.metric_evaluator import Metrics
from deltaprop.training.options import FitData, core_options, fit_data, recorded
from deltaprop.training.progress import progress_of
from deltaprop.training.protocols import TrainableNetwork
from deltaprop.training.run import Run
from deltaprop.training.stop import StopOnPlateau

# Maximum number of rows of a pass that callbacks request.
_SAMPLE = 256


def fit(  # noqa: D103  (documented as Sequential.fit)
    network: TrainableNetwork,
    X: Any,
    y: Any,
    *,
    loss: Any,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    validation_data: tuple[Any, ...] | None,
    validation_split: float | None,
    sample_weight: Any,
    class_weight: Any,
    loss_weights: Any,
    metrics: Sequence[Any],
    accumulate: int,
    record: Sequence[str],
    stop: StopOnPlateau | None,
    callbacks: Iterable[Callback | Callable[[Run], object]],
    resume: str | os.PathLike[str] | None,
    progress: bool,
    num_threads: int | None,
) -> History:
    _check_optimizer(network, optimizer)
    heads = HeadLosses.of(loss, loss_weights, several_inputs=network._shares_input())
    heads.check_targets(y, network._has_heads())
    heads.check_reductions()
    evaluator = Metrics(metrics, heads)
    run = Run(network, optimizer, as_count(epochs, "fit: epochs", 0))
    run._callbacks = as_callbacks(callbacks)
    options = core_options(heads, record, accumulate, shuffle, seed, num_threads)
    widths = network._network.out_features()[network._storage().block]
    data = fit_data(
        X,
        y,
        heads,
        outputs=widths[0],
        options=options,
        batch_size=batch_size,
        sample_weight=sample_weight,
        class_weight=class_weight,
        stop=stop,
        validation_data=validation_data,
        validation_split=validation_split,
    )
    data.check_metrics(evaluator, widths)
    _describe(run, heads, evaluator, data, options)
    losses = heads.core(data.targets(), options.accumulate)
    events = EventDispatcher(run, evaluator, data)
    with (
        optimizer._core.access("fit") as access,
        nullcontext() if resume is None else resumed(resume, run),
    ):
        result = _train(run, data, losses, heads.links(), options, events, progress, access)
    events.end(result)
    return run.history


def _describe(
    run: Run, heads: HeadLosses, metrics: Metrics, data: FitData, options: _core.FitOptions
) -> None:
    """Set the attributes of the run that callbacks and checkpoints read."""
    run._keys = data.history_keys(heads, metrics)
    run._settings = {
        "loss": heads.described(),
        "loss_weights": list(heads.weights),
        "optimizer": type(run.optimizer).__name__,
        "schedule": type(run.optimizer._schedule).__name__,
        "rows": data.rows,
        "validation": data.validation is not None,
        "metrics": metrics.names,
        "record": recorded(options),
        "batch_size": data.batch_size,
        "shuffle": options.shuffle,
        "seed": options.seed,
        "accumulate": options.accumulate,
    }
    most = min(data.batch_size or _SAMPLE, _SAMPLE)
    run._manual_pass = partial(manual_pass, data.train, heads, most)
    # Lazy: hashing all the data is slow, and only checkpoints need it.
    run._digests = cache(partial(digests, data.train, data.validation))


def _train(
    run: Run,
    data: FitData,
    losses: CoreLosses,
    links: tuple[str, ...],
    options: _core.FitOptions,
    events: EventDispatcher,
    progress: bool,
    access: _core.Access,
) -> dict[str, Any]:
    """Run the core's epoch loop from the end of the history and return its results."""
    done = run.history.epochs
    options.epochs = max(run.epochs - done, 0)
    options.first_epoch = None if options.seed is None else done
    options.stop_losses = run.history.stop_losses.tolist()
    if isinstance(data.train, Batches):
        data.train.check_lasting(options.epochs)
    bar = progress_of(run.epochs) if progress else None
    try:
        with _links(run.network, links):
            events.begin(options, bar)
            return _core.fit(
                run.network._network, run.optimizer._core, losses, data.train, options, access
            )
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def _links(network: TrainableNetwork, links: tuple[str, ...]) -> Iterator[None]:
    """Set the links to probabilities, which stay if the network is trained."""
    before, passes = network._output_transforms, network._network.passes
    network._output_transforms = links
    try:
        yield
    finally:
        if network._network.passes == passes:
            network._output_transforms = before


def _check_optimizer(network: TrainableNetwork, optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        kind = optimizer if isinstance(optimizer, type) else type(optimizer)
        raise TypeError(f"fit: expected an optimizer, got {kind.__name__}")
    if isinstance(optimizer._core, _core.Optimizer64) != (network.dtype == np.float64):
        raise ValueError(
            "fit: expected an optimizer of this network's parameters, got one of another network's"
        )
