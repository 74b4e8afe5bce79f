# ESP32-C3 for its ROM's direct boot: built, and not run here.
CROSS := riscv64-unknown-elf-
CFLAGS := -march=rv32imc -misa-spec=2.2 -mabi=ilp32 -msmall-data-limit=0 --specs=picolibc.specs -DPICOLIBC_INTEGER_PRINTF_SCANF -DTP_TICK_64
STACK_BYTES ?= 8192
LINKER_SCRIPT := targets/esp32c3/link.ld
LDFLAGS := -T $(LINKER_SCRIPT) -Lboard -nostartfiles -Wl,--defsym=STACK_BYTES=$(STACK_BYTES)
LDLIBS := -lm
BOARD_PARTS := riscv_start.S riscv_faults.c countdown_loop.c fault_report.c stack_paint.c receive_ring.c boot_id.c no_heap.c
IMAGES := bin
CTX ?= 256
KV ?= f16
