/*
 * A fuzz target: one function that must come back, whatever the bytes are.
 * Linked with replay.c it runs its corpus as a test; with clang's
 * -fsanitize=fuzzer it looks for more (tests/soak fuzz).
 */
#ifndef PODPROF_FUZZ_H
#define PODPROF_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The name is libFuzzer's.  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
