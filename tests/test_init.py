"""nn.init: each initialiser's distribution, seeds and arguments."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from deltaprop import nn
from deltaprop.nn import init

SHAPE = (150, 200)  # fan_out, fan_in


def uniform(low, high):
    return lambda x: np.clip((x - low) / (high - low), 0, 1)


def normal(mean, std):
    return np.vectorize(NormalDist(mean, std).cdf)


def truncated(mean, std, a, b):
    cdf = normal(mean, std)
    return lambda x: np.clip((cdf(x) - cdf(a)) / (cdf(b) - cdf(a)), 0, 1)


@dataclass
class Case:
    """A member of the family; `options` lists keywords, each set with the distribution it gives."""

    options: list[tuple[dict[str, Any], Callable | None]]
    bits: list[str]  # of a (2, 2) array, in the order of storage, from seed 42
    refused: list[tuple[dict[str, Any], type[Exception], str]] = field(default_factory=list)
    dimensions: tuple[int, ...] = (0, 1, 2, 3)
    seeded: bool = True
    exact: bool = True  # to the bit


# The normal draws are CPython's NormalDist().inv_cdf of the middles of the draws' intervals. With
# (2, 2) every fan is 2, so that kaiming_normal_'s deviation is 1.
NORMALS = [
    "0x1.9569fa460d758p+0",
    "0x1.88fd9a893baaep-1",
    "-0x1.a9c3071eeffafp-4",
    "0x1.fde569178cae1p-2",
]
BOUND = {
    "xavier": math.sqrt(6 / 350),
    "in": math.sqrt(6 / 200),
    "out": math.sqrt(6 / 150),
}
REFUSED_GAINS = [
    ({"gain": -1}, ValueError, "gain: expected 0 or more, got -1"),
    ({"gain": math.nan}, ValueError, "gain: expected a finite number, got nan"),
    ({"gain": "1"}, TypeError, "gain: expected a number, got '1'"),
]
REFUSED_KAIMING = [
    ({"mode": "fan"}, ValueError, "mode: expected 'fan_in' or 'fan_out', got 'fan'"),
    ({"mode": 1}, TypeError, "mode: expected a name, got int"),
    ({"nonlinearity": "elu"}, ValueError, "nonlinearity: expected one of 'linear', .*, got 'elu'"),
    ({"a": math.inf}, ValueError, "negative slope: expected a finite number, got inf"),
    ({"a": None}, TypeError, "negative slope: expected a number, got None"),
]

CASES = {
    "uniform_": Case(
        [({}, uniform(0, 1)), ({"a": -3, "b": 5}, uniform(-3, 5))],
        [
            "0x1.e3007d8bff4e3p-1",
            "0x1.8ea804f578019p-1",
            "0x1.d59cdce421742p-2",
            "0x1.61a8827dfe2c5p-1",
        ],
        [
            ({"a": 2}, ValueError, "expected a <= b, got a = 2 and b = 1"),
            ({"b": math.inf}, ValueError, "b: expected a finite number, got inf"),
            ({"a": None}, TypeError, "a: expected a number, got None"),
        ],
    ),
    "normal_": Case(
        [({}, normal(0, 1)), ({"mean": -2, "std": 0.1}, normal(-2, 0.1))],
        NORMALS,
        [
            ({"std": -1}, ValueError, "std: expected 0 or more, got -1"),
            ({"mean": math.nan}, ValueError, "mean: expected a finite number, got nan"),
            ({"mean": 1j}, TypeError, "mean: expected a number, got 1j"),
        ],
    ),
    "trunc_normal_": Case(
        [
            ({}, truncated(0, 1, -2, 2)),
            ({"mean": 1, "std": 2, "a": -1, "b": 1.5}, truncated(1, 2, -1, 1.5)),
            ({"std": 0.02}, normal(0, 0.02)),
        ],
        [
            "0x1.6d46be879c69fp+0",
            "0x1.737d9d2abff8bp-1",
            "-0x1.965308bbcb4b9p-4",
            "0x1.e4d49ce1f704fp-2",
        ],
        [
            ({"std": 0}, ValueError, "std: expected more than 0, got 0"),
            ({"std": -1}, ValueError, "std: expected 0 or more, got -1"),
            ({"a": 3}, ValueError, "expected a <= b, got a = 3 and b = 2"),
            ({"a": -math.inf}, ValueError, "a: expected a finite number, got -inf"),
            ({"mean": "0"}, TypeError, "mean: expected a number, got '0'"),
        ],
    ),
    "constant_": Case(
        [({"val": -2.5}, None)],
        ["-0x1.4000000000000p+1"] * 4,
        [
            ({"val": math.nan}, ValueError, "val: expected a finite number, got nan"),
            ({"val": None}, TypeError, "val: expected a number, got None"),
        ],
        seeded=False,
    ),
    "zeros_": Case([({}, None)], ["0x0.0p+0"] * 4, seeded=False),
    "ones_": Case([({}, None)], ["0x1.0000000000000p+0"] * 4, seeded=False),
    "eye_": Case(
        [({}, None)],
        ["0x1.0000000000000p+0", "0x0.0p+0", "0x0.0p+0", "0x1.0000000000000p+0"],
        dimensions=(2,),
        seeded=False,
    ),
    "xavier_uniform_": Case(
        [
            ({}, uniform(-BOUND["xavier"], BOUND["xavier"])),
            ({"gain": 2}, uniform(-2 * BOUND["xavier"], 2 * BOUND["xavier"])),
        ],
        [
            "0x1.1604f97f8d84bp+0",
            "0x1.5d6f69b0d3ca0p-1",
            "-0x1.9f4eff1c65d97p-4",
            "0x1.de6cfbfc6cf78p-2",
        ],
        REFUSED_GAINS,
        dimensions=(2, 3),
    ),
    "xavier_normal_": Case(
        [({}, normal(0, math.sqrt(2 / 350))), ({"gain": 2}, normal(0, 2 * math.sqrt(2 / 350)))],
        [
            "0x1.1eabc4c158fdfp+0",
            "0x1.15e2e791f51eep-1",
            "-0x1.2d0f1f8f8d559p-4",
            "0x1.688d0f4b93f9bp-2",
        ],
        REFUSED_GAINS,
        dimensions=(2, 3),
    ),
    "kaiming_uniform_": Case(
        [
            ({}, uniform(-BOUND["in"], BOUND["in"])),
            ({"mode": "fan_out"}, uniform(-BOUND["out"], BOUND["out"])),
            ({"a": math.sqrt(5)}, uniform(-1 / math.sqrt(200), 1 / math.sqrt(200))),
        ],
        [
            "0x1.892dc93480765p+0",
            "0x1.ee2d0edec02dfp-1",
            "-0x1.25aae2275eb5cp-3",
            "0x1.524c4e5ffedb2p-1",
        ],
        REFUSED_KAIMING,
        dimensions=(2, 3),
    ),
    "kaiming_normal_": Case(
        [
            ({}, normal(0, math.sqrt(2 / 200))),
            ({"mode": "fan_out", "nonlinearity": "selu"}, normal(0, 0.75 / math.sqrt(150))),
            ({"a": 9, "nonlinearity": "tanh"}, normal(0, 5 / 3 / math.sqrt(200))),
        ],
        NORMALS,
        REFUSED_KAIMING,
        dimensions=(2, 3),
    ),
    # An element of an evenly distributed frame, next to normal for so long a one.
    "orthogonal_": Case(
        [({}, normal(0, math.sqrt(1 / 200))), ({"gain": -3}, normal(0, 3 * math.sqrt(1 / 200)))],
        [
            "0x1.ccbc5153c2c26p-1",
            "0x1.be9df57a77c2cp-2",
            "-0x1.be9df57a77c2cp-2",
            "0x1.ccbc5153c2c26p-1",
        ],
        REFUSED_GAINS[1:],
        dimensions=(2, 3),
        exact=False,
    ),
}
EACH_OPTIONS = [(name, i) for name, case in CASES.items() for i in range(len(case.options))]
each = pytest.mark.parametrize("name", CASES)


def fill(name, target, seed=42, /, **options):
    """Fill `target` with these options, else with the first of the case's."""
    case = CASES[name]
    options = options or case.options[0][0]
    return getattr(init, name)(target, **options, **({"seed": seed} if case.seeded else {}))


