/* State machines note their transitions in a test build, where tests/house/transitions.py compares
 * them with the diagrams of doc/design.md. In any other build nothing is left of this. */
#ifndef BCDA_BASE_TRANSITION_H
#define BCDA_BASE_TRANSITION_H

#ifdef BCDA_NOTE_TRANSITIONS
/* The test program's, if it has one. */
void bcda__note_transition(const char *machine, const char *from, const char *to)
    __attribute__((weak));
#define BCDA__TRANSITION(machine, from, to) \
    (bcda__note_transition ? bcda__note_transition(machine, from, to) : (void)0)
#else
#define BCDA__TRANSITION(machine, from, to) ((void)(from), (void)(to))
#endif

#endif
