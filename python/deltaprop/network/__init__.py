"""Networks that are trained: `nn` exposes `Sequential`, which stands on `training`."""

from deltaprop.network.files import load
from deltaprop.network.sequential import Sequential

__all__ = ["Sequential", "load"]
