/* log - one line per event, never blocking.
 *
 * A line is an event name from a closed vocabulary (snake_case, what operators alert on and tests wait for) and a
 * logfmt tail. In a child the line goes to fd 2 as "\001" + level digit + "event=NAME tail\n", at most
 * LOG_LINE_MAX bytes so that the kernel never mixes two writers (PIPE_BUF); the master adds time and origin.
 * In a command line verb it goes to stderr as plain text. In the master it goes to the function given.
 * Nothing here blocks: a full pipe drops the line and counts it; the count is told with the next line that fits.
 */
#ifndef DRAY_COMMON_BASE_LOG_H
#define DRAY_COMMON_BASE_LOG_H

#include <stdint.h>

enum log_level { LOGL_CRIT, LOGL_ERROR, LOGL_WARN, LOGL_INFO, LOGL_DEBUG };

#define LOG_LINE_MAX 4096   /* PIPE_BUF: longer writes may interleave with other writers */
#define LOG_TAG      '\001' /* first byte of a structured line; anything else on the pipe is raw output */

/* Receives one complete line without tag and newline; must not block and must not log. */
typedef void (*log_writer_fn)(enum log_level level, const char *line, void *arg);

/* The process writes tagged lines to fd 2, which it makes non-blocking (children). */
void log_to_master(void);
/* The process writes "dray: ..." to stderr (command line; the default). */
void log_to_stderr(void);
/* The process hands lines to fn (the master's logsink). */
void log_to_writer(log_writer_fn fn, void *arg);
/* fn is called when the process ends by fatal() or panic(): what the writer still holds must get out, within a short
 * time. NULL: nothing. */
void log_on_end(void (*fn)(void *arg), void *arg);
void log_end(void); /* of these two */

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "crit" ... "debug"; log_level_parse returns -1 with EINVAL for another word. */
const char *log_level_name(enum log_level level);
int log_level_parse(const char *name, enum log_level *out);

/* Lines lost because the pipe was full, since start. */
uint64_t log_dropped(void);

/* errno is preserved. fmt is the logfmt tail ("addr=%s n=%zu"), "" for none. Quote foreign text with log_q. */
void log_event(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define log_crit(...)  log_event(LOGL_CRIT, __VA_ARGS__)
#define log_error(...) log_event(LOGL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_event(LOGL_WARN, __VA_ARGS__)
#define log_info(...)  log_event(LOGL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                       \
    do {                                                                                                     \
        if (log_get_level() >= LOGL_DEBUG)                                                                   \
            log_event(LOGL_DEBUG, __VA_ARGS__);                                                              \
    } while (0)

/* text as a quoted logfmt value: quotes, backslashes, control characters and what is no UTF-8 escaped (\" \\ \n
 * \xNN), cut at about 900 bytes.
 * Returns one of 8 rotating static buffers: use it inside the same log call only. NULL gives "". */
const char *log_q(const char *text);
const char *log_qn(const char *text, unsigned long len);
/* The same into dst (3 bytes or more, NUL-ended): as much as fits, *used of the len bytes. Returns its length. */
unsigned long log_quote(char *dst, unsigned long size, const char *text, unsigned long len,
                        unsigned long *used);

#endif
