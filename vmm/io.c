/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Port I/O: console (0x3f8, 0xe9), the ways to say "done" (0xf4, 0x8900), and
 * INS/OUTS on top of them.
 */
#include "vmm/io.h"

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "lib/string.h"
#include "lib/util.h"
#include "vmm/exit.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

#define PORT_SYSTEM_CONTROL_A 0x92
#define PORT_DEBUGCON 0xe9
#define PORT_DEBUG_EXIT 0xf4
#define PORT_SHUTDOWN 0x8900

/* "Shutdown", byte by byte: Bochs's way to end. */
static void shutdown_char(struct vm *vm, char c)
{
	static const char word[] = "Shutdown";

	if (c == word[vm->shutdown_match])
		vm->shutdown_match++;
	else
		vm->shutdown_match = c == word[0];
	if (!word[vm->shutdown_match])
		vm_exit_with(vm, 0);
}

static bool is_uart(uint16_t port)
{
	return port >= UART_PORT_FIRST && port <= UART_PORT_LAST;
}

static uint32_t read_port(struct vm *vm, uint16_t port, unsigned size)
{
	if (is_uart(port) && size == 1)
		return guest_uart_read(&vm->console, port - UART_PORT_FIRST);
	if (port == PORT_DEBUGCON && size == 1)
		return PORT_DEBUGCON; /* so that a guest can tell that somebody listens */
	if (pic_owns(port) && size == 1)
		return pic_read(&vm->pics, port);
	if (port == PORT_SYSTEM_CONTROL_A && size == 1)
		return 2; /* A20 is on, always */
	return size == 4 ? ~0u : (1u << 8 * size) - 1;
}

static void write_port(struct vm *vm, uint16_t port, unsigned size, uint32_t value)
{
	if (is_uart(port) && size == 1)
		guest_uart_write(&vm->console, port - UART_PORT_FIRST, (uint8_t)value);
	else if (port == PORT_DEBUGCON)
		guest_console_putc(&vm->console, (char)value);
	else if (pic_owns(port) && size == 1)
		pic_write(&vm->pics, port, (uint8_t)value);
	else if (port == PORT_DEBUG_EXIT)
		vm_exit_with(vm, value);
	else if (port == PORT_SHUTDOWN && size == 1)
		shutdown_char(vm, (char)value);
}

/* Interrupts may be on: no handler takes the lock, and nobody yields under it. */
uint32_t io_read(struct vm *vm, uint16_t port, unsigned size)
{
	spin_lock(&vm->devices);
	uint32_t value = read_port(vm, port, size);
	spin_unlock(&vm->devices);
	return value;
}

void io_write(struct vm *vm, uint16_t port, unsigned size, uint32_t value)
{
	spin_lock(&vm->devices);
	write_port(vm, port, size, value);
	spin_unlock(&vm->devices);
}

void io_console_write(struct vm *vm, const char *s, uint64_t n)
{
	spin_lock(&vm->devices);
	guest_console_write(&vm->console, s, n);
	spin_unlock(&vm->devices);
}

void io_console_flush(struct vm *vm)
{
	spin_lock(&vm->devices);
	guest_console_flush(&vm->console);
	spin_unlock(&vm->devices);
}

/* One element; false when the guest took a fault or the VM stopped. */
static bool string_element(struct vcpu *vcpu, const struct insn *insn, const struct exit_io *io)
{
	uint64_t offset = vcpu->regs.gpr[io->in ? GPR_RDI : GPR_RSI];
	gva_t gva = insn_linear(vcpu, io->in ? SEG_ES : insn->segment,
				offset & insn_mask(insn->address_size));
	struct insn_fault f;
	uint32_t data = 0;
	int err;

	if (io->in) {
		data = io_read(vcpu->vm, io->port, io->size);
		err = insn_write(vcpu, gva, &data, io->size, &f);
	} else {
		err = insn_read(vcpu, gva, &data, io->size, &f);
		if (!err)
			io_write(vcpu->vm, io->port, io->size, data);
	}
	if (err == -EFAULT)
		inject_page_fault(vcpu, f.gva, f.error);
	else if (err == -EINVAL) /* not canonical */
		inject_gp(vcpu);
	else if (err)
		vm_stop_report(vcpu, "string I/O on gva 0x%lx, where there is no memory", gva);
	return !err;
}

/*
 * INS/OUTS.  A repeated one does a bounded number of elements an exit, so that
 * interrupts and limits get their turn; RIP stays until the count is used up.
 */
#define STRING_BATCH 256

static void exit_string_io(struct vcpu *vcpu)
{
	const struct exit_io *io = &vcpu->exit.io;
	uint64_t *gpr = vcpu->regs.gpr;
	struct insn insn;

	if (insn_fetch(vcpu, &insn)) {
		vm_stop_report(vcpu, "cannot decode a string I/O instruction");
		return;
	}
	int64_t step = vcpu->regs.rflags & (1u << 10) ? -(int64_t)io->size : io->size;
	for (unsigned n = 0; n < STRING_BATCH; n++) {
		if (insn.rep && !(gpr[GPR_RCX] & insn_mask(insn.address_size)))
			break;
		if (!string_element(vcpu, &insn, io))
			return;
		insn_advance(&gpr[io->in ? GPR_RDI : GPR_RSI], insn.address_size, step);
		if (!insn.rep)
			break;
		insn_advance(&gpr[GPR_RCX], insn.address_size, -1);
	}
	if (!insn.rep || !(gpr[GPR_RCX] & insn_mask(insn.address_size)))
		vcpu_skip(vcpu, insn.len);
}

static void do_io(struct vcpu *vcpu)
{
	const struct exit_io *io = &vcpu->exit.io;
	uint64_t *rax = &vcpu->regs.gpr[GPR_RAX];

	if (io->string) {
		exit_string_io(vcpu);
		return;
	}
	if (!io->in) {
		io_write(vcpu->vm, io->port, io->size, (uint32_t)(*rax & insn_mask(io->size)));
	} else {
		uint64_t value = io_read(vcpu->vm, io->port, io->size);

		*rax = insn_merge(*rax, value, io->size);
	}
	insn_skip(vcpu);
}

/* The console is slow, and a string may be many lines: interrupts are open. */
void exit_io(struct vcpu *vcpu)
{
	machine_irq_enable();
	do_io(vcpu);
	machine_irq_save();
}
