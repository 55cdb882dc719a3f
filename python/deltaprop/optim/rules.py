"""The update rules."""

from collections.abc import Iterable
from typing import Any, Unpack

from deltaprop.optim.optimizer import CommonOptions, Optimizer

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
]


class SGD(Optimizer):
    """Stochastic gradient descent, as ``torch.optim.SGD``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-3
        Learning rate, 0 or more.
    momentum : float, default 0.0
    dampening : float, default 0.0
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    nesterov : bool, default False
        Needs momentum above 0 and dampening 0.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: g <- g + weight_decay p; b <- momentum b + (1 - dampening) g, the first b being g; p <-
    p - lr b, or with `nesterov` p <- p - lr (g + momentum b).
    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning"
    (2013), in the form of ``torch.optim.SGD``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


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
        Added to the root of the corrected second moment, 0 or more.
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    amsgrad : bool, default False
        Use the largest second moment so far in the place of the present one.
    decoupled_weight_decay : bool, default False
        Take `lr weight_decay` times the parameter from it instead, as `AdamW`.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2; p <- p - lr / (1 -
    beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps).
    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1;
    `amsgrad`: Reddi et al., "On the convergence of Adam and beyond" (2018), algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class AdamW(Adam):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-3
        Learning rate, 0 or more.
    betas : (float, float), default (0.9, 0.999)
        Decay of the running means of the gradient and of its square, each in [0, 1).
    eps : float, default 1e-8
        Added to the root of the corrected second moment, 0 or more.
    weight_decay : float, default 1e-2
        The parameter loses `lr weight_decay` times itself.
    amsgrad : bool, default False
        Use the largest second moment so far in the place of the present one.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: p <- (1 - lr weight_decay) p, then as `Adam` without weight decay.
    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2, in
    the form of ``torch.optim.AdamW``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        Optimizer.__init__(self, params, self._options(locals()), **kwargs)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, as ``torch.optim.NAdam``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 2e-3
        Learning rate, 0 or more.
    betas : (float, float), default (0.9, 0.999)
        Decay of the running means of the gradient and of its square, each in [0, 1).
    eps : float, default 1e-8
        Added to the root of the corrected second moment, 0 or more.
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    momentum_decay : float, default 4e-3
        How fast the momentum grows to beta1, 0 or more.
    decoupled_weight_decay : bool, default False
        Take `lr weight_decay` times the parameter from it instead, as `AdamW`.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2); P_t = mu_1 ... mu_t; m and v as in
    `Adam`; p <- p - lr ((1 - mu_t) / (1 - P_t) g + mu_(t+1) / (1 - P_(t+1)) m) / (sqrt(v / (1 -
    beta2^t)) + eps).
    Source: Dozat, "Incorporating Nesterov momentum into Adam" (2016), algorithm 2, in the form of
    ``torch.optim.NAdam``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class RAdam(Optimizer):
    """Rectified Adam, as ``torch.optim.RAdam``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-3
        Learning rate, 0 or more.
    betas : (float, float), default (0.9, 0.999)
        Decay of the running means of the gradient and of its square, each in [0, 1).
    eps : float, default 1e-8
        Added to the root of the second moment, 0 or more.
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    decoupled_weight_decay : bool, default False
        Take `lr weight_decay` times the parameter from it instead, as `AdamW`.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: rho_inf = 2 / (1 - beta2) - 1; rho = rho_inf - 2 t beta2^t / (1 - beta2^t); m and v as
    in `Adam`; where rho > 5, p <- p - lr r / (1 - beta1^t) sqrt(1 - beta2^t) m / (sqrt(v) + eps)
    with r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)), else p <- p - lr
    / (1 - beta1^t) m.
    Source: Liu et al., "On the variance of the adaptive learning rate and beyond" (2020), algorithm
    2, in the form of ``torch.optim.RAdam``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class Adamax(Optimizer):
    """Adam in the infinity norm, as ``torch.optim.Adamax``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 2e-3
        Learning rate, 0 or more.
    betas : (float, float), default (0.9, 0.999)
        Decay of the running mean of the gradient and of its largest size, each in [0, 1).
    eps : float, default 1e-8
        Added to the size of the gradient, 0 or more.
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: m <- beta1 m + (1 - beta1) g; u <- max(beta2 u, abs(g) + eps); p <- p - lr / (1 -
    beta1^t) m / u.
    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 2, in the
    form of ``torch.optim.Adamax``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class Adagrad(Optimizer):
    """Adagrad, as ``torch.optim.Adagrad``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-2
        Learning rate, 0 or more.
    lr_decay : float, default 0.0
        0 or more.
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    initial_accumulator_value : float, default 0.0
        What the sum of squares begins with, 0 or more.
    eps : float, default 1e-10
        Added to the root of the sum, 0 or more.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: s <- s + g^2; p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).
    Source: Duchi et al., "Adaptive subgradient methods for online learning and stochastic
    optimization" (2011), in the form of ``torch.optim.Adagrad``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class Adadelta(Optimizer):
    """Adadelta, as ``torch.optim.Adadelta``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1.0
        Learning rate, 0 or more.
    rho : float, default 0.9
        Decay of the running means, in [0, 1].
    eps : float, default 1e-6
        Added below both roots, 0 or more.
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: s <- rho s + (1 - rho) g^2; d = sqrt(a + eps) / sqrt(s + eps) g; a <- rho a + (1 - rho)
    d^2; p <- p - lr d.
    Source: Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class RMSprop(Optimizer):
    """RMSprop, as ``torch.optim.RMSprop``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-2
        Learning rate, 0 or more.
    alpha : float, default 0.99
        Decay of the running means, 0 or more.
    eps : float, default 1e-8
        Added to the root, 0 or more.
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    momentum : float, default 0.0
    centered : bool, default False
        Divide by the root of the gradient's variance instead of its mean square.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: s <- alpha s + (1 - alpha) g^2; r = sqrt(s) + eps, or with `centered` a <- alpha a + (1
    - alpha) g; r = sqrt(max(s - a^2, 0)) + eps; p <- p - lr g / r, or with `momentum` b <- momentum
    b + g / r; p <- p - lr b.
    Source: Hinton, "Neural networks for machine learning", lecture 6e (2012); `centered`: Graves,
    "Generating sequences with recurrent neural networks" (2013), equations 38 to 41.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class Rprop(Optimizer):
    """Resilient back-propagation, as ``torch.optim.Rprop``; for whole sets, not for batches.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-2
        The step size that each parameter begins with.
    etas : (float, float), default (0.5, 1.2)
        What a step size is multiplied by where the sign of the gradient has turned, in (0, 1), and
        where it has not, above 1.
    step_sizes : (float, float), default (1e-6, 50)
        The smallest and the largest step size.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: d <- min(max(eta d, least), most), eta by the sign of g times the g before; g <- 0
    where that is negative; p <- p - d sign(g).
    Source: Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the
    RPROP algorithm" (1993), in the form of ``torch.optim.Rprop``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class ASGD(Optimizer):
    """Averaged stochastic gradient descent, as ``torch.optim.ASGD``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-2
        Learning rate, 0 or more.
    lambd : float, default 1e-4
        Decay of the parameters, 0 or more.
    alpha : float, default 0.75
        Power by which the rate falls, 0 or more.
    t0 : float, default 1e6
        The step at which averaging begins.
    weight_decay : float, default 0.0
        Added to the gradient, times the parameter.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: p <- (1 - lambd eta) p - eta g; ax <- ax + mu (p - ax); eta <- lr / (1 + lambd lr
    t)^alpha; mu <- 1 / max(1, t - t0).
    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992), in
    the form of ``torch.optim.ASGD``: a new `lr` takes effect one step later; the average is ``ax``
    in `state_dict`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)


class Lion(Optimizer):
    """Evolved sign momentum; PyTorch has none.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    lr : float, default 1e-4
        Learning rate, 0 or more.
    betas : (float, float), default (0.9, 0.99)
        Weight of the running mean in the direction, and decay of the mean, each in [0, 1).
    weight_decay : float, default 0.0
        The parameter loses `lr weight_decay` times itself.
    **kwargs
        `maximize`, `l1`, `clip_norm` and the others that every `Optimizer` has.

    Raises
    ------
    ValueError, TypeError
        As `Optimizer`.

    Notes
    -----
    Formula: p <- (1 - lr weight_decay) p - lr sign(beta1 m + (1 - beta1) g); m <- beta2 m + (1 -
    beta2) g.
    Source: Chen et al., "Symbolic discovery of optimization algorithms" (2023), algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        **kwargs: Unpack[CommonOptions],
    ) -> None:
        super().__init__(params, self._options(locals()), **kwargs)
