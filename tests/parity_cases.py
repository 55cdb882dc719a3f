"""Cases drawn from their number, trained by deltaprop and by PyTorch from the same weights."""

import math
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import numpy as np

from deltaprop import nn, optim

STEPS = 100


ACTIVATIONS = ("Identity", "Sigmoid", "Tanh", "ReLU")


@dataclass
class Case:
    """A network, data and an optimizer; float64 arrays that float32 holds exactly."""

    number: int
    widths: list[int]
    activations: list[str | None]  # after each Linear
    loss: str
    reduction: str
    factor: float
    rule: str
    batch_size: int
    epochs: int  # of STEPS updates together
    halves_lr: bool  # half-way
    options: dict[str, Any] = field(default_factory=dict)
    groups: list[dict[str, Any]] = field(default_factory=list)  # "params": places in the list
    state: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    x: np.ndarray = field(default=None, repr=False)
    y: np.ndarray = field(default=None, repr=False)
    weight: np.ndarray | None = field(default=None, repr=False)

    def layers(self, library) -> list:
        """Return the layers, of `torch.nn` or of ours: the names are the same."""
        layers = []
        for (n_in, n_out), activation in zip(pairwise(self.widths), self.activations, strict=True):
            layers.append(library.Linear(n_in, n_out))
            if activation is not None:
                layers.append(getattr(library, activation)())
        return layers

    def optimizer(self, library, parameters):
        """Return the optimizer, of `torch.optim` or of ours."""
        parameters = list(parameters)
        groups = [{**g, "params": [parameters[i] for i in g["params"]]} for g in self.groups]
        return getattr(library, self.rule)(groups, **self.options)

    def batches(self, convert):
        """Return x, y and the rows' weights of each batch of an epoch; classes stay integers."""
        arrays = [self.x, self.y, self.weight]
        return [
            [None if a is None else convert(a[first : first + self.batch_size]) for a in arrays]
            for first in range(0, len(self.x), self.batch_size)
        ]


def draw(torch, number: int) -> Case:
    """Draw a case, from ranges in which a rounding error stays one for STEPS steps.

    Where it does not, PyTorch is as far from PyTorch in the next precision as we are from either,
    and nothing is learned.
    """
    rng = np.random.default_rng([20260, number])
    depth = 1 + number % 6
    widths = [int(w) for w in np.exp(rng.uniform(math.log(4), math.log(90), depth + 1))]
    # One bottleneck at most: sums that cancel in each of several would use up float32's digits.
    if rng.random() < 0.5:
        widths[rng.integers(depth + 1)] = int(rng.integers(1, 4))
    activations = [str(a) for a in rng.choice(ACTIVATIONS, depth)]
    cross_entropy = rng.random() < 0.4
    # A ReLU at the end may be dead for every row, and then there is nothing to compare.
    if cross_entropy or activations[-1] == "ReLU" or rng.random() < 0.7:
        activations[-1] = None
    if cross_entropy:
        widths[-1] = max(widths[-1], 2)
    updates = int(rng.choice([1, 2, 5, 10]))
    batch_size = int(rng.integers(1, 71))
    case = Case(
        number=number,
        widths=widths,
        activations=activations,
        loss="CrossEntropyLoss" if cross_entropy else "MSELoss",
        reduction=str(rng.choice(["mean", "mean", "sum", "none"])),
        factor=1.0 if cross_entropy else float(rng.choice([1.0, 0.5])),
        rule=str(rng.choice(["SGD", "Adam"])),
        batch_size=batch_size,
        epochs=STEPS // updates,
        halves_lr=bool(rng.random() < 0.3),
    )
    draw_state(case, rng)
    draw_data(torch, case, rng, (updates - 1) * batch_size + int(rng.integers(1, batch_size + 1)))
    draw_options(torch, case, rng)
    return case


def draw_state(case: Case, rng) -> None:
    places = [i for i, layer in enumerate(case.layers(nn)) if isinstance(layer, nn.Linear)]
    for place, (n_in, n_out) in zip(places, pairwise(case.widths), strict=True):
        scale = rng.uniform(0.7, 1.5) / math.sqrt(n_in)
        case.state[f"{place}.weight"] = single(rng.normal(0, scale, (n_out, n_in)))
        case.state[f"{place}.bias"] = single(rng.normal(0, 0.3, n_out))


