# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs' text as bcc takes it: one string, and where its headers are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
# In this order: each uses what stands before it.
FILES: Final = ("maps.c", "write.c", "guest.c", "slot.c", "exit.c", "reentry.c")
COMPILER_FLAGS: Final = ("-Wno-ignored-attributes",)  # of bcc's own headers


def _folders() -> tuple[Path, list[Path]]:
    """Return the text's folder, and those that its #include lines are relative to."""
    installed = _PACKAGE / "include"
    if installed.is_dir():
        return installed / "bpf", [installed / "uapi", installed, installed / "bpf"]
    project = _PACKAGE.parents[3]
    text = project / "bridge" / "bpf"
    return text, [project / "include" / "uapi", project / "include", text]


def program_text() -> str:
    """Return all files as one text; bcc finds maps and programs only in the text itself."""
    folder, _ = _folders()
    parts = []
    for name in FILES:
        parts.append(f'#line 1 "{name}"')
        parts.append((folder / name).read_text(encoding="ascii"))
    return "\n".join(parts)


def text_files() -> list[Path]:
    """Return the headers of our own that the text may include, in a fixed order."""
    uapi, shared, text = _folders()[1]
    return sorted([*(uapi / "kvmlog").glob("*.h"), *(shared / "kvmlog").glob("*.h")]) + sorted(
        text.glob("*.h")
    )


def kernel_folder() -> Path:
    """Return the tree that stands for the kernel's own headers."""
    return _folders()[0] / "kernel"


def include_flags() -> list[str]:
    """Return the compiler's options."""
    return [f"-I{folder}" for folder in _folders()[1]]