def assert_same(name, got, expected):
    if CASES[name].exact:
        np.testing.assert_array_equal(got, expected)
    else:
        eps = np.finfo(got.dtype).eps
        np.testing.assert_allclose(got, expected, rtol=0, atol=8 * eps)


def distance(a, b):
    """Return the distance of Kolmogorov and Smirnov between two samples."""
    a, b = np.sort(a, axis=None), np.sort(b, axis=None)
    both = np.concatenate([a, b])
    return np.abs(
        np.searchsorted(a, both, side="right") / a.size
        - np.searchsorted(b, both, side="right") / b.size
    ).max()


def test_no_member_escapes():
    assert {*CASES, "calculate_gain"} == set(init.__all__)


@each
def test_the_notes_say_what_and_whence(name):
    doc = getattr(init, name).__doc__
    assert "\n    Formula: " in doc
    assert "\n    Source: " in doc


@pytest.mark.parametrize(("name", "i"), [p for p in EACH_OPTIONS if CASES[p[0]].seeded])
def test_distributions(name, i):
    options, cdf = CASES[name].options[i]
    w = np.sort(fill(name, np.empty(SHAPE), 3, **options), axis=None)
    expected = cdf(w)
    # Kolmogorov and Smirnov: a right generator fails one seed in a million.
    steps = np.arange(1, w.size + 1) / w.size
    furthest = max(np.abs(steps - expected).max(), np.abs(steps - 1 / w.size - expected).max())
    assert furthest < math.sqrt(math.log(2 / 1e-6) / 2 / w.size)


