/*
 * Points the imports that wait for threads at functions that do not, and those
 * that give memory at ones that tell when there is none.
 */
#include "alone.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys.h"

#if defined(__x86_64__)
#define RELOC_CALL R_X86_64_JUMP_SLOT
#define RELOC_TABLE R_X86_64_GLOB_DAT
#define RELOC_WORD R_X86_64_64
#else
#define RELOC_CALL R_AARCH64_JUMP_SLOT
#define RELOC_TABLE R_AARCH64_GLOB_DAT
#define RELOC_WORD R_AARCH64_ABS64
#endif

/* A loop that waits for a time again and again shall not look busy. */
#define TIMED_WAIT_NS 1000000

/* Of one loaded object. */
struct object {
	const struct dl_phdr_info *info;
	const ElfW(Sym) *symbols;
	const char *names;
	const ElfW(Rela) *calls, *others;
	size_t calls_len, others_len, relative_len;
};

struct search {
	struct table *places;
	struct text *why;
};

/* Set in the child only. */
static struct alone_hooks when;

static int
alone_nothing(void)
{
	return 0;
}

static int
alone_timed_wait(void)
{
	sys_sleep_ns(TIMED_WAIT_NS);
	return ETIMEDOUT;
}

static int
alone_create(void)
{
	return EAGAIN;
}

static int
alone_sem_wait(sem_t *semaphore)
{
	if (sem_trywait(semaphore) != 0)
		when.stuck("sem_wait");
	return 0;
}

static int
alone_cond_wait(void)
{
	when.stuck("pthread_cond_wait");
	return 0;
}

static int
alone_join(void)
{
	when.stuck("pthread_join");
	return 0;
}

static int
alone_barrier_wait(void)
{
	when.stuck("pthread_barrier_wait");
	return 0;
}

/* Made for a word that nobody else changes any more. */
static long
wait_futex(const int *word, int expected, bool is_timed)
{
	errno = EAGAIN;
	if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != expected)
		return -1;
	if (!is_timed)
		when.stuck("futex");
	sys_sleep_ns(TIMED_WAIT_NS);
	errno = ETIMEDOUT;
	return -1;
}

/* Abseil's locks, which V8 has since Node 22, do without the C library's. */
static long
alone_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	const long command = b & FUTEX_CMD_MASK;

	if (number == SYS_futex &&
	    (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET))
		return wait_futex((const int *)a, (int)c, d != 0);
	return syscall(number, a, b, c, d, e, f);
}

/* What was asked for, if it was had; 0 bytes may be NULL. */
static void *
given(void *memory, size_t size)
{
	if (memory == NULL && size > 0)
		when.refused();
	return memory;
}

static void *
alone_malloc(size_t size)
{
	return given(malloc(size), size);
}

static void *
alone_calloc(size_t len, size_t size)
{
	return given(calloc(len, size), len != 0 ? size : 0);
}

static void *
alone_realloc(void *memory, size_t size)
{
	return given(realloc(memory, size), size);
}

static void *
alone_aligned_alloc(size_t alignment, size_t size)
{
	return given(aligned_alloc(alignment, size), size);
}

static int
alone_posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
	int errnum = posix_memalign(ret_memory, alignment, size);

	if (errnum == ENOMEM)
		when.refused();
	return errnum;
}

static void *
alone_mmap(void *at, size_t size, int protection, int flags, int fd, off_t from)
{
	void *memory = mmap(at, size, protection, flags, fd, from);

	if (memory == MAP_FAILED && errno == ENOMEM)
		when.refused();
	return memory;
}

/* They are called with more arguments than they take: which both
 * architectures allow. */
#define NOTHING(name) {name, (uintptr_t)alone_nothing}
static const struct {
	const char *name;
	uintptr_t instead;
} imports[] = {
    NOTHING("pthread_cond_signal"),
    NOTHING("pthread_cond_broadcast"),
    NOTHING("pthread_cond_destroy"),
    NOTHING("pthread_mutex_lock"),
    NOTHING("pthread_mutex_trylock"),
    NOTHING("pthread_mutex_timedlock"),
    NOTHING("pthread_mutex_clocklock"),
    NOTHING("pthread_mutex_unlock"),
    NOTHING("pthread_mutex_destroy"),
    NOTHING("pthread_rwlock_rdlock"),
    NOTHING("pthread_rwlock_wrlock"),
    NOTHING("pthread_rwlock_tryrdlock"),
    NOTHING("pthread_rwlock_trywrlock"),
    NOTHING("pthread_rwlock_timedrdlock"),
    NOTHING("pthread_rwlock_timedwrlock"),
    NOTHING("pthread_rwlock_clockrdlock"),
    NOTHING("pthread_rwlock_clockwrlock"),
    NOTHING("pthread_rwlock_unlock"),
    NOTHING("pthread_rwlock_destroy"),
    NOTHING("pthread_spin_lock"),
    NOTHING("pthread_spin_trylock"),
    NOTHING("pthread_spin_unlock"),
    NOTHING("pthread_barrier_destroy"),
    {"pthread_cond_timedwait", (uintptr_t)alone_timed_wait},
    {"pthread_cond_clockwait", (uintptr_t)alone_timed_wait},
    {"pthread_create", (uintptr_t)alone_create},
    {"sem_wait", (uintptr_t)alone_sem_wait},
    {"sem_timedwait", (uintptr_t)alone_sem_wait},
    {"sem_clockwait", (uintptr_t)alone_sem_wait},
    {"pthread_cond_wait", (uintptr_t)alone_cond_wait},
    {"pthread_join", (uintptr_t)alone_join},
    {"pthread_barrier_wait", (uintptr_t)alone_barrier_wait},
    {"syscall", (uintptr_t)alone_syscall},
    {"malloc", (uintptr_t)alone_malloc},
    {"calloc", (uintptr_t)alone_calloc},
    {"realloc", (uintptr_t)alone_realloc},
    {"aligned_alloc", (uintptr_t)alone_aligned_alloc},
    {"posix_memalign", (uintptr_t)alone_posix_memalign},
    {"mmap", (uintptr_t)alone_mmap},
    {"mmap64", (uintptr_t)alone_mmap},
};

