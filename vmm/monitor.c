/* SPDX-License-Identifier: GPL-2.0-only */
/* A small command prompt on COM1; see monitor.h. */
#include "vmm/monitor.h"

#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "host/param.h"
#include "host/sched.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"
#include "vmm/report.h"
#include "vmm/vms.h"

/* How often the keyboard is looked at: COM1 has no interrupt. */
#define POLL_US 10000
/* The prompt comes back when nobody has printed for so many looks. */
#define QUIET_POLLS 30
/* How long a pause is waited for: 10 s. */
#define PAUSE_POLLS 1000

/* ---- commands on VMs ------------------------------------------------------------------ */

/* At once: guests print in between, and each line of theirs begins a new one. */
static void show_vm(struct guest *g)
{
	static const char *const states[] = { "off", "running", "paused", "ending" };
	struct vms_info info;
	char use[80] = "";

	vms_info(g, &info);
	if (info.us)
		lib_snprintf(use, sizeof(use), ", %lu KiB in use, %lu %% of a CPU",
			     info.used_pages * 4, info.cpu_us * 100 / info.us);
	log_rawf("  %2u %-20s %-8s %2u vCPU%s %5lu MiB%s, started %u time%s%s\n", g->id,
		 g->config.name, states[info.state], g->config.vcpus,
		 g->config.vcpus == 1 ? ", " : "s,", g->config.mem >> 20, use, info.starts,
		 &"s"[info.starts == 1], g->config.privileged ? ", privileged" : "");
}

static void cmd_vms(const char *arg)
{
	for (struct guest *g = vms_next(NULL); g; g = vms_next(g))
		show_vm(g);
}

static struct guest *guest_of(const char *name)
{
	struct guest *g = vms_find_name(name);

	if (!g)
		log_rawf("no VM is called '%s'; 'vms' lists them\n", name);
	return g;
}

/* NULL: it was refused, and the user knows. */
static struct guest *ask(const char *name, enum life_op op)
{
	struct guest *g = guest_of(name);
	int err = g ? vms_ask(g, op) : -ENOENT;

	if (!err)
		return g;
	if (err == -EBUSY)
		log_rawf("%s runs already\n", name);
	else if (g)
		log_rawf("%s does not run\n", name);
	return NULL;
}

static void doze(void)
{
	thread_park_until(machine_cycles() + POLL_US * machine_cycles_per_us());
}

/* With those that belong to it. */
static void cmd_run(const char *arg)
{
	ask(arg, LIFE_START);
	for (struct guest *g = vms_next(NULL); g; g = vms_next(g))
		if (!strcmp(g->config.with, arg))
			ask(g->config.name, LIFE_START);
}

/* When the prompt is back it stands still, unless somebody else has resumed it. */
static void cmd_pause(const char *arg)
{
	struct guest *g = ask(arg, LIFE_PAUSE);
	struct vms_info info;

	for (unsigned i = 0; g && i < PAUSE_POLLS; i++) {
		vms_info(g, &info);
		if (info.state != LIFE_RUNNING)
			return;
		doze();
	}
	if (g)
		log_rawf("%s has not come to rest yet\n", arg);
}

static void cmd_resume(const char *arg)
{
	ask(arg, LIFE_RESUME);
}

static void cmd_destroy(const char *arg)
{
	ask(arg, LIFE_DESTROY);
}

static void cmd_restart(const char *arg)
{
	ask(arg, LIFE_RESTART);
}

static void report_running(const char *name, void (*report)(struct vm *vm))
{
	struct guest *g = guest_of(name);
	struct vm *vm = g ? vms_get(g->id) : NULL;

	if (vm) {
		report(vm);
		vms_put(vm);
	} else if (g) {
		log_rawf("%s does not run, or is just being made or ended\n", name);
	}
}

static void cmd_stats(const char *arg)
{
	report_running(arg, report_stats_now);
}

static void cmd_latency(const char *arg)
{
	report_running(arg, report_latency);
}

static void cmd_events(const char *arg)
{
	report_running(arg, report_events);
}

/* ---- commands on the host --------------------------------------------------------------- */

static void show_thread(const struct thread_info *t)
{
	uint64_t per_ms = MAX(machine_cycles_per_us() * 1000, 1ul);

	log_rawf("  %-24s CPU %-3u %-7s %8lu ms %10lu switches %6lu migrations\n", t->name, t->cpu,
		 t->state, t->run_cycles / per_ms, t->switches, t->migrations);
}

