"""Inputs brought to mean 0 and deviation 1."""

from typing import Any, ClassVar

from deltaprop import _core
from deltaprop._arrays import Array, as_array, as_count
from deltaprop.nn.core_module import ConfiguredLayer


class Standardize(ConfiguredLayer):
    """Subtracts each feature's mean and divides by its deviation, both learned from the data.

    It learns once, from all rows that the first `fit` on arrays trains on, or by `learn`, which an
    iterable of batches needs before it, and is saved with the network. In a network it stands
    first, or first in a branch of what stands first. Frozen, it does not learn.

    Parameters
    ----------
    in_features : int
        Width of the input, 1 or more.

    Attributes
    ----------
    mean, scale : ndarray, shape (in_features,)
        Writable views: the means and the (population) standard deviations; 1 for a feature that is
        constant.
    mean_rest : ndarray, shape (in_features,)
        What the network's precision cannot hold of the means. It counts only where it is less than
        the mean resolves. Assigning `mean` sets it to 0; writing into it, ``layer.mean[0] = 1``,
        does not.
    learned : ndarray, shape ()
        Whether these have been learned, 1 or 0.

    Raises
    ------
    TypeError, ValueError
        For a width that is no integer of 1 or more; ValueError, in `fit`, where it does not stand
        first.
    RuntimeError
        When used before it has learned.

    Notes
    -----
    A network of either precision subtracts and divides in float64, from the data as it was given:
    no digit of a large offset, as times and coordinates have, is lost before it is gone.

    Formula: f(x) = (x - mean) / scale, scale = sqrt(mean((x - mean)^2)) over the data
    Derivative: f'(x) = 1 / scale
    Source: sklearn.preprocessing.StandardScaler

    Examples
    --------
    >>> from deltaprop import nn
    >>> layer = nn.Standardize(1).learn([[1.0], [3.0]])
    >>> layer([5.0])
    array([3.], dtype=float32)
    """

    _buffer_names: ClassVar[tuple[str, ...]] = ("mean", "mean_rest", "scale", "learned")

    mean: Array
    mean_rest: Array
    scale: Array
    learned: Array

    def __init__(self, in_features: int) -> None:
        self.in_features: int = as_count(in_features, "Standardize: in_features", 1)
        self.out_features: int = self.in_features
        self._core_layer()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "mean":
            self.mean_rest[...] = 0

    def learn(self, X: Any) -> "Standardize":
        """Take mean and deviation from data, instead of those that it has.

        Parameters
        ----------
        X : array_like, shape (N, in_features)
            Of any real type; read in chunks, so it may be a file mapped into memory.

        Returns
        -------
        The layer itself.

        Raises
        ------
        TypeError
            For what are not real numbers.
        ValueError
            For a wrong shape, no rows, or numbers that are not finite.
        RuntimeError
            If it is frozen, or while `fit` runs.
        """
        data = as_array(X, "X")
        if data.ndim != 2 or len(data) == 0:
            raise ValueError(
                f"{self!r}: expected X (N, {self.in_features}) of one row or more, got {data.shape}"
            )
        if self._frozen:
            raise RuntimeError(f"{self!r}: expected it to be unfrozen to learn")
        place = self._storage()
        place.network.learn(place.block, data)
        return self

    def _core_layer(self) -> _core.Layer:
        return _core.Standardize(self.in_features, repr(self))
