"""The benchmarks' own measure: the machine's peak."""

import re
import shutil
import subprocess

import pytest

from benchmarks import machine


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
@pytest.mark.skipif(not shutil.which("objdump"), reason="there is no disassembler")
@pytest.mark.parametrize("size", [32, 64])
def test_every_multiplication_that_is_counted_is_done(size, tmp_path):
    command = ["objdump", "-d", f"--disassemble=fma{size}", machine.compiled(tmp_path)]
    code = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "vfmadd" not in code:
        pytest.skip("this CPU has no fused multiply-add that is counted here")
    # Where registers are half as wide, each is done in two halves.
    register = "zmm" if size == 64 and "zmm" in code else "ymm"
    halves = 2 if size == 64 and register == "ymm" else 1
    assert len(re.findall(rf"vfmadd\d+ps.*%{register}\d+$", code, re.MULTILINE)) == (
        halves * machine.CHAINS
    )
