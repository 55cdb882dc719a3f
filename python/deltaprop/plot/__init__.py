"""Plots of networks and their training, with matplotlib.

Every function draws on the Axes passed as ``ax=``, or on new Axes in a new figure, and returns the
Axes; none shows or saves a figure. matplotlib is optional and imported on the first call of a
function: ``pip install "deltaprop[plot]"``.

The colours are safe for colour-blind readers: those of Okabe and Ito, "Color universal design"
(2008), and matplotlib's viridis for magnitudes and RdBu for signed values.
"""

from typing import TYPE_CHECKING

from deltaprop import _lazy

if TYPE_CHECKING:
    from deltaprop.plot.checks import confusion, gradient_check
    from deltaprop.plot.curves import fit_1d, history
    from deltaprop.plot.diagram import network
    from deltaprop.plot.heat import activations, deltas
    from deltaprop.plot.paths import descent_1d, descent_contour, descent_surface
    from deltaprop.plot.regions import decision_boundary
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "deltaprop.plot.checks": ("confusion", "gradient_check"),
            "deltaprop.plot.curves": ("fit_1d", "history"),
            "deltaprop.plot.diagram": ("network",),
            "deltaprop.plot.heat": ("activations", "deltas"),
            "deltaprop.plot.paths": ("descent_1d", "descent_contour", "descent_surface"),
            "deltaprop.plot.regions": ("decision_boundary",),
        },
    )

__all__ = [
    "activations",
    "confusion",
    "decision_boundary",
    "deltas",
    "descent_1d",
    "descent_contour",
    "descent_surface",
    "fit_1d",
    "gradient_check",
    "history",
    "network",
]
