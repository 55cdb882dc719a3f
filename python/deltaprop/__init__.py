"""Dense neural networks from NumPy arrays, trained by the delta recursion in C++.

Examples
--------
>>> import numpy as np
>>> from deltaprop import nn, optim
>>> X = np.linspace(-1, 1, 100).reshape(-1, 1)
>>> net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1), seed=0)
>>> history = net.fit(X, X**2, loss=nn.MSELoss(), epochs=200,
...                   optimizer=optim.Adam(net.parameters(), lr=0.01))
>>> bool(history["loss"][-1] < 1e-3)
True
"""

from typing import TYPE_CHECKING

from deltaprop import _lazy, graph, nn, optim, plot
from deltaprop.config import get_num_threads, set_num_threads, show_config
from deltaprop.network import load
from deltaprop.training import (
    Callback,
    EarlyStopping,
    History,
    Metric,
    ModelCheckpoint,
    Run,
    StopOnPlateau,
)

if TYPE_CHECKING:
    from deltaprop._version import __version__
    from deltaprop.gradcheck import GradientReport, check_gradients
    from deltaprop.training.live import LiveView
    from deltaprop.training.lr_range import LRRange, lr_range_test
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "deltaprop._version": ("__version__",),
            "deltaprop.gradcheck": ("GradientReport", "check_gradients"),
            "deltaprop.training.live": ("LiveView",),
            "deltaprop.training.lr_range": ("LRRange", "lr_range_test"),
        },
    )

__all__ = [
    "Callback",
    "EarlyStopping",
    "GradientReport",
    "History",
    "LRRange",
    "LiveView",
    "Metric",
    "ModelCheckpoint",
    "Run",
    "StopOnPlateau",
    "__version__",
    "check_gradients",
    "get_num_threads",
    "graph",
    "load",
    "lr_range_test",
    "nn",
    "optim",
    "plot",
    "set_num_threads",
    "show_config",
]
