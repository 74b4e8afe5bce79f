# LX106, the core of an ESP8266, under QEMU (lx60-nommu).
CROSS := xtensa-lx106-elf-
CFLAGS := -mlongcalls -mtext-section-literals
STACK_BYTES ?= 6144
PROMPT_MAX ?= 512
LINKER_SCRIPT := targets/lx106/link.ld
LDFLAGS := -T $(LINKER_SCRIPT) -Lboard -nostartfiles -Wl,--defsym=STACK_BYTES=$(STACK_BYTES) -Wl,--defsym=vfprintf=__i_vfprintf
LDLIBS := -Wl,--start-group -lm -lc -lgcc -Wl,--end-group
BOARD_PARTS := countdown_loop.c fault_report.c stack_paint.c receive_ring.c boot_id.c no_heap.c
CTX ?= 192
KV ?= q8_0
