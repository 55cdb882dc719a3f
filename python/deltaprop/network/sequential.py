"""Layers one after the other, and their training."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from deltaprop.network.base import NetworkBase
from deltaprop.nn.module import one_or_several
from deltaprop.optim import Optimizer
from deltaprop.training import Callback, History, Run, StopOnPlateau, fit
from deltaprop.training.heads import HeadLosses, probabilities
from deltaprop.training.metric_evaluator import Metrics


class Sequential(NetworkBase):
    """A network of layers one after the other.

    Parameters
    ----------
    *layers : Layer or other module
        One or more, each in this network only. Layers not used before are initialised from `seed`,
        in order; of those used already, be it that their values were looked at, and of a
        `Sequential` with a seed of its own the values are copied, so that arrays taken from them
        before no longer belong to them. Another `Sequential` is a part of this network then.
    dtype : {"float32", "float64"}, default "float32"
        What the network computes in. Inputs of other real types are converted.
    seed : int from 0 to 2**64 - 1, optional
        Decides the initial parameters and the shuffling in `fit`. None: drawn from the operating
        system; `seed` shows it.

    Attributes
    ----------
    seed : int
    dtype : numpy.dtype
    flat_parameters, flat_gradients : ndarray, 1-D
        All parameters, and all gradients, in storage order: writable views of the two buffers.
    activations, deltas : list of ndarray, shape (N, features of layer i)
        Output of layer i, and dJ/d(that output), of the last `forward` and `backward` by hand;
        read-only, and overwritten by the next pass.

    Raises
    ------
    TypeError
        For what is not a layer, or another dtype.
    ValueError
        Where the widths of two neighbours differ, a layer is listed twice or has a network.

    Notes
    -----
    Formula: y = f_n(... f_1(f_0(x)))
    Derivative: dJ/dx = delta back through f_n, ..., f_1, f_0: the delta recursion
    Source: torch.nn.Sequential; Rumelhart, Hinton and Williams, "Learning representations by
    back-propagating errors" (1986)

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(2, 50), nn.Sigmoid(), nn.Linear(50, 1), seed=0)
    >>> net(np.ones((10, 2))).shape
    (10, 1)
    """

    _kind = "Sequential"

    def input_gradient(self, x: Any, y: Any, *, loss: Any, loss_weights: Any = None) -> Any:
        """Return dJ/d(input) of the loss in inference; neither pass nor gradients are touched.

        But for a network with a layer written in Python: its pass is gone.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
        y : array_like, or a tuple of them
            As the loss takes it.
        loss : loss, or a tuple of them
            One for each head.
        loss_weights : sequence of float, optional
            What each head's loss counts; 1 where not given.

        Returns
        -------
        ndarray, the shape of the input, or a tuple of them
        """
        heads = HeadLosses.of(loss, loss_weights)

        def delta(outputs: Any) -> Any:
            return heads.delta(outputs, y)

        given = one_or_several(x, self._shares_input())
        return self._network.input_gradient(given, delta)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        loss: Any,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None = 32,
        shuffle: bool = True,
        seed: int | None = None,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float | None = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        loss_weights: Sequence[float] | None = None,
        metrics: Sequence[Any] = (),
        accumulate: int = 1,
        record: Sequence[str] = (),
        stop: StopOnPlateau | None = None,
        callbacks: Iterable[Callback | Callable[[Run], object]] = (),
        resume: str | os.PathLike[str] | None = None,
        progress: bool = False,
        num_threads: int | None = None,
    ) -> History:
        """Train on NumPy arrays, in C++ and without the GIL.

        Parameters
        ----------
        X : array_like, shape (N, in_features), or a tuple of them, or an iterable of batches
            Any real type and memory order; it is converted batch by batch, never copied whole. A
            tuple gives each branch of a `Concat` or `Heads` its own. An iterable (y is left out),
            or an object with ``__getitem__`` and ``__len__``, gives batches (x, y) or
            (x, y, sample_weight), anew in each epoch: it decides their size and order then, and
            metrics are of the data held out only.
        y : array_like, or a tuple of them
            Targets, as the loss takes them: the shape of the output, (N,) for an output (N, 1), or
            integer classes (N,). A tuple with several heads.
        loss : loss, or a tuple of them
            From `deltaprop.nn`, or an object of your own with ``__call__`` and ``delta``. A tuple
            (or list) for several heads.
        optimizer : Optimizer
            Of this network's parameters; with its schedule, if one is attached.
        epochs : int
            Passes over the data, 0 or more; with `resume` those of the checkpoint included.
        batch_size : int, default 32
            Rows a step; the last batch of an epoch may be smaller. None: all rows in one batch.
        shuffle : bool, default True
            Whether each epoch takes the rows in a new random order. A single batch keeps theirs.
        seed : int, optional
            For the shuffling. None: the network's seed and its running count of epochs.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Held out; its loss after each epoch is ``history["val_loss"]``.
        validation_split : float, optional
            Instead, this part of the rows is held out: the last ones, so shuffle sorted data first.
        sample_weight : array_like, shape (N,), optional
            A weight of 0 or more for each row's loss.
        class_weight : dict, array_like or "balanced", optional
            A weight for each class, times the row's. "balanced": N / (classes * rows of the class).
            A dict needs those classes only that occur in y.
            Neither metrics nor data held out are weighed by it.
        loss_weights : sequence of float, optional
            What each head's loss counts in the sum; 1 where not given.
        metrics : sequence of str or callables, optional
            Computed after each epoch on the training data and on the data held out; see
            `deltaprop.Metric`. Functions need names of their own. With several heads a tuple of
            such sequences, one for each.
        accumulate : int, default 1
            Batches whose gradients make one update, as one batch of all their rows would; what is
            left at the end of an epoch makes a smaller one. A loss
            of your own may have an attribute ``reduction``, "mean" (taken for granted) or "sum".
        record : sequence of {"activations", "deltas", "gradients"}, optional
            Norms to record: ``history["delta_norm"]`` and so on, (epochs, layers) with a column for
            each layer, those within containers included, in the order of `summary`. Each is the
            mean over the epoch's updates of the Euclidean norm over the batch; the last batch, and
            the sum of the gradients, where several are accumulated.
        stop : StopOnPlateau, optional
        callbacks : iterable of callables or Callback
            A function is called with the `Run` after every epoch.
        resume : str or path-like, optional
            A checkpoint that `ModelCheckpoint` wrote: the fit goes on from there, to the bit as if
            it had not stopped. Everything else is given as it was then, the data too (which nobody
            checks of an iterable), but for `epochs`, `stop`, `progress`, `num_threads` and settings
            of callbacks, such as more patience. The network takes over the checkpoint's seed, the
            optimizer all its options. A fit that a
            callback had stopped goes on; one that a rule had stopped only if that lets it.
        progress : bool, default False
            Show a progress bar (tqdm's, where it is installed; else a line an epoch, from 1 on).
        num_threads : int, optional
            The most that may work on a step; None: as `deltaprop.get_num_threads` says. Steps too
            small to share take one. Results have the same bits for any number.

        Returns
        -------
        History
            ``history["loss"]`` is, for each epoch, the row-weighted mean of the batches' losses,
            each taken before its update; of several heads the weighted sum, beside ``"loss_0"``...

        Raises
        ------
        ValueError
            For a wrong shape or value, NaN or infinity, settings or data unlike the checkpoint's.
        TypeError
            For a wrong kind of thing.
        FloatingPointError
            Where the loss or a delta is not finite, naming epoch and batch, both counted from 0;
            the network is as the last update left it. Where the last updates made parameters so.
        RuntimeError
            Where another thread uses the network, or a callback calls `fit`.

        Notes
        -----
        Gradients left from passes by hand are ignored, and zero afterwards. Ctrl-C raises
        KeyboardInterrupt within a fraction of a second and leaves the network usable.
        """
        return fit(
            self,
            X,
            y,
            loss=loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            validation_data=validation_data,
            validation_split=validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            loss_weights=loss_weights,
            metrics=metrics,
            accumulate=accumulate,
            record=record,
            stop=stop,
            callbacks=callbacks,
            resume=resume,
            progress=progress,
            num_threads=num_threads,
        )

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        loss: Any,
        loss_weights: Sequence[float] | None = None,
        metrics: Sequence[Any] = (),
        sample_weight: Any = None,
        batch_size: int | None = None,
    ) -> dict[str, float]:
        """Return the loss, and metrics, of inference on a set of data.

        Parameters
        ----------
        X, y, loss, loss_weights, metrics, sample_weight
            As for `fit`.
        batch_size : int, optional
            As for `predict`.

        Returns
        -------
        dict of str to float
            "loss", "loss_0" and so on for several heads, and each metric by its name.
        """
        heads = HeadLosses.of(loss, loss_weights, "evaluate")
        heads.check_reductions("evaluate")
        outputs = self.predict(X, batch_size)
        values = heads.value(outputs, y, sample_weight)
        result = {"loss": heads.total(values)}
        if len(values) > 1:
            result |= {f"loss_{k}": value for k, value in enumerate(values)}
        return result | Metrics(metrics, heads)(y, outputs, sample_weight)

    def predict_proba(self, x: Any, batch_size: int | None = None) -> Any:
        """Return probabilities: softmax or sigmoid of the outputs, as the last fit's loss has them.

        Parameters
        ----------
        x, batch_size
            As for `predict`.

        Returns
        -------
        ndarray, the shape of the output, or a tuple of them
            Softmax over the classes for `CrossEntropyLoss`, exp for `NLLLoss`, sigmoid for
            `BCEWithLogitsLoss`, the outputs themselves for `BCELoss` and for heads of other losses.

        Raises
        ------
        RuntimeError
            Where the network has not been fitted with such a loss.
        """
        if not any(self._output_transforms):
            raise RuntimeError(
                "predict_proba: expected a network fitted with a loss of probabilities, as "
                "CrossEntropyLoss or BCEWithLogitsLoss"
            )
        outputs = self.predict(x, batch_size)
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        found = tuple(
            probabilities(link, a) for link, a in zip(self._output_transforms, heads, strict=True)
        )
        return found if isinstance(outputs, tuple) else found[0]