def draw_data(torch, case: Case, rng, rows: int) -> None:
    case.x = single(rng.normal(0, 1, (rows, case.widths[0])))
    if rng.random() < 0.4:
        weight = rng.uniform(0.1, 2, rows) * (rng.random(rows) < 0.9)
        # A batch without any weight is 0 by our definition and 0 / 0 by the formula below.
        weight[:: case.batch_size] = 1
        case.weight = single(weight)
    if case.loss == "CrossEntropyLoss":
        case.y = rng.integers(0, case.widths[-1], rows)
        return
    with torch.no_grad():
        outputs = Theirs(torch, case, "float64").network(torch.from_numpy(case.x)).numpy()
    # Well away from where the outputs start: a - y would cancel.
    distances = rng.uniform(0.5, 1.5, outputs.shape) * rng.choice([-1, 1], outputs.shape)
    case.y = single(outputs + distances)
    if case.widths[-1] == 1 and rng.random() < 0.5:
        case.y = case.y[:, 0]


def draw_options(torch, case: Case, rng) -> None:
    first = one_pass(Theirs(torch, case, "float64"), batches=1)
    loss, gradients = first["loss"][0], first["gradients"].values()
    size = sum(a.size for a in case.state.values())
    typical = norm(gradients) / math.sqrt(size)
    if case.rule == "SGD":
        # As many steps as the first would take this share of the loss away; more, and the steepest
        # directions, where rounding grows, decide what happens.
        lr = min(rng.uniform(0.4, 1.2) * loss / norm(gradients) ** 2 / STEPS, 0.3 / loss)
    else:
        # The same for Adam, which would reach a minimum and jump about it while v fades away.
        lr = rng.uniform(0.4, 0.8) * loss / sum(np.abs(g).sum() for g in gradients) / STEPS
    eps, beta2 = [0.1 * typical, typical], [0.9, 0.99, 0.999]
    if "ReLU" in case.activations:
        # A unit that rounding wakes a step sooner makes a step of lr, however small its gradient,
        # unless eps is larger than that.
        lr, eps = lr if case.rule == "SGD" else min(lr, 3e-4), [0.3 * typical, typical]
    elif size < 200:
        # Of few gradients none crosses 0 so closely that rounding decides the sign of its step.
        eps, beta2 = [1e-8], [0.99, 0.999]

    def draw_lr():
        return {"lr": short(lr * rng.uniform(0.5, 1))}

    def draw_momentum():
        momentum, dampening = float(rng.choice([0, 0.5, 0.9])), float(rng.choice([0, 0, 0.1, 0.9]))
        nesterov = momentum > 0 and dampening == 0 and rng.random() < 0.6
        return {"momentum": momentum, "dampening": dampening, "nesterov": bool(nesterov)}

    def draw_betas():
        return {"betas": (float(rng.choice([0, 0.5, 0.9])), float(rng.choice(beta2)))}

    def draw_eps():
        return {"eps": short(rng.choice(eps))}

    def draw_weight_decay():
        return {"weight_decay": float(rng.choice([0, 1e-3, 1e-1]))}

    draws = {
        "SGD": (draw_lr, draw_momentum, draw_weight_decay),
        "Adam": (draw_lr, draw_betas, draw_eps, draw_weight_decay),
    }[case.rule]
    for options in draws:
        case.options |= options()
    count = min(int(rng.choice([1, 1, 2, 3])), len(case.state))
    parts = np.array_split(rng.permutation(len(case.state)), count)
    case.groups = [{"params": [int(i) for i in part]} for part in parts]
    if count > 1:
        for group in case.groups:
            for options in draws:
                if rng.random() < 0.7:
                    group.update(options())
        if rng.random() < 0.3:
            del case.groups[0]  # parameters of no group keep still


def single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32).astype(np.float64)


def short(value: float) -> float:
    return float(f"{value:.3g}")


class Ours:
    def __init__(self, case: Case, dtype: str) -> None:
        def convert(array):
            return array if array.dtype == np.int64 else array.astype(dtype)

        self.case = case
        self.network = nn.Sequential(*case.layers(nn), dtype=dtype)
        self.network.load_state_dict(case.state)
        self.optimizer = case.optimizer(optim, self.network.parameters()) if case.groups else None
        self.batches = case.batches(convert)
        self.loss = self.criterion(case.reduction)

    def criterion(self, reduction):
        if self.case.loss == "CrossEntropyLoss":
            return nn.CrossEntropyLoss(reduction=reduction)
        return nn.MSELoss(reduction=reduction, factor=self.case.factor)

    def backward(self, x, y, weight):
        """Add to the gradients; return the loss, the outputs and the deltas of the input."""
        outputs = self.network.forward(x)
        value = self.loss(outputs, y, weight)
        return np.sum(value), outputs, self.network.backward(self.loss.delta(outputs, y, weight))

    def unreduced(self, outputs, y, weight):
        return self.criterion("none")(outputs, y, weight)

    def gradients(self):
        return {p.name: p.grad for p in self.network.parameters()}

    def parameters(self):
        return {p.name: p.value for p in self.network.parameters()}


