"""Copies, pickles and files of expressions."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from deltaprop import nn
from expression_cases import doubled, each_dtype


def squared(a, y):
    """Of a module, so that pickle finds it."""
    return (a - y) ** 2


def test_copies_of_losses():
    loss = nn.ExpressionLoss(squared, reduction="sum")
    for twin in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin == loss
        assert hash(twin) == hash(loss)
        assert twin.function is squared
        assert twin([[1.0, 2.0]], [[0, 0]]) == 5
    assert repr(loss) == "ExpressionLoss(squared, reduction='sum')"
    assert loss != nn.ExpressionLoss(squared)
    assert loss != nn.ExpressionLoss(doubled, reduction="sum")
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(nn.ExpressionLoss(lambda a, y: a - y))
    assert copy.deepcopy(nn.ExpressionLoss(lambda a, y: a - y))([3.0], [1.0]) == 2
    with pytest.raises(AttributeError):
        loss.function = doubled


@each_dtype
def test_copies_of_networks_with_such_a_layer(dtype):
    layer = nn.ExpressionLayer(doubled)
    net = nn.Sequential(nn.Linear(3, 4), layer, dtype=dtype, seed=0)
    X = np.random.default_rng(0).normal(size=(5, 3))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(twin(X), net(X))
        assert twin[1].function is doubled
    assert repr(layer) == "ExpressionLayer(doubled)"
    with pytest.raises(AttributeError, match="expected a new layer for another function"):
        layer.function = squared
    lost = nn.Sequential(nn.Linear(3, 4), nn.ExpressionLayer(lambda x: x * 3))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(lost)
    np.testing.assert_array_equal(copy.deepcopy(lost)(X), lost(X))


def test_a_file_takes_no_function(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), nn.ExpressionLayer(doubled))
    text = (
        r"save: expected built-in layers, got ExpressionLayer\(doubled\); keep the state_dict\(\)"
    )
    with pytest.raises(TypeError, match=text):
        net.save(tmp_path / "net.dp")
    assert not any(tmp_path.iterdir())
    twin = nn.Sequential(nn.Linear(3, 4), nn.ExpressionLayer(doubled))
    twin.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(twin(np.ones((2, 3))), net(np.ones((2, 3))))


def test_what_holds_a_loss_of_its_own_method_is_let_go():
    class Study:
        def __init__(self):
            self.loss = nn.ExpressionLoss(self.error)
            self.layer = nn.ExpressionLayer(self.twice)
            self.net = nn.Sequential(nn.Linear(4, 4), self.layer)

        def error(self, a, y):
            return (a - y) ** 2

        def twice(self, x):
            return 2 * x

    study = Study()
    assert study.loss(study.net(np.zeros((3, 4))), np.zeros((3, 4))) >= 0
    gone = weakref.ref(study)
    del study
    gc.collect()
    assert gone() is None
