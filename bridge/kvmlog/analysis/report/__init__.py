# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog report`: a recording, or two, as one page.

gather makes a model of a recording, document a page of models; page/ has what the page is made of.
Figures of groups are those of kvmlog.stat.report, so that they equal `kvmlog stat --from`.
"""
