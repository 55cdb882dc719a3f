"""What containers refuse."""

import numpy as np
import pytest

from container_cases import MSE, mse_fit, tree, tree_data
from deltaprop import nn

X, Y = tree_data()
L = nn.Linear
ERRORS = {
    "inner width": (
        lambda: nn.Sequential(L(2, 3), nn.Sequential(L(4, 5))),
        r"^Sequential: layer 1, Linear\(4, 5\), expected 4 features, got 3 from layer 0, Linear\(2",
    ),
    "branch width": (
        lambda: nn.Sequential(L(2, 3), nn.Concat(L(3, 1), L(4, 5))),
        r"^Sequential: layer 1, Linear\(4, 5\), expected 4 features, got 3 from layer 0",
    ),
    "after heads": (
        lambda: nn.Sequential(nn.Heads(L(2, 2), L(2, 2)), nn.Concat(L(3, 2), L(2, 2))),
        r"^Linear\(3, 2\): expected 3 features, got 2$",
    ),
    "heads to a layer": (
        lambda: nn.Sequential(nn.Heads(L(2, 2), L(2, 2)), L(2, 2)),
        r"^Linear\(2, 2\): expected one input, got 2$",
    ),
    "heads to fewer branches": (
        lambda: nn.Sequential(nn.Heads(L(2, 2), L(2, 2)), nn.Concat(L(2, 2), L(2, 2), L(2, 2))),
        r"^Concat: expected 3 inputs, a branch each, got 2$",
    ),
    "residual of another width": (
        lambda: nn.Sequential(L(2, 3), nn.Residual(L(3, 4))),
        r"^Residual: expected as many outputs as inputs, got 3 inputs and 4 outputs$",
    ),
    "residual of heads": (
        lambda: nn.Residual(nn.Heads(L(2, 2), L(2, 2))),
        r"^Residual: expected one output to add to, got several$",
    ),
    "branch of several outputs": (
        lambda: nn.Concat(nn.Heads(L(2, 3), L(2, 3)), L(2, 2)),
        r"^Concat: expected branches of one output each, got 2 from branch 0$",
    ),
    "no layers": (nn.Sequential, r"^Sequential: expected one layer or more, got none$"),
    "no branches": (nn.Concat, r"^Concat: expected one layer or more, got none$"),
    "no heads": (nn.Heads, r"^Heads: expected one layer or more, got none$"),
    "one head": (
        lambda: nn.Heads(L(2, 2)),
        r"^Heads: expected two branches or more, got 1$",
    ),
    "nothing to add to": (
        nn.Residual,
        r"^Residual: expected one layer or more, got none",
    ),
    "inputs": (
        lambda: tree()((X[0], X[1], X[1])),
        r"^Concat: expected one input or a tuple of 2, ",
    ),
    "input width": (
        lambda: tree()((X[0], X[0])),
        r"^Linear\(2, 3\): expected input \(N, 2\), got \(7, 4\)$",
    ),
    "one input for two": (
        lambda: tree()(X[0]),
        r"^Linear\(2, 3\): expected input \(N, 2\), got \(7, 4\)$",
    ),
    "rows": (
        lambda: tree()((X[0], X[1][:3])),
        r"^Concat: expected inputs of as many rows, got \(7, 4\) and \(3, 2\)$",
    ),
    "one row and several": (
        lambda: tree()((X[0], X[1][0])),
        r"^Concat: expected inputs of as many rows, got \(7, 4\) and \(2,\)$",
    ),
    "empty tuple": (lambda: tree()(()), r"^x: expected one array or more, got an empty tuple$"),
    "deltas": (
        lambda: (net := tree(), net.forward(X), net.backward(Y[0])),
        r"^backward: expected 2 deltas, one for each output, got 1$",
    ),
    "delta": (
        lambda: (net := tree(), net.forward(X), net.backward((Y[0], Y[0]))),
        r"^backward: expected delta \(7, 2\), the shape of the output, got \(7, 1\)$",
    ),
    "y": (lambda: mse_fit(tree(), X, Y[0]), r"^y: expected a tuple of 2, one for each loss, got n"),
    "ys": (
        lambda: mse_fit(tree(), X, Y[:1]),
        r"^y: expected a tuple of 2, one for each loss, got 1",
    ),
    "y's rows": (
        lambda: mse_fit(tree(), X, (Y[0], Y[1][:3])),
        r"^y: expected 7 rows, as X has, got",
    ),
    "no losses": (lambda: mse_fit(tree(), X, Y, ()), r"^fit: expected one loss or more, got an e"),
    "a loss for two": (
        lambda: mse_fit(tree(), X, Y, MSE),
        r"^fit: expected a tuple of losses, one",
    ),
    "losses for one": (
        lambda: mse_fit(nn.Sequential(L(4, 1)), X[0], (Y[0], Y[0])),
        r"expected .*loss",
    ),
    "too few weights": (
        lambda: mse_fit(tree(), X, Y, loss_weights=(1,)),
        r"^fit: expected loss_weights to be 2 numbers, one for each loss, got \(1,\)$",
    ),
    "negative weight": (
        lambda: mse_fit(tree(), X, Y, loss_weights=(1, -1)),
        r"^fit: expected loss_weights of 0 or more, got \(1, -1\)$",
    ),
    "X's rows": (lambda: mse_fit(tree(), (X[0], X[1][:3]), Y), r"expected .* rows"),
}


