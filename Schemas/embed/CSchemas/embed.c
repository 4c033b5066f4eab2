// The files two folders above, as bytes in the program (`#embed`, C23 section 6.10.3): they are the truth. Swift has no
// such thing but array literals, which take the compiler half a minute (ops/decisions/0031-embedded-files.md).
#include "CSchemas.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char readmodel[] = {
#embed "../../readmodel.sql"
};
tally_schema tally_schema_readmodel(void) { return (tally_schema){readmodel, sizeof readmodel}; }

static const unsigned char calls[] = {
#embed "../../calls.sql"
};
tally_schema tally_schema_calls(void) { return (tally_schema){calls, sizeof calls}; }

static const unsigned char tokens[] = {
#embed "../../tokens.sql"
};
tally_schema tally_schema_tokens(void) { return (tally_schema){tokens, sizeof tokens}; }

static const unsigned char book[] = {
#embed "../../book.sql"
};
tally_schema tally_schema_book(void) { return (tally_schema){book, sizeof book}; }

static const unsigned char credits[] = {
#embed "../../credits.sql"
};
tally_schema tally_schema_credits(void) { return (tally_schema){credits, sizeof credits}; }

static const unsigned char alerts[] = {
#embed "../../alerts.sql"
};
tally_schema tally_schema_alerts(void) { return (tally_schema){alerts, sizeof alerts}; }

static const unsigned char lago[] = {
#embed "../../lago.sql"
};
tally_schema tally_schema_lago(void) { return (tally_schema){lago, sizeof lago}; }

static const unsigned char openapi[] = {
#embed "../../openapi.json"
};
tally_schema tally_schema_openapi(void) { return (tally_schema){openapi, sizeof openapi}; }

static const unsigned char dashboard[] = {
#embed "../../dashboard.html"
};
tally_schema tally_schema_dashboard(void) { return (tally_schema){dashboard, sizeof dashboard}; }

// verify.py of an audit pack: one program out of its parts.
static const unsigned char verifier[] = {
#embed "../../verify/format.py"
,
#embed "../../verify/books.py"
,
#embed "../../verify/main.py"
};
tally_schema tally_schema_verifier(void) { return (tally_schema){verifier, sizeof verifier}; }
