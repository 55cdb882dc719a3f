"""Networks in files: `net.save` and `dp.load`."""

import inspect
import io
import json
import os
import pathlib
import stat
import zipfile

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import _core, nn, optim
from deltaprop.nn.containers import Container
from deltaprop.nn.core_module import CoreLayer
from layer_cases import ARGUMENTS, WIDTH

X = np.random.default_rng(0).normal(size=(20, 3))

# Layers from 3 features with options other than the defaults.
LAYERS = {
    **{
        name: {option.name: option.fallback + 0.25 for option in _core.options(name)}
        for name in _core.activation_names()
        if hasattr(nn, name)
    },
    **{
        name: {k: 3 if v == WIDTH else v for case in cases for k, v in case.items()}
        for name, cases in ARGUMENTS.items()
    },
    "AlphaDropout": {"p": 0.25},
    "BatchNorm1d": {"num_features": 3, "eps": 1e-3, "momentum": None, "affine": False},
    "Dropout": {"p": 0.25},
    "Embedding": {"num_embeddings": 4, "embedding_dim": 2, "padding_idx": 1},
    "LayerNorm": {"normalized_shape": 3, "eps": 1e-3, "elementwise_affine": True, "bias": False},
    "RMSNorm": {"normalized_shape": 3, "eps": 1e-3, "elementwise_affine": False},
    "Standardize": {"in_features": 3},
    "GELU": {"approximate": "tanh"},
    "Linear": {"in_features": 3, "out_features": 2, "bias": False, "init": "xavier_normal"},
    "LogSoftmax": {"dim": 1},
    "PReLU": {"num_parameters": 3, "init": 0.1},
    "Softmax": {"dim": 1},
}
MEMBERS = [
    name
    for name in nn.__all__
    if inspect.isclass(getattr(nn, name))
    and issubclass(getattr(nn, name), CoreLayer)
    and name != "ExpressionLayer"  # refused: a file takes no functions
]
CONTAINERS = {
    "Sequential": lambda: nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Tanh(), nn.Linear(3, 2))),
    "Residual": lambda: nn.Sequential(nn.Linear(3, 4), nn.Residual(nn.Linear(4, 4), nn.ELU(0.3))),
    "Concat": lambda: nn.Sequential(nn.Concat(nn.Linear(3, 2), nn.Identity()), nn.Linear(5, 1)),
    "Heads": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.Heads(nn.Linear(4, 1), nn.Residual(nn.Linear(4, 4)))
    ),
}


def everything(net):
    state = {name: (v.dtype, v.shape, v.tobytes()) for name, v in net.state_dict().items()}
    network = net._network
    frozen = [leaf._frozen for leaf in net._leaves()]
    return repr(net), net.dtype, state, network.seed, network.epochs, network.passes, frozen


def through_a_file(net, tmp_path):
    net.save(tmp_path / "net.dp")
    return dp.load(tmp_path / "net.dp")


def outputs(net, x=X):
    found = net(x)
    return [a.tobytes() for a in (found if isinstance(found, tuple) else (found,))]


def test_every_layer_has_a_case():
    assert sorted(MEMBERS) == sorted(LAYERS)
    members = {name: getattr(nn, name) for name in nn.__all__}
    containers = {n for n, c in members.items() if inspect.isclass(c) and issubclass(c, Container)}
    assert containers == set(CONTAINERS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("defaults", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name, defaults, dtype, tmp_path):
    kind = getattr(nn, name)
    options = LAYERS[name]
    if defaults:
        needed = inspect.signature(kind).parameters.values()
        options = {k.name: options[k.name] for k in needed if k.default is inspect.Parameter.empty}
    else:
        given = set(inspect.signature(kind).parameters)
        assert given == set(options)
    net = nn.Sequential(kind(**options), dtype=dtype)
    rng = np.random.default_rng(0)
    for p in net.parameters():
        p.value[...] = rng.normal(size=p.value.shape)
    x = np.arange(20)[:, np.newaxis] % 4 if name == "Embedding" else X
    if name == "Standardize":
        net[0].learn(X)
    net.forward(x)  # moves running statistics
    twin = through_a_file(net, tmp_path)
    assert type(twin[0]) is kind
    assert everything(twin) == everything(net)
    assert outputs(twin, x) == outputs(net, x)
    assert twin.forward(x).tobytes() == net.forward(x).tobytes()


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container(name, tmp_path):
    net = CONTAINERS[name]()
    twin = through_a_file(net, tmp_path)
    assert everything(twin) == everything(net)
    assert outputs(twin) == outputs(net)


def network(dtype="float64", seed=3):
    return nn.Sequential(
        nn.Standardize(3),
        nn.Linear(3, 5),
        nn.BatchNorm1d(5),
        nn.Linear(5, 4),
        nn.ELU(0.5),
        nn.Dropout(0.2),
        nn.Linear(4, 2),
        dtype=dtype,
        seed=seed,
    )


def fit(net, opt=None, **options):
    opt = opt or optim.SGD(net.parameters(), lr=0.1)
    y = np.arange(20) % 2
    return net.fit(X, y, optimizer=opt, **{"loss": nn.CrossEntropyLoss(), "epochs": 3, **options})


def test_what_follows_is_as_if_it_had_not_been_saved(tmp_path):
    net = network()
    net[3].freeze()
    fit(net, batch_size=6)
    net.forward(X)
    twin = through_a_file(net, tmp_path)
    assert everything(twin) == everything(net)
    assert twin.seed == 3
    assert (twin._network.epochs, twin._network.passes) == (3, 13)
    assert twin[3]._frozen
    before = twin[3].weight.tobytes()
    histories = [fit(n, batch_size=6).to_dict() for n in (net, twin)]
    assert histories[0] == histories[1]
    assert everything(twin) == everything(net)
    assert twin[3].weight.tobytes() == before


def test_a_seed_of_64_bits(tmp_path):
    net = network(seed=2**64 - 1)
    assert through_a_file(net, tmp_path).seed == 2**64 - 1
    net = nn.Sequential(nn.Linear(2, 2))
    assert through_a_file(net, tmp_path).seed == net.seed


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (nn.CrossEntropyLoss(), np.arange(20) % 2),
        (nn.BCEWithLogitsLoss(), np.eye(2)[np.arange(20) % 2]),
    ],
)
def test_probabilities_after_loading(loss, y, tmp_path):
    net = network()
    with pytest.raises(RuntimeError, match=r"^predict_proba: expected a network fitted with"):
        through_a_file(net, tmp_path).predict_proba(X)
    net.fit(X, y, loss=loss, optimizer=optim.SGD(net.parameters()), epochs=1)
    twin = through_a_file(net, tmp_path)
    np.testing.assert_array_equal(twin.predict_proba(X), net.predict_proba(X))


