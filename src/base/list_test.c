/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/macros.h"

struct job {
    int number;
    struct sl__link link;
};

static struct job *job_of(struct sl__link *link) {
    return link != NULL ? SL_CONTAINER_OF(link, struct job, link) : NULL;
}

/* The numbers in the list, as digits of one number. */
static int order(const struct sl__list *list) {
    int digits = 0;
    for (struct sl__link *link = sl__list_first(list); link != NULL; link = sl__list_after(list, link)) {
        digits = digits * 10 + job_of(link)->number;
    }
    return digits;
}

static void links_come_in_the_order_they_were_put(void **state) {
    (void)state;
    struct job jobs[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    struct sl__list list;
    sl__list_init(&list);
    assert_null(sl__list_first(&list));
    assert_null(sl__list_pop_front(&list));
    sl__list_push_back(&list, &jobs[1].link);
    sl__list_push_back(&list, &jobs[3].link);
    sl__list_push_front(&list, &jobs[0].link);
    sl__list_insert_before(&list, &jobs[3].link, &jobs[2].link);
    assert_int_equal(order(&list), 1234);
    assert_int_equal(list.count, 4);
    assert_int_equal(job_of(sl__list_pop_front(&list))->number, 1);
    assert_int_equal(order(&list), 234);
}

static void a_removed_link_is_in_no_list_and_can_be_put_again(void **state) {
    (void)state;
    struct job jobs[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    struct sl__list list;
    sl__list_init(&list);
    for (size_t i = 0; i < SL_COUNT_OF(jobs); i++) {
        assert_false(sl__list_contains_link(&jobs[i].link));
        sl__list_push_back(&list, &jobs[i].link);
        assert_true(sl__list_contains_link(&jobs[i].link));
    }
    sl__list_remove(&list, &jobs[1].link);
    assert_false(sl__list_contains_link(&jobs[1].link));
    assert_int_equal(order(&list), 13);
    sl__list_push_front(&list, &jobs[1].link);
    assert_int_equal(order(&list), 213);
    sl__list_remove(&list, &jobs[2].link);
    sl__list_remove(&list, &jobs[1].link);
    sl__list_remove(&list, &jobs[0].link);
    assert_null(sl__list_first(&list));
    assert_int_equal(list.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_come_in_the_order_they_were_put),
        cmocka_unit_test(a_removed_link_is_in_no_list_and_can_be_put_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
