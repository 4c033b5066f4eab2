#define _GNU_SOURCE
#include "CLinux.h"

#include <pthread.h>

void tally_thread_set_name(const char *name) { pthread_setname_np(pthread_self(), name); }