static void cmd_threads(const char *arg)
{
	struct thread_info some[8];
	unsigned total, shown = 0;

	do {
		total = threads_list(some, shown, ARRAY_SIZE(some));
		for (unsigned i = 0; i < ARRAY_SIZE(some) && shown < total; i++, shown++)
			show_thread(&some[i]);
	} while (shown < total);
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
	const char *name, *arg, *help;
	void (*fn)(const char *arg); /* NULL: quit */
} commands[] = {
	{ "vms", "", "the virtual machines: state, memory, share of a CPU", cmd_vms },
	{ "run", "NAME", "start one that is off", cmd_run },
	{ "pause", "NAME", "its vCPUs wait", cmd_pause },
	{ "resume", "NAME", "and go on", cmd_resume },
	{ "destroy", "NAME", "end it; its memory comes back", cmd_destroy },
	{ "restart", "NAME", "end it if it runs, and start it afresh", cmd_restart },
	{ "stats", "NAME", "its statistics so far", cmd_stats },
	{ "latency", "NAME", "histograms of how long things took so far", cmd_latency },
	{ "events", "NAME", "what was done last to its tables", cmd_events },
	{ "threads", "", "the hypervisor's threads", cmd_threads },
	{ "memory", "", "the host's memory", cmd_memory },
	{ "log", "", "the newest lines of the log", cmd_log },
	{ "options", "", "the boot options", cmd_options },
	{ "help", "", "this list", cmd_help },
	{ "quit", "", "end all VMs and power off (Ctrl-C: end all VMs)", NULL },
};

static void cmd_help(const char *arg)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		log_rawf("  %-8s %-5s %s\n", commands[i].name, commands[i].arg, commands[i].help);
}

/* false: quit */
static bool execute(char *line)
{
	char *arg = strchr(line, ' ');

	if (arg)
		*arg++ = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		if (strcmp(line, c->name))
			continue;
		if (!c->fn)
			return false;
		if (*c->arg && !(arg && *arg))
			log_rawf("%s NAME: the name of a VM, as 'vms' lists them\n", c->name);
		else
			c->fn(arg ? arg : "");
		return true;
	}
	if (*line)
		log_rawf("no command '%s'; 'help' lists them\n", line);
	return true;
}

/* ---- the line ----------------------------------------------------------------------------- */

struct line {
	char text[128];
	unsigned used;
	unsigned quiet; /* looks in a row at which the cursor stood at a line's start */
};

static void show_prompt(struct line *l)
{
	l->text[l->used] = '\0';
	log_rawf("phyllo> %s", l->text);
	l->quiet = 0;
}

/* Guests print while the user types: the prompt comes back, with what was typed. */
static void wait_for_key(struct line *l)
{
	l->quiet = log_at_line_start() ? l->quiet + 1 : 0;
	if (l->quiet == QUIET_POLLS)
		show_prompt(l);
	doze();
}

/* true: the line is complete. */
static bool take_key(struct line *l, int c)
{
	if (c == '\r' || c == '\n')
		return true;
	if (c == 3) {
		vms_stop_all();
	} else if (c == 4 && !l->used) {
		memcpy(l->text, "quit", 5);
		l->used = 4;
		return true;
	} else if ((c == 8 || c == 127) && l->used) {
		l->used--;
		log_raw("\b \b", 3);
	} else if (c >= ' ' && c < 127 && l->used + 1 < sizeof(l->text)) {
		l->text[l->used++] = (char)c;
		log_raw(&l->text[l->used - 1], 1);
	}
	return false;
}

/* One line with echo and backspace; Ctrl-D on an empty line is "quit", Ctrl-C ends all VMs. */
static void read_line(struct line *l)
{
	int c;

	l->used = 0;
	show_prompt(l);
	do {
		while ((c = machine_getchar()) < 0)
			wait_for_key(l);
	} while (!take_key(l, c));
	l->text[l->used] = '\0';
	log_raw("\n", 1);
}

static void monitor_main(void *arg)
{
	struct line line;

	log_rawf("'help' lists the commands, 'quit' powers off\n");
	do
		read_line(&line);
	while (execute(line.text));
	vms_stop_all();
}

struct thread *monitor_start(void)
{
	struct thread *t = thread_create("prompt", monitor_main, NULL, NULL);

	if (t)
		thread_start(t);
	else
		log_error("no memory for the prompt");
	return t;
}
