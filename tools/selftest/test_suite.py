# SPDX-License-Identifier: GPL-2.0-only
"""What a fresh checkout has before anything is built."""

import os
import tempfile
import unittest
from unittest import mock

from phyllo.suite import test_list


class FreshTest(unittest.TestCase):
    def test_the_tests_are_known_before_a_build(self) -> None:
        with tempfile.TemporaryDirectory() as nothing, mock.patch.dict(os.environ, PHYLLO_BUILD=nothing):
            self.assertTrue(any(test.name.startswith("negative/") for test in test_list()))


if __name__ == "__main__":
    unittest.main()
