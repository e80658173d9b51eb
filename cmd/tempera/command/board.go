package command

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// board shows how a run stands: on a terminal a table of stages that is
// repainted, elsewhere one line a change.
type board struct {
	w       io.Writer
	id      string // of the run
	live    bool
	began   time.Time
	painted int               // lines on the terminal that belong to the board
	seen    map[string]string // stage -> what was told last
}

func newBoard(a *app, id string) *board {
	return &board{w: a.err, id: id, live: a.live(a.err), began: time.Now(), seen: map[string]string{}}
}

// show tells the state of the run.
func (b *board) show(run *dag.Run) {
	if b.live {
		b.paint(run)
		return
	}
	states := statesOf(run)
	for _, n := range run.Plan().Nodes {
		s, state := run.Status(n.ID), states[n.ID]
		text := string(state)
		switch state {
		case dag.Waiting, dag.Ready, dag.Blocked:
			continue
		case dag.Running:
			text += tenths(s.Progress)
		case dag.Succeeded:
			text = "done" + resultText(s)
		case dag.Failed, dag.Skipped, dag.Cancelled:
			text += ": " + oneLine(s.Message)
		case dag.Approval:
			text += ": `tempera runs approve` lets it go on"
		}
		if b.seen[n.ID] == text {
			continue
		}
		b.seen[n.ID] = text
		fmt.Fprintf(b.w, "%7s  %s: %s\n", duration(time.Since(b.began).Round(time.Second)), n.ID, text)
	}
	for _, text := range repairs(run, b.id) {
		if b.seen[text] == "" {
			b.seen[text] = text
			fmt.Fprintf(b.w, "%7s  %s\n", "", text)
		}
	}
}

// repairs tells how to mend the stages of a run that waits for it.
func repairs(run *dag.Run, id string) (lines []string) {
	c := run.Counts()
	if run.Plan().Repair <= 0 || c.Running+c.Ready+c.Approval > 0 {
		return nil
	}
	for _, s := range run.In(dag.Failed) {
		do := "retry %[1]s %[2]s` runs it again, --set changes its parameters"
		if run.AtGate(s) {
			do = "approve %[1]s %[2]s` lets it through all the same"
		}
		lines = append(lines, fmt.Sprintf("the run waits: `tempera runs "+do+"; `tempera runs skip %[1]s %[2]s` leaves it out; `tempera runs cancel %[1]s` ends the run", id, s))
	}
	return lines
}

// tenths is the progress of a stage in steps of a tenth, so that a log grows by
// ten lines a stage and not by thousands.
func tenths(p dag.Progress) string {
	switch {
	case p.Total <= 0 && p.Note != "":
		return ": " + oneLine(p.Note)
	case p.Total <= 0:
		return ""
	}
	tenth := 10 * p.Done / p.Total
	if tenth == 0 {
		return ""
	}
	return fmt.Sprintf(" %d%% of %d %s", 10*tenth, p.Total, p.Unit)
}

// statesOf maps stages to their states, Blocked included.
func statesOf(run *dag.Run) map[string]dag.State {
	states := map[string]dag.State{}
	for _, s := range []dag.State{
		dag.Waiting, dag.Blocked, dag.Approval, dag.Ready, dag.Running,
		dag.Succeeded, dag.Skipped, dag.Failed, dag.Cancelled,
	} {
		for _, id := range run.In(s) {
			states[id] = s
		}
	}
	return states
}

// resultText is what a finished stage is told with.
func resultText(s dag.Status) string {
	if s.Result == nil {
		return ""
	}
	text := " in " + duration(time.Duration(s.Result.Seconds*float64(time.Second)))
	if s.Result.Cached {
		text = ", known before"
	}
	if n := len(s.Result.Quarantined); n > 0 {
		text += fmt.Sprintf(", %d quarantined", n)
	}
	if m := metricsText(s.Result, 4); m != "" {
		text += ", " + m
	}
	return text
}

