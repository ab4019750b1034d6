/* signals - the table from signals to what the master does. */
#ifndef DRAY_MASTER_SIGNALS_H
#define DRAY_MASTER_SIGNALS_H

struct master;

void signals_start(struct master *m);
void signals_stop(struct master *m);

#endif
