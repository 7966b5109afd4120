#include "client/confirm.h"

#include <string.h>

#include "base/mem.h"
#include "bcda/error.h"

static void drop_first_marks(struct bcda__marks *m, size_t n)
{
    if (!n)
        return;
    m->before = m->at[n - 1].line;
    m->count -= n;
    memmove(m->at, m->at + n, m->count * sizeof *m->at);
}

int bcda__marks_add(struct bcda__marks *m, const struct bcda__mark *end)
{
    if (end->line <= m->delivered)
        return 0;
    if (m->count == BCDA__MARKS_MAX)
        drop_first_marks(m, BCDA__MARKS_MAX / 2);
    if (m->count == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 4;
        struct bcda__mark *grown = bcda__realloc(m->at, cap * sizeof *grown);

        if (!grown)
            return BCDA_ERR_NOMEM;
        m->at = grown;
        m->cap = cap;
    }
    m->at[m->count++] = *end;
    m->delivered = end->line;
    return 0;
}

int bcda__marks_confirm(struct bcda__marks *m, int64_t line, struct bcda__mark *confirmed)
{
    size_t i = 0;

    if (line < 1 || line < confirmed->line || line > m->delivered)
        return BCDA_ERR_INVALID;
    if (line == confirmed->line)
        return 0;
    while (i < m->count && m->at[i].line < line)
        i++;
    if (line <= m->before || i == m->count)
        return BCDA_ERR_AGAIN;
    *confirmed = m->at[i];
    confirmed->line = line;
    drop_first_marks(m, i);
    return 0;
}

void bcda__marks_free(struct bcda__marks *m)
{
    bcda__free(m->at);
    m->at = NULL;
    m->count = m->cap = 0;
}