def test_names_of_files(tmp_path, monkeypatch):
    net = network()
    monkeypatch.chdir(tmp_path)
    for path in ("a.dp", pathlib.Path("b"), str(tmp_path / "c d.ü"), tmp_path / "d.npz"):
        net.save(path)
        assert everything(dp.load(path)) == everything(net)
        assert pathlib.Path(path).is_file()
    assert len(list(tmp_path.iterdir())) == 4


def test_files_are_as_open_makes_them(tmp_path):
    network().save(tmp_path / "net.dp")
    (tmp_path / "other").write_text("")
    modes = [stat.S_IMODE(os.stat(tmp_path / n).st_mode) for n in ("net.dp", "other")]
    assert modes[0] == modes[1]


def test_there_is_no_pickle_in_it(tmp_path):
    fit(network(), callbacks=[dp.ModelCheckpoint(tmp_path / "run.dp")])
    network().save(tmp_path / "net.dp")
    for name in ("run.dp", "net.dp"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            names = archive.namelist()
            assert names[0] == "header.json"
            assert json.loads(archive.read("header.json"))["format"] == "deltaprop"
            for other in names[1:]:
                array = np.load(io.BytesIO(archive.read(other)), allow_pickle=False)
                assert array.dtype.kind in "fiub"


def test_a_file_with_pickle_is_not_read(tmp_path):
    path = tmp_path / "net.dp"
    network().save(path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    evil = io.BytesIO()
    np.save(evil, np.array([{}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in (content | {"0.npy": evil.getvalue()}).items():
            archive.writestr(name, value)
    with pytest.raises(ValueError, match=r"net\.dp: expected a file of deltaprop's, got Object"):
        dp.load(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.dp"
    network().save(path)
    before = path.read_bytes()

    def full(*args, **options):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        network(seed=4).save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        network().save(tmp_path / "no" / "net.dp")
    with pytest.raises(FileNotFoundError):
        dp.load(tmp_path / "net.dp")


def test_layers_written_in_python(tmp_path):
    class Same(nn.Layer):
        def forward(self, x, training=True):
            return x

    class Mine(nn.Tanh):
        pass

    for layer in (Same(), Mine()):
        net = nn.Sequential(nn.Linear(3, 3), nn.Residual(layer))
        with pytest.raises(TypeError, match=r"^save: expected built-in layers, got .* state_dict"):
            net.save(tmp_path / "net.dp")
    assert list(tmp_path.iterdir()) == []


def test_a_subclass_is_loaded_as_what_it_is_made_of(tmp_path):
    class Small(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 2), seed=1)

    net = Small()
    twin = through_a_file(net, tmp_path)
    assert type(twin) is nn.Sequential
    assert outputs(twin) == outputs(net)


def test_a_part_of_a_network_is_not_saved_alone(tmp_path):
    net = nn.Sequential(nn.Sequential(nn.Linear(3, 2)))
    with pytest.raises(RuntimeError, match="part"):
        net[0].save(tmp_path / "net.dp")


def rewritten(path, change):
    """Change the header of a file."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    header = content["header.json"].decode()
    assert change[0] in header
    content["header.json"] = header.replace(*change).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"version": 1', '"version": 2'), "expected a file of deltaprop's, got version 2 of del"),
        (('"deltaprop"', '"other"'), "expected a file of deltaprop's, got version 1 of other"),
        (('"Dropout"', '"Dropouts"'), "load: expected a layer of this version, got 'Dropouts'"),
        (('"Dropout"', '"init"'), "load: expected a layer of this version, got 'init'"),
        (('"Dropout"', '"Layer"'), "load: expected a layer of this version, got 'Layer'"),
        (('"alpha"', '"beta"'), "load: expected a layer of this version, got ELU"),
        (('["out_features", 2]', '["out_features", 3]'), "load_state_dict: expected '6.weight'"),
        (('["network"', '["other"'), "load: expected a file with a network, got "),
        (('["passes"', '["other"'), "load: expected a file with a network, got "),
        (('"array": 0', '"array": 99'), "expected a file of deltaprop's, got"),
    ],
)
def test_files_of_others(change, message, tmp_path):
    path = tmp_path / "net.dp"
    network().save(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=message):
        dp.load(path)
