/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From boot_info to the last guest's end.  Each stage is named in the log, so
 * that whatever hangs or breaks can be placed.
 */
#include "vmm/main.h"

#include "arch/x86/machine_init.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/pages.h"
#include "host/param.h"
#include "host/thread.h"
#include "vmm/guests.h"
#include "vmm/keeper.h"
#include "vmm/monitor.h"
#include "vmm/report.h"
#include "vmm/virt.h"

_Noreturn static void end(enum machine_end code, const char *why)
{
	if (code == MACHINE_END_OK)
		log_rawf("phyllo: end: ok\n");
	else
		log_rawf("phyllo: end: failed: %s\n", why);
	machine_poweroff(code);
}

static void complain(void *ctx, const char *sentence)
{
	log_error("%s", sentence);
}

static void show_line(void *ctx, const char *line)
{
	log_rawf("  %s\n", line);
}

/* A misspelt option must not silently be the default. */
static void read_options(const struct boot_info *bi)
{
	if (params_parse(&param, bi->cmdline, complain, NULL))
		end(MACHINE_END_FAILED, "bad boot options (help shows the list)");
	log_set_level((enum log_level)param.log);
	if (param.help) {
		log_rawf("boot options:\n");
		params_help(show_line, NULL);
		end(MACHINE_END_OK, NULL);
	}
}

static void show_boot(const struct boot_info *bi)
{
	log_info("Phyllo, booted by %s (%s), image at 0x%lx-0x%lx, %u modules",
		 boot_path_name(bi->path), bi->loader, bi->image_base, bi->image_end,
		 bi->module_count);
	if (bi->dropped)
		log_warn("%u memory ranges or modules had no room in the boot information",
			 bi->dropped);
	log_info("command line: %s", bi->cmdline);
}

static void init_memory(const struct boot_info *bi)
{
	struct pages_stats stats;

	stage_enter("memory");
	if (pages_init(bi))
		end(MACHINE_END_FAILED, "not enough memory for the hypervisor itself");
	stage_enter("paging");
	if (machine_init_paging(bi))
		end(MACHINE_END_FAILED, "no memory for the hypervisor's page tables");
	pages_add_high(bi);
	pages_stats(&stats);
	log_info("host memory: %lu MiB, %lu MiB free", stats.total >> 8, stats.free >> 8);
}

_Noreturn static void run_guests(const struct boot_info *bi)
{
	struct thread *prompt = NULL;
	struct vms_result res;

	guests_add(bi);
	if (param.end == 1)
		prompt = monitor_start();
	guests_run();
	keeper_log_balance();
	vms_result(&res);
	log_rawf("phyllo: %u guests run, %u failed\n", res.run, res.failed);
	if (prompt) {
		stage_enter("prompt");
		thread_join(prompt);
		/* What was started at the prompt is ended, as by Ctrl-C, and counts as little. */
		vms_stop_all();
		vms_wait();
	}
	if (param.end == 2) {
		log_rawf("phyllo: halted (end=halt)\n");
		for (;;)
			thread_park();
	}
	if (res.failed)
		end(MACHINE_END_FAILED, res.first_failure);
	end(MACHINE_END_OK, NULL);
}

void phyllo_main(const struct boot_info *bi)
{
	machine_init_early(bi);
	panic_set_reporter(report_panic);
	machine_set_progress(report_progress);
	stage_enter("options");
	show_boot(bi);
	read_options(bi);
	init_memory(bi);
	if (param.screen)
		machine_init_screen(bi);
	stage_enter("processors");
	if (machine_init_cpus(bi, (unsigned)param.smp))
		end(MACHINE_END_FAILED, "the boot processor could not be set up");
	log_info("%u processors", machine_cpu_count());
	if (param.crash)
		machine_crash(param.crash);
	stage_enter("virtualisation");
	static const char *const vendors[] = { "auto", "svm", "vmx" };
	if (virt_init(vendors[param.vendor]))
		end(MACHINE_END_NO_VIRT, "this machine cannot run guests (see above)");
	run_guests(bi);
}
