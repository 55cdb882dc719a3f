"""What the tests of optimizers share: the family, variants of options, oracles."""

import numpy as np
import pytest

from deltaprop import nn, optim

FAMILY = {
    name: kind
    for name in optim.__all__
    if isinstance(kind := getattr(optim, name), type)
    and issubclass(kind, optim.Optimizer)
    and kind is not optim.Optimizer
}
# Variants of the options of each; a rule without an entry fails the tests.
VARIANTS = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True},
    ],
    "Adam": [
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        {"lr": 0.01, "amsgrad": True},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "AdamW": [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3, "maximize": True},
        {"lr": 0.01, "amsgrad": True},
    ],
    "NAdam": [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        {"momentum_decay": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.1},
        {"maximize": True},
    ],
    "RAdam": [
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        {"lr": 0.01, "betas": (0.5, 0.5)},
        {"lr": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True},
    ],
    "Adamax": [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        {"maximize": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.5},
        {"eps": 1e-3, "weight_decay": 0.1, "maximize": True},
    ],
    "Adadelta": [
        {},
        {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1},
        {"rho": 1.0, "maximize": True},
    ],
    "RMSprop": [
        {},
        {"alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1},
        {"momentum": 0.9},
        {"centered": True, "alpha": 0.9},
        {"centered": True, "momentum": 0.5, "maximize": True},
    ],
    "Rprop": [
        {},
        {"etas": (0.9, 1.5), "step_sizes": (1e-3, 0.1), "lr": 0.05},
        {"maximize": True},
    ],
    "ASGD": [
        {},
        {"lr": 0.1, "lambd": 0.01, "alpha": 0.5, "t0": 100, "weight_decay": 0.1},
        {"maximize": True, "lambd": 0.0},
    ],
    "Lion": [
        {},
        {"lr": 0.01, "betas": (0.5, 0.8), "weight_decay": 0.1},
        {"maximize": True},
    ],
}
CASES = [(name, i) for name in FAMILY for i in range(len(VARIANTS.get(name, [{}])))]
each_case = pytest.mark.parametrize(("name", "variant"), CASES)
each_member = pytest.mark.parametrize("name", FAMILY)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Of the norm of what the steps have moved; RAdam's first rates are differences of large numbers.
BOUNDS = {"float32": 3e-5, "float64": 1e-11}


class NumpyLion:
    """Lion by the paper's algorithm 2, in double."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
        self.p, self.lr, self.betas, self.weight_decay = params, lr, betas, weight_decay
        self.sign = -1 if maximize else 1
        self.m = [np.zeros_like(p) for p in params]

    def step(self, gradients):
        b1, b2 = self.betas
        for i, gradient in enumerate(gradients):
            g, m = self.sign * gradient, self.m[i]
            update = np.sign(b1 * m + (1 - b1) * g) + self.weight_decay * self.p[i]
            self.p[i] = self.p[i] - self.lr * update
            self.m[i] = b2 * m + (1 - b2) * g


# Of the rules that PyTorch does not have; their arguments have our defaults.
ORACLES = {"Lion": NumpyLion}


class TorchRule:
    """An optimizer of PyTorch behind the same three lines."""

    def __init__(self, torch, name, params, **options):
        self.torch = torch
        self.p = [torch.tensor(p, requires_grad=True) for p in params]
        self.rule = getattr(torch.optim, name)(self.p, **options)

    def step(self, gradients):
        for p, g in zip(self.p, gradients, strict=True):
            p.grad = self.torch.from_numpy(g).to(p.dtype)
        self.rule.step()


def in_double(torch):
    """Yield PyTorch while it keeps its scalar states, as NAdam's product, in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


def network(dtype="float64", seed=0):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), dtype=dtype, seed=seed)


def values(net):
    return [p.value.copy() for p in net.parameters()]


def set_gradients(net, gradients):
    for p, g in zip(net.parameters(), gradients, strict=True):
        p.grad[...] = g


def draws(net, rng):
    return [rng.normal(size=p.value.shape).astype(np.float32) for p in net.parameters()]


def distance(ours, theirs, start):
    """Give the norm of the difference, relative to how far the parameters have come."""
    flat = [
        np.concatenate([np.asarray(a, float).ravel() for a in x]) for x in (ours, theirs, start)
    ]
    return np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1] - flat[2])


def detached(oracle):
    return [p.detach().numpy() if hasattr(p, "detach") else p for p in oracle.p]


def run(net, opt, steps, seed):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        set_gradients(net, draws(net, rng))
        opt.step()
