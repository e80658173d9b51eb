package daemon

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Holder names the process that listens on a TCP port, e.g. "minio (pid 4711)",
// or returns "" where it cannot be told.
func Holder(port int) string {
	if runtime.GOOS == "linux" {
		return holderProc(port)
	}
	out, err := exec.Command("lsof", "-nP", "-iTCP:"+strconv.Itoa(port), "-sTCP:LISTEN", "-Fpc").Output()
	if err != nil {
		return ""
	}
	var pid, name string
	for line := range strings.Lines(string(out)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "p") && pid == "":
			pid = line[1:]
		case strings.HasPrefix(line, "c") && name == "":
			name = line[1:]
		}
	}
	if pid == "" {
		return ""
	}
	return fmt.Sprintf("%s (pid %s)", name, pid)
}

// holderProc finds the sockets that listen on the port, then the process that
// has one of them open. Other users' processes cannot be looked into.
func holderProc(port int) string {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil || len(sockets) == 0 {
		return ""
	}
	for _, d := range descriptors {
		target, err := os.Readlink(d)
		if err != nil || !sockets[target] {
			continue
		}
		pid := strings.Split(d, "/")[2]
		name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// FreePorts draws n different ports on which nobody listens just now. They are below those that systems give to whoever asks for any port (32768
// and up on Linux), so that a server which is down for a while finds its port again.
func FreePorts(ip string, n int) ([]int, error) {
	const first, count, tries = 20000, 12000, 100
	ports := make([]int, 0, n)
	var refused error
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := first + rand.IntN(count)
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		if err != nil {
			refused = err
			continue
		}
		defer l.Close() // all are held until the last is found
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("find %d free ports on %s: %w", n, ip, refused)
}
