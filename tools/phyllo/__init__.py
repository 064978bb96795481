# SPDX-License-Identifier: GPL-2.0-only
"""Phyllo's host tools: build media, start emulators, judge what they say, run the tests.

Standard library only.  Entry: ``python3 -m phyllo COMMAND`` with tools/ on the path, which
is what the make targets do (tools/make/run.mk).
"""
