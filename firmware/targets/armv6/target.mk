# Raspberry Pi Zero (ARM1176JZF-S). Debian's armel library is soft-float for ARMv5TE, which runs on ARMv6 as it is; our own
# code is compiled for ARMv6 with its VFP, called by the soft-float convention (softfp).
# What `hello` says; a real board is named as `tinyprof platforms` has it, so that results carry their share of its bound.
PLATFORM ?= linux-armv6
CROSS := arm-linux-gnueabi-
CFLAGS := -march=armv6 -marm -mfpu=vfpv2 -mfloat-abi=softfp -mtune=arm1176jzf-s -DTP_TICK_64 \
  -DLINUX_PLATFORM='"$(PLATFORM)"' -DLINUX_RAM_BYTES=536870912
OPTIMISE ?= -O3
SHARED_SOURCES := targets/linux/board.c
LDFLAGS := -static
LDLIBS := -lm
