/* list_test - the intrusive list: order, removal during a walk, membership. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/list.h"

struct node {
    int v;
    struct list link;
};

static int digits(struct list *head)
{
    int n = 0;
    struct node *it;
    list_foreach(it, head, struct node, link) n = n * 10 + it->v;
    return n;
}

static void test_list(void **state)
{
    (void)state;
    struct list head;
    struct node a = {.v = 1}, b = {.v = 2}, c = {.v = 3};
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_first(&head, struct node, link));
    assert_false(list_linked(&a.link)); /* zero */
    list_push_back(&head, &b.link);
    list_push_back(&head, &c.link);
    list_push_front(&head, &a.link);
    assert_true(list_linked(&a.link));
    assert_int_equal(digits(&head), 123);
    assert_ptr_equal(list_first(&head, struct node, link), &a);
    list_remove(&b.link);
    assert_false(list_linked(&b.link)); /* points to itself */
    assert_int_equal(digits(&head), 13);
    list_push_back(&head, &b.link);
    assert_int_equal(digits(&head), 132);
}

static void test_remove_in_walk(void **state)
{
    (void)state;
    struct list head;
    struct node nodes[5];
    list_init(&head);
    for (int i = 0; i < 5; i++) {
        nodes[i].v = i;
        list_push_back(&head, &nodes[i].link);
    }
    struct node *it;
    list_foreach(it, &head, struct node, link) if (it->v % 2 == 0) list_remove(&it->link);
    assert_int_equal(digits(&head), 13);
    list_foreach(it, &head, struct node, link) list_remove(&it->link);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list), cmocka_unit_test(test_remove_in_walk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
