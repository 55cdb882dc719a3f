"""Standardisation of inputs to mean 0 and standard deviation 1."""

from typing import Any, ClassVar

from deltaprop import _core
from deltaprop._arrays import Array, as_array, as_count
from deltaprop.nn.core_module import ConfiguredLayer


class Standardize(ConfiguredLayer):
    """Subtracts each feature's mean and divides by its standard deviation, learned from the data.

    The layer learns once: from all training rows of the first `fit` on arrays, or by `learn`, which
    is required before `fit` on an iterable of batches. It is saved with the network. In a network
    it must come first, or first in a branch of the first module. A frozen layer does not learn.

    Parameters
    ----------
    in_features : int
        Width of the input, 1 or more.

    Attributes
    ----------
    mean, scale : ndarray, shape (in_features,)
        Writable views: the means and the (population) standard deviations, 1 for a constant
        feature.
    mean_rest : ndarray, shape (in_features,)
        The rounding error of `mean` in the network's dtype. It is ignored where it is larger than
        such an error can be. Assigning `mean` sets it to 0; writing an element, ``layer.mean[0] =
        1``, does not.
    learned : ndarray, shape ()
        1 if the layer has learned, else 0.

    Raises
    ------
    TypeError, ValueError
        If the width is not an integer of 1 or more. ValueError in `fit` if the layer is not first.
    RuntimeError
        When used before it has learned.

    Notes
    -----
    Networks of both dtypes subtract and divide in float64, from the data in its original dtype, so
    that data with a large offset, such as times and coordinates, loses no digits.

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
        """Replace mean and standard deviation by those of the data.

        Parameters
        ----------
        X : array_like, shape (N, in_features)
            Of any real dtype. It is read in chunks, so it may be a memory-mapped file.

        Returns
        -------
        The layer itself.

        Raises
        ------
        TypeError
            If the elements are not real numbers.
        ValueError
            For a wrong shape, no rows, or numbers that are not finite.
        RuntimeError
            If the layer is frozen, or while `fit` runs.
        """
        data = as_array(X, "X")
        if data.ndim != 2 or len(data) == 0:
            raise ValueError(
                f"{self!r}: expected X (N, {self.in_features}) of one row or more, got {data.shape}"
            )
        if self._frozen:
            raise RuntimeError(f"{self!r}: expected it to be unfrozen to learn")
        storage = self._storage()
        storage.network.learn(storage.block, data)
        return self

    def _core_layer(self) -> _core.Layer:
        return _core.Standardize(self.in_features, repr(self))
