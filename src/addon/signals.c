/*
 * Signal masks, actions and the stack that handlers run on.
 */
#include "signals.h"

#include <signal.h>

#include "sys.h"

#define SIGNALS_MAX 64
#define BIT(signo) ((uint64_t)1 << ((signo) - 1))
#define LIBRARY_SIGNALS (BIT(32) | BIT(33) | BIT(34))
#define STACK_SIZE 65536
#define RESTORER 0x04000000	/* SA_RESTORER, which signal.h keeps to itself */

/* Of the child; a stack overflow leaves no other to run on. */
static char stack[STACK_SIZE] __attribute__((aligned(16)));

#if defined(__x86_64__)
/* Where a handler returns to; elsewhere the kernel brings its own. */
void signals_return(void) __attribute__((visibility("hidden")));
__asm__(".text\n"
	".hidden signals_return\n"
	".globl signals_return\n"
	".type signals_return, @function\n"
	"signals_return:\n"
	"	movl $15, %eax\n"	/* rt_sigreturn */
	"	syscall\n"
	".size signals_return, . - signals_return\n");
#endif

uint64_t
signals_block(void)
{
	uint64_t mask = 0;

	(void)sys_mask(SIG_BLOCK, ~(uint64_t)LIBRARY_SIGNALS, &mask);
	return mask;
}

void
signals_restore(uint64_t mask)
{
	(void)sys_mask(SIG_SETMASK, mask, NULL);
}

void
signals_reset(void)
{
	const struct sys_stack alternate = {.base = stack, .size = STACK_SIZE};
	const struct sys_action action = {.handler = SIG_DFL};
	int signo;

	for (signo = 1; signo <= SIGNALS_MAX; signo++)
		(void)sys_action(signo, &action);
	(void)sys_alternate_stack(&alternate);
	(void)sys_mask(SIG_SETMASK, 0, NULL);
}

void
signals_handle(int signo, void (*handler)(int signo), int flags)
{
	struct sys_action action = {
	    .handler = handler, .flags = SA_ONSTACK | SA_RESTART};

	if ((flags & SIGNALS_ONCE) != 0)
		action.flags |= SA_RESETHAND;
#if defined(__x86_64__)
	action.flags |= RESTORER;
	action.restorer = signals_return;
#endif
	(void)sys_action(signo, &action);
}
