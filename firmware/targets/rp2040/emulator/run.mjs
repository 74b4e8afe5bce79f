// Runs an RP2040 firmware in rp2040js with UART0 on a TCP port of this machine: node run.mjs FIRMWARE.elf PORT
//
// It listens, waits for one connection, and only then starts the chip, so that nothing the firmware says is lost; it ends
// when the connection does, or when the core locks up, and prints nothing but why. rp2040js has no faults and no reset:
// what would be a hard fault on the chip becomes one here, and a reset request starts the core anew with RAM as it was.
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { RP2040 } from "rp2040js";

const FLASH_START_ADDRESS = 0x10000000;
const VECTORS = FLASH_START_ADDRESS + 0x100;
const HARD_FAULT = 3;
const BATCH = 20000; // instructions between looks at the socket
const FEED = 200; // and between refills of the UART's 32 bytes
const IDLE_MS = 5; // a core that waits for an interrupt is left alone for so long, its clocks too
const UNSENT_LIMIT = 1 << 20; // bytes that wait for a slow reader; the chip waits meanwhile
const AIRCR = 0xd0c;
const SYSRESETREQ = 0x05fa0004;

function loadElf(path, flash) {
  const file = readFileSync(path);
  if (file.length < 52 || file.readUInt32BE(0) !== 0x7f454c46) throw new Error(`${path} is no ELF file`);
  const table = file.readUInt32LE(28);
  const size = file.readUInt16LE(42);
  for (let i = 0; i < file.readUInt16LE(44); i++) {
    const [type, offset, , address, bytes] = [0, 4, 8, 12, 16].map((at) => file.readUInt32LE(table + i * size + at));
    if (type !== 1 || bytes === 0) continue;
    const at = address - FLASH_START_ADDRESS;
    if (at < 0 || at + bytes > flash.length) throw new Error(`${path}: a segment at 0x${address.toString(16)} is no flash`);
    flash.set(file.subarray(offset, offset + bytes), at);
  }
}

class Chip {
  constructor(image) {
    this.rp2040 = new RP2040();
    this.faulted = false;
    this.resetAsked = false;
    this.received = [];
    loadElf(image, this.rp2040.flash);
    this.catchFaults();
    this.catchResets();
    this.resetCore();
  }

  // rp2040js only tells its log of what a chip would answer with a hard fault.
  catchFaults() {
    const told = (name, text) => {
      const memory = name === "RP2040" && /invalid memory|undefined address|not 32 bit aligned/.test(text);
      const instruction = name === "CortexM0Core" && /not implemented/.test(text);
      if (memory || instruction) this.faulted = true;
    };
    const silent = () => {};
    this.rp2040.logger = { debug: silent, info: silent, warn: told, error: told };
    this.rp2040.onBreak = () => {
      this.faulted = true;
    };
  }

  catchResets() {
    const { ppb, peripherals } = this.rp2040;
    const write = ppb.writeUint32.bind(ppb);
    ppb.writeUint32 = (offset, value) => {
      if (offset === AIRCR && value >>> 0 === SYSRESETREQ) this.resetAsked = true;
      else write(offset, value);
    };
    peripherals[0x40058].onWatchdogTrigger = () => {
      this.resetAsked = true;
    };
  }

  resetCore() {
    const { core, ppb, uart } = this.rp2040;
    core.VTOR = VECTORS;
    core.switchStack(0);
    core.reset();
    core.PM = false;
    core.IPSR = 0;
    core.currentMode = 0;
    core.waiting = false;
    core.pendingInterrupts = core.enabledInterrupts = 0;
    core.pendingSystick = core.pendingPendSV = core.pendingSVCall = core.pendingNMI = false;
    core.interruptsUpdated = false;
    ppb.reset();
    uart[0].interruptMask = 0;
    while (!uart[0].rxFIFO.empty) uart[0].rxFIFO.pull();
  }

  feed() {
    const { rxFIFO } = this.rp2040.uart[0];
    while (this.received.length > 0 && !rxFIFO.full) this.rp2040.uart[0].feedByte(this.received.shift());
  }

  step() {
    const { core } = this.rp2040;
    const at = core.PC;
    try {
      const cycles = core.executeInstruction();
      this.rp2040.clock.tick((cycles * 1e9) / this.rp2040.clkSys);
    } catch (why) {
      if (!(why instanceof RangeError)) throw why; // a DataView's answer to an address that it does not hold
      this.faulted = true;
    }
    if (this.resetAsked) {
      this.resetAsked = this.faulted = false;
      this.resetCore();
    } else if (this.faulted) {
      // What else goes wrong while the frame is saved (there may be no stack left) makes no second fault.
      if (core.IPSR === HARD_FAULT) throw new Error(`locked up: a fault in the fault handler, at 0x${at.toString(16)}`);
      core.PC = at;
      core.exceptionEntry(HARD_FAULT);
      this.faulted = false;
    }
  }

  // Runs for a while; false when the core waits for an interrupt.
  run() {
    const { core } = this.rp2040;
    for (let i = 0; i < BATCH; i++) {
      if (i % FEED === 0) this.feed();
      if (core.waiting) return false;
      this.step();
    }
    return true;
  }
}

function serve(chip, socket) {
  const unsent = [];
  const send = () => {
    if (unsent.length > 0) socket.write(Buffer.from(unsent.splice(0)));
  };
  socket.setNoDelay(true);
  socket.on("data", (data) => {
    for (const byte of data) chip.received.push(byte);
  });
  socket.on("error", () => process.exit(0));
  socket.on("close", () => process.exit(0));
  chip.rp2040.uart[0].onByte = (byte) => unsent.push(byte);
  const turn = () => {
    let busy = false;
    try {
      if (socket.writableLength < UNSENT_LIMIT) busy = chip.run();
    } catch (why) {
      console.error(why.message);
      process.exit(1);
    }
    send();
    if (busy) setImmediate(turn);
    else setTimeout(turn, IDLE_MS);
  };
  turn();
}

const [image, port] = process.argv.slice(2);
try {
  if (!/^[0-9]+$/.test(port ?? "")) throw new Error("usage: node run.mjs FIRMWARE.elf PORT");
  const chip = new Chip(image);
  const server = createServer((socket) => {
    server.close();
    serve(chip, socket);
  });
  server.on("error", (why) => {
    console.error(`cannot listen on port ${port}: ${why.message}`);
    process.exit(1);
  });
  server.listen(Number(port), "127.0.0.1");
} catch (why) {
  console.error(why.message);
  process.exit(1);
}
