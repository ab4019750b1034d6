/* upgrade_back - the way back: while it is armed, whatever ends this process executes the predecessor's program. */
#ifndef DRAY_MASTER_UPGRADE_BACK_H
#define DRAY_MASTER_UPGRADE_BACK_H

/* From here on: exit(), a fatal signal, and the passing of UPGRADE_ADOPT_S seconds lead back. exe_fd: of that program. */
void upgrade_back_arm(int state_fd, int exe_fd, char **argv);
/* The commit. */
void upgrade_back_disarm(void);
/* Goes back now; where there is no way (it is not armed), the process ends with a line on stderr. */
_Noreturn void upgrade_back_go(const char *reason);

#endif
