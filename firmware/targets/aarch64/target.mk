# Jetson Nano (Cortex-A57), and any other 64-bit ARM under Linux.
# What `hello` says; a real board is named as `tinyprof platforms` has it, so that results carry their share of its bound.
PLATFORM ?= linux-aarch64
CROSS := aarch64-linux-gnu-
CFLAGS := -mcpu=cortex-a57 -DTP_TICK_64 -DLINUX_PLATFORM='"$(PLATFORM)"' -DLINUX_RAM_BYTES=4294967296
OPTIMISE ?= -O3
SHARED_SOURCES := targets/linux/board.c
LDFLAGS := -static
LDLIBS := -lm
