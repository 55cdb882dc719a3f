"""Sequential: construction, seeds, buffers and what it prints."""

import gc
import re

import numpy as np
import pytest

from deltaprop import nn
from sequential_cases import network


class TestMaking:
    """What makes a network, and what does not."""

    def test_no_layers(self):
        with pytest.raises(ValueError, match=r"^Sequential: expected one layer or more, got none$"):
            nn.Sequential()

    @pytest.mark.parametrize("bad", [3, None, "relu", [nn.ReLU()], np.zeros(3), len])
    def test_what_is_no_layer(self, bad):
        message = f"^Sequential: expected layers, got {type(bad).__name__} at 1$"
        with pytest.raises(TypeError, match=message):
            nn.Sequential(nn.Linear(1, 1), bad)

    def test_a_class_instead_of_a_layer(self):
        with pytest.raises(
            TypeError, match=r"^Sequential: expected layers, got the class ReLU at 0$"
        ):
            nn.Sequential(nn.ReLU)

    def test_widths_that_differ(self):
        message = (
            "Sequential: layer 2, Linear(4, 1), expected 4 features, got 3 from layer 1, Tanh()"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(4, 1))

    def test_a_layer_listed_twice(self):
        layer = nn.Linear(2, 2)
        message = r"^Sequential: expected each layer once, got layer 1, Linear\(2, 2\), twice$"
        with pytest.raises(ValueError, match=message):
            nn.Sequential(layer, layer)
        nn.Sequential(layer)

    def test_a_layer_with_an_owner(self):
        net = network()
        message = (
            r"^Sequential: expected layers without a network, "
            r"got layer 1, Linear\(3, 4\), of another$"
        )
        with pytest.raises(ValueError, match=message):
            nn.Sequential(nn.ReLU(), net[0])
        tanh = net[1]
        with pytest.raises(ValueError, match=r"got layer 0, Tanh\(\), of another$"):
            nn.Sequential(tanh)

    def test_a_network_that_failed_takes_no_layers(self):
        first = nn.Linear(2, 3)
        with pytest.raises(ValueError, match="expected 4 features, got 3"):
            nn.Sequential(first, nn.Linear(4, 1))
        first(np.zeros(2))
        assert len(nn.Sequential(first, nn.Linear(3, 1))) == 2

    @pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, float, np.dtype("f8")])
    def test_dtype(self, dtype):
        net = network(dtype=dtype)
        assert net.dtype == np.dtype(dtype)
        assert net(np.zeros(3)).dtype == net.dtype
        assert net.flat_parameters.dtype == net.dtype
        assert net[0].weight.dtype == net.dtype
        assert net.forward(np.zeros((2, 3))).dtype == net.dtype
        assert net.backward(np.zeros((2, 2))).dtype == net.dtype
        assert {a.dtype for a in net.activations + net.deltas} == {net.dtype}

    @pytest.mark.parametrize("dtype", ["float16", int, "complex128", "f", object, None, "nonsense"])
    def test_another_dtype(self, dtype):
        if dtype == "f":
            assert network(dtype=dtype).dtype == np.float32
            return
        message = "^Sequential: expected dtype 'float32' or 'float64', got"
        with pytest.raises(TypeError, match=message):
            network(dtype=dtype)

    @pytest.mark.parametrize("seed", [1.0, "1", True, [1]])
    def test_a_seed_that_is_no_integer(self, seed):
        message = f"^Sequential: expected an integer seed or None, got {type(seed).__name__}$"
        with pytest.raises(TypeError, match=message):
            network(seed=seed)

    @pytest.mark.parametrize("seed", [-1, 2**64])
    def test_a_seed_out_of_range(self, seed):
        message = rf"^Sequential: expected a seed from 0 to 2\*\*64 - 1, got {seed}$"
        with pytest.raises(ValueError, match=message):
            network(seed=seed)


