/*
 * Runs a fuzz target over its corpus, tests/fuzz/corpus/NAME/ for the program
 * fuzz_NAME, and over every prefix of every file in it.  TAP.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define FILE_MAX 65536

static int
replay_file(const char *path)
{
	static uint8_t data[FILE_MAX];
	FILE *file = fopen(path, "rb");
	size_t len, prefix;
	uint8_t *copy;

	if (file == NULL)
		return -1;
	len = fread(data, 1, sizeof(data), file);
	(void)fclose(file);
	for (prefix = 0; prefix <= len; prefix++) {
		/* Exactly as long as it is, so that a read past it is seen. */
		copy = malloc(prefix > 0 ? prefix : 1);
		if (copy == NULL)
			return -1;
		memcpy(copy, data, prefix);
		(void)LLVMFuzzerTestOneInput(copy, prefix);
		free(copy);
	}
	return 0;
}

int
main(int argc, char *argv[])
{
	const char *top = getenv("top_srcdir");
	const char *name = strrchr(argv[0], '_');
	char dir[PATH_MAX], path[PATH_MAX + 300];
	struct dirent *entry;
	DIR *d;
	int n = 0;

	if (argc != 1 || top == NULL || name == NULL) {
		fprintf(stderr, "usage: top_srcdir=DIR %s\n", argv[0]);
		return 2;
	}
	(void)snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", top,
	    name + 1);
	d = opendir(dir);
	if (d == NULL) {
		perror(dir);
		return 1;
	}
	while ((entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir,
		    entry->d_name);
		printf("%s %d - %s\n", replay_file(path) == 0 ? "ok" :
		    "not ok", ++n, entry->d_name);
	}
	(void)closedir(d);
	printf("1..%d\n", n);
	return n > 0 ? 0 : 1;
}
