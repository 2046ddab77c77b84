# src/addon/: podprof-fork.node, which the app loads.  It runs in a process that
# is not ours, with whatever C library that has: so it is built by a rule of its
# own, with no library, and with none of the flags of the programs, the user's
# or the sanitizers'.
ADDON_C = $(srcdir)/src/addon/alone.c $(srcdir)/src/addon/child.c \
	$(srcdir)/src/addon/entry.c $(srcdir)/src/addon/fork.c \
	$(srcdir)/src/addon/lines.c $(srcdir)/src/addon/pace.c \
	$(srcdir)/src/addon/quota.c $(srcdir)/src/addon/ranges.c \
	$(srcdir)/src/addon/ranges_probe.c \
	$(srcdir)/src/addon/ranges_smaps.c $(srcdir)/src/addon/reaper.c $(srcdir)/src/addon/signals.c \
	$(srcdir)/src/addon/status.c $(srcdir)/src/addon/table.c \
	$(srcdir)/src/addon/text.c
ADDON_H = $(srcdir)/src/addon/addon.h $(srcdir)/src/addon/alone.h \
	$(srcdir)/src/addon/child.h $(srcdir)/src/addon/fork.h \
	$(srcdir)/src/addon/lines.h $(srcdir)/src/addon/napi.h \
	$(srcdir)/src/addon/pace.h $(srcdir)/src/addon/quota.h \
	$(srcdir)/src/addon/ranges.h $(srcdir)/src/addon/reaper.h \
	$(srcdir)/src/addon/signals.h $(srcdir)/src/addon/status.h \
	$(srcdir)/src/addon/sys.h $(srcdir)/src/addon/table.h \
	$(srcdir)/src/addon/text.h
EXTRA_DIST += $(ADDON_C) $(ADDON_H)

ADDON_BUILD = -std=gnu11 -D_GNU_SOURCE -U_FORTIFY_SOURCE -O2 $(WARN_CFLAGS) \
	-fPIC -fvisibility=hidden -fno-stack-protector -fno-sanitize=all \
	-fno-lto -shared -nostdlib -Wl,-z,relro,-z,now,-z,noexecstack \
	-Wl,--build-id=none $(ADDON_C)

addondir = $(pkglibexecdir)
addon_DATA = podprof-fork.node
podprof-fork.node: $(ADDON_C) $(ADDON_H)
	$(AM_V_GEN)$(CC) -o $@.new $(ADDON_BUILD) && mv $@.new $@

# For tests/lint/addon.sh: it builds for the other architecture as well.
podprof-fork-aarch64.node: $(ADDON_C) $(ADDON_H)
	$(AM_V_GEN)aarch64-linux-gnu-gcc -o $@.new $(ADDON_BUILD) && \
		mv $@.new $@
CLEANFILES += podprof-fork.node podprof-fork-aarch64.node
