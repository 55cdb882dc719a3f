"""The update rules."""

from collections.abc import Iterable
from typing import Any, ClassVar

from deltaprop.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, as ``torch.optim.SGD``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-3
        Learning rate, 0 or more.
    momentum : float, default 0
    dampening : float, default 0
    weight_decay : float, default 0
        Added to the gradient, times the parameter.
    nesterov : bool, default False
        Needs momentum above 0 and dampening 0.

    Raises
    ------
    ValueError
        For an option out of range, a parameter listed twice or of another network.
    TypeError
        For what are not parameters.

    Notes
    -----
    g <- g + weight_decay p; b <- momentum b + (1 - dampening) g, the first b being g;
    p <- p - lr b, or with `nesterov` p <- p - lr (g + momentum b). Sutskever et al., "On the
    importance of initialization and momentum in deep learning" (2013), in PyTorch's form.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": bool(nesterov),
            },
        )


class Adam(Optimizer):
    """Adam, as ``torch.optim.Adam``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-3
        Learning rate, 0 or more.
    betas : (float, float), default (0.9, 0.999)
        Decay of the running means of the gradient and of its square, each in [0, 1).
    eps : float, default 1e-8
        Added to the root of the corrected second moment.
    weight_decay : float, default 0
        Added to the gradient, times the parameter.

    Raises
    ------
    ValueError
        For an option out of range, a parameter listed twice or of another network.
    TypeError
        For what are not parameters.

    Notes
    -----
    m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    p <- p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps). Kingma and Ba, "Adam: a method
    for stochastic optimization" (2015), algorithm 1.
    """

    _tuples: ClassVar[dict[str, int]] = {"betas": 2}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )
