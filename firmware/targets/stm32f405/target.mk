CROSS := arm-none-eabi-
CFLAGS := -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard
ifdef HSE_HZ
CFLAGS += -DHSE_HZ=$(HSE_HZ)
endif
# A fifth fewer instructions a token than -O2, for 5 KB of flash.
OPTIMISE ?= -O3
STACK_BYTES ?= 8192
LINKER_SCRIPT := targets/stm32f405/link.ld
LDFLAGS := -T $(LINKER_SCRIPT) -Lboard -nostartfiles --specs=nano.specs -Wl,--defsym=STACK_BYTES=$(STACK_BYTES)
LDLIBS := -lm
BOARD_PARTS := cortex_start.c cortex_faults.c fault_report.c cortex_reset.c cortex_loop.c cycle_counter.c stack_paint.c receive_ring.c \
  boot_id.c no_heap.c stm32_identity.c
IMAGES := bin
CTX ?= 256
KV ?= q8_0
