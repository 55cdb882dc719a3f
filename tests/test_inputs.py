"""Arrays of every kind, into inference, passes by hand and fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltaprop import nn, optim
from processes import alone

ROWS, COLS = 37, 6


def whole_numbers(rows=ROWS, cols=COLS):
    """Return numbers that every dtype holds exactly."""
    return np.random.default_rng(0).integers(0, 2, (rows, cols)).astype(float)


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    array = raw[1:].view(x.dtype).reshape(x.shape)
    array[...] = x
    assert not array.flags.aligned
    return array


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def every_other(x):
    wide = np.full((2 * x.shape[0], 3 * x.shape[1]), np.nan)
    wide[::2, ::3] = x
    return wide[::2, ::3]


def record_field(x):
    table = np.zeros(x.shape, [("pad", "u1"), ("value", "f8")])
    table["value"] = x
    return table["value"]


class ArrayLike:
    """Something that only knows how to become an array."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.x, dtype)


KINDS = {
    "fortran": np.asfortranarray,
    "read-only": read_only,
    "sliced": every_other,
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": lambda x: x.T.copy().T,
    "unaligned": unaligned,
    "record field": record_field,
    "big-endian": lambda x: x.astype(">f8"),
    "big-endian int": lambda x: x.astype(">i2"),
    "list": np.ndarray.tolist,
    "list of arrays": list,
    "tuple": lambda x: tuple(map(tuple, x)),
    "array-like": ArrayLike,
    "matrix": lambda x: x.view(np.matrix),
    "dataframe": pd.DataFrame,
    "dataframe of ints": lambda x: pd.DataFrame(x.astype(int)),
    "dataframe of several": lambda x: pd.DataFrame(
        {c: x[:, c].astype("f4" if c % 2 else "i1") for c in range(x.shape[1])}
    ),
    "dataframe of floats and bools": lambda x: pd.DataFrame(
        {c: x[:, c].astype(bool if c == 2 else float) for c in range(x.shape[1])}
    ),
    "dataframe of nullable ints": lambda x: pd.DataFrame(x).astype("Int64"),
    "dataframe of nullable floats": lambda x: pd.DataFrame(x).astype({0: "Float32"}),
    **{
        dtype: (lambda x, dtype=dtype: x.astype(dtype))
        for dtype in "?" + np.typecodes["AllInteger"] + "efdg"
    },
}


@pytest.fixture(scope="module")
def plain():
    return whole_numbers()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_array_gives_the_same_bits(kind, dtype, plain):
    net = nn.Sequential(nn.Linear(COLS, 5), nn.Sigmoid(), nn.Linear(5, 2), dtype=dtype, seed=0)
    X = KINDS[kind](plain)
    np.testing.assert_array_equal(net(X), net(plain))
    np.testing.assert_array_equal(net.forward(X), net(plain))
    np.testing.assert_array_equal(net.predict(X, batch_size=10), net(plain))


def trained(X, y, dtype="float32", loss=None, outputs=2, weight=None, **options):
    net = nn.Sequential(nn.Linear(COLS, outputs), dtype=dtype, seed=0)
    history = net.fit(
        X,
        y,
        loss=loss or nn.MSELoss(),
        optimizer=optim.SGD(net.parameters(), lr=0.1, momentum=0.5),
        epochs=3,
        batch_size=8,
        sample_weight=weight,
        **options,
    )
    return net.flat_parameters, history["loss"]


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_array_trains_to_the_same_bits(kind, dtype, plain):
    y = whole_numbers(cols=2)
    expected = trained(plain, y, dtype)
    same(trained(KINDS[kind](plain), y, dtype), expected)
    same(trained(plain, KINDS[kind](y), dtype), expected)
    check = (plain, y)
    expected = trained(plain, y, dtype, validation_data=check)
    same(trained(plain, y, dtype, validation_data=[KINDS[kind](v) for v in check]), expected)


