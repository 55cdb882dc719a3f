"""Trainings to be interrupted and resumed."""

import numpy as np

import deltaprop as dp
from deltaprop import nn, optim

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 2))
VALIDATION = (X[:8], Y[:8] + 0.1)


def network(seed=0, dtype="float64"):
    # Dropout draws by the network's seed and its count of passes.
    return nn.Sequential(
        nn.Standardize(3),
        nn.Linear(3, 6),
        nn.BatchNorm1d(6),
        nn.Tanh(),
        nn.Dropout(0.2),
        nn.Linear(6, 2),
        dtype=dtype,
        seed=seed,
    )


def adam(net):
    return optim.Adam(net.parameters(), lr=0.02)


def plateau(net):
    opt = adam(net)
    optim.ReduceLROnPlateau(opt, patience=0, threshold=0.05)
    return opt


def run(of, epochs, path=None, resume=None, **options):
    """Fit objects as new as those of another process; return all that there is to compare."""
    net = options.pop("net", network)(of)
    opt = options.pop("opt", adam)(net)
    y = options.pop("y", Y)
    early = options.pop("early", lambda: dp.EarlyStopping(patience=99))()
    written = [dp.ModelCheckpoint(path)] if path else [dp.Callback()]
    stop = options.pop("stop", lambda: None)()
    x = options.pop("X", X)
    options = {"loss": nn.MSELoss(), "batch_size": 7, "validation_data": VALIDATION} | options
    if "validation_split" in options:
        del options["validation_data"]
    history = net.fit(
        x,
        y,
        optimizer=opt,
        epochs=epochs,
        stop=stop,
        resume=resume,
        callbacks=[*written, early],
        **options,
    )
    return net, opt, early, history


def flat(value):
    """Return nested values with arrays as bytes, to compare to the bit."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, dict):
        return {k: flat(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [flat(v) for v in value]
    return value


def everything(net, opt, early, history):
    return flat(
        {
            "network": net._description(),
            "optimizer": opt.state_dict(),
            "early": (early.best_epoch, early.stopped_epoch, early._waited),
            "history": dict(history),
            "counts": (history.epochs, history.updates),
            "stop_losses": history.stop_losses,
            "reason": history.stop_reason,
        }
    )
