"""Sequential networks, with training and evaluation."""

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
    """A network that applies its layers in sequence.

    Parameters
    ----------
    *layers : Layer or other module
        One or more, none of them part of another network. New layers are initialised from `seed`,
        in order. Layers whose values have been read or used, and a `Sequential` with its own seed,
        keep their values, which are copied; views obtained from them before are detached. A
        `Sequential` among the layers becomes part of this network.
    dtype : {"float32", "float64"}, default "float32"
        The dtype of parameters and computations. Inputs of other real dtypes are converted.
    seed : int from 0 to 2**64 - 1, optional
        Seed of the initial parameters and of the shuffling in `fit`. Default: a random seed from
        the operating system, available as the attribute `seed`.

    Attributes
    ----------
    seed : int
    dtype : numpy.dtype
    flat_parameters, flat_gradients : ndarray, 1-D
        All parameters, and all gradients, in storage order: writable views of the two buffers.
    activations, deltas : list of ndarray, shape (N, features of layer i)
        Output of layer i, and dJ/d(that output), after the last calls of `forward` and `backward`.
        Read-only; the next pass overwrites them.

    Raises
    ------
    TypeError
        If an item is not a layer, or for another dtype.
    ValueError
        If widths of adjacent layers differ, or a layer is listed twice or part of a network.

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
        """Return dJ/d(input) of the loss in inference, without changing any gradients.

        The activations of the last `forward` remain valid, except in a network with a layer written
        in Python.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
        y : array_like, or a tuple of them
            Targets, in the form that the loss takes.
        loss : loss, or a tuple of them
            One for each head.
        loss_weights : sequence of float, optional
            Weight of each head's loss. Default: 1.

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
            Inputs of any real dtype and memory order, converted batch by batch without a copy of
            the whole array. A tuple has one input for each branch of a `Concat` or `Heads`. An
            iterable (without y), or an object with ``__getitem__`` and ``__len__``, yields batches
            (x, y) or (x, y, sample_weight) and is iterated once per epoch. It then determines size
            and order of the batches, and metrics are computed on validation data only.
        y : array_like, or a tuple of them
            Targets, in the form that the loss takes: the shape of the output, (N,) for an output
            (N, 1), or integer classes (N,). A tuple for several heads.
        loss : loss, or a tuple of them
            A loss of `deltaprop.nn`, or an object with methods ``__call__`` and ``delta``. A tuple
            (or list) for several heads.
        optimizer : Optimizer
            An optimizer of this network's parameters. An attached schedule is advanced.
        epochs : int
            Number of passes over the data, 0 or more; with `resume` the total, including those of
            the checkpoint.
        batch_size : int, default 32
            Rows per step; the last batch of an epoch may be smaller. None: all rows in one batch.
        shuffle : bool, default True
            Whether to shuffle the rows in each epoch. A single batch is not shuffled.
        seed : int, optional
            Seed of the shuffling. Default: the network's seed and its running count of epochs.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Data that is not trained on; its loss after each epoch is ``history["val_loss"]``.
        validation_split : float, optional
            Fraction of the rows to use as validation data instead. The last rows are taken, so
            shuffle sorted data first.
        sample_weight : array_like, shape (N,), optional
            A weight of 0 or more for each row's loss.
        class_weight : dict, array_like or "balanced", optional
            A weight for each class, multiplied with the row's weight. "balanced" is
            N / (classes * rows of the class). A dict needs only the classes that occur in y.
            It does not apply to metrics and validation data.
        loss_weights : sequence of float, optional
            Weight of each head's loss in the sum. Default: 1.
        metrics : sequence of str or callables, optional
            Metrics to compute after each epoch on training and validation data; see
            `deltaprop.Metric`. Functions need distinct names. For several heads a tuple with one
            sequence per head.
        accumulate : int, default 1
            Number of batches whose gradients are accumulated for one update, equivalent to one
            batch of all their rows. The last update of an epoch may have fewer. A user-defined loss
            may have an attribute ``reduction``, "mean" (the default) or "sum".
        record : sequence of {"activations", "deltas", "gradients"}, optional
            Norms to record as ``history["delta_norm"]`` and so on, of shape (epochs, layers), with
            a column for each layer, including those within containers, in the order of `summary`.
            Values are means over the epoch's updates of the Euclidean norm over the batch. With
            `accumulate` they are those of the last batch, for gradients those of the sum.
        stop : StopOnPlateau, optional
            A stop rule.
        callbacks : iterable of callables or Callback
            A function is called with the `Run` after every epoch.
        resume : str or path-like, optional
            A checkpoint written by `ModelCheckpoint`. Training continues from it, bit-identical to
            an uninterrupted fit. All other arguments must be those of the original call, including
            the data (which is not checked for an iterable), except `epochs`, `stop`, `progress`,
            `num_threads` and settings of callbacks, such as `patience`. The network takes its seed,
            and the optimizer its options, from the checkpoint. A fit that a callback had stopped
            continues; one that a stop rule had stopped continues only if the rule allows it.
        progress : bool, default False
            Whether to show a progress bar, by tqdm if installed, else a line per epoch.
        num_threads : int, optional
            Maximum number of threads for a step. Default: `deltaprop.get_num_threads`. Small steps
            use one. Results are bit-identical for any number.

        Returns
        -------
        History
            ``history["loss"]`` has, for each epoch, the row-weighted mean of the batches' losses,
            each evaluated before its update. For several heads it is the weighted sum, and
            ``"loss_0"``, ``"loss_1"``, ... are the heads' losses.

        Raises
        ------
        ValueError
            For a wrong shape or value, NaN or infinity in the data, or settings or data that differ
            from the checkpoint's.
        TypeError
            For an argument of the wrong type.
        FloatingPointError
            If the loss or a delta is not finite; the message names epoch and batch, counted from 0,
            and the network keeps its state after the last update. Also if the last updates have
            made parameters infinite or NaN.
        RuntimeError
            If another thread uses the network, or a callback calls `fit`.

        Notes
        -----
        Existing gradients are ignored, and set to 0 at the end. Ctrl-C raises KeyboardInterrupt
        within a fraction of a second and leaves the network usable.
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
        """Return the loss and metrics of the network on a data set, in inference.

        Parameters
        ----------
        X, y, loss, loss_weights, metrics, sample_weight
            As for `fit`.
        batch_size : int, optional
            As for `predict`.

        Returns
        -------
        dict of str to float
            "loss", for several heads also "loss_0" and so on, and each metric by its name.
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
        """Return probabilities: the softmax or sigmoid of the outputs, by the loss of the last fit.

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
            If the network has not been fitted with one of these losses.
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
