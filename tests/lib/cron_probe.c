/* cron_probe - reads lines "ZONE<tab>AFTER_MS<tab>END_MS<tab>EXPRESSION" (END_MS 0: none) and prints for each the next
 * time in ms, "none", or "error: why". */
#include "common/base/cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char line[4096], why[256];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *rest = line;
        line[strcspn(line, "\n")] = '\0';
        const char *zone = strsep(&rest, "\t"), *after = strsep(&rest, "\t"), *end = strsep(&rest, "\t");
        struct cron c;
        long long until = end != NULL ? atoll(end) : 0;
        int64_t next;
        if (rest == NULL)
            return 1;
        if (cron_parse(&c, rest, why, sizeof why) < 0) {
            printf("error: %s\n", why);
            continue;
        }
        struct tz *z = tz_open(zone, why, sizeof why);
        if (z == NULL)
            printf("error: %s\n", why);
        else if (cron_next(&c, z, atoll(after), until > 0 ? until : CRON_NEVER, &next) == 0)
            printf("%lld\n", (long long)next);
        else
            puts("none");
        tz_free(z);
    }
    return 0;
}
