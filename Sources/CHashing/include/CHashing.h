#ifndef TALLY_CHASHING_H
#define TALLY_CHASHING_H
#endif
