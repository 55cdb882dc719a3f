"""What the package computes: everything in its registries, at many sizes, by name.

``everything.py FILE [THREADS]`` writes them into a file: tests compare those of several processes.
With a number of threads these share whatever can be shared, however small.
"""

import sys

import numpy as np

import activation_cases
import deltaprop as dp
import layer_cases
import loss_cases
import nodes
import optimizers
from deltaprop import graph, nn, optim
from deltaprop.graph.node import _UFUNCS

DTYPES = ("float32", "float64")
# Around the sizes of vectors and tiles, and of the blocks in which rows are summed.
SIZES = (1, 2, 3, 5, 7, 8, 9, 12, 13, 15, 16, 17, 24, 31, 32, 33, 48, 65, 200, 257, 600)
# Where functions have edges.
EDGES = np.concatenate(
    [
        [0, 0.25, 0.5, 1, 1.5, 2, 3, 6, 20, 88, 89, 100, 104, 709, 746, 1e4, 1e5, 1e20, 1e30],
        [1e-8, 1e-30, 1e-40, 1e-45, 1e300, 1e-310, 5e-324, np.inf, np.nan, 0.7071067811865476],
        np.logspace(-6, 6, 400),
    ]
)


def off_line(a):
    """Return an equal array that begins where no vector of any set would."""
    memory = np.empty(a.size + 1, a.dtype)
    memory[1:] = a.ravel()
    return memory[1:].reshape(a.shape)


