# Unit programs; see tests/local.mk.
