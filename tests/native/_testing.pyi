# SPDX-License-Identifier: GPL-2.0-or-later
# The extension's names come from C headers at build time; mypy cannot know them.
from typing import Any

ffi: Any
lib: Any
