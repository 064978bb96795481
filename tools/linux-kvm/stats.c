/* SPDX-License-Identifier: GPL-2.0-only */
/* What KVM and Linux say of themselves; there is one VM, so the sums over all are its own. */
#include "tools/linux-kvm/vm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "phyllo/hypercall.h"

#define DEBUGFS "/sys/kernel/debug/kvm/"

static bool read_file(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, to, size - 1);

	if (fd >= 0)
		close(fd);
	to[n > 0 ? n : 0] = 0;
	return n > 0;
}

bool kvm_uses_npt(void)
{
	char text[8];

	if (!read_file("/sys/module/kvm_amd/parameters/npt", text, sizeof(text)))
		die("kvm-amd is not there");
	return text[0] == 'Y' || text[0] == '1';
}

static uint64_t kvm_stat(const char *name)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), DEBUGFS "%s", name);
	if (!read_file(path, text, sizeof(text)))
		die("KVM has no statistic %s", name);
	return strtoull(text, NULL, 10);
}

/* The sum of the numbers behind a word, wherever a line begins with it. */
static uint64_t sum_of(const char *path, const char *word)
{
	FILE *f = fopen(path, "r");
	uint64_t sum = 0;
	char line[256];

	if (!f)
		die("no %s", path);
	while (fgets(line, sizeof(line), f)) {
		const char *s = line + strspn(line, " ");

		if (!strncmp(s, word, strlen(word)))
			sum += strtoull(s + strlen(word), NULL, 10);
	}
	fclose(f);
	return sum;
}

static uint64_t meminfo(const char *word)
{
	return sum_of("/proc/meminfo", word) * 1024;
}

static uint64_t mmu_tables(void)
{
	return meminfo("SecPageTables:") / PAGE_SIZE;
}

/*
 * What Linux has taken for itself: tables, reverse maps, and pages of KVM's that no line of its own counts.  So it is
 * what is neither free, nor on a CPU's list of free pages, nor a program's, its page tables' or the page cache's.
 */
static uint64_t mmu_bytes(void)
{
	return meminfo("MemTotal:") - meminfo("MemFree:") -
	       sum_of("/proc/zoneinfo", "count:") * PAGE_SIZE - meminfo("AnonPages:") -
	       meminfo("PageTables:") - meminfo("Cached:") - meminfo("Buffers:") -
	       meminfo("SReclaimable:");
}

unsigned stats_read(void *to, uint64_t bytes)
{
	static const char *const names[] = {
		"pf_taken", "pf_fixed", "pf_spurious", "pf_fast", "pages_4k", "pages_2m",
		"pages_1g", "mmu_shadow_zapped", "mmu_pte_write", "mmu_unsync", "mmu_flooded",
	};
	static const struct {
		const char *name;
		uint64_t (*read)(void);
	} sums[] = { { "mmu_tables", mmu_tables }, { "mmu_bytes", mmu_bytes } };
	unsigned n = sizeof(names) / sizeof(names[0]), all = n + sizeof(sums) / sizeof(sums[0]);
	struct phyllo_stat *stat = to;

	for (unsigned i = 0; i < all && (i + 1) * sizeof(*stat) <= bytes; i++) {
		strncpy(stat[i].name, i < n ? names[i] : sums[i - n].name, sizeof(stat[i].name));
		stat[i].value = i < n ? kvm_stat(names[i]) : sums[i - n].read();
	}
	return all;
}
