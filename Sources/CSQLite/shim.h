#include <sqlite3.h>

/* A column of a row as the file holds it. */
struct tally_sqlite_cell {
    int type;
    int length;         /* of text and blobs */
    sqlite3_int64 bits; /* an integer, or the bits of a floating-point number */
    const void *bytes;  /* text and blobs, until the next step or reset; may be null when there are none */
};

/* All columns of the row at once: a call from Swift for each, and for its type, cost more than reading it. */
static inline void tally_sqlite_row(sqlite3_stmt *statement, int count, struct tally_sqlite_cell *cells) {
    for (int column = 0; column < count; column++) {
        struct tally_sqlite_cell *cell = &cells[column];
        cell->type = sqlite3_column_type(statement, column);
        switch (cell->type) {
        case SQLITE_INTEGER:
            cell->bits = sqlite3_column_int64(statement, column);
            break;
        case SQLITE_FLOAT: {
            double value = sqlite3_column_double(statement, column);
            __builtin_memcpy(&cell->bits, &value, sizeof value);
            break;
        }
        case SQLITE_TEXT:
            cell->bytes = sqlite3_column_text(statement, column);
            cell->length = sqlite3_column_bytes(statement, column);
            break;
        case SQLITE_BLOB:
            cell->bytes = sqlite3_column_blob(statement, column);
            cell->length = sqlite3_column_bytes(statement, column);
            break;
        default:
            break;
        }
    }
}

/* SQLITE_TRANSIENT is a cast of -1 to a function pointer, which Swift cannot import. */
static inline sqlite3_destructor_type tally_sqlite_transient(void) { return SQLITE_TRANSIENT; }

/* sqlite3_config is variadic, which Swift cannot call. Without its statistics of memory, every allocation of every
   connection takes no lock that all of them share. To be called before the first connection; later it changes
   nothing. */
static inline int tally_sqlite_config_no_memory_statistics(void) {
    return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* sqlite3_db_config is variadic, which Swift cannot call. */
static inline int tally_sqlite_db_config_int(sqlite3 *db, int option, int value) {
    return sqlite3_db_config(db, option, value, (int *)0);
}

/* Sums of more than 64 bits. A column of sums holds an INTEGER while the value fits in 64 bits, and past that a BLOB
   of 16 bytes, the most significant first, two's complement. SQLite's own sum() stops at 64 bits and knows no such
   blob. */
struct tally_sqlite_wide {
    __int128 sum;
    int has_rows;
};

static inline __int128 tally_sqlite_wide_bytes(const unsigned char *bytes) {
    unsigned __int128 value = 0;
    for (int index = 0; index < 16; index++) value = value << 8 | bytes[index];
    return (__int128)value;
}

/* The state is copied: SQLite aligns it to 8 bytes, which is less than 128-bit integers ask for. */
static inline void tally_sqlite_wide_step(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    void *place = sqlite3_aggregate_context(context, sizeof(struct tally_sqlite_wide));
    if (!place) return sqlite3_result_error_nomem(context);
    struct tally_sqlite_wide state;
    __builtin_memcpy(&state, place, sizeof state);
    __int128 amount;
    if (sqlite3_value_type(values[0]) == SQLITE_INTEGER) {
        amount = sqlite3_value_int64(values[0]);
    } else if (sqlite3_value_type(values[0]) == SQLITE_BLOB && sqlite3_value_bytes(values[0]) == 16) {
        amount = tally_sqlite_wide_bytes((const unsigned char *)sqlite3_value_blob(values[0]));
    } else {
        return sqlite3_result_error(context, "wide_sum of what is no sum", -1);
    }
    if (__builtin_add_overflow(state.sum, amount, &state.sum)) {
        return sqlite3_result_error(context, "wide_sum of more than 128 bits", -1);
    }
    state.has_rows = 1;
    __builtin_memcpy(place, &state, sizeof state);
}

static inline void tally_sqlite_wide_final(sqlite3_context *context) {
    void *place = sqlite3_aggregate_context(context, 0);
    struct tally_sqlite_wide state = {0, 0};
    if (place) __builtin_memcpy(&state, place, sizeof state);
    if (!state.has_rows) return sqlite3_result_null(context);
    if ((__int128)(sqlite3_int64)state.sum == state.sum) {
        return sqlite3_result_int64(context, (sqlite3_int64)state.sum);
    }
    unsigned char bytes[16];
    for (int index = 15; index >= 0; index--) {
        bytes[index] = (unsigned char)state.sum;
        state.sum >>= 8;
    }
    sqlite3_result_blob(context, bytes, 16, SQLITE_TRANSIENT);
}

/* wide_sum(column): as sum(), over such a column, exact; null over no rows. For statements of ours alone. */
static inline int tally_sqlite_register_wide_sum(sqlite3 *db) {
    return sqlite3_create_function_v2(
        db, "wide_sum", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, (void *)0, (void *)0,
        tally_sqlite_wide_step, tally_sqlite_wide_final, (void *)0);
}
