/* circuit - the window of a circuit breaker, and the budget of retries; see circuit.h. Pure: no I/O, no clock. */
#include "workers/delivery/flow/circuit.h"

#include <stdio.h>
#include <string.h>

#define WELL_SHARE 0.05 /* of failures: under it the budget is not asked for */

static void forget_cell(struct circuit *c, uint64_t cell)
{
    size_t i = cell % CIRCUIT_CELLS;

    c->ok -= c->cells[i].ok;
    c->bad -= c->cells[i].bad;
    c->cells[i].ok = c->cells[i].bad = 0;
}

static void advance(struct circuit *c, uint64_t cell)
{
    if (cell == c->cell)
        return;
    for (uint64_t n = 1; n <= CIRCUIT_CELLS && (cell < c->cell || c->cell + n <= cell); n++)
        forget_cell(c, c->cell + n);
    c->cell = cell;
}

bool circuit_note(struct circuit *c, const struct circuit_rules *r, bool ok, uint64_t now_ms, char *why,
                  size_t why_size)
{
    uint64_t cell_ms = r->window_ms / CIRCUIT_CELLS > 0 ? r->window_ms / CIRCUIT_CELLS : 1;
    unsigned all;

    advance(c, now_ms / cell_ms);
    if (ok) {
        c->cells[c->cell % CIRCUIT_CELLS].ok++;
        c->ok++;
        c->in_a_row = 0;
        c->bad_since_ms = 0;
        return false;
    }
    c->cells[c->cell % CIRCUIT_CELLS].bad++;
    c->bad++;
    c->in_a_row++;
    if (c->bad_since_ms == 0)
        c->bad_since_ms = now_ms;
    all = c->ok + c->bad;
    if (r->consecutive > 0 && c->in_a_row >= r->consecutive) {
        snprintf(why, why_size, "%u failures in a row", c->in_a_row);
        return true;
    }
    if (all >= r->min_requests && (double)c->bad >= r->failure_ratio * (double)all) {
        snprintf(why, why_size, "%u of %u requests failed", c->bad, all);
        return true;
    }
    return false;
}

void circuit_reset(struct circuit *c)
{
    memset(c, 0, sizeof(*c));
}

bool circuit_may_retry(const struct circuit *c, unsigned retrying, unsigned all, double budget,
                       unsigned least)
{
    if ((double)c->bad <= WELL_SHARE * (double)(c->ok + c->bad))
        return true;
    return retrying < least || (double)retrying < budget * (double)all;
}
