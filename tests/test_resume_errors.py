"""What fit refuses to resume from."""

import re
import zipfile

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from resume_cases import RNG, VALIDATION, X, Y, adam, everything, flat, network, plateau, run


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
