/* signals - the table from signals to what the master does. */
#ifndef DRAY_MASTER_SIGNALS_H
#define DRAY_MASTER_SIGNALS_H

struct master;

void signals_start(struct master *m);
void signals_stop(struct master *m);
/* What comes from now on waits, also for another program in this process; and on it goes. */
void signals_hold(void);
void signals_release(void);

#endif
