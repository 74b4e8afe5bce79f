CROSS :=
CFLAGS := -march=native -DTP_TICK_64 -DLINUX_PLATFORM='"linux-native"'
OPTIMISE ?= -O3
SHARED_SOURCES := targets/linux/board.c
LDLIBS := -lm
