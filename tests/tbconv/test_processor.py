"""What is told of a processor, from drawn /proc/cpuinfo files."""

import pytest

from tbconv.contract.environment import processor, processor_difference, tried_as

X86 = (
    "processor\t: 0\nmodel name\t: Drawn\nflags\t\t: sse2 avx2 fma ht avx512_vnni\n\nprocessor\t: 1\nflags\t\t: none\n"
)
ARM = "processor\t: 0\nFeatures\t: fp asimd i8mm crc32\n"


@pytest.fixture
def told(tmp_path):
    """Return a function: the processor that a drawn cpuinfo tells of."""

    def read(text):
        (tmp_path / "cpuinfo").write_text(text)
        return processor(tmp_path / "cpuinfo")

    return read


def test_the_flags_that_kernels_branch_on_are_named_on_x86_and_on_arm(told):
    assert told(X86)["kernel_flags"] == ["avx2", "avx512_vnni", "fma"]
    assert told(ARM)["kernel_flags"] == ["asimd", "i8mm"]


def test_every_flag_counts_in_the_digest_and_their_order_does_not(told):
    digest = told(X86)["flags_sha256"]
    assert told(X86.replace("sse2 avx2", "avx2 sse2"))["flags_sha256"] == digest
    assert told(X86.replace("sse2 ", ""))["flags_sha256"] != digest


def test_a_system_that_tells_no_flags_has_none_and_differs_from_nothing(tmp_path, told):
    nothing = processor(tmp_path / "missing")
    assert (nothing["kernel_flags"], nothing["flags_sha256"]) == ([], None)
    assert processor_difference(told(X86), nothing) is None
    assert processor_difference({}, told(X86)) is None


def test_the_difference_names_the_flags_that_are_lacking_and_those_beyond(told):
    said = processor_difference(told(X86), told(X86.replace("avx512_vnni", "amx_int8")))
    assert "lacks avx512_vnni" in said
    assert "has amx_int8 beyond it" in said
    assert processor_difference(told(X86), told(X86.replace("ht ", ""))) is None


@pytest.mark.parametrize(
    ("flags", "target"),
    [
        (["avx", "avx2", "f16c", "fma"], "avx2"),
        (["avx2", "avx512_vnni", "fma"], None),  # other kernels than AVX2's
        (["avx2", "avx_vnni", "fma"], None),
        (["avx"], None),
        (["asimd"], "cortex-a53"),
        (["asimd", "asimddp"], "cortex-a76"),
        (["asimd", "asimddp", "i8mm", "sve"], "aarch64"),
        ([], None),
    ],
)
def test_the_target_that_stands_for_a_processor_runs_the_same_kernels(flags, target):
    assert tried_as(flags) == target
