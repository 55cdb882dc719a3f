"""nn.init.calculate_gain."""

import math

import pytest

from deltaprop.nn import init


class TestGain:
    """`calculate_gain`."""

    GAINS = (
        ("linear", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("selu", None, 3 / 4),
        ("leaky_relu", None, math.sqrt(2 / (1 + 0.01**2))),
        ("leaky_relu", 0, math.sqrt(2)),
        ("leaky_relu", 0.3, math.sqrt(2 / 1.09)),
    )

    @pytest.mark.parametrize(("name", "param", "gain"), GAINS)
    def test_values(self, name, param, gain):
        assert init.calculate_gain(name, param) == pytest.approx(gain, rel=1e-15)

    @pytest.mark.parametrize(("name", "param", "gain"), GAINS)
    def test_pytorch(self, name, param, gain, peer):
        theirs = peer("torch").nn.init.calculate_gain(name, param)
        assert init.calculate_gain(name, param) == theirs

    def test_refused(self):
        known = "'linear', 'sigmoid', 'tanh', 'relu', 'selu', 'leaky_relu'"
        message = f"^calculate_gain: nonlinearity: expected one of {known}, got 'mish'$"
        with pytest.raises(ValueError, match=message):
            init.calculate_gain("mish")
        with pytest.raises(TypeError, match=r"^calculate_gain: nonlinearity: .*, got int$"):
            init.calculate_gain(3)
        with pytest.raises(TypeError, match=r"^calculate_gain: negative slope: .*, got True$"):
            init.calculate_gain("leaky_relu", True)
        with pytest.raises(ValueError, match=r"^calculate_gain: negative slope: .*, got nan$"):
            init.calculate_gain("leaky_relu", math.nan)