@pytest.mark.parametrize("kind", ["e", "d", "b", "?", "sliced", "list", "big-endian"])
def test_any_kind_of_weights(kind, plain):
    y = whole_numbers(cols=2)
    weight = plain[:, :1]
    found = KINDS[kind](weight)
    found = [w for (w,) in found] if isinstance(found, list) else found[:, 0]
    same(trained(plain, y, weight=found), trained(plain, y, weight=weight[:, 0]))


@pytest.mark.parametrize(
    "make",
    [
        lambda y: y.astype("u1"),
        lambda y: y.astype(">i8"),
        np.ndarray.tolist,
        pd.Series,
        lambda y: pd.Series(y, dtype="Int64"),
        lambda y: pd.DataFrame({"y": y})["y"],
        lambda y: np.stack([y, y], 1)[:, 1],
        read_only,
    ],
)
def test_any_kind_of_classes(make, plain):
    y = np.random.default_rng(1).integers(0, 3, ROWS)
    expected = trained(plain, y, loss=nn.CrossEntropyLoss(), outputs=3)
    same(trained(plain, make(y), loss=nn.CrossEntropyLoss(), outputs=3), expected)


def test_a_series_as_targets_of_one_output(plain):
    y = plain[:, 0]
    expected = trained(plain, y, outputs=1)
    same(trained(plain, y[:, None], outputs=1), expected)
    same(trained(plain, pd.Series(y, index=range(100, 100 + ROWS)), outputs=1), expected)
    same(trained(plain, pd.DataFrame({"y": y}), outputs=1), expected)


def test_a_memory_mapped_file(tmp_path, plain):
    y = whole_numbers(cols=2)
    maps = []
    for name, array in (("X", plain), ("y", y)):
        path = tmp_path / name
        array.astype("f4").tofile(path)
        maps.append(np.memmap(path, "f4", mode="r", shape=array.shape))
    same(trained(*maps), trained(plain, y))
    np.save(tmp_path / "X.npy", plain)
    same(trained(np.load(tmp_path / "X.npy", mmap_mode="r"), y), trained(plain, y))


def test_what_a_memory_map_holds_is_looked_at_batch_by_batch(tmp_path, plain):
    X = plain.copy()
    X[20, 3] = np.nan
    np.save(tmp_path / "X.npy", X)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    net = nn.Sequential(nn.Linear(COLS, 2), seed=0)
    with pytest.raises(ValueError, match=r"^X: expected finite numbers, got nan in row 20$"):
        net.fit(
            X,
            whole_numbers(cols=2),
            loss=nn.MSELoss(),
            optimizer=optim.SGD(net.parameters(), lr=0.1),
            epochs=1,
            batch_size=10,
            shuffle=False,
        )
    # Two batches of ten came before the one with row 20.
    other = nn.Sequential(nn.Linear(COLS, 2), seed=0)
    other.fit(
        plain[:20],
        whole_numbers(cols=2)[:20],
        loss=nn.MSELoss(),
        optimizer=optim.SGD(other.parameters(), lr=0.1),
        epochs=1,
        batch_size=10,
        shuffle=False,
    )
    np.testing.assert_array_equal(net.flat_parameters, other.flat_parameters)
    assert not net.flat_gradients.any()


def test_a_broadcast_array_is_read_in_place():
    X = np.broadcast_to(np.arange(float(COLS)), (1000, COLS))
    net = nn.Sequential(nn.Linear(COLS, 2), seed=0)
    np.testing.assert_array_equal(net(X), np.tile(net(X[0]), (1000, 1)))


def test_the_data_are_not_written(plain):
    X, y, w = read_only(plain), read_only(whole_numbers(cols=2)), read_only(np.ones(ROWS))
    trained(X, y, weight=w)
    np.testing.assert_array_equal(X, plain)


