"""Schedules in fit: what it does with them is what one does by hand."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from deltaprop.optim.schedule import ByCount

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
EPOCHS, BATCHES = 5, 3

SCHEDULES = {
    "StepLR": lambda o, e: optim.StepLR(o, 2, 0.5, every=e),
    "MultiStepLR": lambda o, e: optim.MultiStepLR(o, [1, 4, 9], 0.5, every=e),
    "ConstantLR": lambda o, e: optim.ConstantLR(o, 0.5, 3, every=e),
    "LinearLR": lambda o, e: optim.LinearLR(o, 0.25, total_iters=4, every=e),
    "ExponentialLR": lambda o, e: optim.ExponentialLR(o, 0.9, every=e),
    "PolynomialLR": lambda o, e: optim.PolynomialLR(o, 20, 2.0, every=e),
    "CosineAnnealingLR": lambda o, e: optim.CosineAnnealingLR(o, 7, every=e),
    "CosineAnnealingWarmRestarts": lambda o, e: optim.CosineAnnealingWarmRestarts(o, 3, every=e),
    "OneCycleLR": lambda o, e: optim.OneCycleLR(o, 0.2, total_steps=15, every=e),
    "CyclicLR": lambda o, e: optim.CyclicLR(o, 0.01, 0.1, 3, every=e),
    "LambdaLR": lambda o, e: optim.LambdaLR(o, lambda t: 1 / (1 + t), every=e),
    "SequentialLR": lambda o, e: optim.SequentialLR(
        o, [optim.LinearLR(o, 0.1, total_iters=3, every=e), optim.StepLR(o, 1, every=e)], [3]
    ),
}


def test_every_schedule_has_a_case():
    kinds = {n for n in optim.__all__ if isinstance(k := getattr(optim, n), type)
             and issubclass(k, ByCount)}  # fmt: skip
    assert kinds == set(SCHEDULES)


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), dtype="float64", seed=0)


def optimizer(net):
    groups = [{"params": net.parameters()[:2]}, {"params": net.parameters()[2:], "lr": 0.03}]
    return optim.SGD(groups, lr=0.1, momentum=0.9)


def fit(net, opt, x=X, y=Y, **options):
    options = {"loss": nn.MSELoss(), "epochs": EPOCHS, "batch_size": 8, "shuffle": False, **options}
    return net.fit(x, y, optimizer=opt, **options)


def batches():
    return [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 20, 8)]


def by_hand(net, opt, schedule):
    loss, lrs, updates = nn.MSELoss(), [], []
    for _ in range(EPOCHS):
        for x, y in batches():
            a = net.forward(x)
            net.backward(loss.delta(a, y))
            opt.step()
            opt.zero_grad()
            lrs.append(opt.lr)
            updates.append([(g["lr"], g["momentum"]) for g in opt.param_groups])
            if schedule.every == "step":
                schedule.step()
        if schedule.every == "epoch":
            schedule.step()
    return lrs[BATCHES - 1 :: BATCHES], updates


class Listens(dp.Callback):
    def __init__(self):
        self.updates = []

    def on_train_batch_end(self, run):
        groups = run.optimizer.param_groups
        self.updates.append([(g["lr"], g["momentum"]) for g in groups])


@pytest.mark.parametrize("kind", ["arrays", "iterable"])
@pytest.mark.parametrize("every", ["epoch", "step"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_it_is_stepping_by_hand(name, every, kind):
    net, other = network(), network()
    opt, hand = optimizer(net), optimizer(other)
    schedule, twin = (SCHEDULES[name](o, every) for o in (opt, hand))
    lrs, updates = by_hand(other, hand, twin)
    data = (X, Y) if kind == "arrays" else (batches(), None)
    listens = Listens()
    history = fit(net, opt, *data, callbacks=[listens])
    assert net.flat_parameters.tobytes() == other.flat_parameters.tobytes()
    assert history["lr"].tolist() == lrs
    assert listens.updates == updates
    assert schedule.count == twin.count == (EPOCHS if every == "epoch" else EPOCHS * BATCHES)
    assert [dict(g)["lr"] for g in opt.param_groups] == [g["lr"] for g in hand.param_groups]
    # Without callbacks the bits are the same.
    alone = network()
    opt = optimizer(alone)
    schedule = SCHEDULES[name](opt, every)
    assert fit(alone, opt, *data)["lr"].tolist() == lrs
    assert alone.flat_parameters.tobytes() == net.flat_parameters.tobytes()
    assert schedule.state_dict() == twin.state_dict()


@pytest.mark.parametrize("every", ["epoch", "step"])
def test_two_fits_are_one(every):
    nets = [network(), network()]
    for net, parts in zip(nets, ((5,), (2, 0, 3)), strict=True):
        opt = optimizer(net)
        optim.CosineAnnealingLR(opt, 9, every=every)
        for epochs in parts:
            fit(net, opt, epochs=epochs)
    assert nets[0].flat_parameters.tobytes() == nets[1].flat_parameters.tobytes()


def test_a_step_is_an_update_of_several_batches():
    net = network()
    opt = optimizer(net)
    schedule = optim.LambdaLR(opt, lambda t: 1 / (1 + t), every="step")
    history = fit(net, opt, accumulate=2)
    assert schedule.count == history.updates == 2 * EPOCHS
    expected = [0.1 / (2 + 2 * k) for k in range(EPOCHS)]
    np.testing.assert_allclose(history["lr"], expected, rtol=1e-15)


@pytest.mark.parametrize("held_out", [True, False])
def test_a_plateau_of_what_is_held_out_or_of_the_loss(held_out):
    options = {"validation_data": (X, Y + 1)} if held_out else {}
    net = network()
    opt = optimizer(net)
    schedule = optim.ReduceLROnPlateau(opt, patience=0, threshold=0.2, factor=0.5)
    history = fit(net, opt, epochs=8, **options)
    twin = optimizer(network())
    hand, lrs = optim.ReduceLROnPlateau(twin, patience=0, threshold=0.2, factor=0.5), []
    for value in history["val_loss" if held_out else "loss"]:
        lrs.append(twin.lr)
        hand.step(value)
    assert history["lr"].tolist() == lrs
    assert lrs[-1] < 0.1
    assert schedule.state_dict() == hand.state_dict()


@pytest.mark.parametrize("key", ["r2", "val_r2", "lr"])
def test_a_plateau_of_another_value(key):
    made = {"mode": "max", "patience": 0, "threshold": 9.0, "threshold_mode": "abs", "monitor": key}
    net = network()
    opt = optimizer(net)
    schedule = optim.ReduceLROnPlateau(opt, **made)
    history = fit(net, opt, epochs=8, metrics=["r2"], validation_data=(X, Y + 1))
    twin = optimizer(network())
    hand, lrs = optim.ReduceLROnPlateau(twin, **made), []
    for value in history[key]:
        lrs.append(twin.lr)
        hand.step(value)
    assert history["lr"].tolist() == lrs
    assert lrs[-1] < 0.1
    assert schedule.state_dict() == hand.state_dict()
    with pytest.raises(ValueError, match=f"expected monitor to be None, got '{key}'"):
        optim.ReduceLROnPlateau(twin, **{**made, "monitor": None}).load_state_dict(
            schedule.state_dict()
        )


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "max"}, "expected a monitor where mode is 'max', got None, the loss"),
        ({"monitor": "val_loss"}, r"expected monitor to be of \['loss', 'lr'\], got 'val_loss'"),
        ({"monitor": "delta_norm"}, "expected monitor to be of .*, got 'delta_norm'"),
    ],
)
def test_a_plateau_without_its_value_is_refused_before_the_first_update(options, message, late):
    class Attaches(dp.Callback):
        def on_train_begin(self, run):
            optim.ReduceLROnPlateau(run.optimizer, **options)

    net = network()
    opt = optimizer(net)
    if not late:
        optim.ReduceLROnPlateau(opt, **options)
    callbacks = [Attaches()] if late else []
    with pytest.raises(ValueError, match=f"^ReduceLROnPlateau: {message}$"):
        fit(net, opt, record=["deltas"], callbacks=callbacks)
    assert net.flat_parameters.tobytes() == network().flat_parameters.tobytes()


class TestExceptions:
    @pytest.mark.parametrize("kind", ["arrays", "iterable"])
    @pytest.mark.parametrize(("every", "count"), [("epoch", 1), ("step", 5)])
    def test_in_a_callback_in_the_middle_of_an_epoch(self, every, count, kind):
        class Fails(dp.Callback):
            def on_train_batch_end(self, run):
                if run.step == 5:
                    raise ZeroDivisionError

        self.check(every, count, ZeroDivisionError, kind, callbacks=[Fails()])

    @pytest.mark.parametrize("kind", ["arrays", "iterable"])
    @pytest.mark.parametrize(("every", "count"), [("epoch", 2), ("step", 6)])
    def test_in_a_callback_at_the_end_of_an_epoch(self, every, count, kind):
        def fails(run):
            if run.epoch == 1:
                raise KeyboardInterrupt

        self.check(every, count, KeyboardInterrupt, kind, callbacks=[fails])

    @pytest.mark.parametrize(("every", "count"), [("epoch", 1), ("step", 4)])
    def test_a_loss_that_is_not_finite(self, every, count):
        class Fails:
            calls = 0

            def __call__(self, outputs, y):
                self.calls += 1
                return float("nan" if self.calls == 5 else ((outputs - y) ** 2).mean())

            def delta(self, outputs, y):
                return 2 * (outputs - y) / y.size

        self.check(every, count, FloatingPointError, loss=Fails())

    def check(self, every, count, error, kind="arrays", **options):
        net = network()
        opt = optimizer(net)
        schedule = optim.ExponentialLR(opt, 0.5, every=every)
        with pytest.raises(error):
            fit(net, opt, *((X, Y) if kind == "arrays" else (batches(), None)), **options)
        assert schedule.count == count
        assert opt.lr == 0.1 * 0.5**count
        fit(net, opt, epochs=1)
        assert schedule.count == count + (1 if every == "epoch" else BATCHES)

    def test_a_refused_fit_leaves_the_schedule_count(self):
        net = network()
        opt = optimizer(net)
        schedule = optim.ExponentialLR(opt, 0.5)
        opt.lr = 7.0
        with pytest.raises(ValueError, match="X: expected"):
            fit(net, opt, X * np.nan)
        assert (schedule.count, opt.lr) == (0, 7.0)


@pytest.mark.parametrize("kind", ["arrays", "iterable"])
def test_one_cycle_too_short(kind):
    net = network()
    opt = optimizer(net)
    optim.OneCycleLR(opt, 0.2, total_steps=14, every="step")
    before = net.flat_parameters.tobytes()
    data = (X, Y) if kind == "arrays" else (batches(), None)
    with pytest.raises(ValueError, match=r"^OneCycleLR: "):
        fit(net, opt, *data)
    if kind == "arrays":
        assert net.flat_parameters.tobytes() == before
    # How many batches an iterable has is known at its end only: the fourteenth update was made.
    assert optim.ExponentialLR(opt, 0.5).count == 0
    fit(net, opt)


@pytest.mark.parametrize("kind", ["arrays", "iterable"])
@pytest.mark.parametrize("every", ["epoch", "step"])
@pytest.mark.parametrize("instead", [True, False])
def test_a_schedule_attached_as_the_fit_begins(instead, every, kind):
    net, other = network(), network()
    opt, hand = optimizer(net), optimizer(other)
    lrs, _ = by_hand(other, hand, SCHEDULES["ExponentialLR"](hand, every))
    if instead:
        optim.StepLR(opt, 1)

    class Attaches(dp.Callback):
        def on_train_begin(self, run):
            SCHEDULES["ExponentialLR"](run.optimizer, every)

    data = (X, Y) if kind == "arrays" else (batches(), None)
    assert fit(net, opt, *data, callbacks=[Attaches()])["lr"].tolist() == lrs
    assert net.flat_parameters.tobytes() == other.flat_parameters.tobytes()


def test_a_schedule_that_takes_over_in_a_callback():
    net = network()
    opt = optimizer(net)
    optim.ExponentialLR(opt, 0.5)
    with pytest.raises(RuntimeError, match=r"^ExponentialLR: expected to be the optimizer's sched"):
        fit(net, opt, callbacks=[lambda run: optim.StepLR(opt, 1)])


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_batch_end"])
@pytest.mark.parametrize("every", ["epoch", "step"])
def test_a_schedule_attached_in_the_middle(every, hook):
    class Attaches(dp.Callback):
        pass

    def attach(self, run):
        if run.epoch == 1:
            optim.StepLR(run.optimizer, 1, every=every)

    setattr(Attaches, hook, attach)
    net = network()
    opt = optimizer(net)
    message = r"^fit: expected a schedule to be attached before the first epoch, got StepLR in the"
    with pytest.raises(RuntimeError, match=message):
        fit(net, opt, callbacks=[Attaches()])
    fit(net, opt)
