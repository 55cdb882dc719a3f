"""Resuming: a fit that goes on from a checkpoint has the bits of one that did not stop."""

import re
import zipfile

import numpy as np
import pytest

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


def residual(seed=0):
    return nn.Sequential(
        nn.Linear(3, 4),
        nn.Residual(nn.Linear(4, 4), nn.PReLU()),
        nn.Heads(nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 1))),
        dtype="float64",
        seed=seed,
    )


def adam(net):
    return optim.Adam(net.parameters(), lr=0.02)


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


def plateau(net):
    opt = adam(net)
    optim.ReduceLROnPlateau(opt, patience=0, threshold=0.05)
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 8}, "batch_size = 7, got 8"),
        ({"shuffle": False}, "shuffle = True, got False"),
        ({"seed": 3}, "seed = None, got 3"),
        ({"accumulate": 2}, "accumulate = 1, got 2"),
        ({"loss": nn.L1Loss()}, f"loss = {[repr(nn.MSELoss())]}, got {[repr(nn.L1Loss())]}"),
        ({"loss_weights": (2.0,)}, "loss_weights = [1.0], got [2.0]"),
        ({"opt": lambda net: optim.SGD(net.parameters())}, "optimizer = 'Adam', got 'SGD'"),
        ({"opt": plateau}, "schedule = 'NoneType', got 'ReduceLROnPlateau'"),
        ({"validation_split": 0.2}, "rows = 30, got 24"),
        ({"validation_data": None}, "validation = True, got False"),
        ({"metrics": ("mae",)}, "metrics = [], got ['mae']"),
        ({"record": ("deltas",)}, "record = [], got ['deltas']"),
    ],
)
def test_settings_that_differ(options, message, tmp_path):
    path = tmp_path / "run.dp"
    run(0, 2, path)
    message = f"fit: expected the settings of the checkpoint, {message}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run(0, 4, resume=path, **options)


WEIGHTED = {"sample_weight": RNG.random(30)}
CLASSES = {"y": np.arange(30) % 2, "loss": nn.CrossEntropyLoss()}
CLASSES["validation_data"] = (X[:8], np.arange(8) % 2)


@pytest.mark.parametrize(
    ("given", "other", "name"),
    [
        ({}, {"X": X + 1e-9}, "X"),
        ({}, {"X": np.asfortranarray(X[::-1])}, "X"),
        ({}, {"y": Y[::-1]}, "y"),
        ({}, {"y": Y.astype(np.float32)}, "y"),
        ({}, WEIGHTED, "sample_weight or class_weight"),
        (WEIGHTED, {}, "sample_weight or class_weight"),
        (WEIGHTED, {"sample_weight": np.ones(30)}, "sample_weight or class_weight"),
        (
            CLASSES | {"class_weight": {0: 1, 1: 2}},
            CLASSES | {"class_weight": {0: 1, 1: 3}},
            "sample_weight or class_weight",
        ),
        ({}, {"validation_data": (X[:8], Y[:8])}, "validation_data"),
        ({}, {"validation_data": (*VALIDATION, np.arange(8))}, "validation_data"),
    ],
)
def test_data_that_differ(given, other, name, tmp_path):
    path = tmp_path / "run.dp"
    run(0, 2, path, **given)
    with pytest.raises(ValueError, match=f"^fit: expected the {name} of the checkpoint, got anot"):
        run(0, 4, resume=path, **other)


def test_data_that_are_the_same_in_another_form(tmp_path):
    path = tmp_path / "run.dp"
    whole = everything(*run(0, 4, **CLASSES, class_weight=[1, 2]))
    run(0, 2, path, **CLASSES, class_weight={0: 1, 1: 2})
    weights = 1.0 + np.arange(30) % 2
    other = {**CLASSES, "X": np.asfortranarray(X), "sample_weight": weights}
    assert everything(*run(1, 4, resume=path, **other)) == whole


def test_data_in_a_file_are_told_apart_by_some_rows(tmp_path):
    path = tmp_path / "run.dp"
    files = []
    for i, rows in enumerate((X, X[::-1])):
        files.append(np.memmap(tmp_path / f"{i}", X.dtype, "w+", shape=X.shape))
        files[-1][...] = rows
    run(0, 2, path, X=files[0])
    run(0, 3, resume=path, X=files[0])
    with pytest.raises(ValueError, match=r"^fit: expected the X of the checkpoint, got another$"):
        run(0, 3, resume=path, X=files[1])


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


def test_what_does_not_fit_changes_nothing(tmp_path):
    path = tmp_path / "run.dp"
    run(0, 2, path)
    options = {"loss": nn.MSELoss(), "epochs": 4, "batch_size": 7, "validation_data": VALIDATION}

    def refused(net, opt, message, callbacks=(repr, repr)):
        before = flat([net._description(), opt.state_dict()])
        with pytest.raises(ValueError, match=message):
            net.fit(X, Y, optimizer=opt, resume=path, callbacks=callbacks, **options)
        assert flat([net._description(), opt.state_dict()]) == before

    other = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2), dtype="float64", seed=3)
    refused(other, adam(other), r"^resume: expected the network of the checkpoint, got another arc")
    other = network(3, "float32")
    refused(other, adam(other), r"^resume: expected the network .* checkpoint, got another dtype$")
    net = network(3)
    refused(net, adam(net), r"^fit: expected 2 callbacks, as the checkpoint has, got 1$", (repr,))
    swapped = (dp.EarlyStopping(), dp.ModelCheckpoint(tmp_path / "other.dp"))
    refused(net, adam(net), r"^fit: expected ModelCheckpoint as the .*, got EarlyStopping", swapped)
    two = [{"params": net.parameters()[:1]}, {"params": net.parameters()[1:]}]
    refused(net, optim.Adam(two), r"^Adam: expected 2 param_groups, got 1$")


