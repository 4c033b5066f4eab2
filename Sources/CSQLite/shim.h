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
