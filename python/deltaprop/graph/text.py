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
_SIGN = 4
_TIGHTEST = 6
_LONGEST = 400  # characters: a node that is used often would be written out as often
_DEEPEST = 50


def label(node: Node) -> str:
    """Return what a node is called: its name, its number, or what it computes."""
    if node.name:
        return node.name
    if node.op in ("variable", "constant"):
        return f"{node.value:.6g}" if node.ndim == 0 else f"{node.op}{node.shape}"
    return symbol(node)


def symbol(node: Node) -> str:
    """Return what a node computes, as Python writes it."""
    if node.op == "getitem":
        return f"[{node.details}]"
    written = {"negative": "-", "square": "**2", "transpose": ".T"}
    return _INFIX[node.op][0] if node.op in _INFIX else written.get(node.op, node.op)


def expression(node: Node) -> str:
    """Return a node as the expression that it was built by, named nodes by their names."""
    text, _ = _written(node, [_LONGEST], top=True)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _written(node: Node, budget: list[int], top: bool = False, depth: int = 0) -> tuple[str, int]:
    """Return the text and how tightly it binds; the budget is of characters."""
    if not node.inputs or (node.name and not top):
        text = label(node)
        budget[0] -= len(text)
        if node.name:
            return text, 0 if set(text) & set("+-*/@<>= ") else _TIGHTEST
        return text, _SIGN if text.startswith("-") else _TIGHTEST
    if budget[0] <= 0 or depth > _DEEPEST:
        return "...", _TIGHTEST
    budget[0] -= 1
    return _joined(node, [_written(x, budget, depth=depth + 1) for x in node.inputs])


def _joined(node: Node, parts: list[tuple[str, int]]) -> tuple[str, int]:
    def at_least(part: tuple[str, int], tightness: int) -> str:
        return part[0] if part[1] >= tightness else f"({part[0]})"

    first = parts[0]
    if node.op in _INFIX:
        sign, tightness = _INFIX[node.op]
        # The power goes from the right to the left; comparisons in a row would be a chain.
        left = at_least(first, tightness + (sign == "**" or tightness == 1))
        right = at_least(parts[1], tightness + (sign != "**"))
        return f"{left}{sign}{right}" if sign == "**" else f"{left} {sign} {right}", tightness
    if node.op == "negative":
        return symbol(node) + at_least(first, _SIGN), _SIGN
    if node.op == "square":
        return at_least(first, _TIGHTEST) + symbol(node), _INFIX["power"][1]
    if node.op in ("transpose", "getitem"):
        return at_least(first, _TIGHTEST) + symbol(node), _TIGHTEST
    arguments = ", ".join([text for text, _ in parts] + ([node.details] if node.details else []))
    return f"{node.op}({arguments})", _TIGHTEST