// metricsText lists the first n metrics by name.
func metricsText(r *stage.Result, n int) string {
	var parts []string
	for _, name := range r.MetricNames() {
		if len(parts) == n {
			parts = append(parts, fmt.Sprintf("%d more", len(r.Metrics)-n))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %.4g", name, r.Metrics[name]))
	}
	return strings.Join(parts, ", ")
}

// The colours of the states.
const (
	grey   = "\x1b[90m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
)

func colour(s dag.State) string {
	switch s {
	case dag.Succeeded:
		return green
	case dag.Running, dag.Ready:
		return yellow
	case dag.Failed, dag.Approval, dag.Blocked:
		return red
	case dag.Waiting, dag.Skipped, dag.Cancelled:
		return grey
	}
	return plain
}

// paint writes the table over the one before.
func (b *board) paint(run *dag.Run) {
	width, height := 100, 40
	if f, ok := b.w.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 20 && h > 6 {
			width, height = w, h
		}
	}
	lines := b.lines(run, height-3)
	var out strings.Builder
	if b.painted > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", b.painted)
	}
	for _, l := range lines {
		out.WriteString("\x1b[2K" + l.colour + cut(l.text, width-1) + plain + "\n")
	}
	out.WriteString("\x1b[J")
	b.painted = len(lines)
	fmt.Fprint(b.w, out.String())
}

type line struct{ colour, text string }

// lines fits the run into room lines: what runs, failed or waits for a person
// first, then what is done, then what waits.
func (b *board) lines(run *dag.Run, room int) []line {
	waiting := repairs(run, b.id)
	waiting = waiting[:min(len(waiting), room/4)]
	room -= len(waiting)
	states := statesOf(run)
	order := map[dag.State]int{dag.Failed: 0, dag.Approval: 0, dag.Running: 1, dag.Succeeded: 2, dag.Ready: 3}
	nodes := run.Plan().Nodes
	shown := make([]int, len(nodes))
	for i := range shown {
		shown[i] = i
	}
	hidden := 0
	if len(nodes) > room-2 {
		rank := func(i int) int {
			if r, ok := order[states[nodes[i].ID]]; ok {
				return r
			}
			return 4
		}
		slices.SortStableFunc(shown, func(x, y int) int { return rank(x) - rank(y) })
		hidden = len(nodes) - (room - 2)
		shown = shown[:room-2]
		slices.Sort(shown)
	}
	wide := 0
	for _, i := range shown {
		wide = max(wide, len(nodes[i].ID))
	}
	lines := []line{{plain, fmt.Sprintf("%s  %s", duration(time.Since(b.began).Round(time.Second)), run.Summary())}}
	for _, i := range shown {
		id := nodes[i].ID
		lines = append(lines, line{colour(states[id]), fmt.Sprintf("%-*s  %s", wide, id, stageText(run.Status(id), states[id]))})
	}
	if hidden > 0 {
		lines = append(lines, line{grey, fmt.Sprintf("and %d more stages", hidden)})
	}
	for _, text := range waiting {
		lines = append(lines, line{yellow, text})
	}
	return lines
}

// stageText is one stage in one line.
func stageText(s dag.Status, shown dag.State) string {
	switch shown {
	case dag.Succeeded:
		return "done" + resultText(s)
	case dag.Running:
		p := s.Progress
		if p.Total <= 0 {
			return strings.TrimSpace("running " + p.Note)
		}
		return fmt.Sprintf("%s %3d%%  %d/%d %s  %s", bar(p), 100*p.Done/p.Total, p.Done, p.Total, p.Unit, p.Note)
	case dag.Failed, dag.Skipped, dag.Cancelled:
		return string(shown) + ": " + oneLine(s.Message)
	default:
		return string(shown)
	}
}

// bar draws progress in twenty columns.
func bar(p dag.Progress) string {
	const columns = 20
	full := int(min(columns, max(0, columns*p.Done/p.Total)))
	return strings.Repeat("█", full) + strings.Repeat("░", columns-full)
}

// cut shortens text to n columns; stages' texts are of single-width characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n && n > 3 {
		return string(r[:n-3]) + "..."
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
