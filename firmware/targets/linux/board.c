/* A Linux process as a board: the protocol over a TCP connection, a terminal, or standard input and output. */
#define _GNU_SOURCE
#include "board.h"

#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef LINUX_RAM_BYTES
#define LINUX_RAM_BYTES 0
#endif
#define WRITE_LIMIT_MS 1000
#define WRITE_PIECE 512 /* what a pipe that poll() calls writable takes without waiting */

const char board_platform[] = LINUX_PLATFORM;
const uint64_t board_ram_bytes = LINUX_RAM_BYTES, board_flash_bytes = 0;

static int argument_count;
static char **arguments;
static int line_in = STDIN_FILENO, line_out = STDOUT_FILENO;
static const char *own_terminal;  /* the name of a terminal that this program made */
static int line_may_wait = 1; /* the descriptor is someone else's, and was not made non-blocking */
static volatile sig_atomic_t told_to_end;

/* glibc gives a constructor what it gives to main. */
__attribute__((constructor)) static void keep_arguments(int count, char **values) {
    argument_count = count;
    arguments = values;
}

static void end_soon(int number) { told_to_end = 1; }

static void usage(FILE *to) {
    fprintf(to,
            "usage: %s [--tcp 127.0.0.1:PORT | --tty PATH | --pty PATH]\n"
            "  A board that speaks tinyprof's link. --tcp listens there, takes one connection and ends with it; --tty\n"
            "  speaks over a terminal (115,200 baud, raw); --pty makes one, names it PATH, and is the board at its end for\n"
            "  whoever opens it; without any, it speaks over standard input and output.\n",
            argument_count > 0 ? arguments[0] : "firmware.elf");
}

