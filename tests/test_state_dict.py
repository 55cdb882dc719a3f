"""Sequential: state_dict and load_state_dict."""

import numpy as np
import pytest

from sequential_cases import network


class TestState:
    """state_dict and load_state_dict."""

    def test_it_is_a_contiguous_copy_under_pytorchs_names(self):
        net = network()
        state = net.state_dict()
        assert {k: v.shape for k, v in state.items()} == {
            "0.weight": (4, 3),
            "0.bias": (4,),
            "2.weight": (2, 4),
            "2.bias": (2,),
        }
        for name, value in state.items():
            assert value.flags.c_contiguous, name
            assert not np.shares_memory(value, net.flat_parameters)
        np.testing.assert_array_equal(state["0.weight"], net[0].weight)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_a_round_trip(self, dtype, rng):
        a, b = network(seed=1, dtype=dtype), network(seed=2, dtype=dtype)
        b.load_state_dict(a.state_dict())
        np.testing.assert_array_equal(a.flat_parameters, b.flat_parameters)
        assert not np.shares_memory(a.flat_parameters, b.flat_parameters)
        lists = {k: v.tolist() for k, v in a.state_dict().items()}
        c = network(seed=3, dtype=dtype)
        c.load_state_dict(lists)
        np.testing.assert_array_equal(a.flat_parameters, c.flat_parameters)

    @pytest.mark.parametrize(
        ("change", "kind", "message"),
        [
            (
                lambda s: s.pop("2.bias"),
                ValueError,
                r"got missing \['2\.bias'\] and unknown \[\]$",
            ),
            (
                lambda s: s.update(extra=np.zeros(1)),
                ValueError,
                r"got missing \[\] and unknown \['extra'\]$",
            ),
            (
                lambda s: s.update({"2.bias": np.zeros(3)}),
                ValueError,
                r"^load_state_dict: expected '2\.bias' of shape \(2,\), got \(3,\)$",
            ),
            (
                lambda s: s.update({"2.bias": 0.0}),
                ValueError,
                r"^load_state_dict: expected '2\.bias' of shape \(2,\), got \(\)$",
            ),
            (
                lambda s: s.update({"2.bias": ["a", "b"]}),
                TypeError,
                r"^state_dict\['2\.bias'\]: expected real numbers, got dtype",
            ),
        ],
    )
    def test_all_or_nothing(self, change, kind, message):
        net = network()
        before = net.flat_parameters.copy()
        state = {k: v + 1 for k, v in net.state_dict().items()}
        change(state)
        with pytest.raises(kind, match=message):
            net.load_state_dict(state)
        np.testing.assert_array_equal(net.flat_parameters, before)

    def test_all_or_nothing_where_a_value_overflows(self):
        net = network()
        before = net.flat_parameters.copy()
        state = {k: v.astype(float) + 1 for k, v in net.state_dict().items()}
        state["2.weight"][0, 0] = 1e300
        with (
            np.errstate(over="raise"),
            pytest.raises((FloatingPointError, ValueError), match=r"overflow|2\.weight"),
        ):
            net.load_state_dict(state)
        np.testing.assert_array_equal(net.flat_parameters, before)

    def test_what_is_no_mapping(self):
        with pytest.raises(TypeError, match=r"^load_state_dict: expected a mapping"):
            network().load_state_dict(None)
