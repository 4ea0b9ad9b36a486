# SPDX-License-Identifier: GPL-2.0-or-later
"""The uncompressed kernel inside a bzImage.

QEMU enters an uncompressed x86 kernel directly (PVH), which spares an emulated
machine the decompression: about a third of its boot.

Source: Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length).
"""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

_SETUP_SECTS_AT = 0x1F1
_MAGIC_AT = 0x202
_PAYLOAD_AT = 0x248  # offset and length, 32 bits each, from the protected-mode code on
_SECTOR_BYTES = 512


class ImageError(Exception):
    """The file is no bzImage, or compressed in a way that nothing here undoes."""


def extract_vmlinux(vmlinuz: Path) -> bytes:
    """The ELF image that `vmlinuz` unpacks at boot. Raises ImageError."""
    image = vmlinuz.read_bytes()
    if image[_MAGIC_AT : _MAGIC_AT + 4] != b"HdrS":
        raise ImageError(f"{vmlinuz}: no bzImage (no HdrS at 0x202)")
    start = ((image[_SETUP_SECTS_AT] or 4) + 1) * _SECTOR_BYTES
    offset, length = struct.unpack_from("<II", image, _PAYLOAD_AT)
    vmlinux = _decompress(image[start + offset : start + offset + length], vmlinuz)
    if vmlinux[:4] != b"\x7fELF":
        raise ImageError(f"{vmlinuz}: the payload is no ELF image")
    return vmlinux


def _decompress(payload: bytes, vmlinuz: Path) -> bytes:
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        if shutil.which("zstd") is None:
            raise ImageError(f"{vmlinuz}: compressed with zstd; install the package zstd")
        # The kernel's build appends the unpacked size, 4 bytes that are no zstd frame.
        done = subprocess.run(
            ["zstd", "-dcq"], input=payload[:-4], stdout=subprocess.PIPE, check=False
        )
        if done.returncode == 0:
            return done.stdout
    raise ImageError(f"{vmlinuz}: unknown compression {payload[:6].hex()}")
