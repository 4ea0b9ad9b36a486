# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: one schema, one file (/etc/kvmlog/kvmlog.toml), the command line over it.

schema: every key with its default and limits; load: Config, ConfigError and the command-line
options; reload: what SIGHUP applies; reference: the default file and the table of the docs;
problems: all problems at once. Nothing is imported here: who needs a default loads the schema only.
"""
