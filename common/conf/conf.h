/* conf - the configuration: one table of keys a section (*.def), read from YAML, checked whole, immutable afterwards.
 *
 * Every row of a .def file is one key: its type decides the C field, the parser and the check. A field's name is its
 * path inside the section with dots as underscores, and its unit behind it: `ingest.limits.request` (a SIZE) is
 * conf->ingest.limits_request_bytes, `delivery.timeout` (a DURATION) is conf->delivery.timeout_ms.
 *
 * Row: K(TYPE, field, "path.in.section", "default", min, max, "words", APPLY, "help sentence")
 *   TYPE  BOOL, U64, COUNT (U64 or "auto" = CONF_AUTO), DURATION (_ms), SIZE (_bytes), RATIO (double), RATE,
 *         STRING, SECRET (a string never printed), ENUM (one of words, value = its index),
 *         WORDS (a list of strings, ended by NULL), PAIRS (the same, of NAME=value, the values never printed),
 *         SECRETS (WORDS never printed), MAP (written as a map, kept as PAIRS; with words those are the values allowed,
 *         and are printed), FILE (a SECRET; written is the path of a file, kept is its text: children need no file)
 *   min, max  inclusive, in the unit of the field; max 0 = no upper limit; of lists: how many
 *   APPLY LIVE (children are told), ROLL (children are replaced one by one), RESTART (only a restart of the master)
 * The SDKs' names for keys stand in alias.def. A new section also needs a line in table.c.
 * Precedence: command line over DRAY_SECTION__KEY environment over file over default.
 */
#ifndef DRAY_COMMON_CONF_CONF_H
#define DRAY_COMMON_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/exitcode.h"
#include "common/base/restart.h"

#define CONF_AUTO     UINT64_MAX
#define CONF_FILE_MAX (1u << 20) /* bytes of one configuration file */
#define CONF_LIST_MAX 256        /* elements of any list (listeners, sources, destinations) */

struct conf_rate {
    uint64_t count, period_ms; /* 0, 0 = no limit */
};

enum conf_ack { CONF_ACK_QUEUE, CONF_ACK_MEMORY, CONF_ACK_DELIVERED };
/* Of a source: as ingest.ack, or its own (less one). */
enum conf_source_ack { CONF_SOURCE_ACK_INHERIT, CONF_SOURCE_ACK_OWN };
enum conf_compat { CONF_COMPAT_RUDDERSTACK, CONF_COMPAT_SEGMENT };
enum conf_bad_event { CONF_BAD_EVENT_QUARANTINE, CONF_BAD_EVENT_REJECT };
enum conf_unrouted { CONF_UNROUTED_DROP, CONF_UNROUTED_QUARANTINE };
enum conf_on_full { CONF_ON_FULL_REJECT, CONF_ON_FULL_WAIT };
enum conf_redis_mode { CONF_REDIS_MANAGED, CONF_REDIS_STANDALONE, CONF_REDIS_NONE };
enum conf_fsync { CONF_FSYNC_ALWAYS, CONF_FSYNC_EVERYSEC, CONF_FSYNC_NO };
enum conf_backoff { CONF_BACKOFF_EXPONENTIAL, CONF_BACKOFF_FIXED };
enum conf_auth { CONF_AUTH_WRITE_KEY, CONF_AUTH_BASIC, CONF_AUTH_BEARER, CONF_AUTH_NONE, CONF_AUTH_HEADER };
enum conf_payload { CONF_PAYLOAD_BATCH, CONF_PAYLOAD_EVENT, CONF_PAYLOAD_NDJSON };
enum conf_signing { CONF_SIGNING_NONE, CONF_SIGNING_STANDARD_WEBHOOKS };
enum conf_compress { CONF_COMPRESS_NONE, CONF_COMPRESS_GZIP }; /* of a destination: inherit stands before */
enum conf_http2 { CONF_HTTP2_FALSE, CONF_HTTP2_TRUE, CONF_HTTP2_PRIOR_KNOWLEDGE }; /* the same */
enum conf_status_rule { CONF_STATUS_RETRY, CONF_STATUS_FAIL, CONF_STATUS_DONE, CONF_STATUS_DISABLE };
enum conf_ordering { CONF_ORDERING_NONE, CONF_ORDERING_KEY };
enum conf_job_format { CONF_JOB_DRAY, CONF_JOB_RUDDER_SDK_V3 };
/* Of a destination: as in section queue, or its own word (its index less one). */
enum conf_own { CONF_OWN_INHERIT, CONF_OWN_FIRST, CONF_OWN_SECOND };
enum conf_ready {
    CONF_READY_NONE,
    CONF_READY_NOTIFY,
    CONF_READY_FD,
    CONF_READY_TCP,
    CONF_READY_UNIX,
    CONF_READY_COMMAND
};
enum conf_restart { CONF_RESTART_ALWAYS, CONF_RESTART_ON_FAILURE, CONF_RESTART_NEVER };
enum conf_core { CONF_CORE_OFF, CONF_CORE_ON };
enum conf_seccomp { CONF_SECCOMP_ON, CONF_SECCOMP_OFF, CONF_SECCOMP_LOG };
enum conf_landlock { CONF_LANDLOCK_ON, CONF_LANDLOCK_OFF };
enum conf_tls_version { CONF_TLS_1_2, CONF_TLS_1_3 };
enum conf_log_format { CONF_LOG_AUTO, CONF_LOG_LOGFMT, CONF_LOG_JSON };

