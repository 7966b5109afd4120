/* In a test build, state machines record their transitions, and tests/house/transitions.py compares
 * them with the diagrams of doc/design.md. In other builds the macro does nothing. */
#ifndef BCDA_BASE_TRANSITION_H
#define BCDA_BASE_TRANSITION_H

#ifdef BCDA_NOTE_TRANSITIONS
/* Defined by some test programs; NULL in the others. */
void bcda__note_transition(const char *machine, const char *from, const char *to)
    __attribute__((weak));
#define BCDA__TRANSITION(machine, from, to) \
    (bcda__note_transition ? bcda__note_transition(machine, from, to) : (void)0)
#else
#define BCDA__TRANSITION(machine, from, to) ((void)(from), (void)(to))
#endif

#endif
