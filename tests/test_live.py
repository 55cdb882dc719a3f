"""The live view: what it shows, how often, and that it does not change the fit."""

import copy
import re

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from deltaprop.training import live
from live_cases import CLOCK, DATA, Screen, X, Y, fit, network


@pytest.fixture
def seen(monkeypatch):
    """Give a screen in the place of the text, by the tests' clock."""
    screen = Screen()
    monkeypatch.setattr(live, "time", CLOCK)
    monkeypatch.setattr(live, "_Lines", lambda: screen)
    return screen


NETS = {
    "plain": lambda: network(nn.Tanh()),
    "random": lambda: network(nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.5)),
    "nested": lambda: network(nn.Residual(nn.Linear(4, 4), nn.ReLU()), nn.Sequential(nn.Tanh())),
    "frozen": lambda: network(nn.BatchNorm1d(4).freeze(), nn.Tanh()),
    "float32": lambda: network(nn.Tanh(), dtype="float32"),
}


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_the_fit_does_not_notice(make, seen):
    view = dp.LiveView(every=0)
    a, b = make(), make()
    plain, viewed = fit(a), fit(b, view)
    assert seen.epochs == [1, 2, 3, 4, 5, 6, 6]
    assert plain.to_dict() == viewed.to_dict()
    for name, value in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[name], value, err_msg=name)
    np.testing.assert_array_equal(a.flat_gradients, b.flat_gradients)
    # Nor does the next pass by hand, whose masks depend on those before.
    np.testing.assert_array_equal(a.forward(X), b.forward(X))


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_sizes_are_the_norms_of_a_pass_by_hand(make, seen):
    net = make()
    states = []
    keep = lambda run: states.append(copy.deepcopy(net))  # noqa: E731
    fit(net, callbacks=[CLOCK.passing(1), dp.LiveView(every=0), keep])
    rows = np.linspace(0, 39, 8).astype(int)  # as many as a batch has
    for twin, sizes in zip(states, seen.sizes, strict=False):
        leaves = twin._leaves()
        assert sizes.shape[1] == len(leaves)
        if any(isinstance(leaf, nn.Dropout) for leaf in leaves):
            continue  # whose masks are others each time
        twin.backward(nn.MSELoss().delta(twin.forward(X[rows]), Y[rows]))
        blocks = twin._network.deltas()
        expected = [np.linalg.norm(blocks[leaf._stored.block]) for leaf in leaves]
        np.testing.assert_allclose(sizes[-1], expected, rtol=1e-6)


def test_sizes_are_those_that_fit_records(seen):
    net = network(nn.Tanh())
    # One batch of everything, and parameters that stay as they are.
    sgd = optim.SGD(net.parameters(), lr=0.0)
    options = {"batch_size": None, "record": ("deltas",), "optimizer": sgd}
    history = fit(net, dp.LiveView(every=0), **options)
    np.testing.assert_allclose(seen.sizes[-1], history["delta_norm"], rtol=1e-12)


@pytest.mark.parametrize("kind", DATA)
def test_data_of_all_kinds(kind, seen):
    make, x, y, loss = DATA[kind]
    if kind == "a vector":
        make = lambda: nn.Sequential(nn.Linear(3, 1), seed=0)  # noqa: E731
    net = make()
    fit(net, dp.LiveView(every=0), x=x, y=y, loss=loss)
    sizes = seen.sizes[-1]
    assert sizes.shape == (6, len(net._leaves()))
    assert (sizes > 0).all()


class Scale(nn.Layer):
    """A layer of a user's, which keeps what it needs in itself."""

    def __init__(self):
        self.parameter("factor", np.full(1, 2.0))
        self.passes = 0

    def forward(self, x, training):
        if training:
            self.x = x
            self.passes += 1
        return x * self.factor

    def backward(self, delta):
        self.grad_factor += (delta * self.x).sum()
        return delta * self.factor


def test_a_layer_of_ones_own_is_copied(seen):
    nets = [network(Scale()), network(Scale())]
    fit(nets[0])
    fit(nets[1], dp.LiveView(every=0))
    assert nets[0][1].passes == nets[1][1].passes
    np.testing.assert_array_equal(nets[0].flat_parameters, nets[1].flat_parameters)


@pytest.mark.parametrize("every", [0.3, 1.0])
def test_it_draws_at_its_pace(every, seen):
    fit(
        network(),
        epochs=100,
        callbacks=[CLOCK.passing(0.1), dp.LiveView(every=every)],
    )
    gaps = np.diff(seen.times[:-1])
    assert (gaps >= every - 1e-9).all()
    assert gaps.max() < every + 0.11
    assert seen.epochs[-1] == 100


