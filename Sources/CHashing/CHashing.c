#include "CHashing.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#define TALLY_X86 1
#include <cpuid.h>
#include <immintrin.h>
#endif

// FIPS 180-4 section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t x, int by) { return (x >> by) | (x << (32 - by)); }

static inline uint32_t load_big(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3];
}

// FIPS 180-4 section 6.2.2, as it stands there.
void tally_sha256_blocks_portable(uint32_t words[8], const uint8_t *bytes, size_t count) {
    for (; count > 0; count--, bytes += 64) {
        uint32_t w[64];
        for (int t = 0; t < 16; t++) w[t] = load_big(bytes + 4 * t);
        for (int t = 16; t < 64; t++) {
            uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >> 3);
            uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >> 10);
            w[t] = s1 + w[t - 7] + s0 + w[t - 16];
        }
        uint32_t a = words[0], b = words[1], c = words[2], d = words[3];
        uint32_t e = words[4], f = words[5], g = words[6], h = words[7];
        for (int t = 0; t < 64; t++) {
            uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + w[t];
            uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g; g = f; f = e; e = d + t1;
            d = c; c = b; b = a; a = t1 + t2;
        }
        words[0] += a; words[1] += b; words[2] += c; words[3] += d;
        words[4] += e; words[5] += f; words[6] += g; words[7] += h;
    }
}

#if TALLY_X86

int tally_sha256_accelerated(void) {
    // 0: not asked yet. Two threads may both ask; they get the same answer.
    static int answer;
    int known = __atomic_load_n(&answer, __ATOMIC_RELAXED);
    if (known == 0) {
        unsigned a, b, c, d;
        int has = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSSE3) && (c & bit_SSE4_1);
        has = has && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
        known = has ? 2 : 1;
        __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
    }
    return known == 2;
}

__attribute__((target("sha,sse4.1,ssse3")))
void tally_sha256_blocks_accelerated(uint32_t words[8], const uint8_t *bytes, size_t count) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    // The instructions want the words as (a b e f) and (c d g h), highest lane first.
    __m128i dcba = _mm_loadu_si128((const __m128i *)words);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(words + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xB1);
    __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1B);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);

    for (; count > 0; count--, bytes += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)), swap);
        // Four rounds a turn; w[i & 3] holds their message words and is then replaced by those of four turns later.
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) {
            __m128i sum = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)(K + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
            if (i < 12) {
                __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
                next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
    __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)words, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(words + 4), _mm_alignr_epi8(dchg, feba, 8));
}

// Two messages side by side: a round waits for the one before it, and while it does the other message's can run.
__attribute__((target("sha,sse4.1,ssse3")))
static void pair_blocks_accelerated(
    uint32_t words[2][8], const uint8_t *const one[], const uint8_t *const other[], size_t count) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abef[2], cdgh[2];
    for (int m = 0; m < 2; m++) {
        __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)words[m]), 0xB1);
        __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(words[m] + 4)), 0x1B);
        abef[m] = _mm_alignr_epi8(cdab, efgh, 8);
        cdgh[m] = _mm_blend_epi16(efgh, cdab, 0xF0);
    }
    for (size_t block = 0; block < count; block++) {
        const __m128i abef_before[2] = {abef[0], abef[1]}, cdgh_before[2] = {cdgh[0], cdgh[1]};
        const uint8_t *const bytes[2] = {one[block], other[block]};
        __m128i w[2][4];
        for (int m = 0; m < 2; m++)
            for (int i = 0; i < 4; i++)
                w[m][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(bytes[m] + 16 * i)), swap);
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) {
#pragma clang loop unroll(full)
            for (int m = 0; m < 2; m++) {
                __m128i sum = _mm_add_epi32(w[m][i & 3], _mm_load_si128((const __m128i *)(K + 4 * i)));
                cdgh[m] = _mm_sha256rnds2_epu32(cdgh[m], abef[m], sum);
                abef[m] = _mm_sha256rnds2_epu32(abef[m], cdgh[m], _mm_shuffle_epi32(sum, 0x0E));
                if (i < 12) {
                    __m128i next = _mm_sha256msg1_epu32(w[m][i & 3], w[m][(i + 1) & 3]);
                    next = _mm_add_epi32(next, _mm_alignr_epi8(w[m][(i + 3) & 3], w[m][(i + 2) & 3], 4));
                    w[m][i & 3] = _mm_sha256msg2_epu32(next, w[m][(i + 3) & 3]);
                }
            }
        }
        for (int m = 0; m < 2; m++) {
            abef[m] = _mm_add_epi32(abef[m], abef_before[m]);
            cdgh[m] = _mm_add_epi32(cdgh[m], cdgh_before[m]);
        }
    }
    for (int m = 0; m < 2; m++) {
        __m128i feba = _mm_shuffle_epi32(abef[m], 0x1B);
        __m128i dchg = _mm_shuffle_epi32(cdgh[m], 0xB1);
        _mm_storeu_si128((__m128i *)words[m], _mm_blend_epi16(feba, dchg, 0xF0));
        _mm_storeu_si128((__m128i *)(words[m] + 4), _mm_alignr_epi8(dchg, feba, 8));
    }
}

#else

int tally_sha256_accelerated(void) { return 0; }

static void pair_blocks_accelerated(
    uint32_t words[2][8], const uint8_t *const one[], const uint8_t *const other[], size_t count) {
    (void)words, (void)one, (void)other, (void)count;
}

