"""Schedules that replace or contain one another."""

import numpy as np
import pytest

from deltaprop import optim
from schedule_cases import optimizer


def test_the_newest_takes_over():
    opt = optimizer()
    old = optim.LinearLR(opt, 0.1)
    new = optim.StepLR(opt, 1, 0.5)
    assert opt._schedule is new
    # The bases are those of the schedule before, not what it had written.
    assert new.last_lr == [0.05, 0.3]
    for call in (old.step, lambda: old.advance(2), lambda: old.load_state_dict(old.state_dict())):
        with pytest.raises(RuntimeError, match=r"LinearLR: .* but StepLR has taken over"):
            call()
    assert old.count == 0
    assert opt.lr == 0.05
    new.step()
    opt.param_groups[0]["lr"] = 9.0
    assert optim.ExponentialLR(opt, 1).last_lr == [9.0, 0.3]


def test_parts_of_a_sequence_are_taken_over():
    opt = optimizer()
    parts = [optim.LinearLR(opt), optim.StepLR(opt, 1)]
    sequence = optim.SequentialLR(opt, parts, [5])
    assert sequence.last_lr == pytest.approx([0.05 / 3, 0.1])
    with pytest.raises(RuntimeError, match="SequentialLR has taken over"):
        parts[1].step()


def test_sequences_nest():
    def values(nested):
        opt = optimizer()
        a, b, c = optim.LinearLR(opt), optim.StepLR(opt, 2), optim.ExponentialLR(opt, 0.9)
        if nested:
            inner = optim.SequentialLR(opt, [b, c], [6])
            return optim.SequentialLR(opt, [a, inner], [5]).table(30)["lr"]
        return optim.SequentialLR(opt, [a, b, c], [5, 11]).table(30)["lr"]

    np.testing.assert_array_equal(values(True), values(False))


def test_what_a_sequence_counts():
    def every(*parts, **more):
        opt = optimizer()
        made = [optim.StepLR(opt, 1, every=p) for p in parts]
        return optim.SequentialLR(opt, made, [1], **more).every

    assert every("step", "step") == "step"
    assert every("epoch", "epoch") == "epoch"
    assert every("epoch", "step", every="step") == "step"
    with pytest.raises(ValueError, match=r"SequentialLR: schedulers: .* that count the same"):
        every("epoch", "step")


def test_momentum_in_a_sequence_stays_while_no_part_cycles_it():
    opt = optimizer()
    cycle = optim.OneCycleLR(opt, 1.0, 20, every="epoch", base_momentum=0.5, max_momentum=0.8)
    flat = optim.ExponentialLR(opt, 1)
    momentum = optim.SequentialLR(opt, [flat, cycle, flat], [3, 9]).table(12)["momentum"]
    alone = cycle._values("momentum", np.arange(6))
    np.testing.assert_array_equal(momentum[:3], np.full((3, 2), 0.8))
    np.testing.assert_array_equal(momentum[3:9], alone)
    np.testing.assert_array_equal(momentum[9:], np.tile(alone[-1], (3, 1)))


def test_parts_must_be_schedules():
    with pytest.raises(TypeError, match=r"SequentialLR: schedulers: .* got int"):
        optim.SequentialLR(optimizer(), [1], [])
    with pytest.raises(TypeError, match=r"SequentialLR: schedulers: .* got int"):
        optim.SequentialLR(optimizer(), 1, [])
