"""A resumed fit gives the bits of one that was not interrupted."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from resume_cases import RNG, VALIDATION, X, Y, adam, everything, flat, network, plateau, run


def residual(seed=0):
    return nn.Sequential(
        nn.Linear(3, 4),
        nn.Residual(nn.Linear(4, 4), nn.PReLU()),
        nn.Heads(nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 1))),
        dtype="float64",
        seed=seed,
    )


def by_step(net):
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    optim.CosineAnnealingLR(opt, 40, every="step")
    return opt


def by_epoch(net):
    opt = optim.RMSprop(net.parameters(), lr=0.01)
    optim.StepLR(opt, 3)
    return opt


def cycled(net):
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    optim.OneCycleLR(opt, 0.2, total_steps=50, every="step")
    return opt


def averaged(net):
    groups = [{"params": net.parameters()[:2]}, {"params": net.parameters()[2:], "lr": 0.003}]
    return optim.AdamW(groups, lr=0.02, ema_decay=0.9, clip_norm=0.5)


HEADS = {
    "net": residual,
    "y": (Y, Y[:, 0]),
    "loss": (nn.MSELoss(), nn.HuberLoss()),
    "loss_weights": (1.0, 0.3),
    "validation_data": (X[:8], (Y[:8], Y[:8, 0])),
    "metrics": (("mae",), ("r2",)),
}
RUNS = {
    "Adam": {},
    "float32": {"net": lambda seed: network(seed, "float32")},
    "by step": {"opt": by_step},
    "by epoch": {"opt": by_epoch},
    "one cycle": {"opt": cycled},
    "reduced on a plateau": {"opt": plateau},
    "averaged": {"opt": averaged},
    "accumulated": {"accumulate": 3},
    "seed": {"seed": 5},
    "in order": {"shuffle": False},
    "no batches": {"batch_size": None},
    "recorded": {"record": ("activations", "deltas", "gradients")},
    "metrics": {"metrics": ("mae", "r2"), "validation_data": VALIDATION},
    "split": {"validation_split": 0.2, "sample_weight": RNG.random(30)},
    "heads": HEADS,
    "plateau not reached": {"stop": lambda: dp.StopOnPlateau(1e-9)},
    "plateau": {"stop": lambda: dp.StopOnPlateau(2e-2)},
    "plateau by update": {"stop": lambda: dp.StopOnPlateau(1e-4, every="update")},
    "early": {"early": lambda: dp.EarlyStopping(patience=2)},
    "early, averaged": {"early": lambda: dp.EarlyStopping(patience=0), "opt": averaged},
    "early, soon": {"early": lambda: dp.EarlyStopping(min_delta=0.05, patience=2)},
    "early, at once": {"early": lambda: dp.EarlyStopping("loss", mode="max", patience=4)},
    "early, at the checkpoint": {"early": lambda: dp.EarlyStopping("loss", mode="max", patience=3)},
}


@pytest.mark.parametrize("name", RUNS)
def test_the_bits_are_those_of_a_fit_that_did_not_stop(name, tmp_path):
    path = tmp_path / "run.dp"
    options = RUNS[name]
    whole = everything(*run(0, 10, **options))
    run(0, 4, path, **options)
    before = path.read_bytes()
    # Another seed: the checkpoint's counts.
    on = run(1, 10, resume=path, **options)
    assert everything(*on) == whole
    assert on[0].seed == 0
    assert path.read_bytes() == before
    # And what comes after is the same, too.
    net = dp.load(path)
    assert net.seed == 0


def test_these_runs_stop_where_their_names_say():
    def epochs(name):
        return run(0, 10, **RUNS[name])[3].epochs

    assert epochs("plateau not reached") == 10
    assert epochs("early, at once") == 5
    assert epochs("early, at the checkpoint") == 4
    assert 1 < epochs("plateau by update") <= 10


def test_a_fit_after_the_resumed_one(tmp_path):
    path = tmp_path / "run.dp"
    a = run(0, 6)
    run(0, 3, path)
    b = run(1, 6, resume=path)
    for net, opt, *_ in (a, b):
        net.fit(X, Y, loss=nn.MSELoss(), optimizer=opt, epochs=3, batch_size=4)
    assert a[0].flat_parameters.tobytes() == b[0].flat_parameters.tobytes()


def test_a_chain_of_checkpoints(tmp_path):
    path = tmp_path / "run.dp"
    whole = everything(*run(0, 6))
    run(0, 1, path)
    for epochs in range(2, 6):
        run(epochs, epochs, path, resume=path)
    assert everything(*run(9, 6, resume=path)) == whole


def test_nothing_is_left_to_do(tmp_path):
    path = tmp_path / "run.dp"
    done = run(0, 4, path)
    for epochs in (4, 2):
        again = run(1, epochs, resume=path)
        assert again[0].flat_parameters.tobytes() == done[0].flat_parameters.tobytes()
        assert again[3].epochs == 4


def test_more_patience_goes_on(tmp_path):
    path = tmp_path / "run.dp"
    early = RUNS["early, at the checkpoint"]
    assert run(0, 10, path, **early)[3].stop_reason == "callback"
    on = run(1, 10, resume=path, early=lambda: dp.EarlyStopping("loss", mode="max", patience=5))
    assert on[3].epochs == 6


def test_a_callback_of_the_users_own(tmp_path):
    class Counts(dp.Callback):
        def __init__(self):
            self.count, self.begun = 0, []

        def on_train_begin(self, run):
            self.begun.append((run.history.epochs, self.count))

        def on_epoch_end(self, run):
            self.count += 1

        def state_dict(self):
            return {"count": self.count, "nested": [(1, None), {"a": np.arange(3)}]}

        def load_state_dict(self, state):
            assert state["nested"][0] == (1, None)
            np.testing.assert_array_equal(state["nested"][1]["a"], np.arange(3))
            self.count = state["count"]

    path = tmp_path / "run.dp"

    def fit(epochs, **options):
        net, mine = network(), Counts()
        # After the one that writes: its state is nevertheless that of the epoch's end.
        callbacks = [dp.ModelCheckpoint(path), mine]
        net.fit(
            X,
            Y,
            loss=nn.MSELoss(),
            optimizer=adam(net),
            epochs=epochs,
            callbacks=callbacks,
            **options,
        )
        return mine

    assert fit(3).begun == [(0, 0)]
    on = fit(5, resume=path)
    assert on.begun == [(3, 3)]
    assert on.count == 5


@pytest.mark.parametrize("kind", ["arrays", "accumulated", "iterable"])
@pytest.mark.parametrize("stop", range(6, 11))
def test_an_epoch_broken_off_is_not_written(stop, kind, tmp_path):
    path = tmp_path / "run.dp"
    batches = [(X[i : i + 7], Y[i : i + 7]) for i in range(0, 30, 7)]

    def fit(seed, callbacks=(), **options):
        net = network(seed)
        net[0].learn(X)
        opt = adam(net)
        data = (batches,) if kind == "iterable" else (X, Y)
        options |= {} if kind == "iterable" else {"batch_size": 7 if kind == "arrays" else 4}
        options["accumulate"] = 2 if kind == "accumulated" else 1
        # 5 updates an epoch; 4 of 8 batches where these are accumulated.
        net.fit(*data, loss=nn.MSELoss(), optimizer=opt, callbacks=callbacks, **options)
        return flat([net._description(), opt.state_dict()])

    class Stops(dp.Callback):
        def on_train_batch_end(self, run):
            if run.step == stop:
                run.stop()

    whole = fit(0, epochs=4)
    fit(0, (dp.ModelCheckpoint(path), Stops()), epochs=4)
    assert fit(1, (dp.Callback(), dp.Callback()), epochs=4, resume=path) == whole
