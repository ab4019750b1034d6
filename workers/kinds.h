/* Entry points of the kinds, for master/kinds.c alone. */
#ifndef DRAY_WORKERS_KINDS_H
#define DRAY_WORKERS_KINDS_H

int ingest_main(unsigned slot, char **argv);
int delivery_main(unsigned slot, char **argv);
int spool_main(unsigned slot, char **argv);
int program_main(unsigned slot, char **argv);
int console_main(unsigned slot, char **argv);

#endif