#define CONF_FIELD_BOOL(f)                                      bool f;
#define CONF_FIELD_U64(f)                                       uint64_t f;
#define CONF_FIELD_COUNT(f)                                     uint64_t f;
#define CONF_FIELD_DURATION(f)                                  uint64_t f##_ms;
#define CONF_FIELD_SIZE(f)                                      uint64_t f##_bytes;
#define CONF_FIELD_RATIO(f)                                     double f;
#define CONF_FIELD_RATE(f)                                      struct conf_rate f;
#define CONF_FIELD_STRING(f)                                    char *f;
#define CONF_FIELD_SECRET(f)                                    char *f;
#define CONF_FIELD_ENUM(f)                                      int f;
#define CONF_FIELD_WORDS(f)                                     char **f;
#define CONF_FIELD_PAIRS(f)                                     char **f;
#define CONF_FIELD_SECRETS(f)                                   char **f;
#define CONF_FIELD_MAP(f)                                       char **f;
#define CONF_FIELD_FILE(f)                                      char *f;
#define CONF_FIELD_NAMES(f)                                     char **f;
#define K(type, field, path, def, min, max, words, apply, help) CONF_FIELD_##type(field)

struct conf_node {
#include "common/conf/node.def"
};
struct conf_master {
#include "common/conf/master.def"
};
struct conf_ingest {
#include "common/conf/ingest.def"
};
struct conf_listener {
#include "common/conf/listener.def"
};
struct conf_source {
#include "common/conf/source.def"
};
struct conf_quarantine {
#include "common/conf/quarantine.def"
};
struct conf_spool {
#include "common/conf/spool.def"
};
struct conf_redis {
#include "common/conf/redis.def"
};
struct conf_queue {
#include "common/conf/queue.def"
};
struct conf_delivery {
#include "common/conf/delivery.def"
};
struct conf_destination {
#include "common/conf/destination.def"
};
struct conf_route {
#include "common/conf/route.def"
};
struct conf_takeover {
#include "common/conf/takeover.def"
};
struct conf_subscription {
#include "common/conf/subscription.def"
};
struct conf_program {
#include "common/conf/program.def"
};
struct conf_log {
#include "common/conf/log.def"
};
struct conf_console {
#include "common/conf/console.def"
};
#undef K

