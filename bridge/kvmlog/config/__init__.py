# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: one schema, one file (/etc/kvmlog/kvmlog.toml), the command line over it."""

from kvmlog.config.load import DEFAULT_CONFIG, Config, ConfigError, add_options

__all__ = ["DEFAULT_CONFIG", "Config", "ConfigError", "add_options"]
