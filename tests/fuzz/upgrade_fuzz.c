/* upgrade_fuzz: what another release of the master left behind, or anything else. What is read keeps its promises. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "master/upgrade_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct upgrade_state st;
    char why[UPGRADE_TEXT_MAX] = "";
    if (upgrade_state_read((const char *)data, size, &st, why, sizeof why) == 0) {
        for (size_t i = 0; i < st.n_slots; i++) {
            const struct upgrade_slot *us = &st.slots[i];
            if (us->s.kind == NULL || us->s.state >= SLOT_STATES || us->replaces > st.n_slots ||
                us->half_len > sizeof us->half || us->rest.n_attached > CHAN_REST_FDS || us->s.pid == 1)
                abort();
        }
        if (st.conf_fd < 3 || st.control_fd < 3 || st.upgrade.path == NULL)
            abort();
    } else if (why[0] == '\0') {
        abort();
    }
    upgrade_state_fini(&st);
    return 0;
}
