/* SPDX-License-Identifier: GPL-2.0-only */
/* The hosted machine; see fake_machine.h. */
#include "tests/host/fake_machine.h"

#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/machine.h"

#define GIB          (1ul << 30)
#define EXIT_FAILED  1
#define EXIT_PANIC   99
#define MESSAGE_MAX  512

static char *ram; /* 1 GiB aligned, so that virtual alignment is physical alignment */
static uint64_t ram_size;
static _Thread_local unsigned cpu_id;
static _Thread_local bool irqs_off;
static _Atomic unsigned cpu_count = 1;
static _Atomic uint64_t now_us;
static _Atomic unsigned timeouts;
static int panic_fd = -1; /* in a child: where the message goes */
bool fake_child_failed;

/* ---- controls ----------------------------------------------------------------- */

void fake_ram_create(uint64_t bytes)
{
	char *p = mmap(NULL, bytes + GIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap of the fake RAM");
		exit(EXIT_FAILED);
	}
	ram = (char *)(((uintptr_t)p + GIB - 1) & ~(GIB - 1));
	ram_size = bytes;
}

void fake_set_cpu(unsigned id)
{
	cpu_id = id;
}

void fake_set_cpu_count(unsigned count)
{
	cpu_count = count;
}

void fake_set_us(uint64_t us)
{
	now_us = us;
}

unsigned fake_timeouts(void)
{
	return timeouts;
}

static int wait_child(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool fake_child(void (*fn)(void))
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		fn();
		fflush(stdout);
		_exit(fake_child_failed ? EXIT_FAILED : 0);
	}
	return !wait_child(pid);
}

bool fake_panics(void (*fn)(void), const char *text)
{
	char message[MESSAGE_MAX] = "";
	int fds[2], status;
	pid_t pid;

	fflush(stdout);
	if (pipe(fds))
		return false;
	pid = fork();
	if (!pid) {
		panic_fd = fds[1];
		fn();
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], message, sizeof(message) - 1) < 0)
		message[0] = '\0';
	close(fds[0]);
	status = wait_child(pid);
	if (status == EXIT_PANIC && strstr(message, text))
		return true;
	printf("# expected a panic with \"%s\", got exit code %d and \"%s\"\n", text, status,
	       message);
	return false;
}

/* ---- host/machine.h ------------------------------------------------------------- */

unsigned machine_cpu_id(void)
{
	return cpu_id;
}

unsigned machine_cpu_count(void)
{
	return cpu_count;
}

uint64_t machine_us(void)
{
	return now_us;
}

void machine_alive(void)
{
}

void machine_relax(void)
{
	sched_yield();
}

uint64_t machine_irq_save(void)
{
	bool off = irqs_off;

	irqs_off = true;
	return off;
}

void machine_irq_restore(uint64_t flags)
{
	irqs_off = flags;
}

bool machine_irqs_enabled(void)
{
	return !irqs_off;
}

struct deadline deadline_in_us(uint64_t us)
{
	return (struct deadline){ .spins_left = us };
}

bool deadline_passed(struct deadline *d)
{
	if (d->spins_left && --d->spins_left)
		return false;
	timeouts++;
	return true;
}

void *machine_phys_to_virt(uint64_t pa)
{
	if (pa >= ram_size)
		panic("fake machine: 0x%lx is not RAM", (unsigned long)pa);
	return ram + pa;
}

uint64_t machine_virt_to_phys(const void *va)
{
	return (uint64_t)((const char *)va - ram);
}

void panic(const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (panic_fd < 0)
		fprintf(stderr, "panic: %s\n", message);
	else if (write(panic_fd, message, strlen(message)) < 0)
		perror("panic message");
	_exit(EXIT_PANIC);
}
