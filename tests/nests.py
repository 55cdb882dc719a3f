"""Random networks of containers, their twins in PyTorch, and a layer in Python: for tests."""

import numpy as np

from deltaprop import nn

OURS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Nest:
    """A description of a module for inputs of one width: kind, children or options, and widths."""

    def __init__(self, random, width, depth, smooth=True):
        kinds = ["linear", "linear", "activation"]
        if depth > 0:
            kinds += ["sequential", "residual", "concat"] * 2
        self.kind = str(random.choice(kinds))
        self.out = width
        self.width = width
        self.children = []
        if self.kind == "linear":
            self.out = int(random.integers(1, 5))
        elif self.kind == "activation":
            names = ["tanh", "sigmoid"] if smooth else list(OURS)
            self.name = str(random.choice(names))
        elif self.kind == "concat":
            count = int(random.integers(1, 4))
            self.children = [Nest(random, width, depth - 1, smooth) for _ in range(count)]
            self.out = sum(child.out for child in self.children)
        else:
            for _ in range(int(random.integers(1, 4))):
                self.children.append(Nest(random, self.out, depth - 1, smooth))
                self.out = self.children[-1].out
            if self.kind == "residual" and self.out != width:
                self.children.append(Linear(self.out, width))
                self.out = width

    def ours(self):
        """Return the module."""
        if self.kind == "linear":
            return nn.Linear(self.width, self.out)
        if self.kind == "activation":
            return OURS[self.name]()
        kinds = {
            "sequential": nn.Sequential,
            "residual": nn.Residual,
            "concat": nn.Concat,
            "heads": nn.Heads,
        }
        return kinds[self.kind](*(child.ours() for child in self.children))

    def torchs(self, torch):
        """Return PyTorch's module of the same names."""
        if self.kind == "linear":
            return torch.nn.Linear(self.width, self.out)
        if self.kind == "activation":
            return {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}[
                self.name
            ]()
        return torch_kinds(torch)[self.kind](*(child.torchs(torch) for child in self.children))


class Linear(Nest):
    """One linear layer."""

    def __init__(self, width, out):
        self.kind, self.width, self.out, self.children = "linear", width, out, []


class Heads(Nest):
    """A trunk, and heads of up to two outputs; `inputs` widths, where there are several."""

    def __init__(self, random, inputs, depth, smooth=True):
        self.inputs = inputs
        self.kind = "sequential"
        self.children = []
        if len(inputs) > 1:
            entrance = Nest.__new__(Nest)
            entrance.kind = "concat"
            entrance.children = [Nest(random, width, depth - 1, smooth) for width in inputs]
            entrance.out = sum(child.out for child in entrance.children)
            self.children.append(entrance)
        width = self.children[-1].out if self.children else inputs[0]
        self.children.append(Nest(random, width, depth - 1, smooth))
        heads = Nest.__new__(Nest)
        heads.kind = "heads"
        width = self.children[-1].out
        heads.children = [Nest(random, width, depth - 2, smooth) for _ in range(2)]
        heads.children.append(Linear(width, 2))
        self.children.append(heads)
        self.outputs = [child.out for child in heads.children]


def torch_kinds(torch):
    """Return PyTorch modules that compute what our containers do."""

    class Residual(torch.nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    class Branches(torch.nn.ModuleList):
        def __init__(self, *branches):
            super().__init__(branches)

        def outputs(self, x):
            xs = x if isinstance(x, tuple) else (x,) * len(self)
            return tuple(branch(part) for branch, part in zip(self, xs, strict=True))

    class Concat(Branches):
        def forward(self, x):
            return torch.cat(self.outputs(x), dim=-1)

    class Heads(Branches):
        def forward(self, x):
            return self.outputs(x)

    return {
        "sequential": torch.nn.Sequential,
        "residual": Residual,
        "concat": Concat,
        "heads": Heads,
    }


def problem(seed, depth=4, smooth=True, rows=5):
    """Return a random nest with its inputs and targets, all float64."""
    random = np.random.default_rng(seed)
    inputs = [int(w) for w in random.integers(1, 5, size=random.integers(1, 4))]
    nest = Heads(random, inputs, depth, smooth)
    xs = tuple(random.normal(size=(rows, width)) for width in inputs)
    ys = tuple(random.normal(size=(rows, width)) for width in nest.outputs)
    return nest, xs if len(xs) > 1 else xs[0], ys


class Scale(nn.Layer):
    """A layer written in Python."""

    def __init__(self):
        self.parameter("factor", np.full(1, 1.5))

    def forward(self, x, training):
        if training:
            self.x = x
        return x * self.factor

    def backward(self, delta):
        self.grad_factor += (delta * self.x).sum()
        return delta * self.factor
