# SPDX-License-Identifier: GPL-2.0-or-later
"""What is closed at the end of a `with`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closeable(ABC):
    """Its own context manager: close() at the end, whatever happened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds; a second call does nothing."""
