/* flush - asks every ingest process for what it holds to be sent on (FLUSH), and tells when all have done it. Nothing
 * waits inside: the answer comes by a call. A process that is gone by then holds nothing; one that came meanwhile has
 * taken in only what came later. */
#ifndef DRAY_MASTER_FLUSH_H
#define DRAY_MASTER_FLUSH_H

#include "master/slot.h"

struct flush;

/* done is called once, later, unless flush_cancel comes first; the flush is gone then. */
struct flush *flush_start(struct master *m, void (*done)(void *arg), void *arg);
/* For a successor of this process: which, and who has not answered; and back. */
uint32_t flush_save(const struct flush *f, const uint32_t **generations, size_t *n);
struct flush *flush_restore(struct master *m, uint32_t id, const uint32_t *generations, size_t n,
                            void (*done)(void *arg), void *arg);
void flush_cancel(struct flush *f); /* NULL is fine */
/* A process says FLUSHED. */
void flush_said(struct slot *s, uint32_t id);
/* Each turn: those that are gone are waited for no more; what is complete is told. */
void flush_look(struct master *m);

#endif