struct conf {
    struct conf_node node;
    struct conf_master master;
    struct conf_ingest ingest; /* without its listeners, which stand below */
    struct conf_spool spool;
    struct conf_quarantine quarantine;
    struct conf_redis redis;
    struct conf_queue queue;
    struct conf_delivery delivery;
    struct conf_log log;
    struct conf_console console;
    struct conf_listener *listeners; /* ingest.listeners */
    size_t n_listeners;
    struct conf_source *sources;
    size_t n_sources;
    struct conf_destination *destinations;
    size_t n_destinations;
    struct conf_route *routes; /* none: every source goes to every destination */
    size_t n_routes;
    struct conf_takeover *takeovers; /* takeover */
    size_t n_takeovers;
    struct conf_subscription *subscriptions;
    size_t n_subscriptions;
    struct conf_program *programs; /* an empty id: a place that a removed one left */
    size_t n_programs;
};

/* One override from the command line: "redis.url=unix:///run/x.sock", or a whole list element
 * ("destinations=[{id: d, url: ...}]", the value is YAML). */
struct conf_override {
    const char *text;
    const char *origin; /* for messages: "--to" */
};

/* Reads path (NULL: defaults, one development source "dev" with write key "dev"), the environment and the overrides;
 * checks types, ranges, unknown keys ("did you mean"), and the rules that join keys. Every fault found is one line
 * in errors: "file:line:column: key: what is wrong; what to do", with an excerpt where there is a file.
 * Returns EXIT_CODE_OK and *out (conf_free), or EXIT_CODE_CONFIG, EXIT_CODE_NOPERM (a file or secret that may not be
 * read), and *out is NULL. Warnings go into warnings, one a line. */
enum exitcode conf_load(const char *path, const struct conf_override *overrides, size_t n_overrides,
                        struct conf **out, struct buf *errors, struct buf *warnings);

/* Reads what conf_dump wrote, in a child: no files, no environment, no expansion. 0, or -1 with a line in errors. */
int conf_parse_dump(const char *text, size_t len, struct conf **out, struct buf *errors);
/* The same of another release: a key that is unknown here is left out, and a line in errors says so. */
int conf_parse_old_dump(const char *text, size_t len, struct conf **out, struct buf *errors);

/* The whole effective configuration as JSON (which is YAML), secrets in clear unless masked ("***"). */
int conf_dump(const struct conf *c, bool masked, struct buf *out);
void conf_free(struct conf *c);

enum conf_apply { CONF_APPLY_LIVE, CONF_APPLY_ROLL, CONF_APPLY_RESTART };
struct conf_change {
    const char *section; /* "ingest", "destinations" */
    const char
        *key; /* as in the table of keys: "ingest.flush_at", "destinations[].url"; "destinations": elements
                            have come, gone or changed places */
    const char *path; /* for people: "destinations.crm.url" */
    enum conf_apply apply;
};
/* Calls fn for every key whose value differs. */
typedef void (*conf_diff_fn)(const struct conf_change *change, void *arg);
void conf_diff(const struct conf *a, const struct conf *b, conf_diff_fn fn, void *arg);
/* Exchanges what differs, so that `to` says what `from` said, in place: *to, and the elements of its lists, stay where
 * they are. But a list whose elements have come, gone or changed places is exchanged whole;
 * texts that are the same stay even then, of an element that stays in its place. `from` holds the old values. */
void conf_take(struct conf *to, struct conf *from);

/* Prints every key as YAML with its default and help: etc/dray.yaml is checked against it. */
int conf_document(struct buf *out);

/* NULL when there is none. */
const struct conf_source *conf_find_source(const struct conf *c, const char *id);
const struct conf_destination *conf_find_destination(const struct conf *c, const char *id);
/* How the queue of a destination is worked on: by many processors in no order; by one in the fleet, in strict order; in
 * partitions by key, each by one. */
