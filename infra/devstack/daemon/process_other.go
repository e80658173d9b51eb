//go:build !linux

package daemon

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

func attributes(Parent) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// startTime returns what ps says of the process's start.
func startTime(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "state=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", err
	}
	state, started, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !ok || strings.HasPrefix(state, "Z") {
		return "", os.ErrProcessDone
	}
	return strings.TrimSpace(started), nil
}
