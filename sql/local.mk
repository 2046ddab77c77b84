# sql/: the numbered migrations become sql/migrations.c.
SQL_MIGRATIONS = $(top_srcdir)/sql/0001_jobs.sql
EXTRA_DIST += sql/0001_jobs.sql sql/schema.sql sql/embed.sh
BUILT_SOURCES += sql/migrations.c
CLEANFILES += sql/migrations.c

sql/migrations.c: $(SQL_MIGRATIONS) $(top_srcdir)/sql/embed.sh
	$(AM_V_GEN)$(MKDIR_P) sql && \
	$(SHELL) $(top_srcdir)/sql/embed.sh $(SQL_MIGRATIONS) >$@.tmp && \
	mv $@.tmp $@
