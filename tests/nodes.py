"""What the tests of graphs share: every function of nodes, with NumPy's, PyTorch's and JAX's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltaprop import graph


@dataclass(frozen=True)
class Case:
    """A function by the same name everywhere, unless it says otherwise."""

    ours: Callable[..., Any]
    numpy: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    # Of the arguments: where it is smooth.
    low: float = 0.3
    high: float = 1.4
    torch: Callable[..., Any] | None = None
    jax: Callable[..., Any] | None = None

    def arguments(self, dtype: str = "float64", seed: int = 0) -> list[np.ndarray]:
        """Give arrays of the shapes."""
        rng = np.random.default_rng(seed)
        return [rng.uniform(self.low, self.high, s).astype(dtype)[()] for s in self.shapes]

    def theirs(self, peer: str, module: Any) -> Callable[..., Any]:
        """Give the peer's function."""
        own = getattr(self, peer)
        return (lambda *x: own(module, *x)) if own else self.numpy_on(module)

    def numpy_on(self, module: Any) -> Callable[..., Any]:
        """Give the function of NumPy's name."""
        return getattr(module, self.numpy.__name__)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


_ARRAY = ((3, 4),)
_TWO = ((3, 4), (4,))


def _smooth(name: str, **options: Any) -> Case:
    return Case(getattr(graph, name), getattr(np, name), _ARRAY, **options)


def _reduction(name: str, axis: Any) -> Case:
    theirs = {"max": "amax", "min": "amin"}.get(name, name)
    return Case(
        lambda x: getattr(graph, name)(x * x, axis=axis),
        lambda x: getattr(np, name)(x * x, axis=axis),
        ((2, 3, 4),),
        torch=lambda t, x: getattr(t, theirs)(x * x, dim=() if axis is None else axis),
        jax=lambda j, x: getattr(j, name)(x * x, axis=axis),
    )


CASES = {
    **{
        name: _smooth(name)
        for name in ("abs", "cos", "exp", "expm1", "log", "log1p", "sign", "sin", "sqrt", "square")
    },
    "tan": _smooth("tan"),
    "tanh": _smooth("tanh", low=-2, high=2),
    "sigmoid": Case(
        graph.sigmoid,
        _sigmoid,
        _ARRAY,
        -3,
        3,
        torch=lambda t, x: t.sigmoid(x),
        jax=lambda j, x: 1 / (1 + j.exp(-x)),
    ),
    "maximum": Case(graph.maximum, np.maximum, _TWO),
    "minimum": Case(graph.minimum, np.minimum, _TWO),
    "where": Case(
        lambda x, y: graph.where(x < 1, x * y, y),
        lambda x, y: np.where(x < 1, x * y, y),
        _TWO,
        torch=lambda t, x, y: t.where(x < 1, x * y, y),
        jax=lambda j, x, y: j.where(x < 1, x * y, y),
    ),
    **{
        f"{name}, axis={axis}": _reduction(name, axis)
        for name in ("sum", "mean", "max", "min")
        for axis in (None, 1, -1, (0, 2))
    },
    "dot": Case(graph.dot, np.dot, ((3, 4), (4, 2)), torch=lambda t, x, y: t.matmul(x, y)),
    "dot of vectors": Case(graph.dot, np.dot, ((4,), (4,)), torch=lambda t, x, y: t.matmul(x, y)),
    "reshape": Case(
        lambda x: graph.reshape(x * x, (4, 3)),
        lambda x: np.reshape(x * x, (4, 3)),
        _ARRAY,
        torch=lambda t, x: t.reshape(x * x, (4, 3)),
        jax=lambda j, x: j.reshape(x * x, (4, 3)),
    ),
    "stack": Case(
        lambda x, y: graph.stack([x, x * y, y]),
        lambda x, y: np.stack([x, x * y, y]),
        ((3, 4), (3, 4)),
        torch=lambda t, x, y: t.stack([x, x * y, y]),
        jax=lambda j, x, y: j.stack([x, x * y, y]),
    ),
    "transpose": Case(
        lambda x: graph.transpose(x * x),
        lambda x: np.transpose(x * x),
        _ARRAY,
        torch=lambda t, x: (x * x).T,
        jax=lambda j, x: j.transpose(x * x),
    ),
}

# Operators and methods, which PyTorch and JAX have by the same signs.
_SIGNS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "x + y": (lambda x, y: x + y, _TWO),
    "x - y": (lambda x, y: x - y, ((4,), (3, 4))),
    "x * y": (lambda x, y: x * y, ((3, 1), (1, 4))),
    "x / y": (lambda x, y: x / y, ((), (3, 4))),
    "x ** y": (lambda x, y: x**y, ((3, 4), ())),
    "x ** 3": (lambda x: x**3, _ARRAY),
    "x ** 2": (lambda x: x**2, _ARRAY),
    "x ** -1": (lambda x: x**-1, _ARRAY),
    "x ** 0.5": (lambda x: x**0.5, _ARRAY),
    "2 ** x": (lambda x: 2**x, _ARRAY),
    "1 / x": (lambda x: 1 / x, ((),)),
    "-x": (lambda x: -x, _ARRAY),
    "x @ y": (lambda x, y: x @ y, ((2, 3, 4), (4, 5))),
    "x[...]": (lambda x: (x * x)[..., 1:, None], _ARRAY),
    "x[i]": (lambda x: x[0] * x[-1], _ARRAY),
    "x.T": (lambda x: x.T @ x, _ARRAY),
    "x.sum": (lambda x: (x * x).sum(), _ARRAY),
    "x.mean": (lambda x: (x * x).mean(), _ARRAY),
    "x.reshape": (lambda x: (x * x).reshape(-1, 2), _ARRAY),
}
CASES |= {
    name: Case(f, f, shapes, torch=lambda t, *x, f=f: f(*x), jax=lambda j, *x, f=f: f(*x))
    for name, (f, shapes) in _SIGNS.items()
}


def weights(shape: tuple[int, ...]) -> np.ndarray:
    """Give numbers that tell the elements of a result apart."""
    return np.random.default_rng(1).uniform(0.5, 1.5, shape)


def differences(f: Callable[..., Any], arguments: list[np.ndarray], h: float = 1e-5) -> list[Any]:
    """Give the slopes of a function of arrays, one number, by central differences."""
    slopes = []
    for k, argument in enumerate(arguments):
        x = np.array(argument, dtype=np.float64)
        slope = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            sides = []
            for step in (h, -h):
                moved = x.copy()
                moved[i] += step
                sides.append(f(*arguments[:k], moved, *arguments[k + 1 :]))
            slope[i] = (sides[0] - sides[1]) / (2 * h)
        slopes.append(slope)
    return slopes
