/*
 * What Debian's libstdc++ and libgcc want of glibc, for musl; built by
 * tests/nodes.sh.  It takes the place of libstdc++.so.6 and brings the real one
 * with it, so that a Node that was made for musl finds both on a machine that
 * has no C++ for musl.  Good for tests and nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* musl has these, and no header for them. */
const unsigned short **__ctype_b_loc(void);
const int32_t **__ctype_tolower_loc(void);
const int32_t **__ctype_toupper_loc(void);

char __libc_single_threaded;
unsigned int __cpu_model[4];

int
__cpu_indicator_init(void)
{
	return 0;
}

uint32_t
arc4random(void)
{
	uint32_t number = 0;

	(void)!getrandom(&number, sizeof(number), 0);
	return number;
}

int
__pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
	return pthread_key_create(key, destroy);
}

/* Destructors of thread_local objects. */

struct destructor {
	void (*run)(void *);
	void *object;
	struct destructor *next;
};

static pthread_key_t destructors;
static pthread_once_t destructors_once = PTHREAD_ONCE_INIT;

static void
run_destructors(void *context)
{
	struct destructor *at = context, *next;

	for (; at != NULL; at = next) {
		next = at->next;
		at->run(at->object);
		free(at);
	}
}

static void
make_destructors(void)
{
	(void)pthread_key_create(&destructors, run_destructors);
}

int
__cxa_thread_atexit_impl(void (*run)(void *), void *object, void *library)
{
	struct destructor *destructor = malloc(sizeof(*destructor));

	(void)library;
	if (destructor == NULL)
		return -1;
	(void)pthread_once(&destructors_once, make_destructors);
	destructor->run = run;
	destructor->object = object;
	destructor->next = pthread_getspecific(destructors);
	(void)pthread_setspecific(destructors, destructor);
	return 0;
}

/* libstdc++ looks for the tables of ctype(3) inside of glibc's locale. */

static struct {
	const void *categories[13];
	const void *classes, *lower, *upper;
	const void *names[13];
} c_locale;

static locale_t
the_locale(void)
{
	c_locale.classes = *__ctype_b_loc();
	c_locale.lower = *__ctype_tolower_loc();
	c_locale.upper = *__ctype_toupper_loc();
	return (locale_t)&c_locale;
}

locale_t
newlocale(int mask, const char *name, locale_t base)
{
	(void)mask;
	(void)name;
	(void)base;
	return the_locale();
}

locale_t
__newlocale(int mask, const char *name, locale_t base)
{
	return newlocale(mask, name, base);
}

locale_t
__duplocale(locale_t locale)
{
	return locale;
}

void
freelocale(locale_t locale)
{
	(void)locale;
}

void
__freelocale(locale_t locale)
{
	(void)locale;
}

size_t
__strftime_l(char *buf, size_t size, const char *format, const struct tm *tm,
    locale_t locale)
{
	(void)locale;
	return strftime(buf, size, format, tm);
}

/* Where the unwinder finds the frames of an address. */

struct dl_find_object {
	unsigned long long flags;
	void *from, *to;
	void *link_map;
	void *frames;
	unsigned long long reserved[7];
};

struct look {
	uintptr_t address;
	struct dl_find_object *found;
};

static int
look_into(struct dl_phdr_info *info, size_t size, void *context)
{
	struct look *look = context;
	uintptr_t from = UINTPTR_MAX, to = 0, frames = 0, at, end;
	const ElfW(Phdr) *part;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		part = &info->dlpi_phdr[i];
		at = info->dlpi_addr + part->p_vaddr;
		end = at + part->p_memsz;
		if (part->p_type == PT_GNU_EH_FRAME)
			frames = at;
		if (part->p_type != PT_LOAD)
			continue;
		from = at < from ? at : from;
		to = end > to ? end : to;
	}
	if (look->address < from || look->address >= to || frames == 0)
		return 0;
	*look->found = (struct dl_find_object){
	    .from = (void *)from, .to = (void *)to, .frames = (void *)frames};
	return 1;
}

int
_dl_find_object(void *address, struct dl_find_object *ret_found)
{
	struct look look = {(uintptr_t)address, ret_found};

	return dl_iterate_phdr(look_into, &look) == 1 ? 0 : -1;
}

/*
 * std::string::_M_replace_cold() of GCC 13: put len bytes of text, which is a
 * part of the string itself, in the place of old_len bytes at at, which more
 * bytes follow.
 */
void replace_cold(void *string, char *at, size_t old_len, const char *text,
    size_t len, size_t more)
    __asm__("_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE"
	    "15_M_replace_coldEPcmPKcmm");

void
replace_cold(void *string, char *at, size_t old_len, const char *text,
    size_t len, size_t more)
{
	char *copy = malloc(len + 1);

	(void)string;
	if (copy == NULL)
		abort();
	memcpy(copy, text, len);
	memmove(at + len, at + old_len, more);
	memcpy(at, copy, len);
	free(copy);
}
