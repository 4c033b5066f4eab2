#define _GNU_SOURCE
#include "CLinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

void tally_thread_set_name(const char *name) { pthread_setname_np(pthread_self(), name); }

int tally_thread_step_back(int steps) {
    id_t thread = (id_t)gettid();
    errno = 0;
    int niceness = getpriority(PRIO_PROCESS, thread);
    if (niceness == -1 && errno != 0) return -1;
    niceness += steps;
    return setpriority(PRIO_PROCESS, thread, niceness > 19 ? 19 : niceness);
}

int tally_thread_niceness(void) { return getpriority(PRIO_PROCESS, (id_t)gettid()); }

_Static_assert(TALLY_EPOLL_IN == EPOLLIN, "EPOLLIN");
_Static_assert(TALLY_EPOLL_OUT == EPOLLOUT, "EPOLLOUT");
_Static_assert(TALLY_EPOLL_ERR == EPOLLERR, "EPOLLERR");
_Static_assert(TALLY_EPOLL_HUP == EPOLLHUP, "EPOLLHUP");

int tally_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

static int control(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data = {.u64 = data}};
    return epoll_ctl(epoll, operation, fd, &event);
}

int tally_epoll_add(int epoll, int fd, uint32_t events, uint64_t data) {
    return control(epoll, EPOLL_CTL_ADD, fd, events, data);
}

int tally_epoll_modify(int epoll, int fd, uint32_t events, uint64_t data) {
    return control(epoll, EPOLL_CTL_MOD, fd, events, data);
}

int tally_epoll_remove(int epoll, int fd) { return control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int tally_epoll_wait(int epoll, tally_event *events, int count, int timeout_milliseconds) {
    struct epoll_event found[TALLY_EPOLL_EVENTS_MAX];
    if (count > TALLY_EPOLL_EVENTS_MAX) count = TALLY_EPOLL_EVENTS_MAX;
    int result = epoll_wait(epoll, found, count, timeout_milliseconds);
    for (int index = 0; index < result; index++) {
        events[index].data = found[index].data.u64;
        events[index].events = found[index].events;
    }
    return result;
}

int tally_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static uint64_t big_endian(const uint8_t *bytes) {
    uint64_t number = 0;
    for (int index = 0; index < 8; index++) number = number << 8 | bytes[index];
    return number;
}

int tally_accept(int listener, tally_peer *peer) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
    } name;
    socklen_t length = sizeof name;
    int fd = accept4(listener, &name.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return fd;
    peer->high = peer->low = 0;
    if (name.any.sa_family == AF_INET) peer->low = 0xFFFFull << 32 | ntohl(name.v4.sin_addr.s_addr);
    if (name.any.sa_family == AF_INET6) {
        peer->high = big_endian(name.v6.sin6_addr.s6_addr);
        peer->low = big_endian(name.v6.sin6_addr.s6_addr + 8);
    }
    return fd;
}

int tally_unacknowledged(int fd) {
    int count = 0;
    return ioctl(fd, SIOCOUTQ, &count) == 0 ? count : -1;
}

uint64_t tally_descriptors_max(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    return limit.rlim_cur;
}
