/* A macro that records the transitions of state machines in a test build.
 * tests/house/transitions.py compares them with the diagrams of doc/design.md. In other builds the
 * macro does nothing. */
#ifndef BCDA_BASE_TRANSITION_H
#define BCDA_BASE_TRANSITION_H

#ifdef BCDA_NOTE_TRANSITIONS
/* Some test programs define this function; in the others its address is NULL. */
void bcda__note_transition(const char *machine, const char *from, const char *to)
    __attribute__((weak));
#define BCDA__TRANSITION(machine, from, to) \
    (bcda__note_transition ? bcda__note_transition(machine, from, to) : (void)0)
#else
#define BCDA__TRANSITION(machine, from, to) ((void)(from), (void)(to))
#endif

#endif
