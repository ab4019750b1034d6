/* json_bench - MB/s of the scanner, of scan + check, and of scan + check + write, over bodies of a file (one a line).
 *
 * usage: json_bench FILE [SECONDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/event/event.h"

enum depth_of_work { SCAN, CHECK, WRITE, WORKS };

static size_t run_body(const char *text, size_t len, enum depth_of_work work, struct buf *out)
{
    struct json_scan s;
    struct json_slice key, value;
    struct event e;
    struct event_context c = {
        .received_ms = 1795229501123, .received_at = "2026-11-21T02:51:41.123Z", .request_ip = "203.0.113.9"};
    size_t events = 0;
    json_scan_init(&s, text, len);
    if (work == SCAN) {
        if (json_scan_value(&s, &value) < 0)
            abort();
        return 1;
    }
    if (json_scan_enter(&s, JSON_OBJECT) < 0)
        abort();
    while (json_scan_member(&s, &key) > 0) {
        if (!json_key_is(&key, "batch") || !json_scan_peek(&s, JSON_ARRAY)) {
            json_scan_value(&s, &value);
            continue;
        }
        json_scan_enter(&s, JSON_ARRAY);
        while (json_scan_element(&s) > 0) {
            if (event_scan(&s, &e) < 0 || event_check_scanned(&e, &c, NULL, 0) != EVENT_OK)
                abort();
            events++;
            buf_reset(out);
            if (work == WRITE && event_write_scanned(&e, &c, out) < 0)
                abort();
        }
    }
    if (s.why != NULL || json_scan_end(&s) < 0)
        abort();
    return events;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"scan", "scan+check", "scan+check+write"};
    char *text;
    size_t len;
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    if (argc < 2 || fd_read_file(argv[1], 1u << 28, &text, &len) < 0) {
        fprintf(stderr, "usage: json_bench FILE [SECONDS]\n");
        return 64;
    }
    struct buf out;
    buf_init(&out, 1u << 20);
    for (enum depth_of_work w = SCAN; w < WORKS; w++) {
        double best = 0, us_event = 0;
        uint64_t stop = clock_mono_us() + (uint64_t)(seconds * 1e6);
        do { /* the best of many short rounds: the machine is shared */
            uint64_t start = clock_mono_us();
            size_t bytes = 0, events = 0;
            while (clock_mono_us() - start < 20000)
                for (const char *p = text; p < text + len;) {
                    const char *nl = memchr(p, '\n', (size_t)(text + len - p));
                    size_t n = nl != NULL ? (size_t)(nl - p) : (size_t)(text + len - p);
                    events += run_body(p, n, w, &out);
                    bytes += n;
                    p += n + 1;
                }
            double us = (double)(clock_mono_us() - start);
            if ((double)bytes / us > best) {
                best = (double)bytes / us;
                us_event = us / (double)events;
            }
        } while (clock_mono_us() < stop);
        printf("%-18s %7.0f MB/s  %.3f us a %s\n", names[w], best, us_event, w == SCAN ? "body" : "event");
    }
    buf_fini(&out);
    free(text);
    return 0;
}