@pytest.mark.parametrize(("name", "i"), EACH_OPTIONS)
def test_they_are_distributed_as_pytorchs(name, i, peer):
    torch = peer("torch")
    options, _ = CASES[name].options[i]
    torch.manual_seed(0)
    theirs = torch.empty(SHAPE, dtype=torch.float64)
    getattr(torch.nn.init, name)(theirs, **options)
    ours = fill(name, np.empty(SHAPE), 0, **options)
    if CASES[name].seeded:
        assert distance(ours, theirs.numpy()) < math.sqrt(math.log(2 / 1e-6) / ours.size)
    else:
        np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (30, 30), (5, 40), (40, 5), (6, 2, 5)])
@pytest.mark.parametrize("gain", [1, 0.5])
def test_orthogonal_is_orthogonal(shape, gain, dtype):
    w = init.orthogonal_(np.empty(shape, dtype), gain, seed=0).reshape(shape[0], -1)
    w = w.astype(float)
    square = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(square, gain**2 * np.eye(len(square)), rtol=0, atol=tolerance)


@each
def test_bits(name):
    w = fill(name, np.empty((2, 2)))
    assert_same(name, w.ravel(order="F"), [float.fromhex(h) for h in CASES[name].bits])


@each
@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.int64(7)])
def test_the_same_seed_gives_the_same_bits_in_any_memory(name, seed):
    expected = fill(name, np.empty((7, 5)), seed)
    arrays = [
        np.empty((7, 5), order="F"),
        np.empty((5, 7)).T,
        np.empty((14, 15))[::2, ::3],
        np.empty((7, 5))[::-1, ::-1],
        np.empty((7, 5), ">f8"),
        np.empty((7, 5), "float32"),
        np.empty((7, 5), "float16"),
    ]
    for array in arrays:
        assert fill(name, array, seed) is array
        np.testing.assert_array_equal(array, expected.astype(array.dtype))


@each
def test_what_is_beside_a_view_stays(name):
    whole = np.full((6, 8), 9.0)
    fill(name, whole[1:4, 2:7])
    outside = np.ones((6, 8), bool)
    outside[1:4, 2:7] = False
    assert (whole[outside] == 9).all()
    assert (whole[~outside] != 9).all()


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.seeded])
def test_seeds_differ_and_none_is_new_each_time(name):
    a, b, c, d = (fill(name, np.empty((4, 3)), seed) for seed in (1, 2, None, None))
    assert not np.array_equal(a, b)
    assert not np.array_equal(c, d)


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters(name, dtype):
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), dtype=dtype, seed=0)
    others = net.flat_parameters[12:].copy()
    weight = net.parameters()[0]
    assert fill(name, weight) is weight
    np.testing.assert_array_equal(net[0].weight, fill(name, np.empty((3, 4))).astype(dtype))
    np.testing.assert_array_equal(net.flat_parameters[12:], others)
    again = copy.deepcopy(net)
    fill(name, again[0].weight, 42)
    np.testing.assert_array_equal(again[0].weight, net[0].weight)


