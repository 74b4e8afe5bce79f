# What `hello` says; a real board is named as `tinyprof platforms` has it, so that results carry their share of its bound.
PLATFORM ?= linux-native
CROSS :=
CFLAGS := -march=native -DTP_TICK_64 -DLINUX_PLATFORM='"$(PLATFORM)"'
OPTIMISE ?= -O3
SHARED_SOURCES := targets/linux/board.c
LDLIBS := -lm