void tally_sha256_blocks_accelerated(uint32_t words[8], const uint8_t *bytes, size_t count) {
    tally_sha256_blocks_portable(words, bytes, count);
}

#endif

static inline void compress(uint32_t words[8], const uint8_t *bytes, size_t count) {
    if (tally_sha256_accelerated())
        tally_sha256_blocks_accelerated(words, bytes, count);
    else
        tally_sha256_blocks_portable(words, bytes, count);
}

void tally_sha256_start(tally_sha256 *state) {
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(state->words, first, sizeof first);
    state->length = 0;
}

void tally_sha256_update(tally_sha256 *state, const void *bytes, size_t count) {
    if (count == 0) return;
    const uint8_t *next = bytes;
    size_t held = state->length & 63;
    state->length += count;
    if (held > 0) {
        size_t room = 64 - held;
        if (count < room) {
            memcpy(state->block + held, next, count);
            return;
        }
        memcpy(state->block + held, next, room);
        compress(state->words, state->block, 1);
        next += room;
        count -= room;
    }
    if (count >= 64) {
        compress(state->words, next, count / 64);
        next += count & ~(size_t)63;
        count &= 63;
    }
    memcpy(state->block, next, count);
}

void tally_sha256_finish(tally_sha256 *state, uint64_t digest[4]) {
    uint8_t tail[128];
    size_t held = state->length & 63;
    size_t total = held < 56 ? 64 : 128;
    uint64_t bits = state->length * 8;
    memcpy(tail, state->block, held);
    tail[held] = 0x80;
    memset(tail + held + 1, 0, total - held - 9);
    for (int i = 0; i < 8; i++) tail[total - 1 - i] = (uint8_t)(bits >> (8 * i));
    compress(state->words, tail, total / 64);
    for (int i = 0; i < 4; i++) digest[i] = (uint64_t)state->words[2 * i] << 32 | state->words[2 * i + 1];
}

void tally_sha256_of(int prefix, const void *bytes, size_t count, uint64_t digest[4]) {
    tally_sha256 state;
    tally_sha256_start(&state);
    if (prefix >= 0) {
        uint8_t byte = (uint8_t)prefix;
        tally_sha256_update(&state, &byte, 1);
    }
    tally_sha256_update(&state, bytes, count);
    tally_sha256_finish(&state, digest);
}

// A message of at most this many blocks, its prefix and padding included, is hashed beside another.
enum { PAIRED_BLOCKS_MAX = 32 };

typedef struct {
    // The first 64 bytes when there is a prefix, and the last block or two with the padding.
    uint8_t first[64], tail[128];
    const uint8_t *blocks[PAIRED_BLOCKS_MAX];
    size_t count;
} message;

// 0 when the message is too long.
static int lay_out(message *m, int prefix, const uint8_t *bytes, size_t count) {
    size_t shift = prefix >= 0 ? 1 : 0;
    size_t length = count + shift;
    size_t whole = length / 64;
    size_t held = length & 63;
    size_t tails = held < 56 ? 1 : 2;
    if (whole + tails > PAIRED_BLOCKS_MAX) return 0;
    for (size_t i = 0; i < whole; i++) m->blocks[i] = bytes + 64 * i - (i > 0 ? shift : 0);
    if (shift && whole > 0) {
        m->first[0] = (uint8_t)prefix;
        memcpy(m->first + 1, bytes, 63);
        m->blocks[0] = m->first;
    }
    size_t before = shift && whole == 0 ? 1 : 0;
    if (before) m->tail[0] = (uint8_t)prefix;
    if (held > before) memcpy(m->tail + before, bytes + count - (held - before), held - before);
    m->tail[held] = 0x80;
    size_t total = 64 * tails;
    memset(m->tail + held + 1, 0, total - held - 9);
    uint64_t bits = (uint64_t)length * 8;
    for (int i = 0; i < 8; i++) m->tail[total - 1 - i] = (uint8_t)(bits >> (8 * i));
    for (size_t i = 0; i < tails; i++) m->blocks[whole + i] = m->tail + 64 * i;
    m->count = whole + tails;
    return 1;
}

void tally_sha256_of_two(
    int prefix, const void *one, size_t one_count, const void *other, size_t other_count, uint64_t one_digest[4],
    uint64_t other_digest[4]) {
    message a, b;
    if (!tally_sha256_accelerated() || !lay_out(&a, prefix, one, one_count) ||
        !lay_out(&b, prefix, other, other_count)) {
        tally_sha256_of(prefix, one, one_count, one_digest);
        tally_sha256_of(prefix, other, other_count, other_digest);
        return;
    }
    tally_sha256 state;
    tally_sha256_start(&state);
    uint32_t words[2][8];
    memcpy(words[0], state.words, sizeof words[0]);
    memcpy(words[1], state.words, sizeof words[1]);
    size_t both = a.count < b.count ? a.count : b.count;
    pair_blocks_accelerated(words, a.blocks, b.blocks, both);
    for (size_t i = both; i < a.count; i++) tally_sha256_blocks_accelerated(words[0], a.blocks[i], 1);
    for (size_t i = both; i < b.count; i++) tally_sha256_blocks_accelerated(words[1], b.blocks[i], 1);
    for (int i = 0; i < 4; i++) {
        one_digest[i] = (uint64_t)words[0][2 * i] << 32 | words[0][2 * i + 1];
        other_digest[i] = (uint64_t)words[1][2 * i] << 32 | words[1][2 * i + 1];
    }
}