def edges(dtype, cols=1):
    """Return rows of numbers at the edges, both signs."""
    with np.errstate(over="ignore"):
        x = np.concatenate([EDGES, -EDGES]).astype(dtype)
    return off_line(x[: len(x) // cols * cols].reshape(-1, cols))


def passes(net, x, rng):
    """Yield what a network gives in training and inference."""
    net.flat_gradients[:] = 0
    y = net.forward(x)
    yield "forward", y
    delta = rng.normal(size=y.shape).astype(y.dtype)
    yield "backward", net.backward(off_line(delta))
    yield "gradients", net.flat_gradients.copy()
    yield "inference", net(x)
    yield "one row", net(x[0])


def activations():
    """Yield those of every activation: its edges, then many sizes."""
    for name, options in activation_cases.CASES:
        for dtype in DTYPES:
            cols = options.get("num_parameters", 3)
            net = nn.Sequential(activation_cases.MEMBERS[name](**options), dtype=dtype, seed=0)
            label = f"{name}{options} {dtype}"
            with np.errstate(all="ignore"):
                rng = np.random.default_rng(0)
                for what, a in passes(net, edges(dtype, cols), rng):
                    yield f"edges of {label} {what}", a
            for size in (1,) if "num_parameters" in options else SIZES[:17]:
                rng = np.random.default_rng(size)
                x = 3 * rng.normal(size=(4, size * cols)).astype(dtype)
                if "num_parameters" in options:
                    x = x.reshape(-1, cols)
                for what, a in passes(net, off_line(x), rng):
                    yield f"{label} {size} {what}", a


def widened(options, width):
    """Return a layer's options for another width."""
    kinds = ("num_features", "in_features", "normalized_shape")
    return {k: width if k in kinds else v for k, v in options.items()}


def layers():
    """Yield those of every layer, at many widths and rows."""
    for name, options in layer_cases.CASES:
        for dtype in DTYPES:
            for width in (4,) if name == "Embedding" else SIZES:
                rng = np.random.default_rng(width)
                rows = int(rng.choice([1, 2, 7, 40, 300]))
                layer = layer_cases.MEMBERS[name](**widened(options, width))
                net = nn.Sequential(layer, dtype=dtype, seed=0)
                x = 2 * rng.normal(size=(max(rows, 2), width)) + 1
                if name == "Embedding":
                    x = rng.integers(0, 6, (rows, 4))
                if name == "Standardize":
                    layer.learn(x)
                if name != "Embedding":
                    x = off_line(x.astype(dtype))
                for what, a in passes(net, x, rng):
                    yield f"{name}{options} {dtype} {width} {what}", a


def products():
    """Yield those of products of many shapes, forward, back and along the rows."""
    rng = np.random.default_rng(0)
    shapes = [tuple(rng.choice(SIZES, 3)) for _ in range(60)] + [(300, 260, 300), (13, 1024, 70)]
    for rows, inputs, outputs in shapes:
        for dtype in DTYPES:
            net = nn.Sequential(nn.Linear(int(inputs), int(outputs)), dtype=dtype, seed=0)
            x = off_line(rng.normal(size=(rows, inputs)).astype(dtype))
            for what, a in passes(net, x, rng):
                yield f"product {rows} {inputs} {outputs} {dtype} {what}", a


def losses():
    """Yield every loss's values and deltas."""
    for i, case in enumerate(loss_cases.CASES):
        for dtype in DTYPES:
            for rows in (1, 2, 3, 5, 11, 50, 300):
                a, y = case.data(rows)
                a = off_line(a.astype(dtype))
                weights = np.random.default_rng(1).uniform(0, 2, rows)
                for w in (None, weights):
                    for reduction in ("mean", "none"):
                        loss = case.loss(reduction)
                        label = f"{case} {i} {dtype} {rows} {w is None} {reduction}"
                        yield f"{label} value", loss(a, y, w)
                        yield f"{label} delta", loss.delta(a, y, w)
    # Of many classes.
    for cols in SIZES[1:]:
        rng = np.random.default_rng(cols)
        for dtype in DTYPES:
            a, y = 3 * rng.normal(size=(5, cols)).astype(dtype), rng.integers(0, cols, 5)
            for smoothing in (0.0, 0.1):
                loss = nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none")
                label = f"{cols} classes {smoothing} {dtype}"
                yield f"{label} value", loss(a, y)
                yield f"{label} delta", loss.delta(a, y)


def updates():
    """Yield what every optimizer makes of a network, with what all of them can do."""
    common = [{}, {"clip_norm": 0.5, "l1": 0.01}, {"clip_value": 0.1, "max_norm": 0.7}]
    common += [{"nonnegative": True, "ema_decay": 0.9}]
    for name, variant in optimizers.CASES:
        for extra in common:
            for dtype in DTYPES:
                rng = np.random.default_rng(0)
                x, y = rng.normal(size=(50, 5)).astype(dtype), rng.normal(size=(50, 3))
                net = nn.Sequential(
                    nn.Linear(5, 19), nn.Tanh(), nn.Linear(19, 3), dtype=dtype, seed=0
                )
                options = optimizers.VARIANTS[name][variant] | extra
                opt = optimizers.FAMILY[name](net.parameters(), **options)
                history = net.fit(x, y, loss=nn.MSELoss(), optimizer=opt, epochs=3, batch_size=12)
                yield f"{name} {options} {dtype}", net.flat_parameters.copy()
                yield f"{name} {options} {dtype} losses", history["loss"]


def trainings():
    """Yield what `fit` makes of networks of many widths, batches and kinds."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        width, hidden, out = (int(n) for n in rng.choice(SIZES[1:], 3))
        kinds = list(activation_cases.MEMBERS.values())
        net = nn.Sequential(
            nn.Linear(width, hidden),
            [nn.BatchNorm1d(hidden), nn.LayerNorm(hidden), nn.Dropout(0.3)][seed % 3],
            kinds[seed % len(kinds)](),
            nn.Residual(nn.Linear(hidden, hidden), nn.GELU()),
            nn.Linear(hidden, out),
            dtype=DTYPES[seed % 2],
            seed=seed,
        )
        x = rng.normal(size=(70, width))
        y = rng.integers(0, out, 70)
        opt = optim.AdamW(net.parameters(), lr=1e-3)
        # BatchNorm1d takes no single row.
        batch = int(rng.choice([2, 5, 16, 64, 70])) - (seed % 3 > 0)
        history = net.fit(
            x, y, loss=nn.CrossEntropyLoss(), optimizer=opt, epochs=2, batch_size=batch
        )
        label = f"training {seed} {width} {hidden} {out} {batch} {DTYPES[seed % 2]}"
        yield label, net.flat_parameters.copy()
        yield f"{label} losses", history["loss"]
        yield f"{label} inference", net(x)


def graphs():
    """Yield every function of nodes and its derivatives, of arrays and of single numbers."""
    for ufunc in _UFUNCS:
        if ufunc is np.matmul:
            continue
        for dtype in DTYPES:
            x = edges(dtype)[:, 0]
            arrays = [x, off_line(np.roll(x, 7))][: ufunc.nin]
            variables = [graph.variable(a) for a in arrays]
            z = ufunc(*variables)
            label = f"{ufunc.__name__} {dtype}"
            yield f"edges of {label}", z.value
            # Comparisons alone depend on nothing.
            (z * variables[0]).backward(np.linspace(0.5, 1.5, len(x)).astype(dtype))
            for i, v in enumerate(variables):
                yield f"edges of {label} grad {i}", v.grad
            numbers = [[graph.variable(a.dtype.type(n)) for n in a[::9]] for a in arrays]
            found = [ufunc(*given) for given in zip(*numbers, strict=True)]
            yield f"edges of {label} of numbers", np.array([f.value for f in found])
            for f, x in zip(found, numbers[0], strict=True):
                (f * x).backward()
            grads = [[v.grad for v in column] for column in numbers]
            yield f"edges of {label} grads of numbers", np.array(grads)
    for name, case in nodes.CASES.items():
        for dtype in DTYPES:
            variables = [graph.variable(a) for a in case.arguments(dtype)]
            y = case.ours(*variables)
            yield f"graph {name} {dtype}", y.value
            weighted = (y * nodes.weights(y.shape).astype(dtype)).sum()
            (weighted + 0 * variables[0].sum()).backward()  # sign alone depends on nothing
            for i, v in enumerate(variables):
                yield f"graph {name} {dtype} grad {i}", v.grad
    for size in (*SIZES, 5000):
        for dtype in DTYPES:
            x = graph.variable(
                off_line(np.random.default_rng(size).normal(size=size).astype(dtype))
            )
            for f in (graph.sum, graph.max, graph.min, graph.mean):
                y = f(x * x)
                y.backward()
                yield f"graph {f.__name__} of {size} {dtype}", y.value
                yield f"graph {f.__name__} of {size} {dtype} grad", x.grad


def everything():
    """Return all of it by name."""
    found = {"instruction set": dp.show_config(mode="dicts")["instruction_set"]}
    for part in (activations, layers, products, losses, updates, trainings, graphs):
        with np.errstate(all="ignore"):
            for name, array in part():
                assert f"{part.__name__}: {name}" not in found, name
                found[f"{part.__name__}: {name}"] = array
    return found


if __name__ == "__main__":
    if len(sys.argv) > 2:
        dp.set_num_threads(int(sys.argv[2]))
        dp._core.set_operations_per_thread(0)
    np.savez(sys.argv[1], **everything())
