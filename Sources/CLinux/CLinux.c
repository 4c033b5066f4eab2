#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
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

int tally_accept(int listener) { return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC); }
