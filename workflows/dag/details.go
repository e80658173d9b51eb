package dag

import (
	"fmt"
	"strings"
)

// Link is a titled address.
type Link struct {
	Title, URL string
}

// DetailsOptions say what Details shows beside the states.
type DetailsOptions struct {
	Links     []Link                 // under the table: report, run folder
	StageLink func(id string) string // where a stage can be looked at; "" or nil: nowhere
}

// Bounds on what a person, and the server, is given.
const (
	detailRows     = 60
	detailGroups   = 20 // of the rows, at least, are for groups where stages are grouped
	detailMetrics  = 4
	detailFailures = 10
	detailText     = 300 // runes of a message
)

// Details renders the run as Markdown for the details of its workflow: a line
// of counts, a table of stages, what failed and what waits for a person, links.
// With more than 60 stages, those that ask for attention are listed and the
// rest is grouped by kind and state.
func (r *Run) Details(o DetailsOptions) string {
	var b strings.Builder
	b.WriteString(r.headline())
	b.WriteString("\n\n| Stage | Kind | State | Progress | Metrics |\n| --- | --- | --- | --- | --- |\n")
	states := r.shown()
	if len(states) <= detailRows {
		for i := range states {
			b.WriteString(r.row(i, states, o))
		}
	} else {
		r.groupedRows(&b, states, o)
	}
	r.attention(&b, states)
	links := make([]string, 0, len(o.Links))
	for _, l := range o.Links {
		if l.URL != "" {
			links = append(links, fmt.Sprintf("[%s](%s)", l.Title, l.URL))
		}
	}
	if len(links) > 0 {
		b.WriteString("\n" + strings.Join(links, " | ") + "\n")
	}
	return b.String()
}

func (r *Run) headline() string {
	c := r.Counts()
	parts := []string{fmt.Sprintf("**%d of %d stages done**", c.Succeeded, c.Total)}
	for _, p := range []struct {
		n    int
		what string
	}{
		{c.Cached, "of them known before"},
		{c.Running, "running"},
		{c.Ready, "ready"},
		{c.Waiting, "waiting"},
		{c.Approval, "awaiting approval"},
		{c.Failed, "failed"},
		{c.Blocked, "blocked"},
		{c.Skipped, "skipped"},
		{c.Cancelled, "cancelled"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if r.paused {
		parts = append(parts, "**paused**")
	}
	return strings.Join(parts, ", ")
}

// Summary is the headline without Markdown, for one line of text.
func (r *Run) Summary() string { return strings.ReplaceAll(r.headline(), "**", "") }

func (r *Run) row(i int, states []State, o DetailsOptions) string {
	node, s := &r.plan.Nodes[i], &r.stages[i]
	name := node.ID
	if o.StageLink != nil {
		if url := o.StageLink(node.ID); url != "" {
			name = fmt.Sprintf("[%s](%s)", name, url)
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n",
		name, node.Kind, stateText(s, states[i]), progressText(s), metricsText(s))
}

func stateText(s *Status, shown State) string {
	switch {
	case shown == Succeeded && s.Result != nil && s.Result.Cached:
		return "done, known before"
	case shown == Succeeded:
		return "done"
	case shown == Failed, shown == Approval:
		return "**" + string(shown) + "**"
	}
	return string(shown)
}

func progressText(s *Status) string {
	p := s.Progress
	switch {
	case s.State == Skipped || s.State == Cancelled:
		return cell(s.Message, 60)
	case s.State == Succeeded && s.Result != nil:
		text := formatSeconds(s.Result.Seconds)
		if s.Result.Cached {
			text = ""
		}
		if n := len(s.Result.Quarantined); n > 0 {
			text = strings.TrimPrefix(fmt.Sprintf("%s, %d quarantined", text, n), ", ")
		}
		return text
	case s.State != Running || p == (Progress{}):
		return ""
	}
	text := fmt.Sprintf("%d", p.Done)
	switch {
	case p.Done == 0 && p.Total == 0:
		return cell(p.Note, 80)
	case p.Total > 0:
		text = fmt.Sprintf("%d / %d (%d%%)", p.Done, p.Total, 100*p.Done/p.Total)
	}
	if p.Unit != "" {
		text += " " + p.Unit
	}
	if p.Note != "" {
		text += ", " + p.Note
	}
	return cell(text, 80)
}

// metricsText shows the first metrics.
func metricsText(s *Status) string {
	if s.Result == nil {
		return ""
	}
	names := s.Result.MetricNames()
	var parts []string
	for _, name := range names[:min(len(names), detailMetrics)] {
		parts = append(parts, name+" "+formatNumber(s.Result.Metrics[name]))
	}
	if more := len(names) - detailMetrics; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return cell(strings.Join(parts, ", "), 120)
}

// groupedRows lists the stages that ask for attention, as far as there is room,
// and groups all others by kind and state.
func (r *Run) groupedRows(b *strings.Builder, states []State, o DetailsOptions) {
	listed := map[int]bool{}
	for _, s := range []State{Failed, Approval, Running} {
		for i := range states {
			if states[i] == s && len(listed) < detailRows-detailGroups {
				listed[i] = true
			}
		}
	}
	type group struct {
		kind  string
		state State
	}
	var groups []group
	members := map[group]int{}
	for i := range states {
		if listed[i] {
			b.WriteString(r.row(i, states, o))
			continue
		}
		g := group{r.plan.Nodes[i].Kind, states[i]}
		if members[g] == 0 {
			groups = append(groups, g)
		}
		members[g]++
	}
	room := detailRows - len(listed)
	rest := 0
	for k, g := range groups {
		if k >= room-1 && len(groups) > room {
			rest += members[g]
			continue
		}
		fmt.Fprintf(b, "| %d stages | %s | %s | | |\n", members[g], g.kind, g.state)
	}
	if rest > 0 {
		fmt.Fprintf(b, "| %d more | | | | |\n", rest)
	}
}

// attention tells what failed and what a person is asked for.
func (r *Run) attention(b *strings.Builder, states []State) {
	shown, more := 0, 0
	for i, s := range states {
		if s != Failed && s != Approval {
			continue
		}
		if shown++; shown > detailFailures {
			more++
			continue
		}
		id := r.plan.Nodes[i].ID
		if s == Approval {
			fmt.Fprintf(b, "\n**%s** awaits approval: send the update approve with `{\"stage\": %q, \"by\": \"\", \"why\": \"\"}`.\n", id, id)
			continue
		}
		update := fmt.Sprintf("retry with `{\"stage\": %q, \"params\": {}}` (the parameters to change)", id)
		if r.AtGate(id) {
			update = fmt.Sprintf("approve with `{\"stage\": %q, \"by\": \"\", \"why\": \"\"}` (to let it through all the same)", id)
		}
		fmt.Fprintf(b, "\n**%s** failed: %s  \nTo go on, send the update %s, skip or cancel.\n", id, cell(r.stages[i].Message, detailText), update)
	}
	if more > 0 {
		fmt.Fprintf(b, "\n%d more ask for attention.\n", more)
	}
}

// cell makes text safe for a table: one line, no bars, at most n runes.
func cell(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > n {
		s = string(runes[:n-3]) + "..."
	}
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "`", "'").Replace(s)
}
