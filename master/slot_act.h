/* slot_act - the actions of slot.c's table. Each brings the slot into its next state; none looks at the state before. */
#ifndef DRAY_MASTER_SLOT_ACT_H
#define DRAY_MASTER_SLOT_ACT_H

#include "master/slot.h"

typedef void (*slot_action_fn)(struct slot *s);

void slot_act_spawn(struct slot *s);  /* to BOOT, or to WAIT when fork failed */
void slot_act_up(struct slot *s);     /* READY came */
void slot_act_beat(struct slot *s);   /* the hang timer begins anew */
void slot_act_extend(struct slot *s); /* the boot timer moves */
void slot_act_term(struct slot *s);   /* unwanted before READY */
void slot_act_drain(struct slot *s);
void slot_act_boot_late(struct slot *s);
void slot_act_hang(struct slot *s);
void slot_act_drain_late(struct slot *s);
void slot_act_kill_again(struct slot *s);
void slot_act_cut(struct slot *s);  /* control EOF, but no obituary yet */
void slot_act_wait(struct slot *s); /* it died: delay, then again */
void slot_act_gone(struct slot *s); /* it ended as asked: IDLE */
void slot_act_fail(struct slot *s);
void slot_act_idle(struct slot *s); /* nothing runs, nothing is wanted */

/* Starts the timer of the state at hand. */
void slot_act_arm(struct slot *s);
/* The same in WAIT, with what is left of the delay. */
void slot_act_arm_wait(struct slot *s, uint64_t ms);

#endif
