"""Checkpoints: saving a run of `fit` and resuming from it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from deltaprop._files import read_file, write_file
from deltaprop.training.history import History
from deltaprop.training.run import Run


def save_checkpoint(path: str | os.PathLike[str], run: Run) -> None:
    """Write everything that `fit` needs to resume."""
    history = run.history
    write_file(
        path,
        {
            "network": run.network._description(),
            "training": {
                "settings": run._settings,
                "data": run._digests(),
                "optimizer": run.optimizer.state_dict(),
                "callbacks": [[_kind(c), c.state_dict()] for c in run._callbacks],
                "history": {key: np.array(history[key]) for key in history},
                "updates": history.updates,
                "stop_losses": np.array(history.stop_losses),
            },
        },
    )


@contextmanager
def resumed(path: str | os.PathLike[str], run: Run) -> Iterator[None]:
    """Restore network, optimizer, schedule, callbacks and history from a checkpoint.

    An exception in the ``with`` block before the first update reverts the restoration.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, or its settings or data differ.
    """
    content = read_file(path)
    training = content.get("training")
    if training is None:
        raise ValueError(f"fit: expected resume to be a checkpoint of a fit, got {path!s}")
    saved, own = training["settings"], run._settings
    for name in own:
        if saved.get(name) != own[name]:
            raise ValueError(
                f"fit: expected the settings of the checkpoint, {name} = {saved.get(name)!r}, "
                f"got {own[name]!r}"
            )
    network = run.network
    network._check_alike(content["network"])
    if len(training["callbacks"]) != len(run._callbacks):
        raise ValueError(
            f"fit: expected {len(training['callbacks'])} callbacks, as the checkpoint has, "
            f"got {len(run._callbacks)}"
        )
    for callback, (kind, state) in zip(run._callbacks, training["callbacks"], strict=True):
        if callback.state_dict().keys() != state.keys() and callback.state_dict():
            raise ValueError(
                f"fit: expected {kind} as the checkpoint has it, got {_kind(callback)} in its place"
            )
    for name, digest in run._digests().items():
        if training["data"].get(name) != digest:
            raise ValueError(f"fit: expected the {name} of the checkpoint, got another")
    own_network, own_optimizer = network._description(), run.optimizer.state_dict()
    own_schedule = run.optimizer._schedule
    own_states = [callback.state_dict() for callback in run._callbacks]
    try:
        run.optimizer.load_state_dict(training["optimizer"])
        network._restore(content["network"])
        for callback, (_, state) in zip(run._callbacks, training["callbacks"], strict=True):
            callback.load_state_dict(state)
        _restore_history(training, run)
        del content, training
        yield
    except BaseException:
        if not run._begun:
            run.optimizer._schedule = own_schedule
            run.optimizer.load_state_dict(own_optimizer)
            network._restore(own_network)
            for callback, own_state in zip(run._callbacks, own_states, strict=True):
                callback.load_state_dict(own_state)
        raise


def _restore_history(training: dict[str, Any], run: Run) -> None:
    run.history = History()
    run.history._extend(training["history"])
    run.history.epochs = len(run.history["loss"])
    run.epoch = run.history.epochs - 1
    run.history.updates = training["updates"]
    run.history.stop_losses = training["stop_losses"]
    run.step = training["updates"]


def _kind(callback: object) -> str:
    return type(callback).__name__
