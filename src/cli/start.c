/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program start without CPUID.
 *
 * glibc asks the processor about itself some 85 times at the start of every
 * program, to choose among string functions. On a virtual machine each of
 * these instructions leaves the guest (8 microseconds where this was measured),
 * and together they are a third of a whole launch. vrun moves no bytes to
 * speak of before it executes the app, so it takes the functions that every
 * x86-64 processor has, and does not ask.
 *
 * This file takes the place of the object in the static libc.a that holds
 * __libc_start_main. It does what that does, in the same order, less the
 * questions: auxiliary vector, tunables, relocation, thread-local storage,
 * stack and pointer guards from the kernel's random bytes, constructors, main,
 * exit. The names are private to glibc: configure uses this file only for a
 * static vrun with a glibc it was tried on, and only when a program made with
 * it runs; --disable-fast-start leaves glibc's own start in place. The
 * processes that vrun executes start as they always do.
 */
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The names are glibc's, and so are theirs that follow. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* Of glibc 2.36: csu/libc-start.c, csu/libc-tls.c, elf/dl-support.c, elf/dl-reloc-static-pie.c, sysdeps/x86. */
extern void _dl_aux_init(ElfW(auxv_t) * auxv);
extern void __tunables_init(char **env);
extern void _dl_relocate_static_pie(void);
extern void __libc_setup_tls(void);
extern void __libc_early_init(_Bool initial);
extern void __libc_init_first(int argc, char **argv, char **env);
extern void __libc_check_standard_fds(void);
extern int __cxa_atexit(void (*function)(void *), void *arg, void *handle);
extern void *__libc_stack_end;
extern int __libc_enable_secure;
extern void *_dl_random;

extern const ElfW(Rela) __rela_iplt_start[] __attribute__((weak, visibility("hidden")));
extern const ElfW(Rela) __rela_iplt_end[] __attribute__((weak, visibility("hidden")));
typedef void initializer(int, char **, char **);
extern initializer *__preinit_array_start[] __attribute__((visibility("hidden")));
extern initializer *__preinit_array_end[] __attribute__((visibility("hidden")));
extern initializer *__init_array_start[] __attribute__((visibility("hidden")));
extern initializer *__init_array_end[] __attribute__((visibility("hidden")));
extern void (*__fini_array_start[])(void) __attribute__((visibility("hidden")));
extern void (*__fini_array_end[])(void) __attribute__((visibility("hidden")));
extern char _edata[] __attribute__((visibility("hidden")));
extern void _init(void);
extern void _fini(void);

/*
 * What the string functions for any x86-64 processor go by, in bytes; glibc's
 * own values for a processor that it knows nothing of (sysdeps/x86/cacheinfo.h).
 */
#define DATA_CACHE (32L * 1024)
#define SHARED_CACHE (1024L * 1024)
long __x86_data_cache_size_half = DATA_CACHE / 2;
long __x86_data_cache_size = DATA_CACHE;
long __x86_shared_cache_size_half = SHARED_CACHE / 2;
long __x86_shared_cache_size = SHARED_CACHE;
long __x86_shared_non_temporal_threshold = SHARED_CACHE * 3 / 4;
long __x86_rep_movsb_threshold = 2048;
long __x86_rep_stosb_threshold = 2048;
long __x86_rep_movsb_stop_threshold = SHARED_CACHE * 3 / 4;
int __x86_string_control;

#define PAGE 4096
#define EARLY __attribute__((no_stack_protector))

/*
 * The pages that relocation is about to write, in one call instead of a fault
 * for each. Where the kernel does not have it (before 5.14) they come by faults.
 */
static EARLY void populate_data(void)
{
	uintptr_t from = (uintptr_t)__preinit_array_start & -(uintptr_t)PAGE, size = (uintptr_t)_edata - from;
	long rc = SYS_madvise;

	__asm__ volatile("syscall"
			 : "+a"(rc)
			 : "D"(from), "S"(size), "d"((long)MADV_POPULATE_WRITE)
			 : "rcx", "r11", "memory");
}

/* Choosing functions: each relocation names a function that says which. With no features noted they choose
 * the one for every processor. */
static EARLY void relocate_indirect(void)
{
	for (const ElfW(Rela) *r = __rela_iplt_start; r < __rela_iplt_end; r++) {
		ElfW(Addr) (*choose)(void) = (ElfW(Addr) (*)(void))(uintptr_t)r->r_addend;

		if (ELF64_R_TYPE(r->r_info) != R_X86_64_IRELATIVE)
			__builtin_trap();
		*(ElfW(Addr) *)(uintptr_t)r->r_offset = choose();
	}
}

/* The thread control block's words at which compiled code looks: sysdeps/x86_64/nptl/tls.h. The lowest byte
 * of the stack guard is zero, so that no string can carry it. */
static EARLY void set_guards(void)
{
	uintptr_t stack, pointer;

	memcpy(&stack, _dl_random, sizeof stack);
	memcpy(&pointer, (const char *)_dl_random + sizeof stack, sizeof pointer);
	stack &= ~(uintptr_t)0xff;
	__asm__ volatile("movq %0, %%fs:0x28" : : "r"(stack));
	__asm__ volatile("movq %0, %%fs:0x30" : : "r"(pointer));
}

static void call_fini(void *unused)
{
	/* cppcheck-suppress comparePointers ; the linker's names for both ends of one array */
	size_t n = (size_t)(__fini_array_end - __fini_array_start);

	(void)unused;
	while (n-- > 0)
		__fini_array_start[n]();
	_fini();
}

static void call_init(int argc, char **argv)
{
	for (initializer **f = __preinit_array_start; f < __preinit_array_end; f++)
		(*f)(argc, argv, environ);
	_init();
	for (initializer **f = __init_array_start; f < __init_array_end; f++)
		(*f)(argc, argv, environ);
}

EARLY int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv,
			    void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
			    void *stack_end);

EARLY int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv,
			    void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
			    void *stack_end)
{
	char **env = argv + argc + 1, **p = env;

	populate_data();
	(void)init;
	(void)fini;
	(void)rtld_fini; /* of a dynamic loader, which a static program has not */
	environ = env;
	__libc_stack_end = stack_end;
	while (*p++)
		;
	_dl_aux_init((ElfW(auxv_t) *)(void *)p);
	__tunables_init(env);
	_dl_relocate_static_pie();
	relocate_indirect();
	__libc_setup_tls();
	set_guards();
	__libc_early_init(1);
	__libc_init_first(argc, argv, env);
	(void)__cxa_atexit(call_fini, NULL, NULL);
	if (__libc_enable_secure)
		__libc_check_standard_fds();
	call_init(argc, argv);
	exit(main(argc, argv, env));
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