@settings(max_examples=100, deadline=None)
@given(
    x=hnp.arrays(
        st.one_of(hnp.floating_dtypes(sizes=(32, 64)), hnp.integer_dtypes(), hnp.boolean_dtypes()),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    ),
    twist=st.sampled_from([np.asfortranarray, lambda x: x[::-1], lambda x: x[:, ::-1]]),
)
def test_conversion_is_numpys(x, twist):
    with np.errstate(over="ignore"):
        expected = twist(x).astype(np.float32)
    np.testing.assert_array_equal(nn.Sequential(nn.Identity())(twist(x)), expected)
    np.testing.assert_array_equal(
        nn.Sequential(nn.Identity(), dtype="float64")(twist(x)), twist(x).astype(float)
    )


def test_every_float16():
    x = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(-1, 1)
    np.testing.assert_array_equal(nn.Sequential(nn.Identity())(x), x.astype(np.float32))


NOT_NUMBERS = {
    "complex": np.zeros((2, COLS), complex),
    "object": np.zeros((2, COLS), object),
    "string": np.full((2, COLS), "1"),
    "bytes": np.full((2, COLS), b"1"),
    "datetime": np.zeros((2, COLS), "M8[s]"),
    "timedelta": np.zeros((2, COLS), "m8[s]"),
    "record": np.zeros((2, COLS), [("a", "f4"), ("b", "f4")]),
    "None": None,
    "dict": {"a": 1},
    "set": {1, 2},
    "generator": (x for x in range(3)),
    "large int": [[2**70] * COLS],
    "object with None": [[None] * COLS],
    "a network": nn.Linear(1, 1),
}


@pytest.mark.parametrize("bad", NOT_NUMBERS)
def test_what_are_no_real_numbers(bad):
    net = nn.Sequential(nn.Linear(COLS, 2), seed=0)
    value = NOT_NUMBERS[bad]
    for call in (net, net.forward, net.predict, net[0]):
        with pytest.raises(TypeError, match=r"^x: expected real numbers, got "):
            call(value)
    opt = optim.SGD(net.parameters())
    good = np.zeros((2, COLS))
    for name, X, y in (("X", value, good), ("y", good, value)):
        with pytest.raises(TypeError, match=f"^{name}: expected real numbers, got "):
            net.fit(X, y, loss=nn.MSELoss(), optimizer=opt, epochs=1)
    with pytest.raises(TypeError, match=r"^validation_data X: expected real numbers, got "):
        net.fit(
            good,
            good[:, :2],
            loss=nn.MSELoss(),
            optimizer=opt,
            epochs=1,
            validation_data=(value, good[:, :2]),
        )


def test_ragged_lists():
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(
        ValueError, match=r"^x: expected rows of equal length, got a ragged sequence$"
    ):
        net([[1, 2], [3]])


@pytest.mark.parametrize(
    "column",
    [
        ["a", "b"],
        np.array([None, 1], object),
        [1j, 2],
        pd.Categorical([1, 2]),
        pd.to_datetime(["2020-01-01", "2020-01-02"]),
        pd.array([1, None], dtype="Int64"),
    ],
    ids=["text", "object", "complex", "category", "date", "missing"],
)
def test_a_column_that_is_not_numeric_is_named(column):
    frame = pd.DataFrame({"height": [1.0, 2.0], "strange one": column})
    net = nn.Sequential(nn.Linear(2, 1))
    with pytest.raises((TypeError, ValueError), match=r"^x: expected .*'strange one'"):
        net(frame)
    with pytest.raises((TypeError, ValueError), match=r"^X: expected .*'strange one'"):
        net.fit(
            frame,
            [0, 0],
            loss=nn.MSELoss(),
            optimizer=optim.SGD(net.parameters()),
            epochs=1,
        )


def test_a_sparse_matrix_is_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"^x: expected real numbers, got dtype object$"):
        nn.Linear(2, 1)(sparse.csr_matrix(np.eye(2)))


