/* cpus_test - CPUs by affinity and quota, and where a process stands among the control groups: texts as kernels write them,
 * and a tree laid out on disk. */
#include "common/base/cpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/cgroup.h"
#include "common/base/fd.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static void quotas_of_version_2(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint64_t quota, period;
    } cases[] = {
        {"max 100000\n", 0, 0, 0},
        {"max", 0, 0, 0},
        {"150000 100000\n", 0, 150000, 100000},
        {"1000 1000000", 0, 1000, 1000000},
        {"", -1, 0, 0},
        {"0 100000\n", -1, 0, 0},
        {"100000 0\n", -1, 0, 0},
        {"100000\n", -1, 0, 0},
        {"100000 100000 x\n", -1, 0, 0},
        {"99999999999999999999999 1\n", -1, 0, 0},
        {"-5 100000\n", -1, 0, 0},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct cpus_quota q = {1, 1};
        assert_int_equal(cpus_parse_max(cases[i].text, &q), cases[i].result);
        assert_int_equal(q.quota_us, cases[i].quota);
        assert_int_equal(q.period_us, cases[i].period);
    }
}

static void quotas_of_version_1(void **state)
{
    (void)state;
    static const struct {
        const char *quota, *period;
        int result;
        uint64_t quota_us;
    } cases[] = {
        {"-1\n", "100000\n", 0, 0},      {"200000\n", "100000\n", 0, 200000},
        {"200000", "100000", 0, 200000}, {"200000\n", "0\n", -1, 0},
        {"0\n", "100000\n", -1, 0},      {"x\n", "100000\n", -1, 0},
        {"200000\n", "100000x", -1, 0},  {"", "", -1, 0},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct cpus_quota q = {1, 1};
        assert_int_equal(cpus_parse_cfs(cases[i].quota, cases[i].period, &q), cases[i].result);
        assert_int_equal(q.quota_us, cases[i].quota_us);
    }
}

