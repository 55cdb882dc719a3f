"""Every activation: differences, PyTorch, and edges."""

import copy
import inspect
import pickle
import re

import numpy as np
import pytest

import deltaprop as dp
from activation_cases import MEMBERS, OPTIONS, each, each_dtype, network, pass_through
from deltaprop import _core, nn, optim
from members import in_torch

# Which PyTorch's defaults leave open.
TORCH_DEFAULTS = {"Softmax": {"dim": -1}, "LogSoftmax": {"dim": -1}}
# PyTorch's constant 1/6 is float32's in its derivative.
ROUNDED = {"Hardsigmoid": 1e-7}


def wide(dtype):
    """Return rows of three from -1e4 to 1e4, kinks and zeros of both signs among them."""
    size = np.concatenate(
        [np.logspace(-8, 4, 400), [0, 0.5, 1, 2, 2.5, 3, 6, 20, 1e4], np.zeros(8)]
    )
    x = np.concatenate([size, -size])
    return x[: len(x) // 3 * 3].reshape(-1, 3).astype(dtype)


def test_every_member_has_a_case():
    assert set(MEMBERS) == set(OPTIONS)


@each
def test_gradients_agree_with_differences(name, options, rng):
    net = nn.Sequential(nn.Linear(3, 3), MEMBERS[name](**options), nn.Linear(3, 2), seed=5)
    report = dp.check_gradients(
        net, nn.MSELoss(), 3 * rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    )
    assert report.ok, report
    assert report.max_error < 1e-6, report


@each
@each_dtype
def test_values_and_derivatives_equal_pytorch(name, options, dtype, rng, peer):
    if not in_torch(MEMBERS[name]):
        pytest.skip("PyTorch has none: its oracle is in cpp/tests/activations_test.cpp")
    torch = peer("torch")
    x = wide(dtype)
    delta = rng.normal(size=x.shape).astype(dtype)
    theirs = getattr(torch.nn, name)(**TORCH_DEFAULTS.get(name, {}) | options)
    theirs = theirs.to(getattr(torch, dtype))
    ours = network(name, options, dtype)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        q.data = torch.tensor(p.value)
    value, back = pass_through(ours, x, delta)

    t = torch.tensor(x, requires_grad=True)
    y = theirs(t)
    y.backward(torch.tensor(delta))
    eps = np.finfo(dtype).eps
    # Its GELU, Tanhshrink and Softplus lose the digits of numbers that are small beside 1.
    np.testing.assert_allclose(value, y.detach().numpy(), rtol=16 * eps, atol=8 * eps)
    scale = np.abs(delta).max()
    rounded = ROUNDED.get(name, 0)
    np.testing.assert_allclose(back, t.grad.numpy(), rtol=rounded + 16 * eps, atol=24 * eps * scale)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        size = np.abs(delta * x).sum()
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=8 * eps, atol=8 * eps * size)


@each
@each_dtype
def test_training_equals_pytorch(name, options, dtype, rng, peer):
    if not in_torch(MEMBERS[name]):
        pytest.skip("PyTorch has none: its oracle is in cpp/tests/activations_test.cpp")
    torch = peer("torch")
    x, y = rng.normal(size=(40, 5)).astype(dtype), rng.normal(size=(40, 2)).astype(dtype)
    ours = nn.Sequential(
        nn.Linear(5, 3), MEMBERS[name](**options), nn.Linear(3, 2), dtype=dtype, seed=1
    )
    theirs = torch.nn.Sequential(
        torch.nn.Linear(5, 3),
        getattr(torch.nn, name)(**TORCH_DEFAULTS.get(name, {}) | options),
        torch.nn.Linear(3, 2),
    ).to(getattr(torch, dtype))
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})

    history = ours.fit(
        x,
        y,
        loss=nn.MSELoss(),
        optimizer=optim.SGD(ours.parameters(), lr=0.05),
        epochs=40,
        batch_size=None,
    )
    rule = torch.optim.SGD(theirs.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        rule.zero_grad()
        loss = torch.nn.functional.mse_loss(theirs(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        rule.step()
        losses.append(loss.item())
    tolerance = ROUNDED.get(name, 0) + 1e3 * np.finfo(dtype).eps
    np.testing.assert_allclose(history["loss"], losses, rtol=tolerance)
    assert history["loss"][-1] < history["loss"][0]
    ours_now = ours.state_dict()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours_now[key], value.numpy(), rtol=tolerance, atol=tolerance)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})


@each
@each_dtype
def test_all_is_finite_to_1e4(name, options, dtype):
    net = network(name, options, dtype)
    x = wide(dtype)
    if name == "CELU" and options.get("alpha", 1) < 0:
        x = np.maximum(x, -100)  # an exponential that grows
    value, back = pass_through(net, x, np.ones_like(x))
    assert np.isfinite(value).all()
    assert np.isfinite(back).all()
    assert np.isfinite(net.flat_gradients).all()


