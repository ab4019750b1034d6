/* upgrade_preflight - `dray -x preflight`: a new program says whether it could take over, before anything is changed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash.h"
#include "common/base/exitcode.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "ipc/fdmap.h"
#include "master/upgrade_adopt.h"
#include "master/upgrade_state.h"

enum { PREFLIGHT_STATE = FDMAP_LISTEN, PREFLIGHT_CONF };

static int answer(json_t *o, enum exitcode code)
{
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (text == NULL || fd_write_full(FDMAP_CONTROL, text, strlen(text)) < 0 ||
        fd_write_full(FDMAP_CONTROL, "\n", 1) < 0)
        code = EXIT_CODE_OSERR;
    free(text);
    return (int)code;
}

static int refuse(const char *why, enum exitcode code)
{
    json_t *o = json_pack("{s:b,s:s}", "ok", 0, "error", why);
    return answer(o != NULL ? o : json_pack("{s:b,s:s}", "ok", 0, "error", "unspeakable"), code);
}

/* The file as it stands: the next start would read it, and so may the next reload. */
static enum exitcode check_file(const struct upgrade_state *st, char *why, size_t size)
{
    struct buf errors, warnings;
    struct conf *conf = NULL;
    buf_init(&errors, 1u << 20);
    buf_init(&warnings, 1u << 20);
    enum exitcode code =
        conf_load(st->config_path, st->overrides, st->n_overrides, &conf, &errors, &warnings);
    if (code != EXIT_CODE_OK)
        snprintf(why, size, "the configuration file is refused: %.400s", buf_cstr(&errors));
    conf_free(conf);
    buf_fini(&errors);
    buf_fini(&warnings);
    return code;
}

int upgrade_preflight_main(void)
{
    struct upgrade_state st;
    char why[UPGRADE_TEXT_MAX] = "";
    log_to_master();
    crash_install();
    hook_at("preflight");
    enum exitcode code = EXIT_CODE_OK;
    struct conf *conf = NULL;
    if (upgrade_adopt_load(PREFLIGHT_STATE, &st, why, sizeof why) < 0 ||
        (conf = upgrade_adopt_conf(&st, PREFLIGHT_CONF, why, sizeof why)) == NULL)
        code = EXIT_CODE_PROTOCOL;
    else
        code = check_file(&st, why, sizeof why);
    conf_free(conf);
    upgrade_state_fini(&st);
    if (code != EXIT_CODE_OK)
        return refuse(why, code);
    return answer(json_pack("{s:b,s:s,s:i}", "ok", 1, "version", version_text(), "form", UPGRADE_FORM),
                  EXIT_CODE_OK);
}
