/*
 * The list of mounts: lines as the kernel writes them, and such as it does not.
 */
#include "scanner/mounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

/** Reads a list from a file that holds `text`. */
static void read_text(struct fsmeta_mount_list *list, const char *text)
{
	char path[] = "/tmp/test_scanner_mounts.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(strlen(text), write(fd, text, strlen(text)));
	close(fd);
	assert_int_equal(0, fsmeta_mount_list_read(list, path));
	unlink(path);
}

static void lines_are_cut_up(void **state)
{
	struct fsmeta_mount_list list = {0};
	const struct fsmeta_mount *mount;

	(void)state;
	read_text(&list, "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
			 "36 35 98:7 /arch\\040ive /mnt/a\\134b\\011c rw,noatime master:1 "
			 "propagate_from:2 - ext4 /dev/sd\\043a rw,errors=continue\n"
			 "40 36 0:50 / /mnt/x rw - fuse.sshfs me@host:/ rw\n");
	assert_int_equal(3, list.count);
	mount = fsmeta_mount_list_find(&list, 36, 0);
	assert_non_null(mount);
	assert_int_equal(makedev(98, 7), mount->device);
	assert_string_equal("/arch ive", mount->root);
	assert_string_equal("/mnt/a\\b\tc", mount->target);
	assert_string_equal("ext4", mount->type);
	assert_string_equal("/dev/sd#a", mount->origin);
	mount = fsmeta_mount_list_find(&list, 0, makedev(0, 50));
	assert_non_null(mount);
	assert_string_equal("fuse.sshfs", mount->type);
	assert_string_equal("me@host:/", mount->origin);
	assert_null(fsmeta_mount_list_find(&list, 41, makedev(0, 50)));
	assert_null(fsmeta_mount_list_find(&list, 0, makedev(0, 51)));
	fsmeta_mount_list_release(&list);
}

/** What is mounted over something else, or somewhere again, came last. */
static void the_last_of_several_counts(void **state)
{
	struct fsmeta_mount_list list = {0};

	(void)state;
	read_text(&list, "10 1 8:1 / /old rw - ext4 /dev/sda1 rw\n"
			 "11 1 8:1 / /new rw - ext4 /dev/sda1 rw\n");
	assert_string_equal("/new", fsmeta_mount_list_find(&list, 0, makedev(8, 1))->target);
	assert_string_equal("/old", fsmeta_mount_list_find(&list, 10, makedev(8, 1))->target);
	fsmeta_mount_list_release(&list);
}

static void other_lines_are_left_out(void **state)
{
	struct fsmeta_mount_list list = {0};

	(void)state;
	read_text(&list, "\n"
			 "12\n"
			 "12 1 8:1 / /a rw master:1\n"
			 "12 1 8:1 / /a rw -\n"
			 "12 1 eight / /a rw - ext4 /dev/sda1 rw\n"
			 "13 1 8:1 / /b rw - ext4\n"
			 "14 1 8:1 /\\0 /c\\40 rw - ext4 none rw\n"
			 "15 1 8:1 / /cut rw - ext4 /dev/sda1 rw");
	assert_int_equal(2, list.count);
	assert_string_equal("", fsmeta_mount_list_find(&list, 13, 0)->origin);
	/* No number of three octal digits: as it stands. */
	assert_string_equal("/\\0", list.mounts[1].root);
	assert_string_equal("/c\\40", list.mounts[1].target);
	read_text(&list, "");
	assert_int_equal(0, list.count);
	fsmeta_mount_list_release(&list);
}

static void the_kernels_own_list_is_understood(void **state)
{
	struct fsmeta_mount_list list = {0};
	FILE *file = fopen("/proc/self/mountinfo", "re");
	size_t lines = 0;
	char *line = NULL;
	size_t room = 0;

	(void)state;
	if (!file)
		skip();
	while (getline(&line, &room, file) > 0)
		lines++;
	free(line);
	fclose(file);
	assert_int_equal(0, fsmeta_mount_list_read(&list, "/proc/self/mountinfo"));
	assert_int_equal(lines, list.count);
	for (size_t i = 0; i < list.count; i++) {
		assert_int_equal('/', list.mounts[i].target[0]);
		assert_ptr_equal(
		    &list.mounts[i], fsmeta_mount_list_find(&list, list.mounts[i].id, 0));
	}
	assert_int_equal(0, fsmeta_mount_list_read(&list, "/proc/self/no-such-file"));
	assert_int_equal(0, list.count);
	fsmeta_mount_list_release(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_are_cut_up),
	    cmocka_unit_test(the_last_of_several_counts),
	    cmocka_unit_test(other_lines_are_left_out),
	    cmocka_unit_test(the_kernels_own_list_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
