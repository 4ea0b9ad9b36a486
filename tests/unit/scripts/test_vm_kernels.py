# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding Debian kernels, without fetching any."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.vm import kernels
from scripts.vm.bzimage import ImageError, extract_vmlinux


def make_kernels(directory: Path, *versions: str) -> None:
    """Directories as a completed fetch leaves them."""
    for version in versions:
        (directory / version).mkdir(parents=True)
        (directory / version / "complete").touch()


def test_the_newest_kernel_of_a_series_is_found(tmp_path: Path) -> None:
    """Releases compare by number, not by letter; 6.1 is not 6.12."""
    make_kernels(tmp_path, "6.1.0-9-amd64", "6.1.0-56-amd64", "6.12.117+deb12-amd64")

    assert kernels.find("6.1", tmp_path).version == "6.1.0-56-amd64"
    assert kernels.find("6.12", tmp_path).version == "6.12.117+deb12-amd64"
    assert kernels.find("6.1.0-9-amd64", tmp_path).version == "6.1.0-9-amd64"


def test_a_debug_kernel_is_a_series_of_its_own(tmp_path: Path) -> None:
    """It is newer than any 6.1, and not what 6.1 means."""
    make_kernels(tmp_path, "6.1.0-56-amd64", "6.1.192-debug", "6.12.117-debug")

    assert kernels.find("6.1", tmp_path).version == "6.1.0-56-amd64"
    assert kernels.find("debug", tmp_path).version == "6.12.117-debug"
    assert kernels.find("6.1.192-debug", tmp_path).version == "6.1.192-debug"
    with pytest.raises(kernels.KernelError, match=r"No kernel 6\.12 "):
        kernels.find("6.12", tmp_path)


def test_without_a_debug_kernel_it_says_what_builds_one(tmp_path: Path) -> None:
    """Fetching one is not the remedy."""
    make_kernels(tmp_path, "6.1.0-56-amd64")

    with pytest.raises(kernels.KernelError, match=r"No kernel debug .*scripts/debug-kernel"):
        kernels.find("debug", tmp_path)


def test_an_incomplete_kernel_is_not_there(tmp_path: Path) -> None:
    """Its absence is told with what there is, and the remedy."""
    make_kernels(tmp_path, "6.1.0-56-amd64")
    (tmp_path / "6.12.117+deb12-amd64").mkdir()

    with pytest.raises(kernels.KernelError, match=r"No kernel 6\.12 .*6\.1\.0-56.*make setup"):
        kernels.find("6.12", tmp_path)


@pytest.mark.parametrize(
    ("relation", "name", "version"),
    [
        ("linux-kbuild-6.1 (>= 6.1.192-2)", "linux-kbuild-6.1", None),
        ("linux-image-6.1.0-56-amd64 (= 6.1.192-2)", "linux-image-6.1.0-56-amd64", "6.1.192-2"),
        ("linux-compiler-gcc-12-x86", "linux-compiler-gcc-12-x86", None),
        ("python3:any", "python3", None),
    ],
)
def test_a_dependency_is_read(relation: str, name: str, version: str | None) -> None:
    """An exact version counts; a lower bound does not."""
    match = kernels._RELATION.match(relation)
    assert match is not None
    assert (match["name"], match["version"]) == (name, version)


def test_what_is_no_kernel_image_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    image = tmp_path / "vmlinuz"
    image.write_bytes(bytes(4096))

    with pytest.raises(ImageError, match="vmlinuz: no bzImage"):
        extract_vmlinux(image)
