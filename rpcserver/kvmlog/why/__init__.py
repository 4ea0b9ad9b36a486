# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a VM is slow: evidence of some seconds, rules that judge it, and sentences for people.

`evidence` is what was seen, `rules` says what of it stands out, `verdict` joins both, `words` and
`serialize` show a verdict. All these are pure; `gather` collects evidence on this host.
"""
