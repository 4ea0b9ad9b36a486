# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key of /etc/kvmlog/kvmlog.toml: to add one, add a field to its section.

The check of the file, the attributes of Config, the options of the services,
the default file and the tables of docs/operations.md (compared by a test) all come from these.

defaults: those that other code names, too; tracing, serving, vms: the sections; sections: all of
them. Nothing is imported here: who needs a default loads the defaults only.
"""
