// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Mounts as a recorded mountinfo has them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/devices.h"
#include "core/mounts.h"

static const char text[] =
	"22 27 0:21 / /proc rw,relatime - proc proc rw\n"
	"27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
	"31 27 8:17 / /var rw shared:2 master:3 propagate_from:4 - xfs /dev/sdb1 rw\n"
	"32 27 0:50 / /var/lib rw - nfs4 server:/export\\040one rw\n"
	"33 27 0:51 / /with\\040blank\\134 rw - tmpfs none rw\n"
	"34 31 8:33 /sub /var rw - ext4 /dev/sdc1 rw\n"
	"garbage\n"
	"35 27 x:y / /bad rw - ext4 /dev/x rw\n"
	"36 27 8:49 / /short rw - ext4\n";

static struct mounts *load(const char *content)
{
	char path[] = "/tmp/dwell-mounts.XXXXXX";
	int fd = mkstemp(path);
	struct mounts *m;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
	m = mounts__read(path);
	unlink(path);
	assert_non_null(m);
	return m;
}

static void is_at(const struct mounts *m, const char *path, const char *source)
{
	const struct mount_entry *entry = mounts__of_path(m, path);

	assert_non_null(entry);
	assert_string_equal(entry->source, source);
}

static void test_of_path(void **state)
{
	struct mounts *m = load(text);

	(void)state;
	is_at(m, "/", "/dev/vda");
	is_at(m, "/etc/passwd", "/dev/vda");
	is_at(m, "/variable", "/dev/vda");
	is_at(m, "/proc", "proc");
	/* the later one hides the earlier one */
	is_at(m, "/var", "/dev/sdc1");
	is_at(m, "/var/log/x", "/dev/sdc1");
	is_at(m, "/var/lib/x", "server:/export one");
	is_at(m, "/with blank\\/x", "none");
	is_at(m, "/bad/x", "/dev/vda");
	is_at(m, "/short/x", "/dev/vda");
	assert_null(mounts__of_path(m, "relative"));
	mounts__free(m);
}

static void test_of_dev(void **state)
{
	struct mounts *m = load(text);
	const struct mount_entry *entry = mounts__of_dev(m, DEVICE_NUMBER(8, 17));

	(void)state;
	assert_non_null(entry);
	assert_string_equal(entry->dir, "/var");
	assert_string_equal(entry->type, "xfs");
	assert_null(mounts__of_dev(m, DEVICE_NUMBER(8, 49)));
	mounts__free(m);
}

static void test_many(void **state)
{
	char content[20000] = "";
	size_t len = 0;
	struct mounts *m;

	(void)state;
	for (int i = 0; i < 200; i++)
		len += (size_t)snprintf(content + len, sizeof(content) - len,
					"%d 1 7:%d / /m/%d rw - ext4 /dev/loop%d rw\n", i, i, i, i);
	m = load(content);
	is_at(m, "/m/199/x", "/dev/loop199");
	is_at(m, "/m/0", "/dev/loop0");
	assert_null(mounts__of_path(m, "/m"));
	mounts__free(m);
}

static void test_none(void **state)
{
	struct mounts *m = load("");

	(void)state;
	assert_null(mounts__of_path(m, "/"));
	mounts__free(m);
	mounts__free(NULL);
	assert_null(mounts__read("/nonexistent/mountinfo"));
	assert_int_equal(errno, ENOENT);
	m = mounts__read(NULL);
	assert_non_null(m);
	assert_non_null(mounts__of_path(m, "/"));
	mounts__free(m);
}

static const char whole_text[] = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
				 "not of this form\n"
				 "30 22 8:2 /part /srv/part rw - ext4 /dev/sda2 rw\n"
				 "31 22 8:2 / /srv/my\\040data\\134x rw - ext4 /dev/sda2 rw\n"
				 "32 22 0:31 /sub /vol rw - btrfs /dev/sdb rw\n";

static char file[] = "/tmp/dwell-mountinfo.XXXXXX";

static int write_file(void **state)
{
	int fd = mkstemp(file);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, whole_text, strlen(whole_text)), strlen(whole_text));
	close(fd);
	return 0;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(file);
}

static void test_of_device(void **state)
{
	char path[64];

	(void)state;
	assert_int_equal(mounts__of_device(file, DEVICE_NUMBER(8, 1), path, sizeof(path)), 0);
	assert_string_equal(path, "");
	assert_int_equal(mounts__of_device(file, DEVICE_NUMBER(8, 2), path, sizeof(path)), 0);
	assert_string_equal(path, "/srv/my data\\x");
	/* a part of it only, or not at all */
	assert_int_equal(mounts__of_device(file, 31, path, sizeof(path)), -ENOENT);
	assert_int_equal(mounts__of_device(file, DEVICE_NUMBER(8, 3), path, sizeof(path)), -ENOENT);
	assert_int_equal(mounts__of_device(file, DEVICE_NUMBER(8, 2), path, 5), -ENAMETOOLONG);
	assert_int_equal(mounts__of_device("/no/such", 1, path, sizeof(path)), -ENOENT);
}

static void test_cgroup(void **state)
{
	char path[256];
	int err = mounts__cgroup(1, path, sizeof(path));

	(void)state;
	if (err) {
		printf("# the root cgroup cannot be opened: %s\n", strerror(-err));
		skip();
	}
	assert_string_equal(path, "/");
	assert_int_equal(mounts__cgroup(UINT64_C(1) << 62, path, sizeof(path)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_path),
		cmocka_unit_test(test_of_dev),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_none),
		cmocka_unit_test_setup_teardown(test_of_device, write_file, remove_file),
		cmocka_unit_test(test_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
