package daemon

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
)

func attributes(p Parent) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if p == DiesWith {
		a.Pdeathsig = syscall.SIGKILL
	}
	return a
}

// startTime returns the boot's id and the ticks since boot at which the process
// started. A zombie has ended, once its last thread has: until then it holds its
// ports.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field is the name in parentheses and may hold anything; after it
	// come the state (field 3) and, 19 fields on, the start time (field 22).
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat: unknown form", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil || len(threads) <= 1 {
			return "", os.ErrProcessDone
		}
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(boot)) + " " + fields[19], nil
}