class TestSeeds:
    """One seed, one network."""

    def test_frozen_values(self):
        # A change here changes everybody's seeded networks: say so in the changelog.
        net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, init="he_normal"), seed=0)
        assert net.flat_parameters.tolist() == [
            0.21238867938518524,
            -0.5207294225692749,
            -0.49993419647216797,
            0.23084652423858643,
            0.5017483234405518,
            -0.5734792947769165,
            0.4411858320236206,
            0.308142751455307,
            0.5525104999542236,
            1.4712088108062744,
            0.0,
        ]
        double = nn.Sequential(nn.Linear(3, 2), dtype="float64", seed=2**64 - 1)
        again = nn.Sequential(nn.Linear(3, 2), dtype="float64", seed=2**64 - 1)
        np.testing.assert_array_equal(double.flat_parameters, again.flat_parameters)

    def test_both_dtypes_start_alike(self):
        single, double = network(), network(dtype="float64")
        np.testing.assert_array_equal(
            single.flat_parameters, double.flat_parameters.astype(np.float32)
        )

    def test_seeds_differ(self):
        seeds = [0, 1, 2, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
        firsts = {network(seed=s).flat_parameters.tobytes() for s in seeds}
        assert len(firsts) == len(seeds)

    def test_layers_of_one_network_differ(self):
        net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), seed=0)
        assert not np.array_equal(net[0].weight, net[1].weight)

    def test_no_seed_is_a_new_one_that_can_be_seen(self):
        a, b = network(seed=None), network(seed=None)
        assert a.seed != b.seed
        np.testing.assert_array_equal(network(seed=a.seed).flat_parameters, a.flat_parameters)

    def test_numpy_integers(self):
        assert network(seed=np.uint64(2**64 - 1)).seed == 2**64 - 1


class TestBuffers:
    """One buffer of parameters, one of gradients, and views."""

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_the_layout(self, dtype):
        net = network(dtype=dtype)
        flat = net.flat_parameters
        assert flat.shape == (3 * 4 + 4 + 4 * 2 + 2,)
        assert flat.flags.c_contiguous
        assert flat.flags.writeable
        assert flat.ctypes.data % 64 == 0
        assert net.flat_gradients.ctypes.data % 64 == 0
        # Stored (in, out), shown (out, in).
        np.testing.assert_array_equal(flat[:12].reshape(3, 4).T, net[0].weight)
        np.testing.assert_array_equal(flat[12:16], net[0].bias)
        np.testing.assert_array_equal(flat[16:24].reshape(4, 2).T, net[2].weight)
        assert not net.flat_gradients.any()

    def test_all_views_show_the_same_memory(self):
        net = network()
        flat, grads = net.flat_parameters, net.flat_gradients
        named = {p.name: p for p in net.parameters()}
        assert list(named) == ["0.weight", "0.bias", "2.weight", "2.bias"]
        for i in (0, 2):
            assert np.shares_memory(net[i].weight, flat)
            assert np.shares_memory(net[i].grad_weight, grads)
            assert np.shares_memory(named[f"{i}.weight"].value, net[i].weight)
            assert np.shares_memory(named[f"{i}.bias"].grad, net[i].grad_bias)
        net[2].bias[:] = 5
        assert (flat[-2:] == 5).all()
        grads[-1] = 3
        assert net[2].grad_bias[1] == 3
        named["0.bias"].value = [1, 2, 3, 4]
        np.testing.assert_array_equal(net[0].bias, [1, 2, 3, 4])
        named["0.bias"].grad = 9
        assert (net[0].grad_bias == 9).all()
        assert repr(named["0.weight"]) == "Parameter('0.weight', shape=(4, 3))"

    def test_writing_changes_what_it_computes(self):
        net = network()
        net.flat_parameters[:] = 0
        net[2].bias = [1, 2]
        np.testing.assert_array_equal(net(np.ones((5, 3))), [[1, 2]] * 5)

    def test_views_keep_the_network_alive(self):
        net = network()
        net.forward(np.ones((4, 3)))
        net.backward(np.ones((4, 2)))
        views = [net.flat_parameters, net.flat_gradients, net[0].weight, net[2].grad_bias]
        views += net.activations + net.deltas + [p.value for p in net.parameters()]
        layer, parameter = net[0], net.parameters()[3]
        copies = [v.copy() for v in views]
        row = layer(np.ones(3))
        del net
        gc.collect()
        junk = [network().flat_parameters for _ in range(200)]
        for view, kept in zip(views, copies, strict=True):
            np.testing.assert_array_equal(view, kept)
        np.testing.assert_array_equal(layer(np.ones(3)), row)
        parameter.value[:] = 4
        assert len(junk) == 200

    def test_touched_layers_are_copied_and_untouched_ones_seeded(self):
        touched = nn.Linear(3, 4)
        old = touched.weight
        kept = old.copy()
        net = nn.Sequential(touched, nn.Tanh(), nn.Linear(4, 2), seed=0)
        np.testing.assert_array_equal(net[0].weight, kept)
        np.testing.assert_array_equal(net[2].weight, network()[2].weight)
        old[...] = 0
        np.testing.assert_array_equal(net[0].weight, kept)
        assert net[0] is touched
        assert np.shares_memory(touched.weight, net.flat_parameters)

    def test_a_layer_only_looked_at_counts_as_touched(self):
        layer = nn.Linear(2, 2)
        kept = layer(np.eye(2))
        np.testing.assert_array_equal(nn.Sequential(layer, seed=0)(np.eye(2)), kept)

    def test_without_parameters(self):
        net = nn.Sequential(nn.ReLU())
        assert net.flat_parameters.shape == (0,)
        assert net.flat_gradients.shape == (0,)
        assert net.parameters() == []
        assert net.state_dict() == {}
        np.testing.assert_array_equal(net([[-1, 2]]), [[0, 2]])


