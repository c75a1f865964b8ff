package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of the times in /proc: Linux says 100 a second to every
// program.
const clockTick = 10 * time.Millisecond

// A family is a process with its children and theirs, at the time it was looked
// at.
type family []int

// familyOf returns the processes that pid is the ancestor of, and pid.
func familyOf(pid int) family {
	all := family{pid}
	for i := 0; i < len(all); i++ {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		if err != nil {
			continue // The pattern is sound.
		}
		for _, name := range tasks {
			text, err := os.ReadFile(name)
			if err != nil {
				continue // It has ended.
			}
			for f := range strings.FieldsSeq(string(text)) {
				if child, err := strconv.Atoi(f); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// ownCPU is the CPU time that this process has had; 0 if the system does not say.
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpu is the CPU time that the family has had, user and system.
func (f family) cpu() (time.Duration, error) {
	n, err := f.sum("stat", func(text []byte) (int64, error) {
		d, err := parseStat(text)
		return int64(d), err
	})
	return time.Duration(n), err
}

// pss is the family's memory in bytes, of what is shared with others the share.
func (f family) pss() (int64, error) {
	return f.sum("smaps_rollup", parsePSS)
}

// sum adds up what a file of each process says; one that has ended counts
// nothing.
func (f family) sum(file string, parse func([]byte) (int64, error)) (total int64, err error) {
	for _, pid := range f {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("look at a process: %w", err)
		}
		n, err := parse(text)
		if err != nil {
			return 0, fmt.Errorf("look at process %d: %w", pid, err)
		}
		total += n
	}
	return total, nil
}

// statFields returns the fields of /proc/PID/stat behind the name of the program,
// which stands in parentheses and may hold anything.
func statFields(text []byte) []string {
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// isZombie reports whether /proc/PID/stat is that of a process that has ended.
func isZombie(text []byte) bool {
	fields := statFields(text)
	return len(fields) > 0 && fields[0] == "Z"
}

// parseStat returns utime and stime of /proc/PID/stat together.
func parseStat(text []byte) (time.Duration, error) {
	fields := statFields(text)
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields behind the name", len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("utime: %w", err)
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stime: %w", err)
	}
	return time.Duration(user+system) * clockTick, nil
}

// parsePSS returns the Pss of /proc/PID/smaps_rollup in bytes.
func parsePSS(text []byte) (int64, error) {
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, "Pss:")
		if !ok {
			continue
		}
		value, ok = strings.CutSuffix(strings.TrimSpace(value), " kB")
		if !ok {
			return 0, fmt.Errorf("smaps_rollup: %q", line)
		}
		n, err := strconv.ParseInt(value, 10, 64)
		return n << 10, err
	}
	return 0, errors.New("smaps_rollup has no Pss")
}
