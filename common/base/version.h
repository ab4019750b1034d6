/* version - which release this is; the one object that differs between two builds of the same source. */
#ifndef DRAY_COMMON_BASE_VERSION_H
#define DRAY_COMMON_BASE_VERSION_H

const char *version_text(void);

#endif
