#ifndef TALLY_CLINUX_H
#define TALLY_CLINUX_H

/* What the Glibc module of the toolchain does not give. _GNU_SOURCE stays in the .c file: in a header it makes types
   differ between modules. */

/* Names the calling thread; at most 15 bytes. pthread_setname_np(3). */
void tally_thread_set_name(const char *name);

#endif
