/* concern - see concern.h. The longest row that the key begins with decides. */
#include "master/concern.h"

#include <stddef.h>
#include <string.h>

#define INGEST   CONCERN_BIT(KIND_INGEST)
#define DELIVERY CONCERN_BIT(KIND_DELIVERY)
#define CONSOLE  CONCERN_BIT(KIND_CONSOLE)
#define SPOOL    CONCERN_BIT(KIND_SPOOL)
#define PROGRAM  CONCERN_BIT(KIND_PROGRAM)
#define ALL      (CONCERN_BIT(KIND_COUNT) - 1)

static const struct {
    const char *key;
    unsigned kinds;
} rows[] = {
    {"node", ALL},
    {"master", ALL},
    {"master.processes", 0}, /* only their number */
    {"master.autoscale", 0},
    {"master.restart", 0}, /* the master's own affairs */
    {"master.memory.ingest", INGEST},
    {"master.memory.delivery", DELIVERY},
    {"master.memory.spool", SPOOL},
    {"master.memory.console", CONSOLE},
    {"master.seccomp", INGEST | DELIVERY | SPOOL | CONSOLE},
    {"master.landlock", INGEST | DELIVERY | SPOOL | CONSOLE},
    {"ingest", INGEST},
    {"ingest.listeners", INGEST},
    {"ingest.backpressure", INGEST | SPOOL},
    {"sources", INGEST | DELIVERY},
    {"spool", INGEST | DELIVERY | SPOOL},
    {"quarantine", INGEST | SPOOL},
    {"redis", DELIVERY},
    {"redis.managed", PROGRAM},
    {"queue", DELIVERY},
    {"queue.is_multi_processor", DELIVERY | SPOOL},
    {"queue.ordering", DELIVERY | SPOOL},
    {"queue.partitions", DELIVERY | SPOOL},
    {"delivery", DELIVERY},
    {"destinations", INGEST | DELIVERY | SPOOL},
    {"destinations[]", DELIVERY}, /* how it delivers; where its batches go is ingest's affair too: */
    {"destinations[].is_multi_processor", INGEST | DELIVERY | SPOOL},
    {"destinations[].ordering", INGEST | DELIVERY | SPOOL},
    {"destinations[].partitions", INGEST | DELIVERY | SPOOL},
    {"routes", INGEST},
    {"subscriptions", DELIVERY},
    {"takeover", DELIVERY},
    {"programs", PROGRAM},
    {"log", ALL},
    {"console", CONSOLE},
};

static bool begins(const char *key, const char *row)
{
    size_t n = strlen(row);
    return strncmp(key, row, n) == 0 && (key[n] == '\0' || key[n] == '.' || key[n] == '[');
}

static int find(const char *key)
{
    int best = -1;
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++)
        if (begins(key, rows[i].key) && (best < 0 || strlen(rows[i].key) > strlen(rows[best].key)))
            best = i;
    return best;
}

unsigned concern_kinds(const char *key)
{
    int i = find(key);
    return i >= 0 ? rows[i].kinds : ALL;
}

bool concern_is_of_one(const char *key)
{
    return begins(key, "programs") || begins(key, "redis.managed");
}

const char *concern_row(const char *key)
{
    int i = find(key);
    return i >= 0 ? rows[i].key : NULL;
}
