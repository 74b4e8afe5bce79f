/* What the line's interrupt takes in waits here until the firmware looks, however long a forward pass lasts. */
#include "board.h"
#include "receive_ring.h"

#define RING_BYTES 512u /* more than the host ever sends without an answer */

static volatile uint8_t ring[RING_BYTES];
static volatile uint32_t put, taken;

/* A byte that finds no room falls; its frame fails the check, and the host asks again. */
void receive_ring_put(uint8_t byte) {
    if (put - taken == RING_BYTES) return;
    ring[put % RING_BYTES] = byte;
    put = put + 1;
}

int receive_ring_is_empty(void) { return put == taken; }

size_t board_read(uint8_t *bytes, size_t room) {
    size_t count = 0;
    while (count < room && put != taken) {
        bytes[count++] = ring[taken % RING_BYTES];
        taken = taken + 1;
    }
    return count;
}
