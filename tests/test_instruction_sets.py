"""Instruction sets: the same bits with AVX2 and AVX-512, near them without; choices; binaries."""

import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import deltaprop as dp
import processes

PACKAGE = Path(dp.__file__).parent
CONFIG = dp.show_config(mode="dicts")
KERNELS = sorted((PACKAGE / "kernels").glob("*.so"))


def run(*command, isa=None):
    """Run Python with a choice of an instruction set."""
    return processes.run(*command, DELTAPROP_ISA=isa)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Return the function that gives all results with an instruction set."""
    known = {}

    def compute(isa):
        if isa not in CONFIG["built"]:
            pytest.skip(f"there are no kernels for {isa} here")
        if isa not in CONFIG["available"]:
            pytest.skip(f"not run: this CPU has no {isa}")
        if isa not in known:
            path = tmp_path_factory.mktemp("results") / f"{isa}.npz"
            known[isa] = processes.everything(path, DELTAPROP_ISA=isa)
            assert known[isa].pop("instruction set") == isa
        return known[isa]

    return compute


def test_the_same_bits(everything):
    ours, theirs = everything("x86-64-v3"), everything("x86-64-v4")
    assert ours.keys() == theirs.keys()
    for name, a in ours.items():
        b = theirs[name]
        assert a.dtype == b.dtype, name
        # A NaN is one, whatever its sign and payload.
        same = (np.signbit(a) == np.signbit(b)) & (a == b) | np.isnan(a) & np.isnan(b)
        assert same.all(), name


def test_without_fused_multiply_adds_they_agree(everything):
    ours, theirs = everything("x86-64-v2"), everything("x86-64-v3")
    assert ours.keys() == theirs.keys()
    differing = 0
    for name, a in ours.items():
        if ": edges of " in name:
            continue  # measured in units of the last place, function by function, by the C++ tests
        b = theirs[name]
        many_steps = name.startswith(("updates:", "trainings:"))
        single = "float32" in name
        bound = (5e-3 if single else 1e-7) if many_steps else (1e-4 if single else 1e-12)
        largest = abs(b[np.isfinite(b)]).max(initial=1)
        np.testing.assert_allclose(a, b, rtol=0, atol=bound * largest, err_msg=name)
        differing += not np.array_equal(a, b)
    assert differing > 1000  # else they were not two sets


class TestChoice:
    """What DELTAPROP_ISA does at import."""

    SHOW = "import deltaprop; print(deltaprop.show_config('dicts')['{}'])"

    def test_the_best_by_default(self):
        for isa in (None, ""):
            assert (
                run("-c", self.SHOW.format("instruction_set"), isa=isa).stdout.strip()
                == (CONFIG["available"][-1])
            )
            assert run("-c", self.SHOW.format("chosen_by"), isa=isa).stdout == "CPU\n"

    @pytest.mark.parametrize("isa", CONFIG["available"])
    def test_one_is_forced(self, isa):
        assert run("-c", self.SHOW.format("instruction_set"), isa=isa).stdout == f"{isa}\n"
        assert run("-c", self.SHOW.format("chosen_by"), isa=isa).stdout == "DELTAPROP_ISA\n"

    @pytest.mark.parametrize("isa", ["x86-64-v9", "avx2", "X86-64-V3", " "])
    def test_one_that_there_is_not(self, isa):
        done = run("-c", "import deltaprop", isa=isa)
        built, available = ", ".join(CONFIG["built"]), ", ".join(CONFIG["available"])
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            f"ImportError: DELTAPROP_ISA is '{isa}': there are kernels for {built}, "
            f"of which this CPU has {available}"
        )


class TestShowConfig:
    """Its output."""

    def test_it_prints_what_it_returns(self, capsys):
        assert dp.show_config() is None
        printed = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
        config = dp.show_config(mode="dicts")
        assert [name.replace(" ", "_") for name in printed] == list(config)
        assert printed["version"] == config["version"] == dp.__version__
        assert printed["available"] == ", ".join(config["available"])
        assert config["numpy"] == np.__version__
        assert config["instruction_set"] in config["available"]
        assert set(config["available"]) <= set(config["built"])
        assert all(config.values())

    def test_another_mode(self):
        with pytest.raises(ValueError, match=r"expected mode 'stdout' or 'dicts', got 'json'"):
            dp.show_config(mode="json")


class Elf:
    """The dynamic symbols of a 64-bit little-endian ELF file."""

    def __init__(self, path):
        self.data = path.read_bytes()
        assert self.data[:6] == b"\x7fELF\x02\x01", path
        (at,) = struct.unpack_from("<Q", self.data, 40)
        size, count = struct.unpack_from("<HH", self.data, 58)
        # Of a section: kind, offset, size, link.
        self.sections = []
        for i in range(count):
            _, kind, _, _, offset, length, link = struct.unpack_from(
                "<IIQQQQI", self.data, at + i * size
            )
            self.sections.append((kind, offset, length, link))
        self.symbols = list(self._symbols())

    def _symbols(self):
        """Yield name, binding and whether it is defined here."""
        for kind, offset, length, link in self.sections:
            if kind != 11:  # SHT_DYNSYM
                continue
            names = self.sections[link][1]
            for at in range(offset + 24, offset + length, 24):
                name, info, _, section = struct.unpack_from("<IBBH", self.data, at)
                start = names + name
                text = self.data[start : self.data.index(0, start)].decode()
                yield text, info >> 4, section != 0

    @property
    def exported(self):
        return {name for name, _, defined in self.symbols if defined}

    @property
    def undefined(self):
        return {name for name, _, defined in self.symbols if not defined}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF files are Linux's")
class TestBinaries:
    """Nothing of one variant can end up in another."""

    UNIQUE = 10  # STB_GNU_UNIQUE: merged over all libraries, however they are loaded
    LIBM = re.compile(
        r"_*(a?(sin|cos|tan)h?|atan2|exp\w*|log\w*|pow|erfc?|[lt]gamma|cbrt|hypot|fma|f(mod|dim|max|min)"
        r"|sqrt|l*r(ound|int)|nearbyint|floor|ceil|trunc|scalbl?n|ldexp|frexp|modf)[fl]?"
    )

    def test_all_that_are_built_are_there(self):
        assert {p.stem for p in KERNELS} == {f"deltaprop-{isa}" for isa in CONFIG["built"]}

    @pytest.mark.parametrize("path", KERNELS, ids=lambda p: p.stem)
    def test_kernels_export_one_function_and_use_no_libm(self, path):
        elf = Elf(path)
        assert elf.exported == {"deltaprop_kernels"}
        assert not [name for name, binding, _ in elf.symbols if binding == self.UNIQUE]
        assert not [name for name in elf.undefined if self.LIBM.fullmatch(name)]

    def test_the_core_exports_its_entry_alone(self):
        (path,) = PACKAGE.glob("_core*.so")
        assert Elf(path).exported == {"PyInit__core"}
