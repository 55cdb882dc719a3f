"""Pictures of networks and of their training, for matplotlib.

Every function takes an Axes by ``ax=``, or makes a figure of its own, and returns the Axes; none of
them shows a figure or saves it. matplotlib is the extra ``plot``, imported when a function is first
called: ``pip install "deltaprop[plot]"``.

The colours can be told apart by the colour-blind: Okabe and Ito, "Color universal design" (2008);
matplotlib's viridis for sizes, and its RdBu around 0 for what has a sign.
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
