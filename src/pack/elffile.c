/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/elffile.h"

#include <elf.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Bounds for what a file may claim; real ones are far below. */
#define PHDRS_MAX 1024U
#define DYNAMIC_MAX 65536U           /* entries */
#define STRINGS_MAX (256U << 20)     /* bytes of .dynstr; Chromium's is about 1 MiB */
#define NOTE_MAX (1U << 20)          /* bytes of one PT_NOTE */
#define NEEDED_MAX 4096U

#ifndef GNU_PROPERTY_X86_ISA_1_NEEDED
#define GNU_PROPERTY_X86_ISA_1_NEEDED 0xc0008002U
#endif
#ifndef NT_GNU_PROPERTY_TYPE_0
#define NT_GNU_PROPERTY_TYPE_0 5
#endif

struct reader {
	Elf *elf;
	struct arena *arena;
	const char *name; /* quoted */
	GElf_Ehdr eh;
	GElf_Phdr *ph;
	size_t n_ph;
};

static int broken(const struct reader *r, struct err *e, const char *why)
{
	return err_set(e, EINVAL, "%s: damaged ELF file: %s", r->name, why);
}

/* File offset of a virtual address, and how many bytes of the file follow it in the same segment. */
static bool file_offset(const struct reader *r, uint64_t vaddr, uint64_t *ret_off, uint64_t *ret_left)
{
	for (size_t i = 0; i < r->n_ph; i++) {
		const GElf_Phdr *p = &r->ph[i];

		if (p->p_type != PT_LOAD || vaddr < p->p_vaddr || vaddr - p->p_vaddr >= p->p_filesz)
			continue;
		*ret_off = p->p_offset + (vaddr - p->p_vaddr);
		*ret_left = p->p_filesz - (vaddr - p->p_vaddr);
		return true;
	}
	return false;
}

static const char *string_at(struct reader *r, const Elf_Data *strings, uint64_t off)
{
	const char *s;
	size_t left;

	if (!strings || off >= strings->d_size)
		return NULL;
	s = (const char *)strings->d_buf + off;
	left = strings->d_size - off;
	if (!memchr(s, '\0', left))
		return NULL;
	return arena_strdup(r->arena, s);
}

static int read_interp(struct reader *r, const GElf_Phdr *p, struct elffile *f, struct err *e)
{
	Elf_Data *d;

	if (p->p_filesz < 2 || p->p_filesz > 4096)
		return broken(r, e, "the interpreter's name has a wrong length");
	d = elf_getdata_rawchunk(r->elf, (int64_t)p->p_offset, p->p_filesz, ELF_T_BYTE);
	if (!d || !memchr(d->d_buf, '\0', d->d_size))
		return broken(r, e, "the interpreter's name lies outside the file");
	f->interp = arena_strdup(r->arena, d->d_buf);
	return f->interp ? 0 : err_num(e, ENOMEM, "%s", r->name);
}

/* Values of the dynamic section that the second pass needs. */
struct dynamic {
	uint64_t strtab, strsz, soname, rpath, runpath;
	bool has_soname, has_rpath, has_runpath;
	uint64_t *needed;
	size_t n_needed;
};

static int note_needed(struct reader *r, struct dynamic *dyn, uint64_t off, struct err *e)
{
	if (dyn->n_needed >= NEEDED_MAX)
		return broken(r, e, "too many libraries");
	if (!dyn->needed)
		dyn->needed = arena_array(r->arena, NEEDED_MAX, sizeof *dyn->needed);
	if (!dyn->needed)
		return err_num(e, ENOMEM, "%s", r->name);
	dyn->needed[dyn->n_needed++] = off;
	return 0;
}

