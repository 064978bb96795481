/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only program of a Linux that is booted for one measurement: loads KVM, runs one kernel in it (vm.h), and
 * switches the machine off.
 *
 *   /modules  one module a line, in order, with its parameters: "kvm-amd.ko npt=0"
 *   /job      one line: "KERNEL [mem=1G] [vcpus=2] [max_page=4k] [rt] -- WORDS OF THE KERNEL"
 */
#include "tools/linux-kvm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

/* QEMU's isa-debug-exit; the emulator's exit code is twice that and one. */
#define EXIT_PORT 0xf4
#define EXIT_OK 0x10
#define EXIT_FAILED 0x11

static _Noreturn void end(unsigned code)
{
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	if (!ioperm(EXIT_PORT, 4, 1))
		outl(code, EXIT_PORT);
	for (;;)
		pause();
}

_Noreturn void die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	printf("linux-kvm: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (%s)\n", strerror(err));
	end(EXIT_FAILED);
}

static void mount_at(const char *type, const char *where)
{
	mkdir(where, 0755);
	if (mount(type, where, type, 0, NULL))
		die("%s cannot be mounted", where);
}

static void load_module(char *line)
{
	char *name = strtok(line, " "), *parameters = strtok(NULL, "");
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, parameters ? parameters : "", 0))
		die("%s cannot be loaded", name);
	close(fd);
}

/* The next line of a file, without its end; false: no more. */
static bool next_line(FILE *f, char *line, int size)
{
	if (!fgets(line, size, f))
		return false;
	line[strcspn(line, "\n")] = 0;
	return true;
}

static FILE *open_text(const char *name)
{
	FILE *f = fopen(name, "r");

	if (!f)
		die("no %s", name);
	return f;
}

static uint64_t parse_size(const char *text)
{
	char *unit;
	uint64_t n = strtoull(text, &unit, 10);

	return n << (*unit == 'G' ? 30 : *unit == 'M' ? 20 : 0);
}

static void parse_option(struct vm_config *c, const char *word)
{
	if (!strncmp(word, "mem=", 4))
		c->mem = parse_size(word + 4);
	else if (!strncmp(word, "vcpus=", 6))
		c->vcpus = (unsigned)atoi(word + 6);
	else if (!strcmp(word, "max_page=4k"))
		c->small_pages = true;
	else if (!strcmp(word, "rt"))
		c->realtime = true;
	else
		die("the job has the unknown word %s", word);
}

static struct vm_config parse_job(char *line)
{
	char *words = strstr(line, " -- ");
	struct vm_config c = { .mem = 1ul << 30, .vcpus = 1, .words = "" };

	if (words) {
		*words = 0;
		c.words = words + 4;
	}
	c.kernel = strtok(line, " ");
	for (const char *word; (word = strtok(NULL, " "));)
		parse_option(&c, word);
	if (!c.kernel || !c.vcpus || c.vcpus > VM_VCPUS)
		die("the job makes no sense");
	return c;
}

static int run_job(char *line)
{
	struct vm_config config = parse_job(line);
	static struct vm vm;

	vm_create(&vm, &config);
	vm_load(&vm);
	vm_run(&vm);

	uint64_t without = vm_destroy(&vm), start = ticks();

	vm_free_memory(&vm);
	printf("linux-kvm: %s: destroyed in %lu cycles, its memory in %lu\n", vm.name, without,
	       ticks() - start);
	return vm.exit_code;
}

int main(void)
{
	char line[1024];

	mount_at("devtmpfs", "/dev");
	mount_at("proc", "/proc");
	mount_at("sysfs", "/sys");
	mount_at("debugfs", "/sys/kernel/debug");
	FILE *modules = open_text("/modules");

	while (next_line(modules, line, sizeof(line)))
		load_module(line);
	fclose(modules);
	FILE *job = open_text("/job");

	if (!next_line(job, line, sizeof(line)))
		die("the job is empty");
	end(run_job(line) ? EXIT_FAILED : EXIT_OK);
}
