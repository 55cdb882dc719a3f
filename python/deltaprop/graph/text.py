"""Nodes as text."""

from deltaprop._core import Node

# Python's own symbols, and how tightly they bind.
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
_TIGHTEST = 6
_LONGEST = 400  # characters: a node that is used often would be written out as often


def label(node: Node) -> str:
    """Return what a node is called: its name, its number, or what it computes."""
    if node.name:
        return node.name
    if node.op in ("variable", "constant"):
        return f"{node.value:.6g}" if node.ndim == 0 else f"{node.op}{node.shape}"
    if node.op == "negative":
        return "-"
    if node.op == "square":
        return "**2"
    return _INFIX[node.op][0] if node.op in _INFIX else node.op


def expression(node: Node) -> str:
    """Return a node as the expression that it was built by, named nodes by their names."""
    budget = [_LONGEST]
    text, _ = _written(node, budget, top=True)
    return text if budget[0] > 0 else text[:_LONGEST] + "..."


def _written(node: Node, budget: list[int], top: bool = False, depth: int = 0) -> tuple[str, int]:
    """Return the text and how tightly it binds; the budget is of characters."""
    if not node.inputs or (node.name and not top):
        text = label(node)
        budget[0] -= len(text)
        return text, 4 if text.startswith("-") else _TIGHTEST
    if budget[0] <= 0 or depth > 50:
        budget[0] = 0
        return "...", _TIGHTEST
    budget[0] -= 1
    parts = [_written(x, budget, depth=depth + 1) for x in node.inputs]

    def at_least(part: tuple[str, int], tightness: int) -> str:
        return part[0] if part[1] >= tightness else f"({part[0]})"

    first = parts[0]
    if node.op in _INFIX:
        symbol, tightness = _INFIX[node.op]
        right = node.op == "power"
        spaced = symbol if right else f" {symbol} "
        left = at_least(first, tightness + right)
        return left + spaced + at_least(parts[1], tightness + (not right)), tightness
    if node.op == "negative":
        return "-" + at_least(first, 4), 4
    if node.op == "square":
        return at_least(first, 6) + "**2", 5
    if node.op == "transpose":
        return at_least(first, _TIGHTEST) + ".T", _TIGHTEST
    if node.op == "getitem":
        return f"{at_least(first, _TIGHTEST)}[{node.details}]", _TIGHTEST
    arguments = ", ".join([text for text, _ in parts] + ([node.details] if node.details else []))
    return f"{node.op}({arguments})", _TIGHTEST