class TestErrors:
    @pytest.mark.parametrize("case", ERRORS)
    def test_values(self, case):
        use, message = ERRORS[case]
        with pytest.raises(ValueError, match=message) as found:
            use()
        assert "\n" not in str(found.value)

    def test_kinds(self):
        with pytest.raises(
            TypeError, match=r"^Concat: expected layers, got the class Linear at 1$"
        ):
            nn.Concat(L(2, 2), nn.Linear)
        with pytest.raises(TypeError, match=r"^Heads: expected layers, got list at 0$"):
            nn.Heads([L(2, 2)])
        with pytest.raises(TypeError, match="expected numbers as loss_weights"):
            mse_fit(tree(), X, Y, loss_weights=("a", 1))
        with pytest.raises(TypeError, match=r"^x\[1\]: expected real numbers, got dtype <U1$"):
            tree()((X[0], [["a", "b"]]))

    def test_a_layer_twice(self):
        layer = L(2, 2)
        with pytest.raises(
            ValueError, match=r"each layer once, got layer 1, Linear\(2, 2\), twice$"
        ):
            nn.Sequential(layer, layer)
        with pytest.raises(ValueError, match=r"got layer 1, Residual, twice$"):
            nn.Sequential(layer, nn.Residual(layer))
        inner = nn.Sequential(L(2, 2))
        with pytest.raises(ValueError, match=r"got layer 1, Sequential, twice$"):
            nn.Concat(inner, inner)

    def test_a_module_of_another_network(self):
        layer = L(2, 2)
        residual = nn.Residual(layer)
        net = nn.Sequential(residual)
        for part in (layer, residual):
            with pytest.raises(ValueError, match=r"expected layers without a network, got layer 0"):
                nn.Sequential(part)
        nn.Sequential(net)
        with pytest.raises(ValueError, match=r"layer 0, Sequential, of another$"):
            nn.Sequential(net)

    def test_a_layer_that_left_for_another_network(self):
        layer = L(2, 2)
        residual = nn.Residual(layer)
        net = nn.Sequential(layer, L(2, 3))
        x = np.ones((1, 2))
        with pytest.raises(
            ValueError, match=r"^Residual: .*Linear\(2, 2\), which has joined anoth"
        ):
            residual(x)
        with pytest.raises(ValueError, match=r"got layer 0, Linear\(2, 2\), of another$"):
            nn.Concat(residual)
        net.forward(x)
        assert net.activations[1].shape == (1, 3)
