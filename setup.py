# SPDX-License-Identifier: GPL-2.0-or-later
"""Only what pyproject.toml cannot say: the cffi extension. Everything else stands there."""

from setuptools import setup

setup(cffi_modules=["bridge/build_native.py:ffibuilder"])
