#ifndef TALLYSTICK_CSCHEMAS_H
#define TALLYSTICK_CSCHEMAS_H

#include <stddef.h>

/// A file of the folder `Schemas` as it was when the program was built. Lives as long as the process.
typedef struct {
    const unsigned char *_Nonnull bytes;
    size_t count;
} tally_schema;

tally_schema tally_schema_readmodel(void);
tally_schema tally_schema_calls(void);
tally_schema tally_schema_tokens(void);
tally_schema tally_schema_book(void);
tally_schema tally_schema_credits(void);
tally_schema tally_schema_alerts(void);
tally_schema tally_schema_lago(void);
tally_schema tally_schema_openapi(void);
tally_schema tally_schema_dashboard(void);
tally_schema tally_schema_verifier(void);

#endif
