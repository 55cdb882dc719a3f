"""Parity with PyTorch: the same weights in, the same numbers out.

A case is drawn from its number alone, so the name of the test that failed repeats it:
``pytest tests/test_parity.py -k case-017``.
"""

import math

import numpy as np
import pytest

from deltaprop import nn, optim
from parity_cases import (
    STEPS,
    Ours,
    Theirs,
    blame,
    check,
    differences,
    distance,
    draw,
    fit,
    norm,
    one_pass,
    train,
)

CASES = 300


BOUND = {"float64": 1e-10, "float32": 1e-5}


VARIANCES = {
    "default": lambda n_in, _: 1 / (3 * n_in),
    "kaiming_uniform": lambda n_in, _: 2 / n_in,
    "kaiming_normal": lambda n_in, _: 2 / n_in,
    "xavier_uniform": lambda n_in, n_out: 2 / (n_in + n_out),
    "xavier_normal": lambda n_in, n_out: 2 / (n_in + n_out),
}

each_case = pytest.mark.parametrize("number", range(CASES), ids=lambda i: f"case-{i:03}")
each_dtype = pytest.mark.parametrize("dtype", list(BOUND))


@pytest.fixture(scope="module")
def torch(peer):
    torch = peer("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@each_case
@each_dtype
def test_outputs_losses_and_gradients(torch, number, dtype):
    case = draw(torch, number)
    ours, theirs = one_pass(Ours(case, dtype)), one_pass(Theirs(torch, case, dtype))
    found, expected = ours.pop("gradients"), theirs.pop("gradients")
    assert list(found) == list(expected)
    check(found.values(), expected.values(), BOUND[dtype], "gradients", case)
    for what, values in theirs.items():
        check(ours[what], values, BOUND[dtype], what, case)
    if dtype == "float64":
        # All together, large gradients would hide small ones, a layer's that all others dwarf.
        for name, gradient in expected.items():
            check([found[name]], [gradient], BOUND[dtype], f"gradient of {name}", case)


@each_case
@each_dtype
def test_hundred_steps(torch, number, dtype):
    case = draw(torch, number)
    by_hand, fitted, theirs = Ours(case, dtype), Ours(case, dtype), Theirs(torch, case, dtype)
    losses, expected_losses = train(by_hand), train(theirs)
    history = fit(fitted)
    same = np.array_equal(by_hand.network.flat_parameters, fitted.network.flat_parameters)
    assert same, f"fit's bits are not those of the loop by hand, in {case}"
    rows = [len(x) for x, _, _ in theirs.batches]
    row_weighted = expected_losses @ rows / sum(rows)
    check([losses], [expected_losses], BOUND[dtype], "losses", case)
    check([history], [row_weighted], BOUND[dtype], "history", case)

    found, expected = by_hand.parameters(), theirs.parameters()
    error = distance(found.values(), expected.values())
    assert error <= BOUND[dtype], f"{error:.1e} of the norm; {blame(torch, case, found, expected)}"
    moved = differences(expected.values(), case.state.values())
    # What had not moved could not have gone wrong.
    assert norm(moved) > 1e-3 * norm(case.state.values())
    if dtype == "float64":
        found_moved = differences(found.values(), case.state.values())
        check(found_moved, moved, BOUND[dtype], "way the parameters went", case)
        for name, parameter in expected.items():
            check([found[name]], [parameter], BOUND[dtype], name, case)


@each_dtype
def test_state_dicts_cross_over(torch, dtype):
    torch.manual_seed(0)
    case = draw(torch, 5)
    theirs = torch.nn.Sequential(*case.layers(torch.nn)).to(getattr(torch, dtype))
    ours = nn.Sequential(*case.layers(nn), dtype=dtype, seed=0)
    ours.load_state_dict(theirs.state_dict())
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict()) == list(case.state)
    for name, tensor in theirs.state_dict().items():
        assert state[name].dtype == dtype
        assert np.array_equal(state[name], tensor.numpy())

    back = torch.nn.Sequential(*case.layers(torch.nn)).to(getattr(torch, dtype))
    back.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("rule", "options", "later"),
    [
        ("SGD", {"momentum": 0.9, "dampening": 0.999}, {}),
        ("SGD", {"momentum": 0.9, "dampening": -0.5}, {}),
        ("SGD", {"momentum": 0.99, "nesterov": True, "weight_decay": 0.5}, {}),
        ("SGD", {"momentum": 1.0}, {}),
        ("SGD", {}, {"momentum": 0.9, "dampening": 0.5}),
        ("SGD", {"momentum": 0.9}, {"momentum": 0.0, "weight_decay": 0.1}),
        ("SGD", {"momentum": 0.9}, {"nesterov": True, "lr": 1.0}),
        ("Adam", {}, {}),
        ("Adam", {"betas": (0.0, 0.0), "eps": 1e-3}, {}),
        ("Adam", {"betas": (0.999, 0.99999)}, {}),
        ("Adam", {"betas": (0.9, 0.999), "eps": 10.0, "weight_decay": 0.5}, {}),
        ("Adam", {}, {"betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.1, "lr": 1.0}),
    ],
    ids=str,
)
@each_dtype
def test_rules_given_the_gradients(torch, dtype, rule, options, later):
    # From parameters of 0, which hide no digit of a number added to them, and with a first gradient
    # of 0, as units that wake later have it: SGD's first gradient alone escapes the dampening.
    rng = np.random.default_rng(0)
    gradients = rng.normal(1, 1, (STEPS, 7)).astype(np.float32)
    gradients[0] = 0
    ours = nn.Sequential(nn.Linear(6, 1), dtype=dtype)
    ours.flat_parameters[:] = 0
    theirs = torch.zeros(7, dtype=getattr(torch, dtype), requires_grad=True)
    our_rule = getattr(optim, rule)(ours.parameters(), **{"lr": 0.1, **options})
    their_rule = getattr(torch.optim, rule)([theirs], **{"lr": 0.1, **options})
    for step, gradient in enumerate(gradients):
        if step == STEPS // 2:
            our_rule.param_groups[0].update(later)
            their_rule.param_groups[0].update(later)
        ours.flat_gradients[:] = gradient
        theirs.grad = torch.from_numpy(gradient).to(theirs.dtype)
        our_rule.step()
        their_rule.step()
    error = distance([ours.flat_parameters], [theirs.detach().numpy()])
    assert error <= BOUND[dtype], f"{error:.1e} of the norm"


def their_draws(torch, init: str, n_in: int, n_out: int) -> np.ndarray:
    layer = torch.nn.Linear(n_in, n_out)
    if init.startswith("kaiming"):
        getattr(torch.nn.init, f"{init}_")(layer.weight, nonlinearity="relu")
    elif init.startswith("xavier"):
        getattr(torch.nn.init, f"{init}_")(layer.weight)
    return layer.weight.detach().numpy()


@pytest.mark.parametrize("init", list(VARIANCES))
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_initial_weights_are_drawn_as_theirs(torch, init, seed):
    n_in, n_out = 600, 400
    net = nn.Sequential(nn.Linear(n_in, n_out, init=init), seed=seed)
    torch.manual_seed(0)
    weight = net[0].weight
    deviation = math.sqrt(VARIANCES[init](n_in, n_out))
    check_draws(weight, deviation, normal=init.endswith("normal"))
    check_same_distribution(weight, their_draws(torch, init, n_in, n_out))
    # Their functions fill a weight and know of no bias; 0 is what goes with both papers.
    assert net[0].bias.any() == (init == "default")


def test_initial_biases_are_drawn_as_theirs(torch):
    n_in, n_out = 3, 60_000
    net = nn.Sequential(nn.Linear(n_in, n_out), seed=0)
    torch.manual_seed(0)
    check_draws(net[0].bias, 1 / math.sqrt(3 * n_in), normal=False)
    check_same_distribution(net[0].bias, torch.nn.Linear(n_in, n_out).bias.detach().numpy())


def check_draws(draws: np.ndarray, deviation: float, normal: bool) -> None:
    """Check mean, variance and range; a right generator fails one seed in a million or fewer."""
    draws, n = draws.astype(np.float64), draws.size
    kurtosis = 3 if normal else 9 / 5
    assert abs(draws.mean()) < 5 * deviation / math.sqrt(n)
    assert abs(np.square(draws).mean() / deviation**2 - 1) < 5 * math.sqrt((kurtosis - 1) / n)
    furthest = np.abs(draws).max()
    if normal:
        # Not truncated: exp(-n P(|z| > 3.5)) is the chance of none beyond.
        assert furthest > 3.5 * deviation
    else:
        bound = math.sqrt(3) * deviation
        assert bound * (1 - 15 / n) < furthest <= bound * (1 + 1e-7)


def check_same_distribution(found: np.ndarray, expected: np.ndarray) -> None:
    """Check by the two-sample test of Kolmogorov and Smirnov, at one seed in a million."""
    found, expected = np.sort(found, axis=None), np.sort(expected, axis=None)
    both = np.concatenate([found, expected])
    parts = [np.searchsorted(a, both, side="right") / a.size for a in (found, expected)]
    limit = math.sqrt(math.log(2 / 1e-6) / 2 * (1 / found.size + 1 / expected.size))
    assert np.abs(parts[0] - parts[1]).max() < limit
