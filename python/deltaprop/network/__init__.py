"""Networks with `fit`, built on `nn` and `training`; public as `nn.Sequential`."""

from deltaprop.network.files import load
from deltaprop.network.sequential import Sequential

__all__ = ["Sequential", "load"]