class TestRefusedOnceTheFileWasRead:
    class Counts(dp.ModelCheckpoint):
        count = 0

        def on_epoch_end(self, run):
            super().on_epoch_end(run)
            self.count += 1

        def state_dict(self):
            return super().state_dict() | {"count": self.count}

        def load_state_dict(self, state):
            super().load_state_dict(state)
            self.count = state["count"]

    def check(self, path, error, message, data, later, epochs=4, **hooks):
        """Fit two epochs of `data`; what goes on from them with `later` is refused."""

        def made(seed):
            net = network(seed)
            net[0].learn(X)
            opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
            return net, opt, optim.OneCycleLR(opt, 0.2, total_steps=12), self.Counts(path)

        net, opt, _, counts = made(0)
        options = {"loss": nn.MSELoss(), "batch_size": None}
        net.fit(*data, optimizer=opt, epochs=2, callbacks=[counts], **options)
        net, opt, schedule, counts = made(3)
        vars(counts).update(hooks)
        before = flat([net._description(), opt.state_dict(), counts.state_dict()])
        options |= {"epochs": epochs, "resume": path}
        with pytest.raises(error, match=message):
            net.fit(*later, optimizer=opt, callbacks=[counts], **options)
        assert opt._schedule is schedule
        assert flat([net._description(), opt.state_dict(), counts.state_dict()]) == before

    def test_by_the_core(self, tmp_path):
        x = X.copy()

        def spoil(run):  # later than the hash
            x[0, 0] = np.nan

        message = "^X: expected finite numbers, got nan in row 0"
        self.check(tmp_path / "a", ValueError, message, (X, Y), (x, Y), on_train_begin=spoil)

    def test_by_a_schedule(self, tmp_path):
        message = "^OneCycleLR: expected counts up to total_steps = 12, got 99"
        self.check(tmp_path / "a", ValueError, message, (X, Y), (X, Y), epochs=99)

    def test_by_an_iterable(self, tmp_path):
        message = "^fit: expected an iterable that begins anew in each epoch, got a generator"
        batches = [(X, Y)]
        later = (batch for batch in batches)
        self.check(tmp_path / "a", ValueError, message, (batches,), (later,))

    def test_by_a_callback_that_begins(self, tmp_path):
        def fails(run):
            optim.StepLR(run.optimizer, 1)
            raise ZeroDivisionError("mine")

        data = (X, Y)
        self.check(tmp_path / "a", ZeroDivisionError, "mine", data, data, on_train_begin=fails)

    def test_by_a_callback_that_takes_no_state(self, tmp_path):
        def fails(state):
            if state["count"] == 2:
                raise ZeroDivisionError("mine")

        data = (X, Y)
        self.check(tmp_path / "a", ZeroDivisionError, "mine", data, data, load_state_dict=fails)


def test_what_is_raised_later_leaves_what_was_trained(tmp_path):
    path = tmp_path / "run.dp"
    run(0, 2, path)
    net = network(1)

    def fails(run):
        raise ZeroDivisionError

    options = {"loss": nn.MSELoss(), "batch_size": 7, "validation_data": VALIDATION}
    callbacks = [dp.Callback(), fails]
    with pytest.raises(ZeroDivisionError):
        net.fit(X, Y, optimizer=adam(net), epochs=4, callbacks=callbacks, resume=path, **options)
    assert net.flat_parameters.tobytes() == run(0, 3)[0].flat_parameters.tobytes()


def test_files_that_are_no_checkpoints(tmp_path):
    path = tmp_path / "net.dp"
    network().save(path)
    with pytest.raises(ValueError, match=r"^fit: expected resume to be a checkpoint of a fit, got"):
        run(0, 2, resume=path)
    with pytest.raises(FileNotFoundError):
        run(0, 2, resume=tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        run(0, 2, resume=tmp_path)
    foreign = {"text": b"hello", "empty": b""}
    for name, content in foreign.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="expected a file of deltaprop's, got"):
            run(0, 2, resume=tmp_path / name)
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(ValueError, match="expected a file of deltaprop's, got"):
        run(0, 2, resume=tmp_path / "zip")


def test_files_cut_short_and_with_wrong_bytes(tmp_path):
    path, broken = tmp_path / "run.dp", tmp_path / "broken.dp"
    run(0, 2, path)
    whole = path.read_bytes()
    for cut in (1, 30, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="expected a file of deltaprop's, got"):
            run(0, 4, resume=broken)
    rng = np.random.default_rng(1)
    refused = 0
    for place in rng.integers(0, len(whole), 100):
        content = bytearray(whole)
        content[place] ^= 0xFF
        broken.write_bytes(content)
        try:
            dp.load(broken)
        except ValueError as error:
            refused += 1
            assert "expected a file of deltaprop's, got" in str(error)  # noqa: PT017
    # Some bytes mean nothing: dates, say.
    assert refused > 50