static void fail(const char *what, const char *which) {
    fprintf(stderr, "%s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

static void wrong_use(const char *what, const char *which) {
    fprintf(stderr, "%s: %s\n", what, which);
    usage(stderr);
    exit(2);
}

static int accepted(int listener, const char *where) {
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    if (getsockname(listener, (struct sockaddr *)&bound, &size) == 0)
        fprintf(stderr, "listening on 127.0.0.1:%u\n", (unsigned)ntohs(bound.sin_port));
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    while (!told_to_end)
        if (poll(&waiting, 1, 1000) == 1) {
            int connection = accept(listener, NULL, NULL);
            if (connection >= 0) return connection;
            if (errno != EINTR && errno != ECONNABORTED) fail("cannot accept at", where);
        }
    exit(0);
}

static void listen_at(const char *where) {
    static const char host[] = "127.0.0.1:";
    char *end;
    if (strncmp(where, host, sizeof host - 1) != 0) wrong_use("--tcp listens on this machine alone, 127.0.0.1:PORT", where);
    long port = strtol(where + sizeof host - 1, &end, 10);
    if (end == where + sizeof host - 1 || *end != 0 || port < 0 || port > 65535) wrong_use("not a port", where);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (listener < 0) fail("cannot make a socket for", where);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0)
        fail("cannot listen on", where);
    line_in = line_out = accepted(listener, where);
    close(listener);
    if (fcntl(line_in, F_SETFL, O_NONBLOCK) != 0) fail("cannot use the connection at", where);
    line_may_wait = 0;
}

static void open_terminal(const char *path) {
    struct termios settings;
    line_in = line_out = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (line_in < 0) fail("cannot open", path);
    if (tcgetattr(line_in, &settings) != 0) fail("not a terminal:", path);
    cfmakeraw(&settings);
    cfsetspeed(&settings, B115200);
    settings.c_cflag |= CLOCAL | CREAD;
    if (tcsetattr(line_in, TCSANOW, &settings) != 0) fail("cannot set up", path);
    line_may_wait = 0;
}

static void remove_own_terminal(void) { unlink(own_terminal); }

/* The board's end of a new terminal; the agent opens the other by `path`. It is held open here too, so that the line
 * outlives those who open it. */
static void make_terminal(const char *path) {
    line_in = line_out = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (line_in < 0 || grantpt(line_in) != 0 || unlockpt(line_in) != 0) fail("cannot make a terminal for", path);
    const char *made = ptsname(line_in);
    int other_end = made == NULL ? -1 : open(made, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios settings;
    if (other_end < 0 || tcgetattr(other_end, &settings) != 0) fail("cannot open the terminal for", path);
    cfmakeraw(&settings);
    if (tcsetattr(other_end, TCSANOW, &settings) != 0 || fcntl(line_in, F_SETFL, O_NONBLOCK) != 0)
        fail("cannot set up the terminal for", path);
    if (symlink(made, path) != 0) fail("cannot name the terminal", path);
    own_terminal = path;
    atexit(remove_own_terminal);
    fprintf(stderr, "a board is at %s\n", path);
    line_may_wait = 0;
}

void board_start(void) {
    struct sigaction ending = {.sa_handler = end_soon}; /* without SA_RESTART, so that waits end */
    sigaction(SIGINT, &ending, NULL);
    sigaction(SIGTERM, &ending, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (argument_count == 2 && (!strcmp(arguments[1], "--help") || !strcmp(arguments[1], "-h"))) {
        usage(stdout);
        exit(0);
    }
    if (argument_count == 3 && !strcmp(arguments[1], "--tcp")) {
        listen_at(arguments[2]);
    } else if (argument_count == 3 && !strcmp(arguments[1], "--tty")) {
        open_terminal(arguments[2]);
    } else if (argument_count == 3 && !strcmp(arguments[1], "--pty")) {
        make_terminal(arguments[2]);
    } else if (argument_count > 1) {
        wrong_use("not understood", arguments[1]);
    } else if (isatty(STDIN_FILENO)) {
        fprintf(stderr, "speaking the link over this terminal; %s --help says what else there is\n", arguments[0]);
    }
}

uint64_t board_tick_hz(void) { return 1000000000u; }
uint8_t board_tick_bits(void) { return 64; }
uint64_t board_cpu_hz(void) { return 0; }

tp_tick board_ticks(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Waits until the line is ready for `events`; 0: it was not, or the process was told to end. */
static int ready(int line, short events, int limit_ms) {
    struct pollfd waiting = {.fd = line, .events = events};
    return poll(&waiting, 1, limit_ms) == 1;
}

void board_write(const uint8_t *bytes, size_t count) {
    while (count > 0) {
        if (line_may_wait && !ready(line_out, POLLOUT, WRITE_LIMIT_MS)) return;
        ssize_t written = write(line_out, bytes, count < WRITE_PIECE ? count : WRITE_PIECE);
        if (written > 0) {
            bytes += written;
            count -= (size_t)written;
        } else if (written < 0 && errno == EAGAIN) {
            if (!ready(line_out, POLLOUT, WRITE_LIMIT_MS)) return;
        } else if (written < 0 && errno != EINTR) {
            exit(0); /* the other end has gone */
        }
        if (told_to_end) exit(0);
    }
}

size_t board_read(uint8_t *bytes, size_t room) {
    if (told_to_end) exit(0);
    if (line_may_wait && !ready(line_in, POLLIN, 0)) return 0;
    ssize_t count = read(line_in, bytes, room);
    if (count > 0) return (size_t)count;
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    exit(0); /* the other end has gone */
}

void board_idle(void) { ready(line_in, POLLIN, 1000); }

const char *board_identity(void) { return NULL; }

uint32_t board_boot_id(void) {
    uint32_t id;
    if (getrandom(&id, sizeof id, GRND_NONBLOCK) == (ssize_t)sizeof id) return id;
    return (uint32_t)board_ticks() ^ (uint32_t)getpid() << 16;
}

uint32_t board_loop(uint32_t instructions) { return 0; }

uint32_t board_flags(void) { return BOARD_RAM_IS_RSS; }

/* The peak resident set of this program alone: what getrusage tells begins with that of the program that started it. */
uint64_t board_static_bytes(void) {
    unsigned long long kib = 0;
    char line[128];
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) return TP_UNKNOWN;
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1) break;
    fclose(status);
    return kib > 0 ? kib * 1024 : TP_UNKNOWN;
}

uint64_t board_heap_peak(void) { return TP_UNKNOWN; }
uint64_t board_stack_peak(void) { return TP_UNKNOWN; }

extern const char __executable_start[], edata[];
uint64_t board_flash_used(void) { return (uint64_t)(edata - __executable_start); }

struct found_note {
    const uint8_t *bytes;
    size_t count;
};

/* Looks through the notes of the program itself, which dl_iterate_phdr names first, for the linker's build id. */
static int find_build_id(struct dl_phdr_info *object, size_t size, void *user) {
    struct found_note *found = user;
    for (int i = 0; i < object->dlpi_phnum && found->count == 0; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_NOTE) continue;
        const uint8_t *at = (const uint8_t *)object->dlpi_addr + segment->p_vaddr, *end = at + segment->p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
            const uint8_t *name = at + sizeof *note, *content = name + ((note->n_namesz + 3u) & ~3u);
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
                found->bytes = content;
                found->count = note->n_descsz;
                break;
            }
            at = content + ((note->n_descsz + 3u) & ~3u);
        }
    }
    return 1;
}

const uint8_t *board_build_id(size_t *count) {
    static struct found_note found;
    if (found.count == 0) dl_iterate_phdr(find_build_id, &found);
    *count = found.count;
    return found.bytes;
}

const board_fault_report *board_fault(void) { return NULL; }
const char *board_fault_cause(uint32_t cause) { return "fault"; }
