package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"tempera/datagen/example"
)

// Grid are the parameters of finding a way between walls. Zero fields mean the defaults.
type Grid struct {
	Form
	Size     int     `json:"size,omitempty"`     // cells a side; default 4
	Walls    float64 `json:"walls,omitempty"`    // share of cells; default 0.25
	Least    int     `json:"least,omitempty"`    // moves of the shortest way; default 2
	Shortest bool    `json:"shortest,omitempty"` // only a shortest way is right
}

// gridFacts are the rows of the grid: S start, G goal, # wall, . free.
type gridFacts struct {
	Rows     []string `json:"rows"`
	Shortest int      `json:"shortest,omitempty"` // most moves; 0: any number
}

// moves are the letters of a way with their steps down and to the right.
var moves = map[byte][2]int{'D': {1, 0}, 'L': {0, -1}, 'R': {0, 1}, 'U': {-1, 0}}

func grid() Task {
	return opens[Grid](Task{Name: "grid", Summary: "find a way from S to G between walls: U, D, L and R", Check: checkWay})
}

func (g Grid) withDefaults() Grid {
	g.Form = g.marked(Tags)
	if g.Size == 0 {
		g.Size = 4
	}
	if g.Walls == 0 {
		g.Walls = 0.25
	}
	if g.Least == 0 {
		g.Least = 2
	}
	return g
}

// Validate reports every fault.
func (g Grid) Validate() error {
	var faults []error
	between(&faults, "size", g.Size, [2]int{2, 32})
	between(&faults, "least", g.Least, [2]int{1, 2*g.Size - 2})
	if !(g.Walls >= 0 && g.Walls <= 0.6) {
		faults = append(faults, fmt.Errorf("walls is %v: use a share from 0 to 0.6", g.Walls))
	}
	return errors.Join(faults...)
}

func (g Grid) draw(r *rand.Rand) (*problem, error) {
	for range maxStarts {
		rows := make([][]byte, g.Size)
		for y := range rows {
			rows[y] = make([]byte, g.Size)
			for x := range rows[y] {
				rows[y][x] = '.'
				if r.Float64() < g.Walls {
					rows[y][x] = '#'
				}
			}
		}
		start, goal := [2]int{r.IntN(g.Size), r.IntN(g.Size)}, [2]int{r.IntN(g.Size), r.IntN(g.Size)}
		if start == goal {
			continue
		}
		rows[start[0]][start[1]], rows[goal[0]][goal[1]] = 'S', 'G'
		facts := gridFacts{}
		for _, row := range rows {
			facts.Rows = append(facts.Rows, string(row))
		}
		way, trace, ok := facts.shortest(start)
		if !ok || len(way) < g.Least {
			continue
		}
		if g.Shortest {
			facts.Shortest = len(way)
		}
		return &problem{
			prompt: strings.Join(facts.Rows, "/") + "=", answer: way, traces: []string{trace}, facts: facts,
			level: len(way), slice: fmt.Sprintf("%d moves", len(way)),
		}, nil
	}
	return nil, fmt.Errorf("no grid of %d cells a side with a way of %d moves was found: lower walls or least", g.Size, g.Least)
}

// shortest finds the first shortest way in the order of the letters, and the cells that it passes.
func (f gridFacts) shortest(start [2]int) (way, trace string, ok bool) {
	type place struct {
		at  [2]int
		way string
	}
	queue, seen := []place{{start, ""}}, map[[2]int]bool{start: true}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if f.cell(p.at) == 'G' {
			return p.way, f.passed(start, p.way), true
		}
		for _, letter := range []byte("DLRU") {
			next := [2]int{p.at[0] + moves[letter][0], p.at[1] + moves[letter][1]}
			if !seen[next] && f.cell(next) != '#' {
				seen[next] = true
				queue = append(queue, place{next, p.way + string(letter)})
			}
		}
	}
	return "", "", false
}

// cell is what is at a place; outside is a wall.
func (f gridFacts) cell(at [2]int) byte {
	if at[0] < 0 || at[0] >= len(f.Rows) || at[1] < 0 || at[1] >= len(f.Rows[at[0]]) {
		return '#'
	}
	return f.Rows[at[0]][at[1]]
}

func (f gridFacts) passed(at [2]int, way string) string {
	cells := []string{fmt.Sprintf("%d,%d", at[0], at[1])}
	for i := range len(way) {
		at = [2]int{at[0] + moves[way[i]][0], at[1] + moves[way[i]][1]}
		cells = append(cells, fmt.Sprintf("%s%d,%d", way[i:i+1], at[0], at[1]))
	}
	return strings.Join(cells, " ")
}

func checkWay(p *example.Problem, completion string) Verdict {
	var facts gridFacts
	if err := json.Unmarshal(p.Facts, &facts); err != nil {
		return wrong("", "the problem does not say its grid")
	}
	y := slices.IndexFunc(facts.Rows, func(row string) bool { return strings.Contains(row, "S") })
	if y < 0 {
		return wrong("", "the grid has no start")
	}
	found, fault := Extract(completion, marked(p, Tags))
	if fault != "" {
		return wrong("", fault)
	}
	at := [2]int{y, strings.IndexByte(facts.Rows[y], 'S')}
	for i := range len(found) {
		step, ok := moves[found[i]]
		if !ok {
			return wrong("", "the answer has other letters than U, D, L and R")
		}
		at = [2]int{at[0] + step[0], at[1] + step[1]}
		if facts.cell(at) == '#' {
			return wrong(found, fmt.Sprintf("move %d runs into a wall", i+1))
		}
	}
	switch {
	case facts.cell(at) != 'G':
		return wrong(found, "the way does not end at the goal")
	case facts.Shortest > 0 && len(found) > facts.Shortest:
		return wrong(found, "there is a shorter way")
	}
	return right(found)
}