@pytest.mark.parametrize(
    ("name", "x", "value", "slope"),
    [
        # Where PyTorch's digits are lost; by mpmath in 40 digits.
        ("GELU", -10.0, -7.619853024160526e-23, -7.618400096464814e-22),
        ("GELU", -30.0, -1.472014178144456e-196, -4.416031690708495e-195),
        ("GELUTanh", -10.0, -1.204092348209806e-37, -2.7576380638540315e-36),
        ("Tanhshrink", 1e-5, 3.333333333200001e-16, 9.999999999333335e-11),
        ("Softplus", -40.0, 4.248354255291589e-18, 4.248354255291589e-18),
        ("LogSigmoid", 40.0, -4.248354255291589e-18, 4.248354255291589e-18),
        ("Mish", -40.0, -1.6993417021166355e-16, -1.6568581595637197e-16),
        ("SiLU", -40.0, -1.6993417021166355e-16, -1.6568581595637197e-16),
    ],
)
def test_small_values_keep_their_digits(name, x, value, slope):
    options = {"approximate": "tanh"} if name == "GELUTanh" else {}
    found, back = pass_through(network(name.removesuffix("Tanh"), options), [[x]], [[1.0]])
    np.testing.assert_allclose(found, [[value]], rtol=2e-15)
    np.testing.assert_allclose(back, [[slope]], rtol=2e-15)


@each
@each_dtype
def test_a_row_alone_has_the_same_bits(name, options, dtype, rng):
    net = network(name, options, dtype)
    x = 4 * rng.normal(size=(700, 3))
    together = net(x)
    np.testing.assert_array_equal(net.forward(x), together)
    for i in (0, 1, 255, 256, 699):
        np.testing.assert_array_equal(net(x[i]), together[i])


@each
def test_arrays_of_all_kinds(name, options, rng):
    layer = MEMBERS[name](**options)
    x = rng.normal(size=(5, 3)).astype("float32")
    expected = layer(x)
    read_only = x.copy()
    read_only.flags.writeable = False
    for same in (
        read_only,
        np.asfortranarray(x),
        np.repeat(x, 2, 0)[::2],
        x.astype(float),
        x.tolist(),
    ):
        np.testing.assert_array_equal(layer(same), expected)
    assert layer(np.empty((0, 3))).shape == (0, 3)
    assert layer.forward(np.empty((0, 3))).shape == (0, 3)
    assert layer.backward(np.empty((0, 3))).shape == (0, 3)
    for p in layer.parameters():
        assert not p.grad.any()
    with pytest.raises(TypeError, match="expected real numbers, got dtype complex128"):
        layer(np.ones((2, 3), complex))
    with pytest.raises(ValueError, match=re.escape("(2, 3, 3)")):
        layer(np.ones((2, 3, 3)))
    layer.forward(x)
    with pytest.raises(ValueError, match=re.escape("(5, 2)")):
        layer.backward(np.ones((5, 2)))


@each
def test_one_feature(name, options):
    if options.get("num_parameters", 1) != 1:
        options = options | {"num_parameters": 1}
    layer = MEMBERS[name](**options)
    x = np.float32([[-1.5], [2.0]])
    value = layer.forward(x)
    assert value.shape == (2, 1)
    back = layer.backward(np.ones((2, 1)))
    if name in {"Softmax", "LogSoftmax"}:
        np.testing.assert_array_equal(value, np.full((2, 1), float(name == "Softmax")))
        np.testing.assert_array_equal(back, np.zeros((2, 1)))
    else:
        side_by_side = MEMBERS[name](**options)(x.T)
        np.testing.assert_array_equal(value, side_by_side.T)


@each
@each_dtype
def test_nan_passes_to_its_row_alone(name, options, dtype):
    x = np.ones((4, 3))
    x[2, 1] = np.nan
    value = network(name, options, dtype)(x)
    assert np.isnan(value[2, 1])
    assert np.isfinite(np.delete(value, 2, 0)).all()


@each
def test_no_features(name, options):
    if options.get("num_parameters", 1) != 1:
        return
    layer = MEMBERS[name](**options)
    assert layer.forward(np.empty((3, 0))).shape == (3, 0)
    assert layer.backward(np.empty((3, 0))).shape == (3, 0)


@each
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_keep_their_options(name, options, how):
    layer = MEMBERS[name](**options)
    x = np.linspace(-8, 8, 12).reshape(4, 3)
    other = how(layer)
    assert repr(other) == repr(layer)
    for option in inspect.signature(MEMBERS[name]).parameters:
        assert getattr(other, option) == getattr(layer, option)
    np.testing.assert_array_equal(other(x), layer(x))
    np.testing.assert_array_equal(how(nn.Sequential(layer))(x), layer(x))


