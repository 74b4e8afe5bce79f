CROSS := arm-none-eabi-
# The Nucleo-144 boards feed 8 MHz from their ST-LINK; HSE_HZ=0 takes the chip's own oscillator.
HSE_HZ ?= 8000000
CFLAGS := -mcpu=cortex-m7 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard -DHSE_HZ=$(HSE_HZ)
# A fifth fewer instructions a token than -O2, for 5 KB of flash.
OPTIMISE ?= -O3
STACK_BYTES ?= 8192
LINKER_SCRIPT := targets/stm32f746/link.ld
LDFLAGS := -T $(LINKER_SCRIPT) -Lboard -nostartfiles --specs=nano.specs -Wl,--defsym=STACK_BYTES=$(STACK_BYTES)
LDLIBS := -lm
BOARD_PARTS := cortex_start.c cortex_faults.c fault_report.c cortex_reset.c cortex_loop.c cycle_counter.c stack_paint.c receive_ring.c \
  boot_id.c no_heap.c stm32_identity.c stm32f7_clock.c stm32f7_line.c
IMAGES := bin
CTX ?= 256
KV ?= f16
