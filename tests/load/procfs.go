package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processTree returns pid and the processes below it, as they stand now.
func processTree(pid int) ([]int, error) {
	parents, err := parents()
	if err != nil {
		return nil, err
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		for child, parent := range parents {
			if parent == tree[i] {
				tree = append(tree, child)
			}
		}
	}
	return tree, nil
}

// parents maps every process to its parent; proc(5), /proc/PID/stat.
func parents() (map[int]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("procfs: %w", err)
	}
	m := make(map[int]int)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		if parent, ok := parentInStat(stat); ok {
			m[pid] = parent
		}
	}
	return m, nil
}

// parentInStat reads the fourth field. The second, the command's name, stands
// in parentheses and may hold anything.
func parentInStat(stat []byte) (int, bool) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// cpuTime sums the CPU time the processes have used, user and system, with all
// their threads, also those that ended. It is the sum of utime and stime of
// /proc/PID/stat, from the processes' clocks, which count nanoseconds and not
// hundredths of a second; clock_getcpuclockid(3).
func cpuTime(pids []int) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED
	var sum time.Duration
	for _, pid := range pids {
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|scheduler), &ts); err != nil {
			return 0, fmt.Errorf("procfs: CPU clock of process %d: %w", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// machineTime is the CPU time that all CPUs together were busy or taken away
// by a hypervisor, in hundredths of a second; proc(5), /proc/stat.
func machineTime() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("procfs: %w", err)
	}
	return busyInStat(b)
}

// busyInStat sums user, nice, system, irq, softirq and steal of the first line.
func busyInStat(b []byte) (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux architecture of today
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, errors.New("procfs: no line of CPU times in /proc/stat")
	}
	var sum time.Duration
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("procfs: /proc/stat: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// memory sums the PSS of the processes, in KiB: what each has for itself and
// its share of what several have mapped.
func memory(pids []int) (float64, error) {
	sum := 0.0
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, fmt.Errorf("procfs: %w", err)
		}
		kib, err := pssInRollup(b)
		if err != nil {
			return 0, err
		}
		sum += kib
	}
	return sum, nil
}

func pssInRollup(b []byte) (float64, error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				return 0, fmt.Errorf("procfs: Pss: %w", err)
			}
			return kib, nil
		}
	}
	return 0, errors.New("procfs: no Pss in smaps_rollup")
}

// descriptors counts the open descriptors of the process that has most.
func descriptors(pids []int) int {
	most := 0
	for _, pid := range pids {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err == nil {
			most = max(most, len(entries))
		}
	}
	return most
}

// limitDescriptors gives this process and those it starts at most n
// descriptors, soft and hard alike, so that every proxy has the same, and
// returns how many it became.
func limitDescriptors(n uint64) (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("descriptor limit: %w", err)
	}
	lim.Max = min(lim.Max, n)
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("descriptor limit: %w", err)
	}
	return int(lim.Max), nil
}
