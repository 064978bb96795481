/* SPDX-License-Identifier: GPL-2.0-only */
/* Loading a guest: find out what the image is, check all of it, then write. */
#include "vmm/load/load.h"

#include "lib/printf.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"
#include "vmm/load/plan.h"

#define MULTIBOOT1_MAGIC 0x2badb002u /* in eax at the entry */
#define MULTIBOOT2_MAGIC 0x36d76289u
#define NO_MISS          UINT64_MAX

int load_refuse(struct load_plan *p, int err, const char *fmt, ...)
{
	int n = lib_snprintf(p->why, p->why_size, "%s: ", p->req->file);
	va_list ap;

	va_start(ap, fmt);
	if ((size_t)n < p->why_size)
		lib_vsnprintf(p->why + n, p->why_size - n, fmt, ap);
	va_end(ap);
	return err;
}

uint32_t load_get32(const void *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* ---- flat images ---------------------------------------------------------------- */

/*
 * The header lies header_offset into the file and is to appear at header_addr: that
 * fixes which byte of the file goes to load_addr.  load_end 0: to the end of the file;
 * bss_end 0: no bss.
 */
int flat_plan(struct load_plan *p, const struct flat_addresses *a, uint64_t header_offset)
{
	struct load_segment s = { .gpa = a->load_addr };
	uint64_t before = (uint64_t)a->header_addr - a->load_addr;

	p->flat = true;
	if (a->load_addr > a->header_addr || before > header_offset)
		return load_refuse(p, -ENOEXEC,
				   "load address 0x%x does not go with the header, at file offset 0x%lx for 0x%x",
				   a->load_addr, header_offset, a->header_addr);
	s.file_offset = header_offset - before;
	s.file_size = p->req->size - s.file_offset;
	if (a->load_end) {
		if (a->load_end < a->load_addr || a->load_end - a->load_addr > s.file_size)
			return load_refuse(p, -ENOEXEC,
					   "load end 0x%x lies outside the file, which ends at 0x%lx",
					   a->load_end, a->load_addr + s.file_size);
		s.file_size = a->load_end - a->load_addr;
	}
	s.mem_size = s.file_size;
	if (a->bss_end) {
		if (a->bss_end < a->load_addr + s.file_size)
			return load_refuse(p, -ENOEXEC,
					   "bss end 0x%x lies below the load end 0x%lx",
					   a->bss_end, a->load_addr + s.file_size);
		s.mem_size = (uint64_t)a->bss_end - a->load_addr;
	}
	if (!s.mem_size)
		return load_refuse(p, -ENOEXEC, "the multiboot header loads nothing");
	p->segments[p->segment_count++] = s;
	return 0;
}

/* ---- what the image is -------------------------------------------------------------- */

/* Neither header: say what is nearest to one. */
static int refuse_unknown(struct load_plan *p, uint64_t miss1, uint64_t miss2)
{
	bool is_elf = elf_is_elf(p->req->image, p->req->size);

	if (!p->req->size)
		return load_refuse(p, -ENOEXEC, "the file is empty");
	if (miss1 != NO_MISS || miss2 != NO_MISS)
		return load_refuse(p, -ENOEXEC,
				   "not a multiboot kernel (multiboot%s header at 0x%lx with a wrong checksum)",
				   miss2 != NO_MISS ? "2" : "", miss2 != NO_MISS ? miss2 : miss1);
	if (is_elf)
		return load_refuse(p, -ENOEXEC,
				   "ELF file, but not a multiboot kernel (no multiboot header in the first 32 KiB)");
	return load_refuse(p, -ENOEXEC,
			   "not a multiboot kernel (no multiboot header in the first 32 KiB, not an ELF file)");
}

/* A kernel with both headers gets the newer protocol. */
static int plan_image(struct load_plan *p)
{
	uint64_t miss1 = NO_MISS, miss2 = NO_MISS;
	bool found;
	int err = multiboot2_plan(p, &found, &miss2);

	if (found)
		return err;
	err = multiboot1_plan(p, &found, &miss1);
	return found ? err : refuse_unknown(p, miss1, miss2);
}

/* ---- writing -------------------------------------------------------------------------- */

void info_put(struct info_writer *w, const void *data, uint64_t size)
{
	const struct load_request *req = w->plan->req;

	if (!w->dry && !w->err && size)
		w->err = req->write(req->ctx, w->plan->info_gpa + w->pos, data, size);
	w->pos += size;
}

void info_put32(struct info_writer *w, uint32_t v)
{
	info_put(w, &v, sizeof(v));
}

void info_put64(struct info_writer *w, uint64_t v)
{
	info_put(w, &v, sizeof(v));
}

void info_put_string(struct info_writer *w, const char *s)
{
	s = s ? s : "";
	info_put(w, s, strlen(s) + 1);
}

void info_align(struct info_writer *w, unsigned align)
{
	static const uint8_t zeroes[8];

	info_put(w, zeroes, -w->pos & (align - 1));
}

static void put_info(struct info_writer *w)
{
	if (w->plan->protocol == LOAD_MULTIBOOT2)
		multiboot2_info(w);
	else
		multiboot1_info(w);
}

static int write_segment(const struct load_request *req, const struct load_segment *s)
{
	const uint8_t *from = (const uint8_t *)req->image + s->file_offset;
	int err = 0;

	if (s->file_size)
		err = req->write(req->ctx, s->gpa, from, s->file_size);
	if (!err && s->mem_size > s->file_size)
		err = req->zero(req->ctx, s->gpa + s->file_size, s->mem_size - s->file_size);
	return err;
}

static int write_all(struct load_plan *p)
{
	const struct load_request *req = p->req;
	struct info_writer w = { .plan = p };
	int err = 0;

	for (unsigned i = 0; i < p->segment_count && !err; i++)
		err = write_segment(req, &p->segments[i]);
	for (unsigned i = 0; i < req->module_count && !err; i++)
		if (req->modules[i].size)
			err = req->write(req->ctx, p->module_gpa[i], req->modules[i].data,
					 req->modules[i].size);
	if (!err) {
		put_info(&w);
		err = w.err;
	}
	if (err)
		return load_refuse(p, err, "writing to guest memory failed (error %d)", err);
	return 0;
}

int load_guest(const struct load_request *req, struct load_result *out, char *why, size_t why_size)
{
	struct load_plan p = { .req = req, .why = why, .why_size = why_size };
	struct info_writer measure = { .plan = &p, .dry = true };
	int err;

	err = plan_image(&p);
	if (!err)
		err = place_image(&p);
	if (!err)
		err = place_modules(&p);
	if (err)
		return err;
	put_info(&measure);
	err = place_info(&p, measure.pos);
	if (!err)
		err = write_all(&p);
	if (err)
		return err;
	*out = (struct load_result){
		.protocol = p.protocol,
		.entry = (uint32_t)p.entry,
		.eax = p.protocol == LOAD_MULTIBOOT2 ? MULTIBOOT2_MAGIC : MULTIBOOT1_MAGIC,
		.ebx = (uint32_t)p.info_gpa,
	};
	return 0;
}