@pytest.mark.parametrize("cost", [0.001, 0.1, 0.5])
def test_slow_drawing_is_rarer(cost, seen):
    seen.cost = cost
    start = CLOCK.now
    fit(network(), epochs=3000, callbacks=[CLOCK.passing(0.1), dp.LiveView()])
    drawn = cost * (len(seen.times) - 1)  # but for the last
    assert len(seen.times) > 3
    assert drawn <= 0.05 * (seen.times[-1] - start)


def test_a_short_fit_is_drawn_once(seen):
    fit(network(), callbacks=[CLOCK.passing(0.04), dp.LiveView()])
    assert seen.epochs == [6]


def test_a_large_network_is_copied_late(seen):
    net = nn.Sequential(nn.Linear(3, 300), nn.Linear(300, 2000), nn.Linear(2000, 2), seed=0)
    still = optim.SGD(net.parameters(), lr=0.0)
    fit(net, epochs=40, optimizer=still, callbacks=[CLOCK.passing(0.1), dp.LiveView(every=0.1)])
    # 600,000 parameters, which it may take 0.03 s to copy: 1 % of three seconds.
    looked = [epoch for epoch, sizes in zip(seen.epochs, seen.sizes, strict=True) if len(sizes)]
    assert looked[0] == pytest.approx(30, abs=1)
    assert seen.epochs[0] < 5  # the losses come before


@pytest.mark.parametrize(("epochs", "looks"), [(5, False), (20, True)])
def test_a_large_network_is_not_copied_for_a_short_fit(epochs, looks, seen):
    net = nn.Sequential(nn.Linear(3, 300), nn.Linear(300, 2000), nn.Linear(2000, 2), seed=0)
    still = optim.SGD(net.parameters(), lr=0.0)
    fit(net, epochs=epochs, optimizer=still, callbacks=[CLOCK.passing(0.1), dp.LiveView()])
    # It takes 0.03 s, which must be less than 2 % but for 5 ms.
    assert (len(seen.sizes[-1]) == 1) == looks
    assert seen.epochs[-1] == epochs


def test_slow_looks_are_rarer(seen, monkeypatch):
    look = live._Deltas.measure
    looks = []

    def slow(self, run):
        look(self, run)
        looks.append(CLOCK.now)
        CLOCK.now += 0.05

    monkeypatch.setattr(live._Deltas, "measure", slow)
    start = CLOCK.now
    fit(network(), epochs=1000, callbacks=[CLOCK.passing(0.1), dp.LiveView()])
    assert len(looks) > 10
    assert 0.05 * (len(looks) - 1) <= 0.02 * (CLOCK.now - start)


def test_many_looks_are_thinned(seen, monkeypatch):
    monkeypatch.setattr(live, "_MAX_SAMPLES", 10)
    epochs = []
    seen.show = lambda run, deltas, note: epochs.append(list(deltas.epochs))
    fit(network(), dp.LiveView(every=0), epochs=100)
    assert max(map(len, epochs)) == 10
    assert epochs[-1][0] == 1
    assert epochs[-1][-1] == 100
    assert (np.diff(epochs[-1]) > 0).all()


def test_layers_frozen_on_the_way(seen):
    net = network(nn.BatchNorm1d(4))

    def freeze(run):
        if run.epoch == 2:
            net[1].freeze()

    states = []
    keep = lambda run: states.append(copy.deepcopy(net))  # noqa: E731
    fit(net, callbacks=[CLOCK.passing(1), freeze, dp.LiveView(every=0), keep])
    rows = np.linspace(0, 39, 8).astype(int)
    for twin, sizes in zip(states, seen.sizes[-1], strict=True):
        twin.backward(nn.MSELoss().delta(twin.forward(X[rows]), Y[rows]))
        np.testing.assert_allclose(sizes, [np.linalg.norm(d) for d in twin.deltas], rtol=1e-12)


def test_the_end_is_always_shown(seen):
    fit(network(), epochs=0, callbacks=[dp.LiveView()])
    assert seen.epochs.pop() == 0
    early = dp.EarlyStopping(monitor="loss", patience=1, mode="max")
    fit(network(), epochs=50, callbacks=[early, dp.LiveView()])
    assert seen.epochs.pop() == early.stopped_epoch + 1 < 50
    assert seen.notes == ["", ""]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_the_end_by_an_exception_is_shown(kind, seen):
    def fail(run):
        if run.epoch == 3:
            raise kind("here")

    with pytest.raises(kind, match="here"):
        fit(network(), callbacks=[dp.LiveView(), fail])
    assert seen.epochs == [4]
    assert seen.notes == [", broken off"]


