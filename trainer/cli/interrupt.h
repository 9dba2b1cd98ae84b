/* interrupt - Ctrl-C and SIGTERM as a wish to end cleanly. */
#ifndef DUGNAD_TRAINER_CLI_INTERRUPT_H
#define DUGNAD_TRAINER_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on the first signal is only noted; a second one ends the program at once. */
void interrupt_catch(void);

bool interrupt_came(void);

#endif
