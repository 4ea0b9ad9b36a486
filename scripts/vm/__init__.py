# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines with a kernel of choice: the tool behind `make vm*`, `make run` and the tests.

`run_vm` of scripts.vm.runner boots one for one command, scripts.vm.kernels has the kernels.
"""