/* 0: not one of them. */
static uintptr_t
instead_of(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(imports) / sizeof(imports[0]); i++)
		if (text_is(name, imports[i].name))
			return imports[i].instead;
	return 0;
}

static bool
is_inside(const struct dl_phdr_info *info, uintptr_t address)
{
	const ElfW(Phdr) *part;
	uintptr_t from;
	int i;

	for (i = 0; i < info->dlpi_phnum; i++) {
		part = &info->dlpi_phdr[i];
		from = info->dlpi_addr + part->p_vaddr;
		if (part->p_type == PT_LOAD && address >= from &&
		    address - from < part->p_memsz)
			return true;
	}
	return false;
}

/* glibc has added the object's base to the addresses in its dynamic section,
 * musl has not.  0: neither makes sense. */
static uintptr_t
place_of(const struct dl_phdr_info *info, uintptr_t value)
{
	if (is_inside(info, value))
		return value;
	if (is_inside(info, info->dlpi_addr + value))
		return info->dlpi_addr + value;
	return 0;
}

static const ElfW(Dyn) *
dynamic_of(const struct dl_phdr_info *info)
{
	int i;

	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			return (const ElfW(Dyn) *)(info->dlpi_addr +
			    info->dlpi_phdr[i].p_vaddr);
	return NULL;
}

static void
take_entry(struct object *object, const ElfW(Dyn) *entry)
{
	uintptr_t at = place_of(object->info, entry->d_un.d_ptr);
	size_t value = entry->d_un.d_val;

	switch (entry->d_tag) {
	case DT_SYMTAB:
		object->symbols = (const ElfW(Sym) *)at;
		break;
	case DT_STRTAB:
		object->names = (const char *)at;
		break;
	case DT_JMPREL:
		object->calls = (const ElfW(Rela) *)at;
		break;
	case DT_PLTRELSZ:
		object->calls_len = value / sizeof(ElfW(Rela));
		break;
	case DT_RELA:
		object->others = (const ElfW(Rela) *)at;
		break;
	case DT_RELASZ:
		object->others_len = value / sizeof(ElfW(Rela));
		break;
	case DT_RELACOUNT:
		object->relative_len = value;
		break;
	default:
		break;
	}
}

static int
take_reloc(struct search *search, const struct object *object,
    const ElfW(Rela) *reloc)
{
	const ElfW(Sym) *symbol = &object->symbols[ELF64_R_SYM(reloc->r_info)];
	uintptr_t slot = object->info->dlpi_addr + reloc->r_offset;
	uint32_t type = (uint32_t)ELF64_R_TYPE(reloc->r_info);
	uintptr_t instead;

	if (type != RELOC_CALL && type != RELOC_TABLE &&
	    (type != RELOC_WORD || reloc->r_addend != 0))
		return 0;
	/* What an object defines itself is its own affair: the C library. */
	if (symbol->st_shndx != SHN_UNDEF)
		return 0;
	instead = instead_of(object->names + symbol->st_name);
	if (instead == 0 || !is_inside(object->info, slot))
		return 0;
	return table_add(search->places, slot, instead,
	    "imports that a child needs changed",
	    search->why);
}

static int
take_relocs(struct search *search, const struct object *object,
    const ElfW(Rela) *relocs, size_t from, size_t len)
{
	size_t i;

	if (relocs == NULL)
		return 0;
	for (i = from; i < len; i++)
		if (take_reloc(search, object, &relocs[i]) != 0)
			return -1;
	return 0;
}

static int
take_object(struct dl_phdr_info *info, size_t size, void *context)
{
	struct object object = {.info = info};
	const ElfW(Dyn) *entry = dynamic_of(info);

	(void)size;
	if (entry == NULL || is_inside(info, (uintptr_t)take_object))
		return 0;
	for (; entry->d_tag != DT_NULL; entry++)
		take_entry(&object, entry);
	if (object.symbols == NULL || object.names == NULL)
		return 0;
	if (take_relocs(context, &object, object.calls, 0,
		object.calls_len) != 0)
		return -1;
	return take_relocs(context, &object, object.others,
	    object.relative_len, object.others_len);
}

int
alone_find(struct table *places, struct text *why)
{
	struct search search = {.places = places, .why = why};

	return dl_iterate_phdr(take_object, &search);
}

int
alone_apply(const struct table *places, const struct alone_hooks *hooks,
    struct text *why)
{
	uintptr_t size = (uintptr_t)getpagesize();
	uintptr_t page, open = 0;
	size_t i;
	long ret;

	when = *hooks;
	for (i = 0; i < places->len; i++) {
		page = places->pairs[i].a & ~(size - 1);
		if (page != open) {
			ret = sys_mprotect(page, size, PROT_READ | PROT_WRITE);
			if (ret != 0) {
				text_set_errno(why,
				    "cannot write the table of imports", -ret);
				return -1;
			}
			open = page;
		}
		*(uintptr_t *)places->pairs[i].a = places->pairs[i].b;
	}
	return 0;
}
