/* SPDX-License-Identifier: GPL-2.0-only */
/* Running the guests of this boot; see guests.h. */
#include "vmm/guests.h"

#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "host/param.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/report.h"
#include "vmm/vm.h"

__attribute__((format(printf, 2, 3)))
static void note_failure(struct guests_result *res, const char *fmt, ...)
{
	va_list ap;

	if (res->failed++)
		return;
	va_start(ap, fmt);
	lib_vsnprintf(res->first_failure, sizeof(res->first_failure), fmt, ap);
	va_end(ap);
}

static void note_end(struct guests_result *res, struct vm *vm)
{
	if (vm_succeeded(vm))
		return;
	if (atomic_load_explicit(&vm->end, memory_order_relaxed) == VM_END_EXIT)
		note_failure(res, "%s: exit code %lu", vm->config.name, vm->exit_code);
	else
		note_failure(res, "%s: %s", vm->config.name,
			     vm->why[0] ? vm->why : "stopped from the console");
}

struct balance {
	uint64_t pages, objects;
};

/* What is in use now, in a form that two moments can be compared by. */
static struct balance balance_now(void)
{
	struct pages_stats pages;
	struct object_stats objects;

	pages_stats(&pages);
	object_stats(&objects);
	return (struct balance){ pages.total - pages.free - objects.pages, objects.live_objects };
}

static void run_one(const struct vm_config *config, const struct boot_module *image,
		    const struct boot_info *bi, struct guests_result *res)
{
	struct balance before = balance_now();
	static char stage[VM_NAME_MAX + 8]; /* stays named until the next one */
	static unsigned next_id = 1;
	char why[256];
	struct vm *vm;

	lib_snprintf(stage, sizeof(stage), "guest %s", config->name);
	stage_enter(stage);
	log_info("%s: %lu MiB of memory, image %s (%lu bytes)", config->name, config->mem >> 20,
		 config->file, image->size);
	res->run++;
	if (vm_create(config, image, bi, next_id++, &vm, why, sizeof(why))) {
		log_error("%s", why);
		note_failure(res, "%s", why);
	} else {
		vm->start_us = machine_us();
		vcpu_run(vm->vcpus[0]);
		guest_console_flush(&vm->console);
		if (report_summary(vm))
			note_failure(res, "%s: the MMU audit found errors", config->name);
		note_end(res, vm);
		vm_destroy(vm);
	}
	struct balance after = balance_now();
	if (after.pages != before.pages || after.objects != before.objects) {
		log_error("%s: not all memory came back: %ld pages, %ld objects", config->name,
			  (long)(after.pages - before.pages),
			  (long)(after.objects - before.objects));
		note_failure(res, "%s: not all memory came back", config->name);
	}
}

static unsigned run_matching(const struct boot_info *bi, const char *name,
			     struct guests_result *res)
{
	struct vm_config config;
	unsigned matched = 0;
	char why[256];

	for (unsigned i = 0; i < bi->module_count; i++) {
		const struct boot_module *m = &bi->modules[i];

		if (vm_config_parse(m->cmdline, param.mem, &config, why, sizeof(why))) {
			if (!name) {
				log_error("%s", why);
				note_failure(res, "%s", why);
			}
			continue;
		}
		if (config.owner[0] || (name && strcmp(name, config.name)))
			continue;
		matched++;
		run_one(&config, m, bi, res);
	}
	return matched;
}

void guests_run_all(const struct boot_info *bi, struct guests_result *out)
{
	memset(out, 0, sizeof(*out));
	if (!run_matching(bi, NULL, out) && !out->failed)
		note_failure(out, "no guest was given (boot modules are guests; docs/boot.md)");
}

int guests_run_named(const struct boot_info *bi, const char *name, struct guests_result *out)
{
	memset(out, 0, sizeof(*out));
	return run_matching(bi, name, out) ? 0 : -ENOENT;
}

void guests_list(const struct boot_info *bi, void (*emit)(const char *name, uint64_t mem))
{
	struct vm_config config;
	char why[256];

	for (unsigned i = 0; i < bi->module_count; i++)
		if (!vm_config_parse(bi->modules[i].cmdline, param.mem, &config, why,
				     sizeof(why)) && !config.owner[0])
			emit(config.name, config.mem);
}
