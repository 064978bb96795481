/* SPDX-License-Identifier: GPL-2.0-only */
/* libFuzzer target: programs of operations of the MMU manager, against the oracle. */
#include "tests/host/oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	oracle_run(data, size);
	return 0;
}
