"""evaluate and predict_proba, metrics in fit, and gradient accumulation."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim

RNG = np.random.default_rng(0)
X, Y, C = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 2)), RNG.integers(0, 2, 30)
W = RNG.random(30)


def network(outputs=2, dtype="float64"):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs), dtype=dtype, seed=0)


def heads():
    branches = nn.Heads(nn.Linear(4, 2), nn.Linear(4, 2))
    return nn.Sequential(nn.Linear(3, 4), branches, dtype="float64", seed=0)


def fit(net, y=Y, x=X, **options):
    opt = options.pop("optimizer", None) or optim.SGD(net.parameters(), lr=0.1)
    options = {"loss": nn.MSELoss(), "epochs": 2, "batch_size": 8, "optimizer": opt, **options}
    return net.fit(x, y, **options)


class Mine:
    """MSELoss, written in Python."""

    def __init__(self, reduction=None):
        if reduction:
            self.reduction = reduction
        self.native = nn.MSELoss(reduction=reduction if reduction == "sum" else "mean")

    def __call__(self, *arguments, **options):
        return self.native(*arguments, **options)

    def delta(self, *arguments, **options):
        return self.native.delta(*arguments, **options)


class TestEvaluate:
    @pytest.mark.parametrize("weights", [None, W])
    @pytest.mark.parametrize("batch_size", [None, 1, 7, 100])
    def test_it_is_the_loss_of_the_outputs(self, batch_size, weights):
        net = network()
        found = net.evaluate(
            X, Y, loss=nn.HuberLoss(), sample_weight=weights, batch_size=batch_size
        )
        expected = nn.HuberLoss()(net(X), Y, sample_weight=weights)
        assert found == {"loss": expected}
        assert type(found["loss"]) is float

    def test_it_is_what_fit_says_of_the_data_held_out(self):
        net = network()
        loss, names = nn.CrossEntropyLoss(), ("accuracy", "f1", "auc")
        held_out = (X[20:], C[20:], W[20:])
        history = fit(net, C, loss=loss, metrics=names, validation_data=held_out)
        found = net.evaluate(X[20:], C[20:], loss=loss, metrics=names, sample_weight=W[20:])
        assert found["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-14)
        assert {k: found[k] for k in names} == {k: history[f"val_{k}"][-1] for k in names}

    def test_metrics_of_the_training_data(self):
        net = network()
        history = fit(net, C, loss=nn.CrossEntropyLoss(), metrics=["accuracy"], epochs=1)
        assert history["accuracy"][0] == np.mean(net(X).argmax(1) == C)

    def test_class_weights_are_not_those_of_metrics(self):
        options = {"loss": nn.CrossEntropyLoss(), "metrics": ["accuracy"], "epochs": 1}
        net = network()
        history = fit(net, C, class_weight={0: 9, 1: 1}, sample_weight=W, **options)
        expected = np.average(net(X).argmax(1) == C, weights=W)
        assert history["accuracy"][0] == pytest.approx(expected, rel=1e-14)

    def test_probabilities_count_from_one_half(self):
        net = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid(), dtype="float64", seed=0)
        found = net.evaluate(X, C, loss=nn.BCELoss(), metrics=["accuracy"])
        assert found["accuracy"] == np.mean((net(X)[:, 0] > 0.5) == C)

    @pytest.mark.parametrize(
        ("loss", "least"),
        [
            (nn.MSELoss(), 0.5),
            (nn.L1Loss(), 0.5),
            (nn.SmoothL1Loss(), 0.5),
            (nn.HuberLoss(), 0.5),
            (nn.QuantileLoss(quantiles=(0.5,)), 0.5),
            (nn.BCEWithLogitsLoss(), 0),
        ],
    )
    def test_one_output_stands_for_the_class_that_the_loss_has_it_near(self, loss, least):
        net = network(1)
        found = net.evaluate(X, C[:, np.newaxis], loss=loss, metrics=["accuracy", "recall"])
        taken = net(X)[:, 0] > least
        assert found["accuracy"] == np.mean(taken == C)
        assert found["recall"] == pytest.approx(np.mean(taken[C == 1]), rel=1e-14)
        # The two disagree about these outputs.
        assert (taken != (net(X)[:, 0] > 0.5 - least)).any()

    def test_heads(self):
        net, y = heads(), (Y, C)
        losses, weights = (nn.MSELoss(), nn.CrossEntropyLoss()), (2.0, 0.5)

        def mine(y, outputs):
            return float(np.abs(y - outputs).max())

        options = {
            "loss": losses,
            "loss_weights": weights,
            "metrics": ((mine, "mae"), ["accuracy"]),
        }
        history = fit(net, y, validation_data=(X, y), **options)
        found = net.evaluate(X, y, **options)
        a, b = net(X)
        assert found["loss_0"] == losses[0](a, Y)
        assert found["loss_1"] == losses[1](b, C)
        assert found["loss"] == 2 * found["loss_0"] + 0.5 * found["loss_1"]
        assert found["mine_0"] == mine(Y, a)
        assert found["accuracy_1"] == np.mean(b.argmax(1) == C)
        assert set(found) == {"loss", "loss_0", "loss_1", "mine_0", "mae_0", "accuracy_1"}
        for key, value in found.items():
            assert history[f"val_{key}"][-1] == pytest.approx(value, rel=1e-13)

    def test_a_loss_written_in_python(self):
        class Mine:
            def __call__(self, outputs, y):
                return float(((outputs - y) ** 2).sum())

            def delta(self, outputs, y):
                return 2 * (outputs - y)

        net = network()
        assert net.evaluate(X, Y, loss=Mine()) == {"loss": Mine()(net(X), Y)}

    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"loss": None}, TypeError, "^evaluate: expected a loss with __call__ and delta"),
            (
                {"loss": nn.MSELoss(reduction="none")},
                ValueError,
                "^evaluate: expected a loss with reduction",
            ),
            ({"loss": (nn.MSELoss(),) * 2}, ValueError, "^loss: expected 1, one for each output"),
            ({"y": Y[:, :1]}, ValueError, r"^MSELoss: expected y \(30, 2\)"),
            ({"y": Y[:9]}, ValueError, r"^MSELoss: expected y \(30, 2\)"),
            ({"sample_weight": W[:9]}, ValueError, r"^sample_weight: expected \(30,\), got"),
            ({"sample_weight": -W}, ValueError, "^sample_weight: expected finite weights of 0"),
            ({"batch_size": 0}, ValueError, "^predict: batch_size: expected 1 or more, got 0$"),
            ({"metrics": "mae"}, TypeError, "^metrics: expected a sequence of names"),
            ({"metrics": ["nothing_such"]}, ValueError, "^Metric: expected one of"),
            ({"loss_weights": (1, 2)}, ValueError, "^evaluate: expected loss_weights to be 1 num"),
            ({"loss_weights": ("a",)}, TypeError, "^evaluate: expected numbers as loss_weights"),
            ({"loss_weights": (-1,)}, ValueError, "^evaluate: expected loss_weights of 0 or more"),
        ],
    )
    def test_errors(self, options, kind, message):
        options = {"y": Y, "loss": nn.MSELoss(), **options}
        with pytest.raises(kind, match=message):
            network().evaluate(X, **options)


def test_predicting_inputs_of_unlike_length():
    net = nn.Sequential(nn.Concat(nn.Linear(3, 2), nn.Linear(2, 2)), seed=0)
    np.testing.assert_array_equal(net.predict((X, Y), batch_size=7), net((X, Y)))
    for pair in ((X, Y[:20]), (X[:20], Y)):
        for size in (None, 7):
            with pytest.raises(ValueError, match="rows"):
                net.predict(pair, batch_size=size)


class TestProbabilities:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(
        ("loss", "y", "formula"),
        [
            (nn.CrossEntropyLoss(), C, lambda a: np.exp(a) / np.exp(a).sum(1, keepdims=True)),
            (nn.BCEWithLogitsLoss(), np.eye(2)[C], lambda a: 1 / (1 + np.exp(-a))),
            (nn.NLLLoss(), C, np.exp),
            (nn.BCELoss(), np.eye(2)[C], lambda a: a),
        ],
    )
    def test_formulas(self, loss, y, formula, dtype):
        last = {nn.NLLLoss: [nn.LogSoftmax(-1)], nn.BCELoss: [nn.Sigmoid()]}.get(type(loss), [])
        net = nn.Sequential(nn.Linear(3, 2), *last, dtype=dtype, seed=0)
        fit(net, y, loss=loss)
        found = net.predict_proba(X)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, formula(net(X)), rtol=1e-6)
        np.testing.assert_array_equal(net.predict_proba(X, batch_size=4), found)
        np.testing.assert_array_equal(net.predict_proba(X[0]), found[0])
        assert net.predict_proba(np.empty((0, 3))).shape == (0, 2)

    def test_extreme_logits(self):
        for loss, y in ((nn.CrossEntropyLoss(), C), (nn.BCEWithLogitsLoss(), np.eye(2)[C])):
            net = nn.Sequential(nn.Linear(3, 2), dtype="float64", seed=0)
            fit(net, y, loss=loss)
            net.flat_parameters[:] *= 1e5
            found = net.predict_proba(X)
            assert ((found >= 0) & (found <= 1)).all()
            assert found.min() < 1e-6 < 1 - 1e-6 < found.max()

    def test_heads(self):
        net = heads()
        fit(net, (np.eye(2)[C], C), loss=(nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()))
        a, b = net.predict_proba(X)
        np.testing.assert_allclose(a, 1 / (1 + np.exp(-net(X)[0])), rtol=1e-12)
        np.testing.assert_allclose(b.sum(1), 1, rtol=1e-12)

    def test_without_a_loss_of_probabilities(self):
        net = network()
        for losses in (None, nn.MSELoss()):
            if losses:
                fit(net, loss=losses)
            with pytest.raises(RuntimeError, match=r"^predict_proba: expected a network fitted"):
                net.predict_proba(X)


class TestAccumulate:
    """k batches are one that is k times larger."""

    @pytest.mark.parametrize("k", [2, 3, 4, 100])
    @pytest.mark.parametrize("weights", [{}, {"sample_weight": W}])
    @pytest.mark.parametrize(
        ("loss", "y"),
        [
            (nn.MSELoss(), Y),
            (nn.HuberLoss(reduction="sum"), Y),
            (nn.CrossEntropyLoss(weight=[0.2, 3.0], ignore_index=1), C),
            (nn.KLDivLoss(reduction="batchmean"), np.abs(Y)),
            (Mine(), Y),
            (Mine("mean"), Y),
            (Mine("sum"), Y),
        ],
    )
    def test_it_is_a_larger_batch(self, loss, y, weights, k):
        def bits(**options):
            net = network()
            opt = optim.Adam(net.parameters(), lr=0.01)
            # 30 rows by 4 are 7 batches and a half: the last group is smaller, too.
            history = fit(net, y, loss=loss, optimizer=opt, epochs=3, **weights, **options)
            return net.flat_parameters.copy(), history

        a, ha = bits(batch_size=4, accumulate=k)
        b, hb = bits(batch_size=4 * k)
        # One batch of everything keeps the order of the rows.
        assert ha.updates == hb.updates == 3 * -(-30 // (4 * k))
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(ha["loss"], hb["loss"], rtol=1e-12)

    def test_class_weights_and_clipping(self):
        def trained(**options):
            net = network()
            opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, clip_norm=0.05)
            fit(
                net,
                C,
                loss=nn.CrossEntropyLoss(),
                optimizer=opt,
                class_weight="balanced",
                **options,
            )
            return net.flat_parameters

        found, expected = trained(batch_size=5, accumulate=3), trained(batch_size=15)
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    @pytest.mark.parametrize("loss", [nn.MSELoss(), Mine()])
    def test_heads(self, loss):
        def trained(**options):
            net = heads()
            losses = (loss, nn.CrossEntropyLoss(weight=[1.0, 5.0]))
            fit(net, (Y, C), loss=losses, loss_weights=(0.3, 2), **options)
            return net.flat_parameters

        found, expected = trained(batch_size=5, accumulate=3), trained(batch_size=15)
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    @pytest.mark.parametrize("batches", [{"batch_size": 8}, {"batch_size": 4, "accumulate": 2}])
    @pytest.mark.parametrize("weights", [{}, {"sample_weight": W}])
    def test_a_loss_written_in_python_weighs_what_it_is_given(self, weights, batches):
        a, b = network(), network()
        options = {"loss_weights": (0.25,), **weights, **batches}
        ha, hb = fit(a, loss=Mine(), **options), fit(b, loss=nn.MSELoss(), **options)
        np.testing.assert_allclose(a.flat_parameters, b.flat_parameters, rtol=1e-12)
        np.testing.assert_allclose(ha["loss"], hb["loss"], rtol=1e-12)

    def test_iterables(self):
        batches = [(X[i : i + 4], Y[i : i + 4]) for i in range(0, 30, 4)]
        larger = [(X[i : i + 12], Y[i : i + 12]) for i in range(0, 30, 12)]
        a, b = network(), network()
        ha = fit(a, None, batches, accumulate=3)
        hb = fit(b, None, larger)
        np.testing.assert_allclose(a.flat_parameters, b.flat_parameters, rtol=1e-12)
        np.testing.assert_allclose(ha["loss"], hb["loss"], rtol=1e-12)

    @pytest.mark.parametrize(
        ("bad", "kind"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (None, TypeError)]
    )
    def test_errors(self, bad, kind):
        with pytest.raises(kind, match=r"^fit: accumulate: expected"):
            fit(network(), accumulate=bad)


class TestRefusals:
    def test_metrics_need_names_of_their_own(self):
        def loss(y, outputs):
            return 0.0

        for metrics in ([loss], ["mae", "mae"], [lambda y, a: 0.0, lambda y, a: 1.0]):
            with pytest.raises(ValueError, match=r"^metrics: expected (a name|names) "):
                fit(network(), metrics=metrics)

    def test_probabilities_outlive_a_fit_that_was_refused(self):
        net = network()
        fit(net, C, loss=nn.CrossEntropyLoss())
        expected = net.predict_proba(X)
        with pytest.raises(ValueError, match=r"^MSELoss: expected y \(30, 2\)"):
            fit(net, np.zeros((30, 5)))
        np.testing.assert_array_equal(net.predict_proba(X), expected)

    def test_a_head_without_probabilities_gives_its_outputs(self):
        net = heads()
        fit(net, (Y, C), loss=(nn.MSELoss(), nn.CrossEntropyLoss()))
        outputs, probabilities = net.predict_proba(X)
        np.testing.assert_array_equal(outputs, net(X)[0])
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)

    def test_a_loss_written_in_python_of_an_unknown_reduction(self):
        message = r"^fit: expected a loss with reduction 'mean' or 'sum' to accumulate 2 batch"
        with pytest.raises(ValueError, match=message):
            fit(network(), loss=Mine("max"), accumulate=2)


def test_an_iterable_may_refill_its_arrays_while_gradients_accumulate():
    class Refilled:
        def __iter__(self):
            x, y = np.empty((10, 3)), np.empty((10, 2))
            for i in range(0, 30, 10):
                x[:], y[:] = X[i : i + 10], Y[i : i + 10]
                yield x, y

    refilled, fresh = network(), network()
    fit(refilled, None, Refilled(), accumulate=3)
    fit(fresh, accumulate=3, batch_size=10, shuffle=False)
    np.testing.assert_array_equal(refilled.flat_parameters, fresh.flat_parameters)


def test_losses_of_several_heads_in_a_list():
    losses = nn.MSELoss(), nn.CrossEntropyLoss()
    found = []
    for kind in (tuple, list):
        net, rule = heads(), dp.StopOnPlateau(1e-9, loss=kind(losses))
        history = fit(net, (Y, C), loss=kind(losses), stop=rule)
        evaluated = net.evaluate(X, (Y, C), loss=kind(losses))
        found.append((net.flat_parameters.tobytes(), history.to_dict(), evaluated))
    assert found[0] == found[1]


class TestTargetsAsTheLossTakesThem:
    NAMES = ("accuracy", "precision", "recall", "f1", "auc")

    def check(self, y, loss, same_y, same_loss, rows=slice(None), outputs=1):
        """See that metrics are those of other targets that say the same."""
        net = network(outputs)
        options = {"metrics": (*self.NAMES, "balanced_accuracy")}
        found = net.evaluate(X, y, loss=loss, sample_weight=W, **options)
        w = W[rows]
        expected = net.evaluate(X[rows], same_y[rows], loss=same_loss, sample_weight=w, **options)
        found.pop("loss"), expected.pop("loss")
        assert found == expected
        history = fit(net, y, loss=loss, validation_data=(X, y, W), epochs=1, **options)
        evaluated = net.evaluate(X, y, loss=loss, sample_weight=W, metrics=self.NAMES)
        assert all(history[f"val_{key}"][-1] == evaluated[key] for key in self.NAMES)

    def test_signs(self, peer):
        peer("sklearn.metrics")
        self.check(2 * C - 1, nn.HingeLoss(), C, nn.BCEWithLogitsLoss())
        self.check((2.0 * C - 1)[:, np.newaxis], nn.HingeLoss(), C, nn.BCEWithLogitsLoss())

    @pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
    @pytest.mark.parametrize("ignored", [-100, -1])
    def test_ignored_rows(self, ignored, kind, peer):
        peer("sklearn.metrics")
        y = RNG.choice([0, 1, 2, ignored], 30)
        self.check(y, kind(ignore_index=ignored), y, kind(), y != ignored, 3)

    def test_nothing_but_ignored_rows(self):
        y = np.full(30, -100)
        names = ["accuracy", "auc"]
        found = network().evaluate(X, y, loss=nn.CrossEntropyLoss(), metrics=names)
        assert np.isnan([found[name] for name in names]).all()

    def test_probabilities(self, peer):
        peer("sklearn.metrics")
        y = RNG.dirichlet(np.ones(3), 30)
        self.check(y, nn.CrossEntropyLoss(), y.argmax(axis=1), nn.CrossEntropyLoss(), outputs=3)

    @pytest.mark.parametrize(
        "loss", [nn.BCEWithLogitsLoss(), nn.HingeLoss(), nn.BCELoss()], ids=repr
    )
    def test_labels(self, loss, peer):
        sk = peer("sklearn.metrics")
        net, y = network(3), RNG.integers(0, 2, (30, 3))
        if isinstance(loss, nn.BCELoss):
            net = nn.Sequential(net, nn.Sigmoid(), dtype="float64")
        a = net(X)
        labels = a > (0.5 if isinstance(loss, nn.BCELoss) else 0)
        given = 2 * y - 1 if isinstance(loss, nn.HingeLoss) else y
        found = net.evaluate(X, given, loss=loss, sample_weight=W, metrics=self.NAMES)
        options = {"sample_weight": W, "average": "macro"}
        assert found["accuracy"] == pytest.approx(np.average((labels == y).mean(axis=1), weights=W))
        assert found["auc"] == pytest.approx(sk.roc_auc_score(y, a, **options))
        for name in ("precision", "recall", "f1"):
            expected = getattr(sk, f"{name}_score")(y, labels, zero_division=0, **options)
            assert found[name] == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("y", "loss", "name"),
        [
            (Y[:, 0], nn.QuantileLoss(quantiles=(0.1, 0.9)), "r2"),
            (Y, nn.MSELoss(), "accuracy"),
            (Y > 0, nn.MSELoss(), "f1"),
            (Y[:, :1] > 0, nn.CrossEntropyLoss(), "auc"),
            (Y[:, :0], nn.CrossEntropyLoss(), "auc"),
            (np.ones((30, 3), dtype=int), nn.NLLLoss(), "accuracy"),
        ],
    )
    def test_a_metric_of_other_targets_is_refused_before_the_first_update(self, y, loss, name):
        for held_out in (False, True):
            net = network()
            before = net.flat_parameters.tobytes()
            data = {"x": [(X, y)], "y": None, "validation_data": (X, y)} if held_out else {"y": y}
            with pytest.raises(ValueError, match=f"^{name}: expected .*targets "):
                fit(net, loss=loss, metrics=[name], **data)
            assert net.flat_parameters.tobytes() == before
