# sql/: the numbered migrations become sql/migrations.c.
SQL_MIGRATIONS = $(top_srcdir)/sql/0001_jobs.sql \
	$(top_srcdir)/sql/0002_store.sql $(top_srcdir)/sql/0003_links.sql \
	$(top_srcdir)/sql/0004_methods.sql \
	$(top_srcdir)/sql/0005_shield.sql $(top_srcdir)/sql/0006_workers.sql \
	$(top_srcdir)/sql/0007_metrics.sql $(top_srcdir)/sql/0008_starts.sql \
	$(top_srcdir)/sql/0009_summaries.sql \
	$(top_srcdir)/sql/0010_heap_profiles.sql
EXTRA_DIST += sql/0001_jobs.sql sql/0002_store.sql sql/0003_links.sql \
	sql/0004_methods.sql sql/0005_shield.sql sql/0006_workers.sql \
	sql/0007_metrics.sql sql/0008_starts.sql \
	sql/0009_summaries.sql sql/0010_heap_profiles.sql \
	sql/schema.sql sql/embed.sh
BUILT_SOURCES += sql/migrations.c
CLEANFILES += sql/migrations.c

sql/migrations.c: $(SQL_MIGRATIONS) $(top_srcdir)/sql/embed.sh
	$(AM_V_GEN)$(MKDIR_P) sql && \
	$(SHELL) $(top_srcdir)/sql/embed.sh $(SQL_MIGRATIONS) >$@.tmp && \
	mv $@.tmp $@
