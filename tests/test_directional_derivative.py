"""graph.directional_derivative."""

import math

import numpy as np
import pytest

from deltaprop import graph


def valley(x, y):
    return x**2 * y + graph.sin(y)


@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (3, -4), (-1e-200, 1e-200), (1e300, 1e300)])
def test_a_directional_derivative_is_the_gradient_along_the_unit_vector(direction):
    unit = np.array(direction) / np.max(np.abs(direction))
    unit /= np.linalg.norm(unit)
    slope = np.dot([2 * 2 * 3, 2**2 + math.cos(3)], unit)
    found = graph.directional_derivative(valley, (2, 3), direction)
    assert found == pytest.approx(slope, rel=1e-14)
    step = 1e-5 * unit
    ahead, behind = (
        (2 + s * step[0]) ** 2 * (3 + s * step[1]) + math.sin(3 + s * step[1]) for s in (1, -1)
    )
    assert found == pytest.approx((ahead - behind) / 2e-5, rel=1e-8)


def test_a_directional_derivative_of_one_variable():
    assert graph.directional_derivative(lambda x: x**2, 3, 2) == 6
    assert graph.directional_derivative(lambda x: x**2, [3], [-2]) == -6


def test_a_variable_that_a_function_ignores_has_no_slope():
    assert graph.directional_derivative(lambda x, y: 2 * x, (3, 3), (0, 1)) == 0


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, r"same length, got \(2,\) and \(3,\)", (valley, (1, 2), (1, 2, 3))),
        (ValueError, r"same length, got \(1, 2\)", (valley, [(1, 2)], [(1, 2)])),
        (ValueError, r"finite direction other than 0, got \(0, 0\)", (valley, (1, 2), (0, 0))),
        (ValueError, "finite direction other than 0", (valley, (1, 2), (math.inf, 0))),
        (ValueError, "finite direction other than 0", (valley, (1, 2), (math.nan, 1))),
        (ValueError, "one number from the function", (lambda x: x * np.ones(2), 1, 1)),
        (TypeError, "expected a node from the function, got int", (lambda x: 3, 1, 1)),
        (TypeError, "point: expected real numbers", (valley, ("a", "b"), (1, 1))),
    ],
)
def test_wrong_arguments_of_a_directional_derivative(error, match, arguments):
    with pytest.raises(error, match=match):
        graph.directional_derivative(*arguments)
