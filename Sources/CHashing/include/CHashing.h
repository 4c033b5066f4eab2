#ifndef TALLYSTICK_CHASHING_H
#define TALLYSTICK_CHASHING_H

#include <stddef.h>
#include <stdint.h>

/// SHA-256 (FIPS 180-4) under way: the eight words of the hash value, an unfinished block, the length so far.
typedef struct {
    uint32_t words[8];
    uint8_t block[64];
    uint64_t length;
} tally_sha256;

void tally_sha256_start(tally_sha256 *state);
void tally_sha256_update(tally_sha256 *state, const void *bytes, size_t count);

/// Pads and writes the digest as four big-endian words. `state` is used up.
void tally_sha256_finish(tally_sha256 *state, uint64_t digest[4]);

/// All in one call, without a copy of more than the last block.
/// `prefix` is 0...255 for one byte hashed before the rest, or -1 for none.
void tally_sha256_of(int prefix, const void *bytes, size_t count, uint64_t digest[4]);

/// The same of two messages, which is faster than one after the other where the processor has SHA instructions and the
/// messages are not long.
void tally_sha256_of_two(
    int prefix, const void *one, size_t one_count, const void *other, size_t other_count, uint64_t one_digest[4],
    uint64_t other_digest[4]);

/// Whether this processor has SHA instructions that the functions above use.
int tally_sha256_accelerated(void);

/// One way to compress `count` blocks of 64 bytes into `words`; for tests, which compare the two.
void tally_sha256_blocks_portable(uint32_t words[8], const uint8_t *bytes, size_t count);
/// The same with the instructions of the processor; only where `tally_sha256_accelerated`.
void tally_sha256_blocks_accelerated(uint32_t words[8], const uint8_t *bytes, size_t count);

#endif
