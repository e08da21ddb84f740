/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * calibrate FILE PROGRAM [ARGS...]: what BPF costs on this machine, at this moment. While PROGRAM
 * runs, two little BPF programs of known work hang on sched_switch, and the kernel measures every
 * BPF program, PROGRAM's too: on the same switches, in the same caches, at the same clock rate. In
 * FILE comes {"runs":…,"empty_ns":…,"work_ns":…,"max_rss_bytes":…}: runs and mean times of the two,
 * and PROGRAM's peak of memory. The exit status is PROGRAM's.
 *
 * The programs are spelled out here, so that what they do never changes with a compiler.
 */
#include "workload.h"

#include <linux/bpf.h>
#include <sys/wait.h>

#define OP(c, d, s, o, i)                                                                          \
	{                                                                                          \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)                \
	}
#define MOV(d, s)       OP(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i)       OP(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, i)       OP(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(d, s, o)   OP(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE(d, s, o)  OP(BPF_STX | BPF_MEM | BPF_DW, d, s, o, 0)
#define ZERO(d, o)      OP(BPF_ST | BPF_MEM | BPF_DW, d, 0, o, 0)
#define CALL(f)         OP(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##f)
#define SKIP_IF_0(d, n) OP(BPF_JMP | BPF_JEQ | BPF_K, d, 0, n, 0)
#define MAP(d, fd)      OP(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), ZEROES
#define ZEROES          OP(0, 0, 0, 0, 0)
#define EXIT            OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* The 8 bytes at the start of the task in @task go to the stack. */
#define READ_TASK(task) MOV(1, 10), ADD(1, -8), SET(2, 8), MOV(3, task), CALL(probe_read_kernel)
/* Adds what is in r7 to the map's only value, whose key is the 0 at r10 - 16. */
#define ADD_TO_MAP(fd)                                                                             \
	MAP(1, fd), MOV(2, 10), ADD(2, -16), CALL(map_lookup_elem), SKIP_IF_0(0, 3),               \
		LOAD(1, 0, 0), OP(BPF_ALU64 | BPF_ADD | BPF_X, 1, 7, 0, 0), STORE(0, 1, 0)

static int sys_bpf(int cmd, union bpf_attr *attr, const char *what)
{
	return (int)workload__sys(syscall(SYS_bpf, cmd, attr, sizeof(*attr)), what);
}

static int map__new(void)
{
	union bpf_attr attr = {0};

	attr.map_type = BPF_MAP_TYPE_HASH;
	attr.key_size = sizeof(uint64_t);
	attr.value_size = sizeof(uint64_t);
	attr.max_entries = 1;
	return sys_bpf(BPF_MAP_CREATE, &attr, "BPF_MAP_CREATE");
}

static void map__fill(int fd)
{
	uint64_t zero = 0;
	union bpf_attr attr = {0};

	attr.map_fd = (uint32_t)fd;
	attr.key = attr.value = (uintptr_t)&zero;
	sys_bpf(BPF_MAP_UPDATE_ELEM, &attr, "BPF_MAP_UPDATE_ELEM");
}

static int prog__load(const struct bpf_insn *code, size_t n, const char *name)
{
	static char log[65536];
	union bpf_attr attr = {0};
	int fd;

	attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uintptr_t) "Dual BSD/GPL";
	attr.log_buf = (uintptr_t)log;
	attr.log_size = sizeof(log);
	attr.log_level = 1;
	snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", name);
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		workload__die("%s: %s\n%s", name, strerror(errno), log);
	return fd;
}

static void prog__attach(int fd)
{
	union bpf_attr attr = {0};

	attr.raw_tracepoint.name = (uintptr_t) "sched_switch";
	attr.raw_tracepoint.prog_fd = (uint32_t)fd;
	sys_bpf(BPF_RAW_TRACEPOINT_OPEN, &attr, "BPF_RAW_TRACEPOINT_OPEN");
}

static struct bpf_prog_info prog__info(int fd)
{
	struct bpf_prog_info info = {0};
	union bpf_attr attr = {0};

	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, "BPF_OBJ_GET_INFO_BY_FD");
	return info;
}

static int empty__load(void)
{
	const struct bpf_insn code[] = {SET(0, 0), EXIT};

	return prog__load(code, sizeof(code) / sizeof(*code), "empty");
}

/* What a state clock can't do without: the time, two tasks looked at and two things kept. */
static int work__load(void)
{
	int fd = map__new();
	const struct bpf_insn code[] = {
		MOV(6, 1),     ZERO(10, -8),   ZERO(10, -16),  CALL(ktime_get_ns), MOV(7, 0),
		LOAD(8, 6, 8), LOAD(9, 6, 16), READ_TASK(8),   READ_TASK(9),       ADD_TO_MAP(fd),
		READ_TASK(8),  READ_TASK(9),   ADD_TO_MAP(fd), SET(0, 0),          EXIT,
	};

	map__fill(fd);
	return prog__load(code, sizeof(code) / sizeof(*code), "work");
}

static int run(char **argv, struct rusage *usage)
{
	pid_t pid = (pid_t)workload__sys(fork(), "fork");
	int status;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[0], argv);
		workload__die("%s: %s", argv[0], strerror(errno));
	}
	workload__sys(wait4(pid, &status, 0, usage), "wait4");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static double mean(const struct bpf_prog_info *info)
{
	return info->run_cnt ? (double)info->run_time_ns / (double)info->run_cnt : 0;
}

int main(int argc, char **argv)
{
	union bpf_attr attr = {0};
	struct bpf_prog_info empty, work;
	int empty_fd, work_fd, status;
	struct rusage usage;
	FILE *out;

	if (argc < 3)
		workload__die("usage: calibrate FILE PROGRAM [ARGS...]");
	attr.enable_stats.type = BPF_STATS_RUN_TIME;
	empty_fd = empty__load();
	work_fd = work__load();
	prog__attach(empty_fd);
	prog__attach(work_fd);
	sys_bpf(BPF_ENABLE_STATS, &attr, "BPF_ENABLE_STATS");
	status = run(argv + 2, &usage);
	empty = prog__info(empty_fd);
	work = prog__info(work_fd);
	out = fopen(argv[1], "we");
	if (!out)
		workload__die("%s: %s", argv[1], strerror(errno));
	fprintf(out, "{\"runs\":%ju,\"empty_ns\":%.1f,\"work_ns\":%.1f,\"max_rss_bytes\":%ju}\n",
		(uintmax_t)work.run_cnt, mean(&empty), mean(&work),
		(uintmax_t)usage.ru_maxrss * 1024);
	return fclose(out) ? 1 : status;
}