@pytest.mark.parametrize("name", [n for n in CASES if n != "constant_"])
def test_a_name_does_what_the_function_does(name):
    net = nn.Sequential(nn.Linear(4, 3, init=name[:-1]), dtype="float64", seed=5)
    np.testing.assert_array_equal(net[0].weight, fill(name, np.empty((3, 4)), 5))
    assert not net[0].bias.any()


@each
@pytest.mark.parametrize("shape", [(), (6,), (3, 4), (2, 3, 4)])
def test_dimensions(name, shape):
    array = np.full(shape, 9.0)
    if len(shape) in CASES[name].dimensions:
        assert np.all(fill(name, array) != 9)
    else:
        match = rf"^{name}: expected an array of 2 dimensions.*, got \({', '.join(map(str, shape))}"
        with pytest.raises(ValueError, match=match):
            fill(name, array)
        assert np.all(array == 9)


@each
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_arrays_of_nothing(name, shape):
    array = np.empty(shape)
    assert fill(name, array) is array


@pytest.mark.parametrize(
    ("name", "i"), [(name, i) for name, case in CASES.items() for i in range(len(case.refused))]
)
def test_options_that_are_refused(name, i):
    options, error, message = CASES[name].refused[i]
    array = np.full((3, 2), 9.0)
    with pytest.raises(error, match=f"^{name}: {message}$"):
        getattr(init, name)(array, **options)
    assert (array == 9).all()


@each
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([[1.0, 2.0]], "expected a Parameter or an array to fill, got list"),
        (None, "expected a Parameter or an array to fill, got NoneType"),
        (np.zeros((2, 2), int), "expected floating-point numbers to fill, got int64"),
        (np.zeros((2, 2), complex), "expected floating-point numbers to fill, got complex128"),
        (np.zeros((2, 2), object), "expected floating-point numbers to fill, got object"),
    ],
    ids=["list", "None", "int", "complex", "object"],
)
def test_targets_that_are_refused(name, target, message):
    with pytest.raises(TypeError, match=f"^{name}: {message}$"):
        fill(name, target)


@each
def test_read_only_arrays(name):
    array = np.full((2, 2), 9.0)
    array.flags.writeable = False
    message = f"^{name}: expected an array that can be written, got a read-only one$"
    with pytest.raises(ValueError, match=message):
        fill(name, array)
    assert (array == 9).all()


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.seeded])
def test_seeds_that_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name}: expected a seed from 0 to .*, got -1$"):
        fill(name, np.empty((2, 2)), -1)
    with pytest.raises(TypeError, match=f"^{name}: expected an integer seed or None, got str$"):
        fill(name, np.empty((2, 2)), "1")


def test_a_constant_has_no_name_without_its_value():
    with pytest.raises(ValueError, match=r"init: expected one of .*, got 'constant'$"):
        nn.Linear(2, 2, init="constant")


def test_deviations_of_nothing_and_much():
    assert (init.normal_(np.empty(9), 3, 0, seed=0) == 3).all()
    assert (init.uniform_(np.empty(9), 3, 3, seed=0) == 3).all()
    assert (init.trunc_normal_(np.empty(9), a=50, b=60, seed=0) == 50).all()
    w = init.uniform_(np.empty(1000), -1.7e308, 1.7e308, seed=0)
    assert np.isfinite(w).all()
    assert w.min() < -1.6e308 < 1.6e308 < w.max()
    # The slope's square alone would overflow.
    assert (init.kaiming_normal_(np.empty((3, 3)), a=1e200, seed=0) == 0).all()


@pytest.mark.parametrize("a", [3, 5, 8, 20, 35])
def test_far_tails_keep_their_shape(a):
    # Beyond a the tail of a normal falls like exp(-a x): its mean excess is 1/a - 2/a^3 + ...
    w = init.trunc_normal_(np.empty(20000), a=a, b=a + 10, seed=0)
    assert w.min() >= a
    np.testing.assert_allclose((w - a).mean() * a, 1 - 2 / a**2 + 10 / a**4, atol=0.05)
    mirrored = init.trunc_normal_(np.empty(20000), a=-a - 10, b=-a, seed=0)
    assert mirrored.max() <= -a
    np.testing.assert_allclose(mirrored.mean(), -w.mean(), rtol=0.01)
