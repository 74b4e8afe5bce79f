CROSS := arm-none-eabi-
CFLAGS := -mcpu=cortex-m7 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard
# A fifth fewer instructions a token than -O2, for 5 KB of flash.
OPTIMISE ?= -O3
STACK_BYTES ?= 8192
LINKER_SCRIPT := targets/cortex-m7/link.ld
LDFLAGS := -T $(LINKER_SCRIPT) -Lboard -nostartfiles --specs=nano.specs -Wl,--defsym=STACK_BYTES=$(STACK_BYTES)
LDLIBS := -lm
BOARD_PARTS := cortex_start.c cortex_faults.c fault_report.c cortex_reset.c cortex_loop.c cycle_counter.c stack_paint.c receive_ring.c \
  boot_id.c no_heap.c
IMAGES := bin
CTX ?= 256
KV ?= f16