static int scan_dynamic(struct reader *r, Elf_Data *d, size_t n, struct dynamic *dyn,
			struct elffile *f, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		GElf_Dyn v;
		int rc = 0;

		if (!gelf_getdyn(d, (int)i, &v) || v.d_tag == DT_NULL)
			break;
		switch (v.d_tag) {
		case DT_STRTAB:
			dyn->strtab = v.d_un.d_ptr;
			break;
		case DT_STRSZ:
			dyn->strsz = v.d_un.d_val;
			break;
		case DT_SONAME:
			dyn->soname = v.d_un.d_val, dyn->has_soname = true;
			break;
		case DT_RPATH:
			dyn->rpath = v.d_un.d_val, dyn->has_rpath = true;
			break;
		case DT_RUNPATH:
			dyn->runpath = v.d_un.d_val, dyn->has_runpath = true;
			break;
		case DT_FLAGS_1:
			f->no_default_dirs = (v.d_un.d_val & DF_1_NODEFLIB) != 0;
			break;
		case DT_NEEDED:
			rc = note_needed(r, dyn, v.d_un.d_val, e);
			break;
		default:
			break;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int dynamic_strings(struct reader *r, const struct dynamic *dyn, struct elffile *f,
			   struct err *e)
{
	uint64_t off, left;
	Elf_Data *strings;

	if (!dyn->has_soname && !dyn->has_rpath && !dyn->has_runpath && dyn->n_needed == 0)
		return 0;
	if (!file_offset(r, dyn->strtab, &off, &left) || dyn->strsz > left ||
	    dyn->strsz > STRINGS_MAX)
		return broken(r, e, "its string table lies outside the file");
	strings = elf_getdata_rawchunk(r->elf, (int64_t)off, dyn->strsz, ELF_T_BYTE);
	if (!strings)
		return broken(r, e, "its string table lies outside the file");
	f->soname = dyn->has_soname ? string_at(r, strings, dyn->soname) : NULL;
	f->runpath = dyn->has_runpath ? string_at(r, strings, dyn->runpath) : NULL;
	f->rpath = dyn->has_rpath && !f->runpath ? string_at(r, strings, dyn->rpath) : NULL;
	f->needed = arena_array(r->arena, dyn->n_needed, sizeof *f->needed);
	if (!f->needed)
		return err_num(e, ENOMEM, "%s", r->name);
	for (size_t i = 0; i < dyn->n_needed; i++) {
		const char *s = string_at(r, strings, dyn->needed[i]);

		if (!s || !*s)
			return broken(r, e, "a library's name lies outside its string table");
		f->needed[f->n_needed++] = s;
	}
	return 0;
}

static int read_dynamic(struct reader *r, const GElf_Phdr *p, struct elffile *f, struct err *e)
{
	size_t entry = f->elf_class == ELFCLASS64 ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
	struct dynamic dyn = { 0 };
	Elf_Data *d;
	int rc;

	if (p->p_filesz / entry > DYNAMIC_MAX)
		return broken(r, e, "its dynamic section is too long");
	f->dynamic = true;
	if (p->p_filesz < entry)
		return 0;
	d = elf_getdata_rawchunk(r->elf, (int64_t)p->p_offset, p->p_filesz, ELF_T_DYN);
	if (!d)
		return broken(r, e, "its dynamic section lies outside the file");
	rc = scan_dynamic(r, d, p->p_filesz / entry, &dyn, f, e);
	return rc < 0 ? rc : dynamic_strings(r, &dyn, f, e);
}

/* The x86 properties are 4-byte words in entries padded to the class' word size. */
static void read_properties(const struct elffile *f, const unsigned char *p, size_t n, uint32_t *ret)
{
	size_t align = f->elf_class == ELFCLASS64 ? 8 : 4;

	if (f->machine != EM_X86_64 && f->machine != EM_386)
		return;
	while (n >= 8) {
		uint32_t type, size, value;
		size_t step;

		memcpy(&type, p, 4);
		memcpy(&size, p + 4, 4);
		if (size > n - 8)
			return;
		if (type == GNU_PROPERTY_X86_ISA_1_NEEDED && size == 4) {
			memcpy(&value, p + 8, 4);
			*ret |= value;
		}
		step = 8 + (((size_t)size + align - 1) & ~(align - 1));
		if (step > n)
			return;
		p += step;
		n -= step;
	}
}

static void read_one_note(struct elffile *f, const GElf_Nhdr *nh, const char *name,
			  const unsigned char *desc)
{
	if (nh->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
		uint32_t tag[4];

		if (nh->n_type == NT_GNU_ABI_TAG && nh->n_descsz >= sizeof tag) {
			memcpy(tag, desc, sizeof tag);
			if (tag[0] == ELF_NOTE_OS_LINUX) {
				f->has_kernel = true;
				memcpy(f->kernel, tag + 1, sizeof f->kernel);
			}
		} else if (nh->n_type == NT_GNU_PROPERTY_TYPE_0) {
			read_properties(f, desc, nh->n_descsz, &f->isa_needed);
		}
	} else if (nh->n_namesz == 3 && memcmp(name, "Go", 3) == 0) {
		f->is_go = true;
	}
}

/* Notes are hints, so a damaged one is passed over. */
static void read_notes(struct reader *r, const GElf_Phdr *p, struct elffile *f)
{
	size_t at = 0, name_at, desc_at;
	GElf_Nhdr nh;
	Elf_Data *d;

	if (p->p_filesz == 0 || p->p_filesz > NOTE_MAX)
		return;
	d = elf_getdata_rawchunk(r->elf, (int64_t)p->p_offset, p->p_filesz,
				 p->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	while (d && (at = gelf_getnote(d, at, &nh, &name_at, &desc_at)) > 0)
		read_one_note(f, &nh, (const char *)d->d_buf + name_at,
			      (const unsigned char *)d->d_buf + desc_at);
}

static int read_headers(struct reader *r, struct elffile *f, struct err *e)
{
	if (!gelf_getehdr(r->elf, &r->eh) || elf_getphdrnum(r->elf, &r->n_ph) < 0)
		return broken(r, e, "its header is cut off");
	if (r->n_ph > PHDRS_MAX)
		return broken(r, e, "too many program headers");
	f->elf_class = r->eh.e_ident[EI_CLASS];
	f->machine = r->eh.e_machine;
	f->type = r->eh.e_type;
	r->ph = arena_array(r->arena, r->n_ph, sizeof *r->ph);
	if (!r->ph)
		return err_num(e, ENOMEM, "%s", r->name);
	for (size_t i = 0; i < r->n_ph; i++)
		if (!gelf_getphdr(r->elf, (int)i, &r->ph[i]))
			return broken(r, e, "its program headers lie outside the file");
	return 0;
}

static int read_elf(struct elffile *ret, struct arena *arena, Elf *elf, const char *name,
		    struct err *e)
{
	char quoted[512];
	struct reader r = { .elf = elf, .arena = arena };
	struct elffile f = { 0 };
	int rc;

	r.name = log_quote(quoted, sizeof quoted, name);
	if (!elf)
		return err_num(e, ENOMEM, "%s", r.name);
	if (elf_kind(elf) != ELF_K_ELF)
		return err_set(e, ENOEXEC, "%s: not an ELF file", r.name);
	rc = read_headers(&r, &f, e);
	for (size_t i = 0; rc == 0 && i < r.n_ph; i++) {
		if (r.ph[i].p_type == PT_INTERP && !f.interp)
			rc = read_interp(&r, &r.ph[i], &f, e);
		else if (r.ph[i].p_type == PT_DYNAMIC && !f.dynamic)
			rc = read_dynamic(&r, &r.ph[i], &f, e);
		else if (r.ph[i].p_type == PT_NOTE)
			read_notes(&r, &r.ph[i], &f);
	}
	if (rc < 0)
		return rc;
	*ret = f;
	return 0;
}

int elffile_read(struct elffile *f, struct arena *arena, int fd, const char *name, struct err *e)
{
	unsigned char magic[SELFMAG];
	Elf *elf;
	int rc;

	/* Nearly every file a bundle holds is no ELF file: say so with one system call. */
	if (pread(fd, magic, sizeof magic, 0) != sizeof magic ||
	    memcmp(magic, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	(void)elf_version(EV_CURRENT);
	/* Without mmap: a file that shrinks meanwhile must not kill us by SIGBUS. */
	elf = elf_begin(fd, ELF_C_READ, NULL);
	rc = read_elf(f, arena, elf, name, e);
	(void)elf_end(elf);
	return rc;
}

int elffile_parse(struct elffile *f, struct arena *arena, const void *data, size_t len,
		  const char *name, struct err *e)
{
	char *copy; /* libelf wants memory that it may write to */
	Elf *elf;
	int rc;

	if (len < SELFMAG || memcmp(data, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	copy = malloc(len);
	if (!copy)
		return err_num(e, ENOMEM, "%s", name);
	memcpy(copy, data, len);
	(void)elf_version(EV_CURRENT);
	elf = elf_memory(copy, len);
	rc = read_elf(f, arena, elf, name, e);
	(void)elf_end(elf);
	free(copy);
	return rc;
}

int elffile_imports(int fd, void (*seen)(void *ctx, const char *symbol), void *ctx)
{
	Elf *elf;
	Elf_Scn *scn = NULL;

	(void)elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF) {
		(void)elf_end(elf);
		return -ENOEXEC;
	}
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		Elf_Data *d;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_DYNSYM || sh.sh_entsize == 0)
			continue;
		d = elf_getdata(scn, NULL);
		for (size_t i = 0; d && i < sh.sh_size / sh.sh_entsize; i++) {
			const char *s;

			if (!gelf_getsym(d, (int)i, &sym))
				break;
			s = sym.st_shndx == SHN_UNDEF ? elf_strptr(elf, sh.sh_link, sym.st_name) :
							NULL;
			if (s && *s)
				seen(ctx, s);
		}
	}
	(void)elf_end(elf);
	return 0;
}

const char *elffile_arch(uint16_t machine, unsigned char elf_class)
{
	switch (machine) {
	case EM_X86_64:
		return elf_class == ELFCLASS64 ? "x86_64" : "x32";
	case EM_386:
		return "i386";
	case EM_AARCH64:
		return "aarch64";
	case EM_ARM:
		return "arm";
	case EM_RISCV:
		return elf_class == ELFCLASS64 ? "riscv64" : "riscv32";
	case EM_PPC64:
		return "ppc64";
	case EM_S390:
		return "s390x";
	default:
		return "unknown";
	}
}

bool elffile_compatible(const struct elffile *a, const struct elffile *b)
{
	return a->elf_class == b->elf_class && a->machine == b->machine;
}
