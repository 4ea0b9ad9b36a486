# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of hypothesis: a busy machine makes no test fail."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
