// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* On a tree like sysfs': a disk with a partition, a mapped device on two, md, loop, an odd name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/devices.h"

static char root[64] = "/tmp/dwell-devices.XXXXXX";

static void in_root(const char *path)
{
	assert_int_equal(chdir(root), 0);
	assert_true(*path != '/');
}

static void put(const char *path, const char *text)
{
	FILE *f;

	in_root(path);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void dir(const char *path)
{
	in_root(path);
	assert_int_equal(mkdir(path, 0700), 0);
}

/* A device's directory, with its number and size, and the two links to it. */
static void device(const char *path, const char *number, const char *size)
{
	char file[128], target[128];
	const char *name = strrchr(path, '/') + 1;

	dir(path);
	snprintf(file, sizeof(file), "%s/dev", path);
	put(file, number);
	snprintf(file, sizeof(file), "%s/size", path);
	put(file, size);
	snprintf(target, sizeof(target), "../../%s", path);
	snprintf(file, sizeof(file), "dev/block/%.*s", (int)strcspn(number, "\n"), number);
	assert_int_equal(symlink(target, file), 0);
	snprintf(file, sizeof(file), "class/block/%s", name);
	assert_int_equal(symlink(target, file), 0);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(root));
	dir("devices");
	dir("dev");
	dir("dev/block");
	dir("class");
	dir("class/block");
	device("devices/sda", "8:0\n", "2048\n");
	dir("devices/sda/slaves");
	dir("devices/sda/mq");
	device("devices/sda/sda1", "8:1\n", "1000\n");
	put("devices/sda/sda1/partition", "1\n");
	put("devices/sda/sda1/start", "34\n");
	device("devices/dm-0", "253:0\n", "4096\n");
	dir("devices/dm-0/dm");
	put("devices/dm-0/dm/name", "vg-root\n");
	dir("devices/dm-0/slaves");
	put("devices/dm-0/slaves/sdb2", "");
	put("devices/dm-0/slaves/sda1", "");
	device("devices/md127", "9:127\n", "4096\n");
	dir("devices/md127/md");
	device("devices/loop0", "7:0\n", "64\n");
	device("devices/bcache0", "252:0\n", "64\n");
	dir("devices/bcache0/slaves");
	put("devices/bcache0/slaves/sda", "");
	device("devices/cciss!c0d0", "104:0\n", "64\n");
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	assert_int_equal(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command); /* NOLINT: a name of our own */
}

static void test_disk(void **state)
{
	struct device d;

	(void)state;
	assert_int_equal(devices__read(root, DEVICE_NUMBER(8, 0), &d), 0);
	assert_string_equal(d.name, "sda");
	assert_int_equal(d.disk, d.dev);
	assert_int_equal(d.sectors, 2048);
	assert_int_equal(d.kind, DEVICE_BOTTOM);
	assert_null(devices__kind(d.kind));
	assert_string_equal(d.below, "");
}

static void test_partition(void **state)
{
	struct device d;

	(void)state;
	assert_int_equal(devices__find(root, "sda1", &d), 0);
	assert_int_equal(d.dev, DEVICE_NUMBER(8, 1));
	assert_int_equal(d.disk, DEVICE_NUMBER(8, 0));
	assert_int_equal(d.first, 34);
	assert_true(d.requests);
	assert_int_equal(d.sectors, 1000);
}

static void test_stacked(void **state)
{
	struct device d;

	(void)state;
	assert_int_equal(devices__find(root, "253:0", &d), 0);
	assert_int_equal(d.kind, DEVICE_DM);
	assert_false(d.requests);
	assert_string_equal(devices__kind(d.kind), "dm");
	assert_string_equal(d.alias, "vg-root");
	assert_string_equal(d.below, "sda1,sdb2");
	assert_int_equal(devices__find(root, "md127", &d), 0);
	assert_int_equal(d.kind, DEVICE_MD);
	assert_int_equal(devices__find(root, "loop0", &d), 0);
	assert_int_equal(d.kind, DEVICE_LOOP);
	assert_string_equal(d.below, "");
	assert_int_equal(devices__find(root, "bcache0", &d), 0);
	assert_int_equal(d.kind, DEVICE_STACKED);
	assert_string_equal(d.below, "sda");
}

/* Those that are there but have no size yet, or no more, do not count. */
static void test_without_requests(void **state)
{
	(void)state;
	assert_false(devices__any_without_requests(root));
	dir("block");
	assert_false(devices__any_without_requests(root));
	device("devices/zram0", "251:0\n", "0\n");
	assert_int_equal(symlink("../devices/zram0", "block/zram0"), 0);
	assert_int_equal(symlink("../devices/sda", "block/sda"), 0);
	assert_false(devices__any_without_requests(root));
	assert_int_equal(symlink("../devices/dm-0", "block/dm-0"), 0);
	assert_true(devices__any_without_requests(root));
}

/* A list that has no room for all ends in "…", and nothing is written behind it. */
static void test_many_below(void **state)
{
	struct device d;
	char path[64];

	(void)state;
	device("devices/md1", "9:1\n", "64\n");
	dir("devices/md1/md");
	dir("devices/md1/slaves");
	for (int i = 0; i < 60; i++) {
		snprintf(path, sizeof(path), "devices/md1/slaves/disk%03d", i);
		put(path, "");
	}
	assert_int_equal(devices__find(root, "md1", &d), 0);
	assert_memory_equal(d.below, "disk", 4);
	assert_string_equal(d.below + strlen(d.below) - strlen(",…"), ",…");
}

static void test_odd_names(void **state)
{
	struct device d;

	(void)state;
	assert_int_equal(devices__find(root, "cciss/c0d0", &d), 0);
	assert_string_equal(d.name, "cciss/c0d0");
	assert_int_equal(d.dev, DEVICE_NUMBER(104, 0));
}

static void test_unknown(void **state)
{
	struct device d;

	(void)state;
	assert_int_equal(devices__read(root, DEVICE_NUMBER(8, 2), &d), -ENOENT);
	assert_int_equal(devices__find(root, "sdx", &d), -ENOENT);
	assert_int_equal(devices__find(root, "", &d), -ENOENT);
	assert_int_equal(devices__find(root, "..", &d), -ENOENT);
	assert_int_equal(devices__find(root, "8:9", &d), -ENOENT);
	assert_int_equal(devices__find(root, "8:1x", &d), -ENOENT);
	assert_int_equal(devices__find(root, "99999:1", &d), -ENOENT);
	assert_int_equal(devices__find(root, "/dev/no/such", &d), -ENOENT);
	assert_int_equal(devices__find(root, "/dev/null", &d), -ENOTBLK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_partition),
		cmocka_unit_test(test_stacked),
		cmocka_unit_test(test_many_below),
		cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_without_requests),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
