package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// app is what every command has: the streams, the global flags.
type app struct {
	in       io.Reader
	out, err io.Writer
	json     bool
	noColor  bool
	home     string
}

func newApp(in io.Reader, out, err io.Writer) *app {
	return &app{in: in, out: out, err: err, noColor: os.Getenv("NO_COLOR") != ""}
}

// live reports whether w is a terminal that may be repainted and coloured.
func (a *app) live(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && !a.json && !a.noColor && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// print writes v as JSON with --json, else what text writes.
func (a *app) print(v any, text func(w io.Writer)) error {
	if a.json {
		return a.encode(a.out, v)
	}
	text(a.out)
	return nil
}

func (a *app) encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// say tells a person what happens, on standard error so that standard output
// holds results only. With --json it says nothing.
func (a *app) say(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// table writes aligned columns; rows hold one string a column.
func table(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // a closed standard output is noticed by the next command in the pipe
}

// duration is short for people: 850ms, 12s, 3m20s.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// bytesText is a size for people, in powers of 1024.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
