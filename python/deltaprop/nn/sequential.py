"""Pickles written before `deltaprop.network` existed name `Sequential` as an attribute of this."""

from deltaprop import _lazy

__getattr__, __dir__ = _lazy.names(__name__, {"deltaprop.network": ("Sequential",)})
