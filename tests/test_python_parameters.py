"""Parameters of layers written in Python."""

import gc
import weakref

import numpy as np
import pytest

from deltaprop import nn
from processes import alone
from python_modules import Scale, Through, network


class TestParameters:
    """self.parameter(name, array)."""

    def test_they_are_views_of_the_flat_buffers(self):
        layer = Scale()
        np.testing.assert_allclose(layer.factor, np.linspace(1, 2, 4))
        net = network(layer)
        names = [p.name for p in net.parameters()]
        assert names == ["0.weight", "0.bias", "1.factor", "2.weight", "2.bias"]
        assert np.shares_memory(layer.factor, net.flat_parameters)
        assert np.shares_memory(layer.grad_factor, net.flat_gradients)
        np.testing.assert_allclose(layer.factor, np.linspace(1, 2, 4))
        layer.factor = 3
        assert (net.flat_parameters == 3).sum() == 4
        layer.grad_factor += 1
        assert net.flat_gradients.sum() == 4
        assert net.state_dict()["1.factor"].shape == (4,)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_they_and_the_arrays_have_the_networks_dtype(self, dtype):
        seen = []

        def note(array, training=None):
            seen.append(array.dtype)
            return array

        layer = Scale()
        net = network(layer, Through(note, note), dtype=dtype)
        assert layer.factor.dtype == layer.grad_factor.dtype == net.dtype
        net.forward(np.zeros((2, 3)))
        net.backward(np.zeros((2, 2)))
        net(np.zeros(3))
        assert seen == [net.dtype] * 3

    @pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 3, 4), (0,), (3, 0)])
    def test_shapes(self, shape):
        class Layer(Through):
            def __init__(self):
                super().__init__()
                self.parameter("p", np.full(shape, 5.0))

        net = nn.Sequential(Layer(), nn.Linear(2, 2))
        assert net[0].p.shape == net[0].grad_p.shape == shape
        assert (net[0].p == 5).all()
        assert net.state_dict()["0.p"].shape == shape

    @pytest.mark.parametrize("last", [True, False])
    def test_one_without_elements_can_be_trained(self, last):
        # Once an index out of range in the update: a crash.
        out = alone(f"""
class Layer(nn.Layer):
    def __init__(self): self.parameter("p", np.zeros(0))
    def forward(self, x, training): return x
    def backward(self, delta): return delta
layers = [nn.Linear(2, 2), Layer()]
net = nn.Sequential(*(layers if {last} else layers[::-1]))
x = np.ones((20, 2))
h = net.fit(x, x, loss=nn.MSELoss(), optimizer=optim.Adam(net.parameters(), lr=0.1), epochs=50)
assert h["loss"][-1] < h["loss"][0] / 2
net.forward(x); net.backward(x)
assert dp.check_gradients(net, nn.MSELoss(), x[:2], x[:2]).ok
print("fine")
""")
        assert out == "fine\n"

    @pytest.mark.parametrize("name", ["", "a b", "1a", "a.b", "forward", "in_features", "factor"])
    def test_names_that_are_refused(self, name):
        layer = Scale()
        with pytest.raises(ValueError, match=f"^Scale: expected a new name, got {name!r}$"):
            layer.parameter(name, 0.0)

    def test_a_name_that_another_attribute_has(self):
        class Layer(Through):
            def __init__(self):
                super().__init__()
                self.gain = 1.0
                self.parameter("gain", 7.0)

        try:
            layer = Layer()
        except ValueError as error:
            assert "gain" in str(error)  # noqa: PT017  (either is right)
        else:
            assert layer.gain == 7

    @pytest.mark.parametrize("names", [("a", "grad_a"), ("grad_a", "a")])
    def test_a_name_that_a_gradient_has(self, names):
        class Layer(Through):
            def __init__(self):
                super().__init__()
                for i, name in enumerate(names):
                    self.parameter(name, float(i))

        with pytest.raises(ValueError, match=r"^Layer: expected a new name, got"):
            Layer()

    def test_values_that_are_no_numbers(self):
        with pytest.raises(TypeError, match=r"^p: expected real numbers, got dtype complex128$"):
            Through().parameter("p", 1j)

    def test_not_after_joining_a_network(self):
        net = network(Scale())
        message = r"^Scale\(\): expected parameters to be declared before it joins a network$"
        with pytest.raises(ValueError, match=message):
            net[1].parameter("more", 1.0)

    def test_after_use_alone(self):
        layer = Scale(2)
        layer.factor = [5, 6]
        layer.parameter("more", 1.0)
        assert [p.name for p in layer.parameters()] == ["factor", "more"]
        np.testing.assert_array_equal(layer.factor, [5, 6])

    def test_the_initial_array_is_copied(self):
        class Layer(Through):
            def __init__(self, array):
                super().__init__()
                self.parameter("p", array)

        array = np.ones(3)
        layer = Layer(array)
        array[:] = 9
        assert (layer.p == 1).all()
        layer.p = 2
        assert (array == 9).all()

    def test_freed_with_its_network(self):
        layer = Scale()
        net = network(layer)
        layer.owner = net  # a cycle through the core
        ends = [weakref.ref(net), weakref.ref(layer)]
        del net, layer
        gc.collect()
        assert [end() for end in ends] == [None, None]
