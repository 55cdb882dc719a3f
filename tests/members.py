"""What the tests of the families know of their members."""

import inspect
import re


def in_torch(kind):
    """Return whether PyTorch has a class of this name, which the docstring then names."""
    return bool(re.search(rf"torch[.\w]*\.{kind.__name__}\b", inspect.getdoc(kind)))
