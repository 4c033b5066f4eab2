#ifndef TALLY_CLINUX_H
#define TALLY_CLINUX_H

#include <stdint.h>

/* What the Glibc module of the toolchain does not give. _GNU_SOURCE stays in the .c file: in a header it makes types
   differ between modules. All functions give -1 and errno on failure, as the calls they stand for. */

/* Names the calling thread; at most 15 bytes. pthread_setname_np(3). */
void tally_thread_set_name(const char *name);

/* The nice value of the calling thread, -20...19. */
int tally_thread_niceness(void);

/* Adds to the nice value of the calling thread alone, which Linux does for PRIO_PROCESS with a thread id; 19, the most,
   gets the least of a processor that is short. setpriority(2). */
int tally_thread_step_back(int steps);

/* epoll(7). `tally_event` has the layout of a plain struct; the kernel's is packed on x86. */
#define TALLY_EPOLL_IN 0x001u
#define TALLY_EPOLL_OUT 0x004u
#define TALLY_EPOLL_ERR 0x008u
#define TALLY_EPOLL_HUP 0x010u

/* Most events that one wait gives. */
#define TALLY_EPOLL_EVENTS_MAX 256

typedef struct {
    uint64_t data;
    uint32_t events;
} tally_event;

int tally_epoll_create(void);
int tally_epoll_add(int epoll, int fd, uint32_t events, uint64_t data);
int tally_epoll_modify(int epoll, int fd, uint32_t events, uint64_t data);
int tally_epoll_remove(int epoll, int fd);
/* At most TALLY_EPOLL_EVENTS_MAX events. */
int tally_epoll_wait(int epoll, tally_event *events, int count, int timeout_milliseconds);

/* eventfd(2), non-blocking and close-on-exec. */
int tally_eventfd(void);

/* The address of a peer, in network order read as numbers: IPv6 as it is, IPv4 mapped into it (::ffff:a.b.c.d), 0 for
   a Unix socket. */
typedef struct {
    uint64_t high;
    uint64_t low;
} tally_peer;

/* accept4(2), non-blocking and close-on-exec. */
int tally_accept(int listener, tally_peer *peer);

/* Bytes written to a stream socket that the peer's system has not acknowledged (tcp(7), SIOCOUTQ), or, for a Unix
   socket, that the peer has not read (unix(7)). */
int tally_unacknowledged(int fd);

/* Raises the soft limit of descriptors to the hard one (setrlimit(2)); gives what it is then. */
uint64_t tally_descriptors_max(void);

#endif
