/* SPDX-License-Identifier: GPL-2.0-only */
/* A small command prompt on COM1; see monitor.h. */
#include "vmm/monitor.h"

#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "host/param.h"
#include "host/sched.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"
#include "vmm/guests.h"

static const struct boot_info *boot;

static void show_guest(const char *name, uint64_t mem)
{
	log_rawf("  %-24s %lu MiB\n", name, mem >> 20);
}

static void cmd_guests(const char *arg)
{
	guests_list(boot, show_guest);
}

static void cmd_run(const char *arg)
{
	struct guests_result res;

	if (!*arg)
		log_rawf("run NAME: the name of a guest, as 'guests' lists them\n");
	else if (guests_run_named(boot, arg, &res))
		log_rawf("no guest is called '%s'; 'guests' lists them\n", arg);
	else
		log_rawf("%s\n", res.failed ? res.first_failure : "ended well");
}

static void cmd_memory(const char *arg)
{
	struct object_stats objects;
	struct pages_stats pages;

	pages_stats(&pages);
	object_stats(&objects);
	log_rawf("  %lu of %lu MiB free; %lu allocations, %lu frees, %lu failures\n",
		 pages.free >> 8, pages.total >> 8, pages.allocs, pages.frees, pages.failures);
	log_rawf("  small objects: %lu live, %lu bytes, in %lu pages\n", objects.live_objects,
		 objects.live_bytes, objects.pages);
	for (unsigned o = 0; o <= PAGES_ORDER_MAX; o++)
		if (pages.free_by_order[o])
			log_rawf("  order %2u: %lu\n", o, pages.free_by_order[o]);
}

static uint64_t ms_of_cycles(uint64_t cycles)
{
	return cycles / (machine_cycles_per_us() * 1000);
}

static void show_cpu(unsigned cpu)
{
	struct sched_stats s;

	sched_stats(cpu, &s);
	log_rawf("  CPU %-3u idle %8lu ms  %8lu switches  %6lu from other CPUs  %8lu wake-ups  %6lu kicks\n",
		 cpu, ms_of_cycles(s.idle_cycles), s.switches, s.migrations, s.wakeups, s.kicks);
}

static void cmd_threads(const char *arg)
{
	struct thread_info t;

	for (unsigned i = 0; threads_list(&t, i, 1) > i; i++)
		log_rawf("  %-24s CPU %-3u %-6s %8lu ms  %8lu switches  %6lu moves  %8lu wake-ups\n",
			 t.name, t.cpu, t.state, ms_of_cycles(t.run_cycles), t.switches,
			 t.migrations, t.wakeups);
	for (unsigned cpu = 0; cpu < machine_cpu_count(); cpu++)
		show_cpu(cpu);
}

static void cmd_log(const char *arg)
{
	log_dump_ring(200);
}

static void show_line(void *ctx, const char *line)
{
	log_rawf("  %s\n", line);
}

static void cmd_options(const char *arg)
{
	params_help(show_line, NULL);
}

static void cmd_help(const char *arg);

static const struct command {
	const char *name, *help;
	void (*fn)(const char *arg); /* NULL: quit */
} commands[] = {
	{ "guests", "the guests of this boot", cmd_guests },
	{ "run", "NAME: run a guest again", cmd_run },
	{ "memory", "the host's memory", cmd_memory },
	{ "threads", "the hypervisor's threads, and the CPUs they run on", cmd_threads },
	{ "log", "the newest lines of the log", cmd_log },
	{ "options", "the boot options", cmd_options },
	{ "help", "this list", cmd_help },
	{ "quit", "power off", NULL },
};

static void cmd_help(const char *arg)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		log_rawf("  %-8s %s\n", commands[i].name, commands[i].help);
}

/* COM1 is polled: as often as nobody notices. */
#define KEY_WAIT_US 10000

/* One line with echo and backspace; Ctrl-D on an empty line is "quit". */
static void read_line(char *line, unsigned size)
{
	unsigned used = 0;

	for (;;) {
		int c = machine_getchar();

		if (c < 0) {
			thread_park_until(machine_cycles() + KEY_WAIT_US * machine_cycles_per_us());
		} else if (c == '\r' || c == '\n') {
			break;
		} else if (c == 4 && !used) {
			memcpy(line, "quit", 5);
			used = 4;
			break;
		} else if ((c == 8 || c == 127) && used) {
			used--;
			log_raw("\b \b", 3);
		} else if (c >= ' ' && c < 127 && used + 1 < size) {
			line[used++] = (char)c;
			log_raw(&line[used - 1], 1);
		}
	}
	line[used] = '\0';
	log_raw("\n", 1);
}

/* false: quit */
static bool execute(char *line)
{
	char *arg = strchr(line, ' ');

	if (arg)
		*arg++ = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(line, commands[i].name))
			continue;
		if (!commands[i].fn)
			return false;
		commands[i].fn(arg ? arg : "");
		return true;
	}
	if (*line)
		log_rawf("no command '%s'; 'help' lists them\n", line);
	return true;
}

void monitor_run(const struct boot_info *bi)
{
	char line[128];

	boot = bi;
	stage_enter("prompt");
	log_rawf("'help' lists the commands, 'quit' powers off\n");
	do {
		log_rawf("phyllo> ");
		read_line(line, sizeof(line));
	} while (execute(line));
}
