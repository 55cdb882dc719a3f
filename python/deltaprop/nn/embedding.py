"""Embedding: learned vectors, looked up by index."""

from typing import ClassVar

from deltaprop import _core
from deltaprop._arrays import Array, as_count
from deltaprop.nn.core_module import ConfiguredLayer


class Embedding(ConfiguredLayer):
    """Replaces each index by a learned vector, as ``torch.nn.Embedding``.

    An input with k columns gives k * embedding_dim features: the vectors side by side.

    Parameters
    ----------
    num_embeddings : int
        The number of indices, 1 or more; at most 2**24 in a float32 network.
    embedding_dim : int
        The length of a vector, 1 or more.
    padding_idx : int, optional
        An index whose vector starts as zeros and gets no gradient. Negative indices count from the
        end.

    Attributes
    ----------
    weight, grad_weight : ndarray, shape (num_embeddings, embedding_dim)
        Writable views into the flat buffers; the weight is initialised from N(0, 1).

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or out of range. ValueError in a pass, naming the row, for
        an index that is not an integer from 0 to num_embeddings - 1.

    Notes
    -----
    Formula: f(x) = (weight[x_1], ..., weight[x_k]) for each row
    Derivative: dJ/dweight[i] is the sum of dJ/df over wherever x is i; dJ/dx = 0
    Source: torch.nn.Embedding

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.Embedding(10, 3)([[4, 0], [9, 4]]).shape
    (2, 6)
    """

    _names: ClassVar[tuple[str, ...]] = ("weight",)

    weight: Array
    grad_weight: Array

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        self.num_embeddings = as_count(num_embeddings, "Embedding: num_embeddings", 1)
        self.embedding_dim = as_count(embedding_dim, "Embedding: embedding_dim", 1)
        self.padding_idx = None if padding_idx is None else _index(padding_idx, self.num_embeddings)
        self._core_layer()

    def _core_layer(self) -> _core.Layer:
        return _core.Embedding(
            self.num_embeddings, self.embedding_dim, self.padding_idx, repr(self)
        )


def _index(value: int, count: int) -> int:
    index = as_count(value, "Embedding: padding_idx", -count)
    if index >= count:
        raise ValueError(f"Embedding: padding_idx: expected less than {count}, got {index}")
    return index % count
