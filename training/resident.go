package training

import (
	"bytes"
	"os"
	"strconv"
)

// residentBytes reads the process's resident set from Linux's proc file system; ok
// is false where there is none.
func residentBytes() (n int64, ok bool) {
	text, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}