def test_a_fit_that_diverges_is_shown_and_its_error_is_its_own(seen):
    net = network(dtype="float32")
    sgd = optim.SGD(net.parameters(), lr=0.05)

    def worse(run):
        sgd.lr *= 4

    with pytest.raises(FloatingPointError, match="a smaller lr may help"):
        fit(net, optimizer=sgd, epochs=100, callbacks=[worse, dp.LiveView()])
    assert seen.notes == [", broken off"]
    assert seen.epochs[0] > 0


class Listener(live.LiveView):
    """Counts its calls."""

    def on_train_begin(self, run):
        self.heard = []
        super().on_train_begin(run)

    def on_epoch_end(self, run):
        self.heard.append(run.history.epochs)


def test_epochs_are_told_together_and_none_is_lost(seen, monkeypatch):
    """Unless somebody else wants each of them."""
    monkeypatch.undo()  # the core reads the processor's clock
    held_out = {"validation_data": (X, Y), "record": ("deltas",)}

    def course(*callbacks, **options):
        options = {"epochs": 3000, "batch_size": None, **held_out, **options}
        net = network(nn.Tanh())
        return fit(net, callbacks=list(callbacks), **options), net.flat_parameters

    (history, values), heard = course(), []
    patient = Listener()
    patient._every = 0.01
    for callbacks, calls in (
        ((patient,), lambda: patient.heard),
        ((patient, lambda run: heard.append(run.history.epochs)), lambda: heard),
    ):
        viewed, same = course(*callbacks)
        assert same.tobytes() == values.tobytes()
        assert viewed.keys() == history.keys()
        for key, column in history.items():
            np.testing.assert_array_equal(viewed[key], column)
        assert viewed.epochs == history.epochs
        assert (len(calls()) < 300) == (callbacks == (patient,))
        assert calls() == sorted(set(calls()))
    assert heard == list(range(1, 3001))
    assert live.LiveView()._every == 0.01
    assert Listener()._every == 0.0  # it may want each epoch


def test_epochs_not_told_yet_are_there_when_an_exception_ends_the_fit(capsys):
    net = network(nn.Tanh())
    sgd = optim.SGD(net.parameters(), lr=0.5)
    optim.lr_scheduler.LambdaLR(sgd, lambda epoch: 0.5 if epoch < 2000 else 1e300)
    with pytest.raises(FloatingPointError, match="epoch 200"):
        fit(net, callbacks=[dp.LiveView()], optimizer=sgd, epochs=2010, batch_size=None)
    text = capsys.readouterr().err
    assert re.search(r"epoch 200\d/2010, broken off", text)


class Fails(nn.Layer):
    """A layer that fails after a number of passes, of those in training or of the others."""

    def __init__(self, passes, training):
        self.left, self.when = passes, training

    def forward(self, x, training):
        if training == self.when:
            self.left -= 1
            if self.left < 0:
                raise ArithmeticError("here")
        return x.copy()

    def backward(self, delta):
        return delta.copy()


@pytest.mark.parametrize("listener", ["a view", "each epoch", "none"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "validation"])
@pytest.mark.parametrize("passes", [0, 1, 500])
def test_an_epoch_broken_off_is_not_told_and_hides_no_exception(listener, training, passes, capsys):
    """Its columns are not of one length: it has a loss, but may have no validation loss."""
    dispatched = []
    callbacks = {
        "a view": [dp.LiveView()],
        "each epoch": [lambda run: dispatched.append(run.history.epochs)],
        "none": [],
    }
    net = network(Fails(passes, training))
    options = {"validation_data": (X, Y), "record": ("deltas",), "batch_size": None}
    with pytest.raises(ArithmeticError, match=r"^here$") as caught:
        fit(net, callbacks=callbacks[listener], epochs=2000, **options)
    assert caught.value.__context__ is None
    assert dispatched == (list(range(1, passes + 1)) if listener == "each epoch" else [])
    text = capsys.readouterr().err.splitlines()
    assert len(text) == (listener == "a view")
    assert all(line.startswith(f"epoch {passes}/2000, broken off: ") for line in text)


def test_an_epoch_whose_look_at_the_plateau_fails_is_not_told():
    dispatched = []
    net = network(Fails(3, False))
    stop = dp.StopOnPlateau(1e-300)
    with pytest.raises(ArithmeticError, match=r"^here$"):
        fit(net, callbacks=[lambda run: dispatched.append(run.history["loss"].size)], stop=stop)
    assert dispatched == [1, 2, 3]