enum conf_mode { CONF_MODE_SHARED, CONF_MODE_STRICT, CONF_MODE_KEY };
const char *conf_mode_name(enum conf_mode m); /* "shared" ... */
enum conf_mode conf_destination_mode(const struct conf *c, const struct conf_destination *d);
/* 1, unless its mode is KEY. */
unsigned conf_destination_partitions(const struct conf *c, const struct conf_destination *d);
/* With what section delivery says where the destination inherits. */
enum conf_compress conf_destination_compress(const struct conf *c, const struct conf_destination *d);
enum conf_http2 conf_destination_http2(const struct conf *c, const struct conf_destination *d);
/* NULL: none. user and password are "" or belong to it. */
const char *conf_destination_proxy(const struct conf *c, const struct conf_destination *d, const char **user,
                                   const char **password);
/* The rule of on_status for a status (its own number before its class), or -1. */
int conf_destination_status_rule(const struct conf_destination *d, int status);
/* "whsec_..." to its bytes (24 to 64), "whsk_..." to the 32 of the private key; *asymmetric tells which. The length, or
 * -1: what is wrong is in why. */
long conf_signing_secret(const char *text, unsigned char key[64], bool *asymmetric, const char **why);
const char *conf_destination_queue(const struct conf_destination *d); /* the queue's name in Redis */
/* Programs have places, and keep them while they are there: gives each program of fresh that old has too its old place,
 * and the others what is free. A place without a program has an empty id. */
void conf_programs_keep_places(struct conf *fresh, const struct conf *old);
/* Is any key of the program at this place another? Places beyond the end are empty. */
bool conf_program_differs(const struct conf *a, const struct conf *b, size_t place);
#define CONF_SCHEDULE_MAX 64
/* The durations of a retry_schedule in ms; NULL is an empty one. Returns how many; a word that is none ends it. */
size_t conf_schedule(char *const *words, uint64_t dst[CONF_SCHEDULE_MAX]);
#define CONF_PROGRAMS_MAX 64
/* A copy that no reload changes; it is never freed: who keeps a program keeps it to its own end. */
const struct conf_program *conf_program_copy(const struct conf_program *p);
/* Processes of the kind program, by slot: the managed Redis has slot 0 where there is one, the programs stand behind it. */
unsigned conf_program_slots(const struct conf *c); /* empty places included */
bool conf_program_slot_is_redis(const struct conf *c, unsigned slot);
const struct conf_program *conf_program_of_slot(const struct conf *c,
                                                unsigned slot); /* NULL: Redis, or none */
/* "redis", the program's id, or NULL: this slot is empty. */
const char *conf_program_slot_name(const struct conf *c, unsigned slot);
bool conf_program_slot_differs(const struct conf *a, const struct conf *b, unsigned slot);
unsigned conf_spool_processes(const struct conf *c); /* 0 or 1 */
/* Processes of delivery: "auto" is the number of CPUs that may be used (common/base/cpus.h), at most 64. */
unsigned conf_delivery_processes(const struct conf *c, unsigned cpus);
/* Files of the instance: run_dir/control.sock, run_dir/redis.sock, ... Returns dst. */
char *conf_run_path(const struct conf *c, const char *name, char *dst, size_t size);
char *conf_state_path(const struct conf *c, const char *name, char *dst, size_t size);
/* Of the managed Redis, in run_dir. Where it runs as another user than the master, the first is a link to the second,
 * which stands in a folder of its own. */
/* Where subscriptions come in: a listener that is there when there are any, with its socket in run_dir. */
#define CONF_LOCAL_LISTENER   "dray-local"
#define CONF_LOCAL_SOCKET     "intake.sock"
#define CONF_REDIS_SOCKET     "redis.sock"
#define CONF_REDIS_SOCKET_OWN "redis/sock"
/* The Redis URL in force: for mode managed, unix://RUN_DIR/redis.sock. Returns dst. */
char *conf_redis_url(const struct conf *c, char *dst, size_t size);

/* spool.after, but no more than half of ingest.ack_timeout. */
uint64_t conf_spool_after_ms(const struct conf *c);
/* Of master.restart. */
struct restart_policy conf_restart_policy(const struct conf *c);

#endif
