/* sig - signal names and the defaults of every dray process. */
#ifndef DRAY_COMMON_BASE_SIG_H
#define DRAY_COMMON_BASE_SIG_H

/* "SIGTERM"; "SIG?" for an unknown number. */
const char *sig_name(int signo);
/* SIGPIPE ignored, nothing blocked: called first in every main. */
void sig_defaults(void);

#endif