class TestShowing:
    """repr, summary, indexing."""

    def test_repr(self):
        assert repr(network()) == (
            "Sequential(\n  (0): Linear(3, 4)\n  (1): Tanh()\n  (2): Linear(4, 2)\n)"
        )

    def test_summary(self, capsys):
        network(dtype="float64").summary()
        assert capsys.readouterr().out == (
            "   layer         output  parameters\n"
            "-----------------------------------\n"
            "0  Linear(3, 4)  (N, 4)          16\n"
            "1  Tanh()        (N, 4)           0\n"
            "2  Linear(4, 2)  (N, 2)          10\n"
            "-----------------------------------\n"
            "26 parameters, float64, 208 bytes\n"
        )

    def test_summary_of_any_width(self, capsys):
        nn.Sequential(nn.Tanh()).summary()
        out = capsys.readouterr().out
        assert "(N, any)" in out
        assert "0 parameters, float32, 0 bytes" in out

    def test_indexing(self):
        net = network()
        assert len(net) == 3
        assert net[0] is net[-3]
        assert isinstance(net[-1], nn.Linear)
        assert [type(layer) for layer in net] == [nn.Linear, nn.Tanh, nn.Linear]
        with pytest.raises(IndexError, match="index out of range"):
            net[3]
        with pytest.raises(TypeError, match="indices must be integers"):
            net["0"]
        assert [p.name for p in net[2].parameters()] == ["weight", "bias"]

    def test_the_passes_of_one_layer(self, rng):
        net = network()
        X = rng.normal(size=(5, 3))
        a = X
        for layer in net:
            a = layer(a)
        np.testing.assert_array_equal(a, net(X))

    @pytest.mark.parametrize("name", ["dtype", "seed", "flat_parameters", "activations", "deltas"])
    def test_what_cannot_be_set(self, name):
        with pytest.raises(AttributeError, match=rf"property '{name}' .* has no setter"):
            setattr(network(), name, 1)


def test_a_slice_is_refused():
    with pytest.raises(TypeError, match=r"^Sequential: expected the number of a layer, got a sl"):
        network()[0:2]