def test_digits_with_a_column_too_few():
    net = nn.Sequential(nn.Linear(64, 10), seed=0)
    opt = optim.SGD(net.parameters())
    y = np.zeros(1797, int)
    with pytest.raises(
        ValueError, match=r"^Linear\(64, 10\): expected input \(N, 64\), got \(1797, 63\)$"
    ):
        net.fit(np.zeros((1797, 63)), y, loss=nn.CrossEntropyLoss(), optimizer=opt, epochs=1)
    net.fit(np.zeros((1797, 64)), y, loss=nn.CrossEntropyLoss(), optimizer=opt, epochs=1)
    with pytest.raises(
        ValueError, match=r"^Linear\(64, 10\): expected input \(N, 64\), got \(10, 3\)$"
    ):
        net.fit(
            np.zeros((1797, 64)),
            y,
            loss=nn.CrossEntropyLoss(),
            optimizer=opt,
            epochs=1,
            validation_data=(np.zeros((10, 3)), y[:10]),
        )


@pytest.mark.parametrize("call", ["net(x)", "net.forward(x)", "net[0](x)", "net.predict(x)"])
@pytest.mark.parametrize("shape", ["(3, 0)", "(0, 0)", "(0,)"])
def test_no_features(call, shape):
    # Once a division by zero, which killed the process.
    out = alone(
        f"net = nn.Sequential(nn.Tanh()); x = np.zeros({shape})\n"
        f"try: print({call}.shape == x.shape)\n"
        f"except ValueError as error: print(error)"
    )
    assert out.startswith(("True", "Tanh(): expected"))


def test_no_features_in_fit():
    out = alone("""
class Layer(nn.Layer):
    def __init__(self): self.parameter("w", np.zeros(1))
    def forward(self, x, training): return x
    def backward(self, delta): return delta
net = nn.Sequential(Layer())
x = np.zeros((5, 0))
try:
    net.fit(x, x, loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters()), epochs=1)
    print("fine")
except ValueError as error: print(error)
""")
    assert out


@pytest.mark.parametrize("where", ["y", "validation"])
def test_targets_changed_while_they_are_learned_from(where):
    # Classes are read in place; one out of range once wrote outside the deltas' memory.
    out = alone(f"""
X, y = np.zeros((64, 2)), np.zeros(64, int)
other = np.zeros(64, int)
net = nn.Sequential(nn.Linear(2, 3), seed=0)
def callback(run): (y if {where!r} == "y" else other)[:] = 10**12
try:
    net.fit(X, y, loss=nn.CrossEntropyLoss(), optimizer=optim.SGD(net.parameters()), epochs=3,
            validation_data=(X, other), callbacks=[callback])
    print("copied")
except (ValueError, IndexError) as error: print(error)
print(np.isfinite(net.flat_parameters).all())
""")
    assert out.endswith("True\n")


def test_masked_elements_are_refused():
    X = np.ma.masked_greater(np.arange(6.0).reshape(3, 2), 3)
    with pytest.raises(ValueError, match=r"^x: expected an array without masked elements"):
        nn.Linear(2, 1)(X)
    assert nn.Linear(2, 1)(np.ma.masked_array(np.ones((3, 2)))).shape == (3, 1)


def test_parameters_are_written_whole_or_with_one_number():
    layer = nn.Linear(3, 2)
    with pytest.raises(
        ValueError, match=r"^weight: expected shape \(2, 3\) or a number, got \(3,\)"
    ):
        layer.weight = np.arange(3)
    with pytest.raises(ValueError, match=r"^bias: expected shape \(2,\) or a number, got \(1,\)$"):
        layer.parameters()[1].grad = [1.0]
    layer.weight = 2
    layer.bias = [3, 4]
    layer.grad_bias += 1
    np.testing.assert_array_equal(layer.weight, np.full((2, 3), 2))
    np.testing.assert_array_equal(layer.bias, [3, 4])
    np.testing.assert_array_equal(layer.grad_bias, [1, 1])
