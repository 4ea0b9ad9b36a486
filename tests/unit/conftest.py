# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of the property tests.

Tests assert nothing about time, and beside others (`make check`) an example may wait for a CPU: it
has no deadline, and making it may take long.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("kvmlog", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kvmlog")