def test_a_refused_fit_shows_nothing(seen):
    with pytest.raises(ValueError, match="expected"):
        fit(network(), dp.LiveView(), x=X[:, :2])
    assert seen.epochs in ([], [0])


def test_one_view_may_be_used_again(seen):
    view = dp.LiveView(every=0)
    fit(network(), view, epochs=2)
    fit(nn.Sequential(nn.Linear(3, 2), seed=0), view, epochs=3)
    assert [size.shape for size in seen.sizes][-1] == (3, 1)


def test_a_resumed_fit_goes_on_from_its_epoch(seen, tmp_path):
    path = tmp_path / "fit.dp"
    keep = dp.ModelCheckpoint(path)
    fit(
        network(),
        epochs=2,
        callbacks=[keep, CLOCK.passing(1), dp.LiveView(every=0)],
        validation_data=(X, Y),
    )
    view = [dp.ModelCheckpoint(path), CLOCK.passing(1), dp.LiveView(every=0)]
    fit(network(), epochs=4, callbacks=view, resume=path, validation_data=(X, Y))
    assert seen.epochs == [1, 2, 2, 3, 4, 4]


def test_text_outside_jupyter(capsys):
    net = network(nn.Residual(nn.Linear(4, 4)))
    history = fit(net, dp.LiveView(every=1000), validation_data=(X, Y))
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    loss, val = (f"{history[key][-1]:.4g}" for key in ("loss", "val_loss"))
    assert line.startswith(f"epoch 6/6, stopped by epochs: loss {loss}; val_loss {val}; deltas ")
    names = re.findall(r"([\d.]+: \w+) ([-\d.e+]+)", line.split("deltas ")[1])
    assert [name for name, _ in names] == ["0: Linear", "1.0: Linear", "2: Linear"]
    assert all(float(size) > 0 for _, size in names)


def test_text_of_a_deep_network_tells_of_some_layers(capsys):
    net = nn.Sequential(*(nn.Linear(3, 3) for _ in range(50)), nn.Linear(3, 2), seed=0)
    fit(net, dp.LiveView())
    names = re.findall(r"([\d.]+): Linear", capsys.readouterr().err)
    assert len(names) == 8
    assert (names[0], names[-1]) == ("0", "50")


CELL = """
import time
import numpy as np, deltaprop as dp
from deltaprop import nn, optim
net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), seed=0)
X = np.random.default_rng(0).normal(size=(40, 3))
sgd = optim.SGD(net.parameters(), lr=0.05)
net.fit(X, X[:, :2], loss=nn.MSELoss(), optimizer=sgd, epochs=30, validation_data=(X, X[:, :2]),
        callbacks=[dp.LiveView(every=0.05), lambda run: time.sleep(0.02)])
"""


def test_one_output_of_a_notebook_is_drawn_again_and_again():
    from jupyter_client.manager import start_new_kernel

    messages = []
    manager, client = start_new_kernel(startup_timeout=300)
    try:
        client.execute_interactive(CELL, output_hook=messages.append, timeout=300)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    kinds = [m["header"]["msg_type"] for m in messages]
    assert not {"error", "stream"} & set(kinds), messages
    drawn = [m["content"] for m in messages if "display_data" in m["header"]["msg_type"]]
    assert kinds.count("display_data") == 1
    assert len(drawn) >= 2  # how often depends on how long the first took
    assert len({content["transient"]["display_id"] for content in drawn}) == 1
    html, text = (drawn[-1]["data"][kind] for kind in ("text/html", "text/plain"))
    assert text.startswith("epoch 30/30, stopped by epochs: loss ")
    assert "epoch 30 of 30, stopped by epochs" in html
    assert html.count("<img") == 2
    for words in ("loss", "val_loss", "0: Linear", "1: Tanh", "2: Linear"):
        assert words in html
    epochs = [int(re.search(r"epoch (\d+) of 30", c["data"]["text/html"])[1]) for c in drawn]
    assert epochs == sorted(epochs)
    assert epochs[0] < 30


@pytest.mark.parametrize(
    ("every", "message"),
    [
        (-1, "expected 0 or more, got -1"),
        (np.nan, "expected a finite number"),
        ("1", "expected a n"),
    ],
)
def test_what_is_no_interval(every, message):
    with pytest.raises((TypeError, ValueError), match=rf"^LiveView: every: {message}"):
        dp.LiveView(every)
