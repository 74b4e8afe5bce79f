// The probe on Serial. For 32-bit boards: an 8-bit one has neither the memory nor a model to profile.
#include <tinyprobe.h>

#include "echo_model.h"

static tp_probe probe;

static void write_bytes(void *, const uint8_t *bytes, size_t count) { Serial.write(bytes, count); }

static tp_tick ticks(void *) { return micros(); }

static void look() {
  while (Serial.available() > 0) tp_receive(&probe, Serial.read());
}

void setup() {
  Serial.begin(115200);
  // Another number at each start: noise of an open pin, where the core has nothing better.
  uint32_t boot = micros();
  for (int bit = 0; bit < 32; bit++) boot = (boot << 1 | boot >> 31) ^ analogRead(A0);
  tp_config *config = echo_configure("arduino", boot, 1000000, 32);
  config->write = write_bytes;
  config->ticks = ticks;
  echo_look = look;
  tp_init(&probe, config);
}

void loop() {
  look();
  tp_poll(&probe);
}
