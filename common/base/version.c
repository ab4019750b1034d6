/* version - see version.h. */
#include "common/base/version.h"

const char *version_text(void)
{
    return DRAY_VERSION;
}
