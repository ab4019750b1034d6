/* list - an intrusive doubly linked list. The head is a link too; an unlinked link points to itself or is zero. */
#ifndef DRAY_COMMON_BASE_LIST_H
#define DRAY_COMMON_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

/* Is this link in some list? */
static inline bool list_linked(const struct list *l)
{
    return l->next != NULL && l->next != l;
}

static inline void list_insert_between(struct list *l, struct list *prev, struct list *next)
{
    l->prev = prev;
    l->next = next;
    prev->next = l;
    next->prev = l;
}

static inline void list_push_back(struct list *head, struct list *l)
{
    list_insert_between(l, head->prev, head);
}

static inline void list_push_front(struct list *head, struct list *l)
{
    list_insert_between(l, head, head->next);
}

static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* The structure that holds link l as its member; list_first is NULL for an empty list. */
#define list_entry(l, type, member)    ((type *)(void *)((char *)(l)-offsetof(type, member)))
#define list_first(head, type, member) (list_empty(head) ? NULL : list_entry((head)->next, type, member))

/* The body may remove `it`, but no other element. */
#define list_foreach(it, head, type, member)                                                                 \
    for (struct list *it##_l = (head)->next, *it##_n = it##_l->next;                                         \
         it##_l != (head) && ((it) = list_entry(it##_l, type, member), true);                                \
         it##_l = it##_n, it##_n = it##_l->next)

#endif
