/* paths - where the managed redis-server is and where its files are. */
#ifndef DRAY_WORKERS_PROGRAM_PATHS_H
#define DRAY_WORKERS_PROGRAM_PATHS_H

#include "workers/program/program.h"

/* Finds the binary, makes the paths absolute, creates the data folder, opens the lock (not taken), writes the
 * arguments. EXIT_CODE_OK, or the exit status (its reason was logged): EXIT_CODE_EXEC no such program, EXIT_CODE_CONFIG
 * a path too long for a socket, EXIT_CODE_NOPERM or EXIT_CODE_IOERR the folder. */
enum exitcode paths_prepare(struct program *p, const struct conf *conf);

#endif
