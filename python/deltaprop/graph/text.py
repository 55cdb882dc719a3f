"""Text forms of nodes: labels, symbols, expressions."""

from deltaprop._core import Node

# Python's infix operators and their precedence.
_INFIX = {
    "less": ("<", 1),
    "less_equal": ("<=", 1),
    "equal": ("==", 1),
    "not_equal": ("!=", 1),
    "add": ("+", 2),
    "subtract": ("-", 2),
    "multiply": ("*", 3),
    "divide": ("/", 3),
    "matmul": ("@", 3),
    "power": ("**", 5),
}
_SIGN = 4
_ATOM = 6
_MAX_LENGTH = 400  # in characters; a node is written out once for each use, which can grow large
_MAX_DEPTH = 50


def label(node: Node) -> str:
    """Return a label for a node: its name, its value, or its operator."""
    if node.name:
        return node.name
    if node.op in ("variable", "constant"):
        return f"{node.value:.6g}" if node.ndim == 0 else f"{node.op}{node.shape}"
    return symbol(node)


def symbol(node: Node) -> str:
    """Return the operator or function that computes a node, in Python's notation."""
    if node.op == "getitem":
        return f"[{node.details}]"
    unary = {"negative": "-", "square": "**2", "transpose": ".T"}
    return _INFIX[node.op][0] if node.op in _INFIX else unary.get(node.op, node.op)


def expression(node: Node) -> str:
    """Return the expression that computes a node; named inputs appear by their names."""
    text, _ = _format(node, [_MAX_LENGTH], top=True)
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "..."


def _format(node: Node, budget: list[int], top: bool = False, depth: int = 0) -> tuple[str, int]:
    """Return the text and its precedence; `budget` counts the characters that remain."""
    if not node.inputs or (node.name and not top):
        text = label(node)
        budget[0] -= len(text)
        if node.name:
            return text, 0 if set(text) & set("+-*/@<>= ") else _ATOM
        return text, _SIGN if text.startswith("-") else _ATOM
    if budget[0] <= 0 or depth > _MAX_DEPTH:
        return "...", _ATOM
    budget[0] -= 1
    return _join(node, [_format(x, budget, depth=depth + 1) for x in node.inputs])


def _join(node: Node, parts: list[tuple[str, int]]) -> tuple[str, int]:
    def at_least(part: tuple[str, int], precedence: int) -> str:
        return part[0] if part[1] >= precedence else f"({part[0]})"

    first = parts[0]
    if node.op in _INFIX:
        sign, precedence = _INFIX[node.op]
        # Powers associate from the right; without brackets comparisons would chain.
        left = at_least(first, precedence + (sign == "**" or precedence == 1))
        right = at_least(parts[1], precedence + (sign != "**"))
        return f"{left}{sign}{right}" if sign == "**" else f"{left} {sign} {right}", precedence
    if node.op == "negative":
        return symbol(node) + at_least(first, _SIGN), _SIGN
    if node.op == "square":
        return at_least(first, _ATOM) + symbol(node), _INFIX["power"][1]
    if node.op in ("transpose", "getitem"):
        return at_least(first, _ATOM) + symbol(node), _ATOM
    arguments = ", ".join([text for text, _ in parts] + ([node.details] if node.details else []))
    return f"{node.op}({arguments})", _ATOM