class Theirs:
    def __init__(self, torch, case: Case, dtype: str) -> None:
        def convert(array):
            if array.dtype == np.int64:
                return torch.from_numpy(array)
            return torch.from_numpy(array).to(getattr(torch, dtype))

        self.case = case
        self.torch = torch
        self.network = torch.nn.Sequential(*case.layers(torch.nn)).to(getattr(torch, dtype))
        self.network.load_state_dict({k: torch.from_numpy(v) for k, v in case.state.items()})
        self.optimizer = None
        if case.groups:
            self.optimizer = case.optimizer(torch.optim, self.network.parameters())
        self.batches = case.batches(convert) if case.y is not None else []

    def loss(self, outputs, y, weight, reduction):
        def peer(reduction):
            targets = y.reshape(outputs.shape) if self.case.loss == "MSELoss" else y
            criterion = getattr(self.torch.nn, self.case.loss)(reduction=reduction)
            return self.case.factor * criterion(outputs, targets)

        if weight is None:
            return peer(reduction)
        unreduced = peer("none")
        weights = weight.reshape(-1, *[1] * (unreduced.ndim - 1)).expand_as(unreduced)
        if reduction == "none":
            return weights * unreduced
        return (weights * unreduced).sum() / (weights.sum() if reduction == "mean" else 1)

    def backward(self, x, y, weight):
        x = x.detach().requires_grad_()
        outputs = self.network(x)
        value = self.loss(outputs, y, weight, self.case.reduction).sum()
        value.backward()
        return value.item(), outputs.detach(), x.grad.numpy()

    def unreduced(self, outputs, y, weight):
        return self.loss(outputs, y, weight, "none").numpy()

    def gradients(self):
        return {name: p.grad.numpy() for name, p in self.network.named_parameters()}

    def parameters(self):
        return {name: p.detach().numpy() for name, p in self.network.named_parameters()}


def one_pass(side, batches: int | None = None) -> dict[str, Any]:
    """Run the first batches of an epoch; their gradients add up."""
    passes = {"outputs": [], "loss": [], "unreduced loss": [], "deltas of the input": []}
    for x, y, weight in islice(side.batches, batches):
        value, outputs, deltas = side.backward(x, y, weight)
        passes["outputs"].append(np.asarray(outputs))
        passes["loss"].append(value)
        passes["unreduced loss"].append(side.unreduced(outputs, y, weight))
        passes["deltas of the input"].append(deltas)
    return {**passes, "gradients": side.gradients()}


def train(side) -> np.ndarray:
    """Make STEPS updates by hand; return the loss before each, (epochs, batches)."""
    losses = []
    for epoch in range(side.case.epochs):
        if side.case.halves_lr and epoch == side.case.epochs // 2:
            halve_lr(side.optimizer)
        for batch in side.batches:
            losses.append(side.backward(*batch)[0])
            side.optimizer.step()
            side.optimizer.zero_grad()
    return np.array(losses).reshape(side.case.epochs, -1)


def fit(ours: Ours) -> np.ndarray:
    """Make the same updates by `fit`; return its history of the loss."""
    case = ours.case
    # `fit` refuses "none", whose delta is that of "sum".
    loss = ours.criterion("sum" if case.reduction == "none" else case.reduction)
    history = []
    for epochs in [case.epochs // 2] * 2 if case.halves_lr else [case.epochs]:
        if history:
            halve_lr(ours.optimizer)
        run = ours.network.fit(
            case.x,
            case.y,
            sample_weight=case.weight,
            loss=loss,
            optimizer=ours.optimizer,
            epochs=epochs,
            batch_size=case.batch_size,
            shuffle=False,
        )
        history.extend(run["loss"])
    return np.array(history)


def halve_lr(optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] /= 2


def norm(arrays) -> float:
    return math.sqrt(sum(float(np.sum(np.square(a, dtype=np.float64))) for a in arrays))


def differences(found, expected) -> list[np.ndarray]:
    assert [np.shape(f) for f in found] == [np.shape(e) for e in expected]
    return [np.subtract(f, e, dtype=np.float64) for f, e in zip(found, expected, strict=True)]


def distance(found, expected) -> float:
    """Return the norm of the difference over the norm, all arrays taken together."""
    difference = norm(differences(found, expected))
    return difference / norm(expected) if difference else 0.0


def check(found, expected, bound: float, what: str, case: Case) -> None:
    error = distance(found, expected)
    assert error <= bound, f"{what}: {error:.1e} of the norm and not {bound:g}, in {case}"


def blame(torch, case: Case, found, expected) -> str:
    """Say who is how far from the truth, where the two sides differ."""
    truth = Theirs(torch, case, "float64")
    train(truth)
    truth = truth.parameters().values()
    ours, theirs = distance(found.values(), truth), distance(expected.values(), truth)
    return f"from PyTorch in float64, ours is {ours:.1e} and theirs {theirs:.1e} away, in {case}"
