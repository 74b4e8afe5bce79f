/* receive_ring.c: from the line's interrupt to board_read. */
#ifndef RECEIVE_RING_H
#define RECEIVE_RING_H

#include <stdint.h>

void receive_ring_put(uint8_t byte);
int receive_ring_is_empty(void);

#endif