@each
def test_repr_is_pytorchs(name, options, peer):
    if not in_torch(MEMBERS[name]):
        pytest.skip("PyTorch has none: its oracle is in cpp/tests/activations_test.cpp")
    torch = peer("torch")
    theirs = getattr(torch.nn, name)(**TORCH_DEFAULTS.get(name, {}) | options)
    assert repr(MEMBERS[name](**options)) == repr(theirs)


@pytest.mark.parametrize("name", MEMBERS)
def test_docstrings_give_formula_derivative_and_source(name):
    notes = inspect.cleandoc(MEMBERS[name].__doc__).partition("Notes\n-----\n")[2]
    starts = [line.partition(":")[0] for line in notes.splitlines()]
    expected = ["Formula", "Derivative", "Source"]
    assert [s for s in starts if s in expected] == expected
    assert in_torch(MEMBERS[name]) == (f"torch.nn.{name}" in notes)


NUMBERS = [
    (name, option)
    for name, options in OPTIONS.items()
    for option in sorted({k for o in options for k, v in o.items() if isinstance(v, float)})
]


@pytest.mark.parametrize(("name", "option"), NUMBERS)
def test_numbers_are_finite_ones(name, option):
    for bad in (np.nan, np.inf, -np.inf, 10**400):
        with pytest.raises(ValueError, match=f"{name}: {option}: expected a finite number, got "):
            MEMBERS[name](**{option: bad})
    for bad in ("1", None, True, 1j, [1.0], np.ones(1)):
        with pytest.raises(TypeError, match=f"{name}: {option}: expected a number, got "):
            MEMBERS[name](**{option: bad})
    value = getattr(MEMBERS[name](**{option: np.float32(0.5)}), option)
    assert type(value) is float
    assert value == 0.5


@pytest.mark.parametrize(("name", "option"), [c for c in NUMBERS if c[0] != "PReLU"])
def test_options_do_not_change(name, option):
    layer = MEMBERS[name]()
    before = getattr(layer, option)
    with pytest.raises(AttributeError, match=f"expected a new layer for another {option}"):
        setattr(layer, option, 2.0)
    assert getattr(layer, option) == before


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.CELU(0), ValueError, "CELU: expected an alpha other than 0, got 0.0"),
        (
            lambda: nn.Hardtanh(1, 1),
            ValueError,
            "Hardtanh: expected max_val above min_val, got 1.0 and 1.0",
        ),
        (
            lambda: nn.Hardtanh(max_val=-2),
            ValueError,
            "Hardtanh: expected max_val above min_val, got -2.0 and -1.0",
        ),
        (lambda: nn.Softplus(0), ValueError, "Softplus: expected a beta above 0, got 0.0"),
        (lambda: nn.Softplus(-1), ValueError, "Softplus: expected a beta above 0, got -1.0"),
        (
            lambda: nn.GELU("erf"),
            ValueError,
            "GELU: expected approximate 'none' or 'tanh', got 'erf'",
        ),
        (lambda: nn.GELU(None), TypeError, "GELU: approximate: expected a name, got NoneType"),
        (
            lambda: nn.Softmax(0),
            ValueError,
            "Softmax: expected dim -1 or 1, the features, got 0",
        ),
        (
            lambda: nn.LogSoftmax(dim=2),
            ValueError,
            "LogSoftmax: expected dim -1 or 1, the features, got 2",
        ),
        (
            lambda: nn.Softmax(None),
            TypeError,
            "Softmax: expected dim -1 or 1, the features, got None",
        ),
        (
            lambda: nn.LogSoftmax(True),
            TypeError,
            "LogSoftmax: expected dim -1 or 1, the features, got True",
        ),
        (lambda: nn.PReLU(0), ValueError, "PReLU: num_parameters: expected 1 or more, got 0"),
        (
            lambda: nn.PReLU(1.0),
            TypeError,
            "PReLU: num_parameters: expected an integer, got float",
        ),
        (
            lambda: nn.PReLU(4)(np.ones((2, 3))),
            ValueError,
            "PReLU(num_parameters=4): expected input (N, 4), got (2, 3)",
        ),
        (
            lambda: nn.Sequential(nn.Linear(2, 3), nn.PReLU(4)),
            ValueError,
            "PReLU(num_parameters=4), expected 4 features, got 3",
        ),
        (lambda: nn.PReLU(2**62), MemoryError, "bad_alloc"),
        # What the package itself never does.
        (lambda: _core.Activation("Cube", [], "Cube()"), ValueError, "expected a known name"),
        (
            lambda: _core.Activation("ELU", [], "ELU()"),
            ValueError,
            "ELU(): expected 1 options, got 0",
        ),
        (
            lambda: _core.Activation("ReLU", [1.0] * 9, "ReLU()"),
            ValueError,
            "ReLU(): expected 0 options, got 9",
        ),
        (lambda: _core.PReLU(-1, 0.25), ValueError, "expected num_parameters of 1 or more"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()
