/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A plugin for QEMU's TCG: how often each instruction ran, between the first and the second RDTSC of each
 * pair that a guest kernel executes.  That is how the bench kernels take a sample, so
 * what is counted is the operation that they measure, and nothing else.
 *
 * Arguments: out=FILE.  The file says "operations N", then "ADDRESS COUNT" (hexadecimal, decimal) a line.
 *
 * QEMU's header for plugins is not packaged; what we use of version 1 of the interface is declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, void *),
				    void *arg);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t n);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned cpu, void *arg),
					    enum qemu_plugin_cb_flags flags, void *arg);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

/* Kernels of ours run below 4 GiB; the hypervisor lies far above. */
#define GUEST_END (1ull << 32)
#define BUCKETS (1u << 16)

struct count {
	struct count *next;
	uint64_t address, count;
};

static struct count *table[BUCKETS];
static const char *out_path;
static bool on;
static uint64_t operations;

static struct count *count_of(uint64_t address)
{
	struct count **head = &table[(address ^ address >> 16) % BUCKETS];

	for (struct count *c = *head; c; c = c->next)
		if (c->address == address)
			return c;
	struct count *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	*c = (struct count){ .next = *head, .address = address };
	return *head = c;
}

static void ran(unsigned cpu, void *arg)
{
	struct count *c = arg;

	if (on)
		c->count++;
}

static void ran_rdtsc(unsigned cpu, void *arg)
{
	ran(cpu, arg);
	on = !on;
	operations += on;
}

static bool is_rdtsc(const struct qemu_plugin_insn *insn)
{
	return qemu_plugin_insn_vaddr(insn) < GUEST_END && qemu_plugin_insn_size(insn) == 2 &&
	       !memcmp(qemu_plugin_insn_data(insn), "\x0f\x31", 2);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		struct count *c = count_of(qemu_plugin_insn_vaddr(insn));

		qemu_plugin_register_vcpu_insn_exec_cb(insn, is_rdtsc(insn) ? ran_rdtsc : ran,
						       QEMU_PLUGIN_CB_NO_REGS, c);
	}
}

static void at_exit(qemu_plugin_id_t id, void *arg)
{
	FILE *out = fopen(out_path, "w");

	if (!out)
		return;
	fprintf(out, "operations %" PRIu64 "\n", operations);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct count *c = table[i]; c; c = c->next)
			if (c->count)
				fprintf(out, "%" PRIx64 " %" PRIu64 "\n", c->address, c->count);
	fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			out_path = strdup(argv[i] + 4);
	if (!out_path)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}