static void the_least_counts(void **state)
{
    (void)state;
    static const struct {
        unsigned online, affinity;
        struct cpus_quota q;
        unsigned usable;
        const char *why;
    } cases[] = {
        {64, 64, {0, 0}, 64, "all of 64 CPUs"},
        {64, 4, {0, 0}, 4, "4 of 64 CPUs: the others are outside of its affinity"},
        {64, 64, {150000, 100000}, 2, "2 of 64 CPUs: cgroup cpu.max 150000/100000"},
        {64, 64, {200000, 100000}, 2, "2 of 64 CPUs: cgroup cpu.max 200000/100000"},
        {64, 64, {1000, 100000}, 1, "1 of 64 CPUs: cgroup cpu.max 1000/100000"},
        {64, 2, {400000, 100000}, 2, "2 of 64 CPUs: the others are outside of its affinity"},
        {2, 2, {6400000, 100000}, 2, "all of 2 CPUs"},
        {2, 2, {UINT64_MAX, 1}, 2, "all of 2 CPUs"},
        {0, 0, {0, 0}, 1, "all of 1 CPUs"},
        {8, 0, {0, 0}, 8, "all of 8 CPUs"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct cpus out;
        cpus_judge(cases[i].online, cases[i].affinity, &cases[i].q, "cpu.max", &out);
        assert_int_equal(out.usable, cases[i].usable);
        assert_string_equal(out.why, cases[i].why);
    }
}

static void the_group_of_a_controller(void **state)
{
    (void)state;
    static const struct {
        const char *text, *controller, *path;
        bool v2;
    } cases[] = {
        {"0::/user.slice/a\n", "cpu", "/user.slice/a", true},
        {"0::/\n", "memory", "/", true},
        {"4:memory:/m\n3:cpu,cpuacct:/c\n0::/u\n", "cpu", "/c", false},
        {"4:memory:/m\n3:cpu,cpuacct:/c\n0::/u\n", "cpuacct", "/c", false},
        {"0::/u\n4:memory:/m\n", "memory", "/m", false},
        {"4:cpuset:/m\n0::/u\n", "cpu", "/u", true}, /* a name that only begins so is another */
        {"1:name=systemd:/s\n", "cpu", NULL, false},
        {"4:cpu:relative\n", "cpu", NULL, false},
        {"nonsense", "cpu", NULL, false},
        {"", "cpu", NULL, false},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char path[64] = "";
        bool v2 = false;
        int result = cgroup_parse_group(cases[i].text, cases[i].controller, path, sizeof path, &v2);
        assert_int_equal(result, cases[i].path != NULL ? 0 : -1);
        if (result == 0)
            assert_string_equal(path, cases[i].path);
        if (result == 0)
            assert_int_equal(v2, cases[i].v2);
    }
}

#define V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1 "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"

static void the_place_of_a_group(void **state)
{
    (void)state;
    static const struct {
        const char *mounts, *controller, *path;
        bool v2;
        const char *dir; /* NULL: there is none */
        size_t top;
    } cases[] = {
        {V2, "cpu", "/a/b", true, "/sys/fs/cgroup/a/b", 14},
        {V2, "cpu", "/", true, "/sys/fs/cgroup", 14},
        {V1 V2, "cpu", "/a", false, "/sys/fs/cgroup/cpu,cpuacct/a", 26},
        {V1, "memory", "/a", false, NULL, 0},
        {V1, "cpu", "/a", true, NULL, 0},
        /* In a container without a namespace of its own the mount shows its part of the tree. */
        {"1 2 0:3 /docker/7 /sys/fs/cgroup/cpu ro - cgroup c rw,cpu\n", "cpu", "/docker/7/x", false,
         "/sys/fs/cgroup/cpu/x", 18},
        {"1 2 0:3 /docker/7 /sys/fs/cgroup/cpu ro - cgroup c rw,cpu\n", "cpu", "/docker/77", false,
         "/sys/fs/cgroup/cpu", 18},
        {"1 2 0:3 / /sys/fs/cgroup ro - cgroup2 c rw\n", "cpu", "/../outside", true, "/sys/fs/cgroup", 14},
        {"1 2 0:3 / /mnt/my\\040groups\\134 ro a b c - cgroup2 c rw\n", "cpu", "/g", true,
         "/mnt/my groups\\/g", 15},
        {"1 2 0:3 / /sys - cgroup2\n", "cpu", "/g", true, NULL, 0},
        {"1 2 - cgroup2 c rw\n", "cpu", "/g", true, NULL, 0},
        {"", "cpu", "/g", true, NULL, 0},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct cgroup g;
        int result = cgroup_parse_place(cases[i].mounts, cases[i].controller, cases[i].path, cases[i].v2, &g);
        assert_int_equal(result, cases[i].dir != NULL ? 0 : -1);
        if (result < 0)
            continue;
        assert_string_equal(g.dir, cases[i].dir);
        assert_int_equal(g.top, cases[i].top);
    }
}

static void upwards_to_the_top(void **state)
{
    (void)state;
    struct cgroup g;
    assert_int_equal(cgroup_parse_place(V2, "cpu", "/a/b", true, &g), 0);
    assert_true(cgroup_up(&g));
    assert_string_equal(g.dir, "/sys/fs/cgroup/a");
    assert_true(cgroup_up(&g));
    assert_string_equal(g.dir, "/sys/fs/cgroup");
    assert_false(cgroup_up(&g));
}

static void a_number_behind_its_word(void **state)
{
    (void)state;
    static const char text[] = "low 0\noom 7\noom_kill 3\noom_group_kill x\n";
    uint64_t n = 99;
    assert_true(cgroup_number(text, "oom_kill", &n));
    assert_int_equal(n, 3);
    assert_true(cgroup_number(text, "oom", &n));
    assert_int_equal(n, 7);
    assert_false(cgroup_number(text, "oom_group_kill", &n));
    assert_false(cgroup_number(text, "max", &n));
    assert_false(cgroup_number("", "max", &n));
}

/* ---- a tree on disk */

static char root[64];

static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    *strrchr(full, '/') = '\0';
    assert_int_equal(fd_make_dirs(full, 0755), 0);
    snprintf(full, sizeof full, "%s%s", root, path);
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/dray-cpus-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void the_smallest_quota_on_the_way_up(void **state)
{
    (void)state;
    struct cpus out;
    put("/proc/self/cgroup", "0::/pod/box\n");
    put("/proc/self/mountinfo", V2);
    cpus_look(root, &out); /* no file says anything */
    unsigned all = out.usable, online = out.online;
    put("/sys/fs/cgroup/pod/box/cpu.max", "6400000 100000\n");
    put("/sys/fs/cgroup/pod/cpu.max", "50000 100000\n");
    cpus_look(root, &out);
    assert_int_equal(out.usable, 1);
    if (all > 1) {
        char why[160];
        snprintf(why, sizeof why, "1 of %u CPUs: cgroup cpu.max 50000/100000", online);
        assert_string_equal(out.why, why);
    }
    put("/sys/fs/cgroup/pod/cpu.max", "max 100000\n");
    cpus_look(root, &out);
    assert_int_equal(out.usable, all < 64 ? all : 64);
    put("/sys/fs/cgroup/pod/cpu.max", "broken\n");
    cpus_look(root, &out);
    assert_int_equal(out.usable, all < 64 ? all : 64);
}

static void version_1_on_disk(void **state)
{
    (void)state;
    struct cpus out;
    put("/proc/self/cgroup", "3:cpu,cpuacct:/a\n0::/u\n");
    put("/proc/self/mountinfo", V1 V2);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/u/cpu.max", "1 100000\n"); /* not in charge */
    cpus_look(root, &out);
    assert_int_equal(out.usable, 1);
}

static void a_process_is_found_and_its_file_read(void **state)
{
    (void)state;
    struct cgroup g;
    char text[64], whole[256], dir[256];
    put("/proc/123/cgroup", "0::/a\n");
    put("/proc/self/mountinfo", V2);
    put("/sys/fs/cgroup/a/memory.events", "low 0\noom_kill 12\n");
    assert_int_equal(cgroup_find(root, 123, "memory", &g), 0);
    snprintf(dir, sizeof dir, "%s/sys/fs/cgroup/a", root);
    assert_string_equal(g.dir, dir);
    assert_int_equal(cgroup_read(&g, "memory.events", whole, sizeof whole), 0);
    assert_string_equal(whole, "low 0\noom_kill 12\n");
    assert_int_equal(cgroup_read(&g, "memory.events", text, 5), 0);
    assert_string_equal(text, "low ");
    assert_int_equal(cgroup_read(&g, "memory.max", text, sizeof text), -1);
    assert_int_equal(cgroup_find(root, 124, "memory", &g), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas_of_version_2),
        cmocka_unit_test(quotas_of_version_1),
        cmocka_unit_test(the_least_counts),
        cmocka_unit_test(the_group_of_a_controller),
        cmocka_unit_test(the_place_of_a_group),
        cmocka_unit_test(upwards_to_the_top),
        cmocka_unit_test(a_number_behind_its_word),
        cmocka_unit_test_setup_teardown(the_smallest_quota_on_the_way_up, make_root, remove_root),
        cmocka_unit_test_setup_teardown(version_1_on_disk, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_process_is_found_and_its_file_read, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
