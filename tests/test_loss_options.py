"""Every loss: options and copies."""

import copy
import pickle
import re

import numpy as np
import pytest

from deltaprop import _core, nn
from loss_cases import CASES, MEMBERS, each_case, each_member

BAD_OPTIONS = [
    ("SmoothL1Loss", {"beta": -1}, ValueError, "expected a finite beta of 0 or more, got -1"),
    ("SmoothL1Loss", {"beta": "a"}, TypeError, "expected a number as beta, got 'a'"),
    ("HuberLoss", {"delta": 0}, ValueError, "expected a finite delta above 0, got 0"),
    ("HuberLoss", {"delta": np.nan}, ValueError, "expected a finite delta above 0, got nan"),
    ("HuberLoss", {"delta": 10**400}, ValueError, "expected a finite delta above 0, got 1000"),
    ("HuberLoss", {"delta": None}, TypeError, "expected a number as delta, got None"),
    (
        "CrossEntropyLoss",
        {"label_smoothing": 1.1},
        ValueError,
        "label_smoothing from 0 to 1, got 1",
    ),
    ("CrossEntropyLoss", {"weight": [1, -1]}, ValueError, "numbers of 0 or more, got -1.0 at 1"),
    ("CrossEntropyLoss", {"weight": [1, np.inf]}, ValueError, "numbers of 0 or more, got inf"),
    ("CrossEntropyLoss", {"weight": [[1]]}, ValueError, r"expected one number or more in a row"),
    ("CrossEntropyLoss", {"weight": "a"}, TypeError, "weight: expected real numbers"),
    ("CrossEntropyLoss", {"ignore_index": 1.0}, TypeError, "an integer as ignore_index, got 1.0"),
    ("NLLLoss", {"ignore_index": 2**63}, ValueError, "an ignore_index that fits 64 bits"),
    ("NLLLoss", {"weight": []}, ValueError, "expected one number or more in a row"),
    ("BCEWithLogitsLoss", {"pos_weight": -1}, ValueError, "pos_weight of 0 or more, got -1"),
    ("BCEWithLogitsLoss", {"pos_weight": [np.nan]}, ValueError, "pos_weight: expected finite"),
    ("BCEWithLogitsLoss", {"pos_weight": "a"}, TypeError, "expected a number as pos_weight"),
    (
        "PoissonNLLLoss",
        {"log_input": 1},
        TypeError,
        "expected log_input to be True or False, got 1",
    ),
    ("PoissonNLLLoss", {"full": None}, TypeError, "expected full to be True or False, got None"),
    ("PoissonNLLLoss", {"eps": -1}, ValueError, "expected a finite eps of 0 or more, got -1"),
    ("GaussianNLLLoss", {"eps": 0}, ValueError, "expected a finite eps above 0, got 0"),
    ("GaussianNLLLoss", {"full": "no"}, TypeError, "expected full to be True or False, got 'no'"),
    ("KLDivLoss", {"log_target": 0}, TypeError, "expected log_target to be True or False, got 0"),
    ("QuantileLoss", {"quantiles": [0.5, 1]}, ValueError, "above 0 and below 1, got 1.0 at 1"),
    ("QuantileLoss", {"quantiles": []}, ValueError, "expected one number or more in a row"),
    ("QuantileLoss", {"quantiles": 0.5}, ValueError, "expected one number or more in a row"),
]


class TestMaking:
    """Options, copies."""

    @pytest.mark.parametrize(("name", "options", "error", "text"), BAD_OPTIONS)
    def test_options_that_are_refused(self, name, options, error, text):
        with pytest.raises(error, match=rf"^{name}: .*{re.escape(text)}"):
            MEMBERS[name](**options)

    def test_every_option_is_refused_in_some_case(self):
        known = {(c.name, option) for c in CASES for option in c.options}
        assert known <= {(n, o) for n, options, _, _ in BAD_OPTIONS for o in options}

    @each_member
    def test_reductions(self, name):
        for bad in ("average", "batchmean"):
            if (name, bad) != ("KLDivLoss", "batchmean"):
                with pytest.raises(
                    ValueError, match=f"^reduction: expected 'mean', .* got '{bad}'$"
                ):
                    MEMBERS[name](reduction=bad)
        with pytest.raises(TypeError, match=f"^{name}: reduction: expected a name, got int$"):
            MEMBERS[name](reduction=3)
        for bad in (np.nan, "a"):
            with pytest.raises((ValueError, TypeError), match=f"^{name}: .* factor, got"):
                MEMBERS[name](factor=bad)

    @each_case
    def test_copies(self, case):
        a, y = case.data()
        loss = case.loss("none", factor=2)
        copies = [pickle.loads(pickle.dumps(loss, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
        rebuilt = eval(repr(loss), vars(nn))
        for other in (*copies, copy.copy(loss), copy.deepcopy(loss), rebuilt):
            assert other == loss
            assert hash(other) == hash(loss)
            assert repr(other) == repr(loss)
            np.testing.assert_array_equal(other(a, y), loss(a, y))

    def test_options_cannot_change_behind_its_back(self):
        weight = np.array([1.0, 2.0])
        loss = nn.CrossEntropyLoss(weight=weight)
        weight[:] = np.nan
        assert loss.weight == (1.0, 2.0)
        with pytest.raises(AttributeError):
            loss.weight = weight

    def test_the_core_knows_no_other_name(self):
        with pytest.raises(ValueError, match=r"^Loss: expected a known name, got 'L0Loss'$"):
            _core.NamedLoss("L0Loss", "mean", 1.0)

    def test_the_core_takes_the_options_that_it_describes(self):
        with pytest.raises(ValueError, match=r"^QuantileLoss: expected a number for each output"):
            _core.NamedLoss("QuantileLoss", "mean", 1.0)
        with pytest.raises(ValueError, match=r"^HuberLoss: expected 1 options, got 2$"):
            _core.NamedLoss("HuberLoss", "mean", 1.0, [1.0, 2.0])
