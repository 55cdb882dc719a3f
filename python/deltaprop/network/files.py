"""Loading networks from files."""

import os

from deltaprop._files import read_file
from deltaprop.network.architecture import restore
from deltaprop.network.sequential import Sequential

_DESCRIPTION = {
    "architecture",
    "dtype",
    "seed",
    "epochs",
    "passes",
    "frozen",
    "links",
    "state",
}


def load(path: str | os.PathLike[str]) -> Sequential:
    """Load a network from a file written by `Sequential.save` or `ModelCheckpoint`.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Sequential
        With the same parameters, running statistics, frozen layers, dtype, seed and counters.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file does not contain a network.

    Examples
    --------
    >>> import deltaprop as dp, os, tempfile
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.dp")
    ...     net.save(path)
    ...     twin = dp.load(path)
    >>> bool((twin([1.0, 2.0]) == net([1.0, 2.0])).all())
    True
    """
    content = read_file(path).get("network")
    if not isinstance(content, dict) or not content.keys() >= _DESCRIPTION:
        raise ValueError(f"load: expected a file with a network, got {path!s}")
    net = restore(content["architecture"], dtype=content["dtype"], seed=content["seed"])
    assert isinstance(net, Sequential)
    net._restore(content)
    return net
