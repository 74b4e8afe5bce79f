CROSS := arm-none-eabi-
CFLAGS := -mcpu=cortex-m0plus -mthumb -mfloat-abi=soft -masm-syntax-unified
STACK_BYTES ?= 8192
LINKER_SCRIPT := targets/rp2040/link.ld
LDFLAGS := -T $(LINKER_SCRIPT) -Lboard -nostartfiles --specs=nano.specs -Wl,--defsym=STACK_BYTES=$(STACK_BYTES)
LDLIBS := -lm
BOARD_PARTS := cortex_start.c cortex_faults.c fault_report.c cortex_loop.c cycle_counter.c stack_paint.c receive_ring.c boot_id.c no_heap.c
IMAGES := bin uf2
CTX ?= 256
KV ?= f16
